using System.Runtime.CompilerServices;
using Gateway.Vfs;
using StoreCore;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Names looked up, attributes read and changed.</summary>
public sealed partial class FuseDispatcher
{
    private const uint StatXBasicAndBorn = 0xFFF; // STATX_BASIC_STATS | STATX_BTIME
    private const uint StatXFlags = 0x70; // STATX_ATTR_IMMUTABLE, _APPEND, _NODUMP: the bits of FS_IOC_GETFLAGS
    private const uint PermissionBits = 0xFFF;

    /// <summary>LOOKUP: a name. Answer: fuse_entry_out.</summary>
    internal FsStatus Lookup(ref FuseRequest request, ref FuseReply reply)
    {
        ReadOnlySpan<byte> name = request.Name();
        if (request.Malformed)
            return FsStatus.Invalid;

        // Above the root of the mount there is nothing for this mount, also where subdir= put that root deep into the tree.
        if (request.Header.Node == FuseProtocol.RootNode && name.SequenceEqual(".."u8))
            name = "."u8;

        FsStatus status = _vfs.Lookup(CallerOf(request), Inode(request), name, out InodeRecord record);
        if (status == FsStatus.Ok)
            return AddEntry(request, record, ref reply);

        if (status != FsStatus.NotFound || _options.NegativeTimeout == TimeSpan.Zero)
            return status;

        // A nodeid of 0 is ENOENT that the kernel may remember; whoever makes the name elsewhere has it notified.
        ref FuseEntryOut missing = ref reply.Next<FuseEntryOut>();
        (missing.EntryValid, missing.EntryValidNs) = _negativeValid;
        return FsStatus.Ok;
    }

    /// <summary>GETATTR: fuse_getattr_in. Answer: fuse_attr_out.</summary>
    internal FsStatus GetAttr(ref FuseRequest request, ref FuseReply reply)
    {
        FsStatus status = _vfs.GetAttributes(Inode(request), out InodeRecord record);
        if (status == FsStatus.Ok)
            AddAttributes(record, ref reply);
        return status;
    }

