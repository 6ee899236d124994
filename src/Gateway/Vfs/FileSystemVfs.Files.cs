using System.Buffers;
using StoreCore;
using StoreCore.Blocks;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>Open files: opens and their end, reads and writes, syncs, copies, locks.</summary>
public sealed partial class FileSystemVfs
{
    private const int CopyBufferBytes = 1024 * 1024;

    public FsStatus Create(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, VfsOpenFlags flags, out InodeRecord attributes, out bool created)
    {
        attributes = default;
        created = false;
        FsStatus status = Names.CheckOrdinary(name, FsStatus.Exists);
        if (status != FsStatus.Ok)
            return status;

        NewInode forOpen = spec;
        forOpen.ForWriting = (flags & VfsOpenFlags.Write) != 0;
        while (true)
        {
            status = _metadata.Create(caller, parent, name, forOpen, out attributes);
            if (status == FsStatus.Ok)
            {
                status = OpenNew(attributes, flags);
                if (status != FsStatus.Ok)
                    return status;
                created = true;
                NameChanged(parent, name, InodeId.None, caller.Origin);
                return FsStatus.Ok;
            }

            if (status != FsStatus.Exists || (flags & VfsOpenFlags.Exclusive) != 0)
                return status;
            status = _metadata.Lookup(caller, parent, name, out attributes);
            if (status == FsStatus.NotFound)
                continue; // removed in between: make it after all
            if (status != FsStatus.Ok)
                return status;
            status = Open(caller, attributes.Inode, flags, out attributes);
            if (status != FsStatus.Stale)
                return status;
        }
    }

    public FsStatus CreateUnlinked(in Caller caller, InodeId directory, in NewInode spec, VfsOpenFlags flags, out InodeRecord attributes)
    {
        NewInode forOpen = spec;
        forOpen.ForWriting = (flags & VfsOpenFlags.Write) != 0;
        FsStatus status = Gone(_metadata.CreateUnlinked(caller, directory, forOpen, out attributes));
        return status == FsStatus.Ok ? OpenNew(attributes, flags) : status;
    }

    public FsStatus Open(in Caller caller, InodeId inode, VfsOpenFlags flags, out InodeRecord attributes)
    {
        InodeState state = _inodes.Pin(inode);
        try
        {
            FsStatus status;
            lock (state)
            {
                attributes = default;
                if (state.Reaping)
                    return FsStatus.Stale;
                status = Gone(_metadata.GetInode(inode, out attributes));
                if (status != FsStatus.Ok)
                    return status;
                status = CheckOpen(caller, attributes, flags);
                if (status != FsStatus.Ok)
                    return status;
                if (attributes.Kind == InodeKind.File && !state.Loaded)
                    state.Load(attributes);
                state.Overlay(ref attributes);
                CountOpen(state, flags);
            }

            if ((flags & VfsOpenFlags.Truncate) != 0 && attributes.Kind == InodeKind.File)
            {
                // The kernel of a mount asks for set-id bits to be dropped where they are to be; nobody does so for a stateless caller.
                AttributeMask kill = caller.Trusted || caller.Uid == 0 ? AttributeMask.None : AttributeMask.KillPrivileges;
                AttributeChange cut = new() { Mask = AttributeMask.Size | kill };
                status = SetAttributes(caller.AsTrusted(), inode, cut, out attributes);
                if (status != FsStatus.Ok)
                    Release(inode, flags);
            }

            return status;
        }
        finally
        {
            _inodes.Unpin(state);
        }
    }

    public void Release(InodeId inode, VfsOpenFlags flags)
    {
        if (_inodes.Find(inode) is not { } state)
            return;
        bool last;
        lock (state)
        {
            if (state.Opens == 0)
                return; // a release without an open: from a peer that is confused, not from us
            state.Opens--;
            if ((flags & VfsOpenFlags.Write) != 0 && state.WriteOpens > 0)
                state.WriteOpens--;
            last = state.Opens == 0;
            _recorder.Enqueue(state);
            _inodes.RemoveIfIdle(state);
        }

        if (last && _metadata.GetInode(inode, out InodeRecord record) == FsStatus.Ok && record.Links == 0)
            _reaper.Enqueue(inode);
    }

