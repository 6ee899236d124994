using Gateway.Vfs;
using StoreCore;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Open files and their data.</summary>
public sealed partial class FuseDispatcher
{
    private const uint SetIdBits = 0xC00; // S_ISUID | S_ISGID
    private const uint SeekData = 3;
    private const uint SeekHole = 4;
    private const uint SupportedFallocateModes = (uint)(VfsAllocateMode.KeepSize | VfsAllocateMode.PunchHole | VfsAllocateMode.ZeroRange);

    /// <summary>OPEN: fuse_open_in. Answer: fuse_open_out. The handle is the open's flags: all that RELEASE needs besides the node.</summary>
    internal FsStatus Open(ref FuseRequest request, ref FuseReply reply)
    {
        FuseOpenIn arguments = request.Read<FuseOpenIn>();
        VfsOpenFlags flags = OpenFlagsOf(arguments.Flags);
        if (_options.ReadOnly && (flags & (VfsOpenFlags.Write | VfsOpenFlags.Truncate)) != 0)
            return FsStatus.ReadOnly;

        Caller caller = CallerOf(request);
        InodeId inode = Inode(request);
        FsStatus status = _vfs.Open(caller, inode, flags, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;

        status = KillOnTruncate(caller, flags, arguments.OpenFlags, ref record);
        if (status != FsStatus.Ok)
        {
            _vfs.Release(inode, flags);
            return status;
        }

        AddOpen(inode, flags, ref reply);
        return FsStatus.Ok;
    }

    /// <summary>CREATE: fuse_create_in, name. Answer: fuse_entry_out, fuse_open_out.</summary>
    internal FsStatus Create(ref FuseRequest request, ref FuseReply reply)
    {
        FuseCreateIn arguments = request.Read<FuseCreateIn>();
        ReadOnlySpan<byte> name = request.Name();
        uint[]? groups = request.Groups();
        if (request.Malformed)
            return FsStatus.Invalid;

        VfsOpenFlags flags = OpenFlagsOf(arguments.Flags);
        Caller caller = CallerOf(request, groups);
        FsStatus status = _vfs.Create(
            caller, Inode(request), name, NewFile(arguments, flags), flags, out InodeRecord record, out bool created);
        if (status != FsStatus.Ok)
            return status;

        // What is released is what was counted: an open without what only the moment of creation asked for.
        if (!created)
            status = KillOnTruncate(caller, flags, arguments.OpenFlags, ref record);
        if (status == FsStatus.Ok)
            status = AddEntry(request, record, ref reply);
        if (status != FsStatus.Ok)
        {
            _vfs.Release(record.Inode, flags);
            return status;
        }

        AddOpen(record.Inode, flags, ref reply);
        return FsStatus.Ok;
    }

    /// <summary>TMPFILE: as CREATE; the name is a placeholder of the kernel.</summary>
    internal FsStatus TmpFile(ref FuseRequest request, ref FuseReply reply)
    {
        FuseCreateIn arguments = request.Read<FuseCreateIn>();
        uint[]? groups = request.Groups();
        if (request.Malformed)
            return FsStatus.Invalid;

        VfsOpenFlags flags = OpenFlagsOf(arguments.Flags) & ~VfsOpenFlags.Exclusive;
        FsStatus status = _vfs.CreateUnlinked(
            CallerOf(request, groups), Inode(request), NewFile(arguments, flags), flags, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;

        status = AddEntry(request, record, ref reply);
        if (status != FsStatus.Ok)
        {
            _vfs.Release(record.Inode, flags);
            return status;
        }

        AddOpen(record.Inode, flags, ref reply);
        return FsStatus.Ok;
    }

    /// <summary>READ: fuse_read_in. Answer: the data, read straight to where it is sent from.</summary>
    internal FsStatus Read(ref FuseRequest request, ref FuseReply reply)
    {
        FuseReadIn arguments = request.Read<FuseReadIn>();
        if (arguments.Offset > long.MaxValue)
            return FsStatus.Invalid;

        Span<byte> room = reply.Free;
        int wanted = (int)Math.Min(arguments.Size, (uint)Math.Min(room.Length, Limits.MaxTransferBytes));
        Caller caller = ReaderOf(request, _options.LeavesAccessTimes || (arguments.Flags & OpenFlag.NoAccessTime) != 0);
        FsStatus status = _vfs.Read(caller, Inode(request), arguments.Offset, room[..wanted], out int readBytes);
        if (status == FsStatus.Ok)
            reply.Advance(readBytes);
        return status;
    }

    /// <summary>WRITE: fuse_write_in, data. Answer: fuse_write_out.</summary>
    internal FsStatus Write(ref FuseRequest request, ref FuseReply reply)
    {
        FuseWriteIn arguments = request.Read<FuseWriteIn>();
        ReadOnlySpan<byte> data = request.Data(arguments.Size);
        if (request.Malformed || arguments.Offset > long.MaxValue || data.Length > Limits.MaxTransferBytes)
            return FsStatus.Invalid;

        VfsWriteFlags flags = VfsWriteFlags.None;
        bool fromCache = (arguments.WriteFlags & FuseFlag.WriteCache) != 0;
        if ((arguments.Flags & OpenFlag.DSync) != 0)
            flags |= VfsWriteFlags.Stable;
        if ((arguments.WriteFlags & FuseFlag.WriteKillSuidGid) != 0)
            flags |= VfsWriteFlags.KillPrivileges;
        // Pages written by mmap come from the cache too; but only with the write-back cache does that kernel keep the times itself.
        if (fromCache && (Negotiated & FuseInitFlags.WritebackCache) != 0)
            flags |= VfsWriteFlags.FromCache;
        bool append = AppendsAtEnd(arguments, fromCache);
        if (append)
            flags |= VfsWriteFlags.Append;

        InodeId inode = Inode(request);
        FsStatus status = _vfs.Write(CallerOf(request), inode, arguments.Offset, data, flags, out int written);
        if (status != FsStatus.Ok)
            return status;

        reply.Next<FuseSizeOut>().Size = (uint)written;
        if (append)
            CheckWhereAppended(inode, arguments.Offset + (uint)written);
        return FsStatus.Ok;
    }

    /// <summary>FLUSH: fuse_flush_in, at each close(2) of a descriptor.</summary>
    internal FsStatus Flush(ref FuseRequest request)
    {
        FuseFlushIn arguments = request.Read<FuseFlushIn>();
        return _vfs.Flush(Inode(request), OwnerOf(arguments.LockOwner));
    }

    /// <summary>FSYNC and FSYNCDIR: fuse_fsync_in.</summary>
    internal FsStatus FSync(ref FuseRequest request)
    {
        FuseFsyncIn arguments = request.Read<FuseFsyncIn>();
        return _vfs.Sync(Inode(request), (arguments.Flags & FuseFlag.FsyncDataOnly) != 0);
    }

    /// <summary>RELEASE: fuse_release_in, when the last descriptor of an open is closed.</summary>
    internal FsStatus Release(ref FuseRequest request)
    {
        FuseReleaseIn arguments = request.Read<FuseReleaseIn>();
        InodeId inode = Inode(request);
        if ((arguments.ReleaseFlags & FuseFlag.ReleaseFlockUnlock) != 0)
        {
            var all = new VfsLock(VfsLockKind.Unlock, 0, ulong.MaxValue, OwnerOf(arguments.LockOwner), request.Header.Pid);
            FsStatus status = _vfs.SetLock(inode, VfsLockSpace.Flock, all, null, out _);
            if (status != FsStatus.Ok)
                LogUnlock(inode, status);
        }

        return ReleaseOpen(inode, (VfsOpenFlags)arguments.Handle);
    }

    /// <summary>FALLOCATE: fuse_fallocate_in.</summary>
    internal FsStatus FAllocate(ref FuseRequest request)
    {
        FuseFallocateIn arguments = request.Read<FuseFallocateIn>();
        if ((arguments.Mode & ~SupportedFallocateModes) != 0)
            return FsStatus.NotSupported;

        return arguments.Offset > long.MaxValue || arguments.Length > long.MaxValue
            ? FsStatus.Invalid
            : _vfs.Allocate(CallerOf(request), Inode(request), (VfsAllocateMode)arguments.Mode, arguments.Offset, arguments.Length);
    }

    /// <summary>LSEEK: fuse_lseek_in. Answer: u64 offset. The kernel does all but SEEK_DATA and SEEK_HOLE itself.</summary>
    internal FsStatus LSeek(ref FuseRequest request, ref FuseReply reply)
    {
        FuseLseekIn arguments = request.Read<FuseLseekIn>();
        if (arguments.Whence is not (SeekData or SeekHole))
            return FsStatus.Invalid;

        // A negative offset lies, as one past the end does, in no part of the file (lseek(2): ENXIO).
        if (arguments.Offset > long.MaxValue)
            return FsStatus.NoSuchAddress;

        FsStatus status = _vfs.Seek(Inode(request), arguments.Offset, arguments.Whence == SeekHole, out ulong position);
        if (status == FsStatus.Ok)
            reply.Next<ulong>() = position;
        return status;
    }

    /// <summary>COPY_FILE_RANGE: fuse_copy_file_range_in. Answer: fuse_write_out, or u64 bytes for the 64-bit one.</summary>
    internal FsStatus CopyFileRange(ref FuseRequest request, ref FuseReply reply, bool wide)
    {
        FuseCopyFileRangeIn arguments = request.Read<FuseCopyFileRangeIn>();
        if (arguments.Flags != 0 || arguments.SourceOffset > long.MaxValue || arguments.TargetOffset > long.MaxValue)
            return FsStatus.Invalid;

        // The short answer holds 32 bits: the kernel asks on for the rest.
        ulong length = wide ? Math.Min(arguments.Length, long.MaxValue) : Math.Min(arguments.Length, uint.MaxValue & ~0xFFFu);
        FsStatus status = _vfs.CopyRange(
            CallerOf(request), Inode(request), arguments.SourceOffset, Inode(arguments.TargetNode), arguments.TargetOffset, length,
            out ulong copied);
        if (status != FsStatus.Ok)
            return status;

        if (wide)
            reply.Next<ulong>() = copied;
        else
            reply.Next<FuseSizeOut>().Size = (uint)copied;
        return FsStatus.Ok;
    }

    private static VfsOpenFlags OpenFlagsOf(uint flags)
    {
        VfsOpenFlags result = (flags & OpenFlag.AccessMode) switch
        {
            OpenFlag.WriteOnly => VfsOpenFlags.Write,
            OpenFlag.ReadWrite => VfsOpenFlags.Read | VfsOpenFlags.Write,
            _ => VfsOpenFlags.Read,
        };
        if ((flags & OpenFlag.Truncate) != 0)
            result |= VfsOpenFlags.Truncate;
        if ((flags & OpenFlag.DSync) != 0)
            result |= VfsOpenFlags.Stable;
        if ((flags & OpenFlag.Exclusive) != 0)
            result |= VfsOpenFlags.Exclusive;
        if ((flags & OpenFlag.Exec) != 0)
            result |= VfsOpenFlags.Execute;
        return result;
    }

    private static NewInode NewFile(in FuseCreateIn arguments, VfsOpenFlags flags) => new()
    {
        Mode = FileMode | (arguments.Mode & PermissionBits),
        Umask = arguments.Umask,
        ForWriting = (flags & VfsOpenFlags.Write) != 0,
    };

    /// <summary>
    /// O_APPEND is carried out where the end of file is known: with several mounts, the end that this kernel knows may be old. Not for
    /// O_DIRECT, whose parts come in parallel and in any order, and not for pages that were placed when they entered the cache.
    /// </summary>
    private static bool AppendsAtEnd(in FuseWriteIn arguments, bool fromCache) =>
        !fromCache && (arguments.Flags & OpenFlag.Append) != 0 && (arguments.Flags & OpenFlag.Direct) == 0;

    /// <summary>The kernel has cached what it wrote where it thought the end was; if that was wrong, it has to forget it.</summary>
    private void CheckWhereAppended(InodeId inode, ulong expectedEnd)
    {
        if (_vfs.GetAttributes(inode, out InodeRecord record) != FsStatus.Ok || record.SizeBytes != expectedEnd)
            Notifier?.InvalidateInode(inode);
    }

    /// <summary>FUSE_OPEN_KILL_SUIDGID: an unprivileged O_TRUNC takes set-id bits away as a write does.</summary>
    private FsStatus KillOnTruncate(in Caller caller, VfsOpenFlags flags, uint openFlags, ref InodeRecord record)
    {
        if ((flags & VfsOpenFlags.Truncate) == 0 || (openFlags & FuseFlag.OpenKillSuidGid) == 0)
            return FsStatus.Ok;

        if ((record.Mode & SetIdBits) == 0 && (record.Flags & InodeFlags.HasXattrs) == 0)
            return FsStatus.Ok;

        var change = new AttributeChange { Mask = AttributeMask.KillPrivileges };
        return _vfs.SetAttributes(caller, record.Inode, change, out record);
    }

    private void AddOpen(InodeId inode, VfsOpenFlags flags, ref FuseReply reply)
    {
        _opens.Add(inode, flags);
        ref FuseOpenOut answer = ref reply.Next<FuseOpenOut>();
        answer.Handle = (ulong)flags;
        // What is cached stays right over a close: changes made elsewhere are notified.
        answer.Flags = _keepCache ? FuseOpenReply.KeepCache : FuseOpenReply.None;
    }

    private FsStatus ReleaseOpen(InodeId inode, VfsOpenFlags flags)
    {
        if (!_opens.Remove(inode, flags))
            return FsStatus.BadHandle;

        _vfs.Release(inode, flags);
        return FsStatus.Ok;
    }

    [Microsoft.Extensions.Logging.LoggerMessage(
        Level = Microsoft.Extensions.Logging.LogLevel.Warning, Message = "flock of inode {Inode} could not be dropped at its release: {Status}")]
    private partial void LogUnlock(InodeId inode, FsStatus status);
}