    /// <summary>STATX: fuse_statx_in. Answer: fuse_statx_out, all that we have whatever was asked for.</summary>
    internal FsStatus StatX(ref FuseRequest request, ref FuseReply reply)
    {
        FsStatus status = _vfs.GetAttributes(Inode(request), out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;

        ref FuseStatXOut stat = ref reply.Next<FuseStatXOut>();
        (stat.AttrValid, stat.AttrValidNs) = _attrValid;
        stat.Mask = StatXBasicAndBorn;
        stat.BlockSize = FuseProtocol.BlockBytes;
        stat.Attributes = ((uint)record.Flags >> 4) & StatXFlags;
        stat.AttributesMask = StatXFlags;
        stat.Links = record.Links;
        stat.Uid = record.Uid;
        stat.Gid = record.Gid;
        stat.Mode = (ushort)record.Mode;
        stat.Inode = record.Inode.Value;
        stat.Size = record.SizeBytes;
        stat.Blocks = Blocks(record);
        stat.Accessed = Time(record.Accessed);
        stat.Born = Time(record.Born);
        stat.Changed = Time(record.Changed);
        stat.Modified = Time(record.Modified);
        // The kernel's new encoding: 12 bits of major number between 8 low and 12 high bits of minor.
        stat.RdevMajor = (record.Device & 0xFFF00) >> 8;
        stat.RdevMinor = (record.Device & 0xFF) | ((record.Device >> 12) & 0xFFF00);
        return FsStatus.Ok;

        static FuseSxTime Time(Timestamp time) => new() { Seconds = time.Seconds, Nanoseconds = time.Nanoseconds };
    }

    /// <summary>SETATTR: fuse_setattr_in. Answer: fuse_attr_out.</summary>
    internal FsStatus SetAttr(ref FuseRequest request, ref FuseReply reply)
    {
        FuseSetAttrIn wanted = request.Read<FuseSetAttrIn>();
        FuseSetAttrValid valid = wanted.Valid;
        AttributeMask mask = AttributeMask.None;

        void Take(FuseSetAttrValid bit, AttributeMask attribute)
        {
            if ((valid & bit) != 0)
                mask |= attribute;
        }

        Take(FuseSetAttrValid.Mode, AttributeMask.Mode);
        Take(FuseSetAttrValid.Uid, AttributeMask.Uid);
        Take(FuseSetAttrValid.Gid, AttributeMask.Gid);
        Take(FuseSetAttrValid.Size, AttributeMask.Size);
        Take(FuseSetAttrValid.Changed, AttributeMask.Changed);
        Take(FuseSetAttrValid.KillSuidGid, AttributeMask.KillPrivileges);
        // The kernel sets both bits for "now" (utimensat's UTIME_NOW).
        if ((valid & FuseSetAttrValid.AccessedNow) != 0)
            mask |= AttributeMask.AccessedNow;
        else
            Take(FuseSetAttrValid.Accessed, AttributeMask.Accessed);
        if ((valid & FuseSetAttrValid.ModifiedNow) != 0)
            mask |= AttributeMask.ModifiedNow;
        else
            Take(FuseSetAttrValid.Modified, AttributeMask.Modified);

        if (wanted.AccessedNs >= 1_000_000_000 || wanted.ModifiedNs >= 1_000_000_000 || wanted.ChangedNs >= 1_000_000_000)
            return FsStatus.Invalid;

        var change = new AttributeChange
        {
            Mask = mask,
            Mode = wanted.Mode & PermissionBits,
            Uid = wanted.Uid,
            Gid = wanted.Gid,
            SizeBytes = wanted.Size,
            Accessed = new Timestamp(wanted.Accessed, wanted.AccessedNs),
            Modified = new Timestamp(wanted.Modified, wanted.ModifiedNs),
            Changed = new Timestamp(wanted.Changed, wanted.ChangedNs),
        };
        FsStatus status = _vfs.SetAttributes(CallerOf(request), Inode(request), change, out InodeRecord record);
        if (status == FsStatus.Ok)
            AddAttributes(record, ref reply);
        return status;
    }

    /// <summary>ACCESS: fuse_access_in. With default_permissions the kernel decides itself and does not ask.</summary>
    internal FsStatus Access(ref FuseRequest request)
    {
        var wanted = (VfsAccess)(request.Read<FuseWordIn>().Value & 7);
        var caller = new Caller(request.Header.Uid, request.Header.Gid, null, trusted: false, _options.Session);
        FsStatus status = _vfs.Access(caller, Inode(request), wanted, out VfsAccess granted);
        return status == FsStatus.Ok && (granted & wanted) != wanted ? FsStatus.AccessDenied : status;
    }

    /// <summary>READLINK. Answer: the target, not terminated.</summary>
    internal FsStatus ReadLink(ref FuseRequest request, ref FuseReply reply)
    {
        Span<byte> room = reply.Free;
        FsStatus status = _vfs.ReadLink(
            CallerOf(request), Inode(request), room[..Math.Min(room.Length, Limits.MaxSymlinkBytes)], out int length);
        if (status == FsStatus.Ok)
            reply.Advance(length);
        return status;
    }

    /// <summary>STATFS. Answer: fuse_kstatfs.</summary>
    internal FsStatus StatFs(ref FuseReply reply)
    {
        VfsSpace space = _vfs.StatFs();
        ref FuseStatFsOut answer = ref reply.Next<FuseStatFsOut>();
        answer.Blocks = space.TotalBytes / FuseProtocol.BlockBytes;
        answer.FreeBlocks = space.FreeBytes / FuseProtocol.BlockBytes;
        answer.AvailableBlocks = space.AvailableBytes / FuseProtocol.BlockBytes;
        answer.Inodes = space.Inodes;
        answer.FreeInodes = space.FreeInodes;
        answer.BlockSize = FuseProtocol.BlockBytes;
        answer.FragmentSize = FuseProtocol.BlockBytes;
        answer.NameLength = Limits.MaxNameBytes;
        return FsStatus.Ok;
    }

    /// <summary>Adds fuse_entry_out for an inode that a name leads to.</summary>
    private FsStatus AddEntry(in FuseRequest request, in InodeRecord record, ref FuseReply reply)
    {
        // The root of the whole tree is never below a subdirectory: nodeid 1 would mean something else there.
        if (record.Inode == InodeId.Root && _rootInode != InodeId.Root.Value)
            return FsStatus.Stale;

        FillEntry(record, request.PassedOver, ref reply.Next<FuseEntryOut>());
        return FsStatus.Ok;
    }

    /// <param name="passedOver"><see cref="FuseKnownNodes.PassedOver"/> before the record was read.</param>
    internal void FillEntry(InodeRecord record, long passedOver, ref FuseEntryOut entry)
    {
        // The kernel was not told of what was changed elsewhere since the record was read, for it did not hold the inode yet.
        Known.Add(record.Inode);
        if (Known.PassedOver != passedOver && _vfs.GetAttributes(record.Inode, out InodeRecord now) == FsStatus.Ok)
            record = now;
        entry.Node = record.Inode.Value == _rootInode ? FuseProtocol.RootNode : record.Inode.Value;
        entry.Generation = record.Generation;
        (entry.EntryValid, entry.EntryValidNs) = _entryValid;
        (entry.AttrValid, entry.AttrValidNs) = _attrValid;
        Fill(record, ref entry.Attributes);
    }

    private void AddAttributes(in InodeRecord record, ref FuseReply reply)
    {
        ref FuseAttrOut answer = ref reply.Next<FuseAttrOut>();
        (answer.AttrValid, answer.AttrValidNs) = _attrValid;
        Fill(record, ref answer.Attributes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fill(in InodeRecord record, ref FuseAttr attributes)
    {
        attributes.Inode = record.Inode.Value;
        attributes.Size = record.SizeBytes;
        attributes.Blocks = Blocks(record);
        attributes.Accessed = record.Accessed.Seconds;
        attributes.AccessedNs = record.Accessed.Nanoseconds;
        attributes.Modified = record.Modified.Seconds;
        attributes.ModifiedNs = record.Modified.Nanoseconds;
        attributes.Changed = record.Changed.Seconds;
        attributes.ChangedNs = record.Changed.Nanoseconds;
        attributes.Mode = record.Mode;
        attributes.Links = record.Links;
        attributes.Uid = record.Uid;
        attributes.Gid = record.Gid;
        attributes.Device = record.Device;
        attributes.BlockSize = FuseProtocol.BlockBytes;
    }

    private static ulong Blocks(in InodeRecord record) => ((ulong)Math.Max(record.AllocatedBytes, 0) + 511) / 512;
}