    public FsStatus Read(in Caller caller, InodeId inode, ulong offset, Span<byte> destination, out int readBytes)
    {
        readBytes = 0;
        InodeState state = _inodes.Pin(inode);
        try
        {
            FsStatus status = LoadFile(state);
            if (status == FsStatus.Ok && !caller.Trusted)
                status = RequireData(caller, inode, VfsAccess.Read);
            if (status != FsStatus.Ok)
                return status;

            state.EnterShared();
            try
            {
                ulong size = state.SizeBytes;
                if (offset >= size)
                    return FsStatus.Ok;
                int length = (int)Math.Min((ulong)destination.Length, size - offset);
                status = _data.Read(inode, offset, destination[..length]);
                if (status != FsStatus.Ok)
                    return status;
                readBytes = length;
            }
            finally
            {
                state.ExitShared();
            }

            Accessed(caller, state);
            return FsStatus.Ok;
        }
        finally
        {
            _inodes.Unpin(state);
        }
    }

    public FsStatus Write(in Caller caller, InodeId inode, ulong offset, ReadOnlySpan<byte> data, VfsWriteFlags flags, out int writtenBytes)
    {
        writtenBytes = 0;
        InodeState state = _inodes.Pin(inode);
        try
        {
            FsStatus status = LoadFile(state);
            if (status == FsStatus.Ok && !caller.Trusted)
                status = RequireData(caller, inode, VfsAccess.Write);
            if (status == FsStatus.Ok)
                status = KillPrivileges(inode, setIds: (flags & VfsWriteFlags.KillPrivileges) != 0);
            if (status != FsStatus.Ok)
                return status;

            state.EnterExclusive();
            try
            {
                if ((flags & VfsWriteFlags.Append) != 0)
                    offset = state.SizeBytes;
                if (offset > Limits.MaxFileSizeBytes || (ulong)data.Length > Limits.MaxFileSizeBytes - offset)
                    return FsStatus.TooLarge;
                status = WriteLocked(caller.Request, state, offset, data, flags, out writtenBytes);
            }
            finally
            {
                state.ExitExclusive();
            }

            if (writtenBytes > 0)
                _observers.DataChanged(inode, (long)offset, writtenBytes, caller.Origin);
            if (status == FsStatus.Ok && (flags & VfsWriteFlags.Stable) != 0)
                status = Sync(inode, dataOnly: true);
            return status;
        }
        finally
        {
            _inodes.Unpin(state);
        }
    }

    public FsStatus Flush(InodeId inode, VfsLockOwner owner)
    {
        _locks.ReleaseOwner(inode, VfsLockSpace.Posix, owner);
        return FsStatus.Ok;
    }

    public FsStatus Sync(InodeId inode, bool dataOnly)
    {
        if (_inodes.Find(inode) is { } state)
        {
            lock (state)
            {
                if (!dataOnly || state.SizeDirty)
                    _recorder.Request(state);
                state.LastSyncTimestamp = _clock.GetTimestamp();
                state.UnsyncedBytes = 0;
            }
        }

        return _data.Sync();
    }

    public FsStatus Allocate(in Caller caller, InodeId inode, VfsAllocateMode mode, ulong offset, ulong lengthBytes)
    {
        bool punch = (mode & VfsAllocateMode.PunchHole) != 0, zero = (mode & VfsAllocateMode.ZeroRange) != 0, keep = (mode & VfsAllocateMode.KeepSize) != 0;
        if ((mode & ~(VfsAllocateMode.PunchHole | VfsAllocateMode.ZeroRange | VfsAllocateMode.KeepSize)) != 0 || (punch && (!keep || zero)))
            return FsStatus.NotSupported;
        if (lengthBytes == 0)
            return FsStatus.Invalid;
        if (offset > Limits.MaxFileSizeBytes || lengthBytes > Limits.MaxFileSizeBytes - offset)
            return FsStatus.TooLarge;

        InodeState state = _inodes.Pin(inode);
        try
        {
            FsStatus status = LoadFile(state);
            if (status == FsStatus.Ok && !caller.Trusted)
                status = RequireData(caller, inode, VfsAccess.Write);
            if (status == FsStatus.Ok)
                status = KillPrivileges(inode, setIds: caller.Uid != 0);
            if (status != FsStatus.Ok)
                return status;

            ulong end = offset + lengthBytes;
            state.EnterExclusive();
            try
            {
                status = punch || zero ? PunchLocked(state, offset, lengthBytes) : RequireSpace(inode, offset, lengthBytes);
                if (status == FsStatus.Ok && !keep && end > state.SizeBytes)
                {
                    AttributeChange grow = new() { Mask = AttributeMask.Size, SizeBytes = end };
                    status = ResizeLocked(caller.AsTrusted(), state, grow, out _);
                }
            }
            finally
            {
                state.ExitExclusive();
            }

            if (status == FsStatus.Ok)
                _observers.DataChanged(inode, (long)offset, (long)lengthBytes, caller.Origin);
            return status;
        }
        finally
        {
            _inodes.Unpin(state);
        }
    }

    public FsStatus Seek(InodeId inode, ulong offset, bool wantHole, out ulong position)
    {
        position = 0;
        InodeState state = _inodes.Pin(inode);
        try
        {
            FsStatus status = LoadFile(state);
            if (status != FsStatus.Ok)
                return status;
            state.EnterShared();
            try
            {
                if (offset >= state.SizeBytes)
                    return FsStatus.NoSuchAddress;
                status = _data.Seek(inode, offset, wantHole, out bool found, out position);
                if (status != FsStatus.Ok)
                    return status;
                if (wantHole)
                {
                    position = found ? Math.Min(position, state.SizeBytes) : state.SizeBytes;
                    return FsStatus.Ok;
                }

                return found && position < state.SizeBytes ? FsStatus.Ok : FsStatus.NoSuchAddress;
            }
            finally
            {
                state.ExitShared();
            }
        }
        finally
        {
            _inodes.Unpin(state);
        }
    }

    public FsStatus CopyRange(
        in Caller caller, InodeId source, ulong sourceOffset, InodeId target, ulong targetOffset, ulong lengthBytes, out ulong copiedBytes)
    {
        copiedBytes = 0;
        if (source == target && sourceOffset < targetOffset + lengthBytes && targetOffset < sourceOffset + lengthBytes)
            return FsStatus.Invalid;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(CopyBufferBytes);
        try
        {
            while (copiedBytes < lengthBytes)
            {
                int want = (int)Math.Min(CopyBufferBytes, lengthBytes - copiedBytes);
                FsStatus status = Read(caller, source, sourceOffset + copiedBytes, buffer.AsSpan(0, want), out int read);
                int written = 0;
                if (status == FsStatus.Ok && read > 0)
                    status = Write(caller, target, targetOffset + copiedBytes, buffer.AsSpan(0, read), VfsWriteFlags.None, out written);
                copiedBytes += (ulong)written;

                // A part that was copied is success; the rest will fail again when it is asked for.
                if (status != FsStatus.Ok)
                    return copiedBytes > 0 ? FsStatus.Ok : status;
                if (read < want)
                    break;
            }

            return FsStatus.Ok;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public FsStatus GetLock(InodeId inode, VfsLockSpace space, in VfsLock wanted, out VfsLock conflict)
    {
        if (!_locks.FindConflict(inode, space, wanted, out conflict))
            conflict = wanted with { Kind = VfsLockKind.Unlock };
        return FsStatus.Ok;
    }

    public FsStatus SetLock(InodeId inode, VfsLockSpace space, in VfsLock wanted, IVfsLockWaiter? waiter, out bool pending, bool isReclaim = false) =>
        _locks.Set(inode, space, wanted, waiter, out pending, isReclaim);

    public void BeginLockGrace() => _locks.BeginGrace();

    public void EndLockGrace() => _locks.EndGrace();

    public bool CancelLock(InodeId inode, VfsLockSpace space, IVfsLockWaiter waiter) => _locks.Cancel(inode, space, waiter);

    public void ReleaseSession(int session) => _locks.ReleaseSession(session);

    private static void CountOpen(InodeState state, VfsOpenFlags flags)
    {
        state.Opens++;
        if ((flags & VfsOpenFlags.Write) != 0)
            state.WriteOpens++;
    }

    private FsStatus OpenNew(in InodeRecord record, VfsOpenFlags flags)
    {
        InodeState state = _inodes.Pin(record.Inode);
        try
        {
            lock (state)
            {
                if (state.Reaping)
                    return FsStatus.Stale;
                if (!state.Loaded)
                    state.Load(record);
                CountOpen(state, flags);
                return FsStatus.Ok;
            }
        }
        finally
        {
            _inodes.Unpin(state);
        }
    }

    private FsStatus CheckOpen(in Caller caller, in InodeRecord record, VfsOpenFlags flags)
    {
        bool write = (flags & (VfsOpenFlags.Write | VfsOpenFlags.Truncate)) != 0;
        if (write && record.IsDirectory)
            return FsStatus.IsDirectory;
        if (write && (record.Flags & InodeFlags.Immutable) != 0)
            return FsStatus.NotPermitted;
        if ((flags & VfsOpenFlags.Truncate) != 0 && (record.Flags & InodeFlags.AppendOnly) != 0)
            return FsStatus.NotPermitted;
        if (caller.Trusted)
            return FsStatus.Ok;
        VfsAccess wanted = (flags & VfsOpenFlags.Read) != 0 ? VfsAccess.Read : VfsAccess.None;
        if (write)
            wanted |= VfsAccess.Write;
        if ((flags & VfsOpenFlags.Execute) != 0)
            wanted |= VfsAccess.Execute;
        return Require(caller, record.Inode, wanted);
    }
}
