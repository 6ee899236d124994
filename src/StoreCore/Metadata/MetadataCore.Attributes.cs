using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Operations on the attributes of one inode.</summary>
internal sealed partial class MetadataCore
{
    private const AttributeMask Times = AttributeMask.Accessed | AttributeMask.Modified;
    private const AttributeMask TimesNow = AttributeMask.AccessedNow | AttributeMask.ModifiedNow;
    private const AttributeMask Owners = AttributeMask.Uid | AttributeMask.Gid;
    private const AttributeMask Kills = AttributeMask.KillPrivileges | AttributeMask.KillCapability;
    private const InodeFlags Settable = InodeFlags.Immutable | InodeFlags.AppendOnly | InodeFlags.NoDump | InodeFlags.NoAccessTime;

    public FsStatus SetAttributes(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord record)
    {
        _kind = OpKind.SetAttributes;
        FsStatus status = Load(inode, out record);
        caller.Request?.Object.Saw(record);
        if (status != FsStatus.Ok || change.Mask == AttributeMask.None)
            return status;
        if ((change.Mask & AttributeMask.Guard) != 0 && change.Guard != record.Changed)
            return FsStatus.OutOfSync;
        if (change.Mask == AttributeMask.Guard)
            return FsStatus.Ok;
        if (change.Mask == AttributeMask.AccessedByRead)
        {
            record.Accessed = _now;
            _record.PutInode(record);
            return FsStatus.Ok;
        }

        status = CheckValues(record, change);
        if (status != FsStatus.Ok)
            return status;
        status = CheckFlags(record, change.Mask);
        if (status != FsStatus.Ok)
            return status;
        status = CheckPermissions(caller, record, change);
        if (status != FsStatus.Ok)
            return status;

        AttributeMask mask = change.Mask;
        if ((mask & AttributeMask.Uid) != 0)
            record.Uid = change.Uid;
        if ((mask & AttributeMask.Gid) != 0)
            record.Gid = change.Gid;
        if ((mask & AttributeMask.Mode) != 0)
            SetMode(caller, ref record, change.Mode);
        bool isKilled = !record.IsDirectory && KillPrivileges(caller, ref record, mask);
        if ((mask & ~(AttributeMask.Guard | Kills)) == AttributeMask.None && !isKilled)
            return FsStatus.Ok;
        if ((mask & AttributeMask.Size) != 0)
            Resize(ref record, change.SizeBytes);
        if ((mask & AttributeMask.Flags) != 0)
            record.Flags = (record.Flags & ~Settable) | change.Flags;

        if ((mask & AttributeMask.Accessed) != 0)
            record.Accessed = change.Accessed;
        if ((mask & AttributeMask.AccessedNow) != 0)
            record.Accessed = _now;
        if ((mask & (AttributeMask.ModifiedNow | AttributeMask.Size)) != 0)
            record.Modified = _now;
        if ((mask & AttributeMask.Modified) != 0)
            record.Modified = change.Modified;
        record.Changed = (mask & AttributeMask.Changed) != 0 ? change.Changed : _now;
        _record.PutInode(record);
        _record.Answer(inode);
        caller.Request?.Object.Became(record);
        return FsStatus.Ok;
    }

    public FsStatus TruncateDone(InodeId inode, long allocatedBytes)
    {
        _kind = OpKind.TruncateDone;
        FsStatus status = Load(inode, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;
        if ((record.Flags & InodeFlags.Truncating) == 0 && record.AllocatedBytes == allocatedBytes)
            return FsStatus.Ok;

        if ((record.Flags & InodeFlags.Truncating) != 0)
            _record.DeletePending(PendingKind.Truncating, inode);
        record.Flags &= ~InodeFlags.Truncating;
        record.AllocatedBytes = allocatedBytes;
        _record.PutInode(record);
        return FsStatus.Ok;
    }

    private static FsStatus CheckValues(in InodeRecord record, in AttributeChange change)
    {
        const uint nanosecondsPerSecond = 1_000_000_000;
        AttributeMask mask = change.Mask;
        if ((mask & AttributeMask.Size) != 0 && record.Kind != InodeKind.File)
            return record.IsDirectory ? FsStatus.IsDirectory : FsStatus.Invalid;
        if ((mask & AttributeMask.Size) != 0 && change.SizeBytes > Limits.MaxFileSizeBytes)
            return FsStatus.TooLarge;
        if ((mask & AttributeMask.Mode) != 0 && record.Kind == InodeKind.Symlink)
            return FsStatus.NotSupported;
        if ((mask & AttributeMask.Flags) != 0 && (change.Flags & ~Settable) != 0)
            return FsStatus.NotSupported;
        bool isInvalid = ((mask & AttributeMask.Accessed) != 0 && change.Accessed.Nanoseconds >= nanosecondsPerSecond)
            || ((mask & AttributeMask.Modified) != 0 && change.Modified.Nanoseconds >= nanosecondsPerSecond)
            || ((mask & AttributeMask.Changed) != 0 && change.Changed.Nanoseconds >= nanosecondsPerSecond);
        return isInvalid ? FsStatus.Invalid : FsStatus.Ok;
    }

    /// <summary>What immutable and append-only inodes allow (fs/attr.c, may_setattr).</summary>
    private static FsStatus CheckFlags(in InodeRecord record, AttributeMask mask)
    {
        const AttributeMask barred = AttributeMask.Mode | AttributeMask.Uid | AttributeMask.Gid | AttributeMask.Size | Times;
        bool isBarred = (record.Flags & InodeFlags.Immutable) != 0 ? (mask & (barred | TimesNow)) != 0
            : (record.Flags & InodeFlags.AppendOnly) != 0 && (mask & barred) != 0;
        return isBarred ? FsStatus.NotPermitted : FsStatus.Ok;
    }

    private FsStatus CheckPermissions(in Caller caller, in InodeRecord record, in AttributeChange change)
    {
        if (Permissions.IsPrivileged(caller))
            return FsStatus.Ok;

        AttributeMask mask = change.Mask;
        bool isOwner = Permissions.IsOwner(record, caller);
        bool needsOwner = (mask & (AttributeMask.Mode | AttributeMask.Flags | AttributeMask.Changed | Times)) != 0;
        bool changesOwner = (mask & AttributeMask.Uid) != 0 && (!isOwner || change.Uid != record.Uid);
        bool changesGroup = (mask & AttributeMask.Gid) != 0 && (!isOwner || (change.Gid != record.Gid && !caller.InGroup(change.Gid)));
        const InodeFlags guarded = InodeFlags.Immutable | InodeFlags.AppendOnly;
        bool changesGuard = (mask & AttributeMask.Flags) != 0 && ((change.Flags ^ record.Flags) & guarded) != 0;
        if ((needsOwner && !isOwner) || changesOwner || changesGroup || changesGuard)
            return FsStatus.NotPermitted;

        // The owner of a file may cut it and touch it though its mode forbids writing: a remote client that holds it open depends on that.
        bool needsWrite = (mask & (TimesNow | AttributeMask.Size)) != 0 && !isOwner;
        return needsWrite && !Allows(record, caller, AccessKinds.Write) ? FsStatus.AccessDenied : FsStatus.Ok;
    }

    private void SetMode(in Caller caller, ref InodeRecord record, uint mode)
    {
        mode &= Permissions.ModeBits;
        if (!Permissions.MayKeepSetGid(record.Gid, caller))
            mode &= ~Permissions.SetGid;
        record.Mode = (record.Mode & ~Permissions.ModeBits) | mode;
        if ((record.Flags & InodeFlags.HasAccessAcl) == 0)
            return;

        Span<byte> acl = LoadAcl(record.Inode, PosixAcl.AccessName);
        PosixAcl.SetMode(acl, mode);
        _record.PutXattr(record.Inode, PosixAcl.AccessName, acl);
    }

    /// <summary>
    /// What goes with a change, as Linux has it (file_remove_privs, chown_common): capabilities with every new size or owner, set-id bits with a new owner and where the
    /// caller asks for it, since who is privileged keeps them. Returns whether there was anything to take away.
    /// </summary>
    private bool KillPrivileges(in Caller caller, ref InodeRecord record, AttributeMask mask)
    {
        if ((mask & (Kills | Owners | AttributeMask.Size)) == 0)
            return false;
        uint before = record.Mode;
        if ((mask & (Owners | AttributeMask.KillPrivileges)) != 0)
            record.Mode = Permissions.WithoutPrivileges(record.Mode);
        if ((mask & Owners) != 0 && !Permissions.MayKeepSetGid(record.Gid, caller))
            record.Mode &= ~Permissions.SetGid;
        if ((record.Flags & InodeFlags.HasXattrs) == 0 || _view.GetXattr(record.Inode, XattrNames.Capability, default) < 0)
            return record.Mode != before;

        DeleteXattr(ref record, XattrNames.Capability);
        return true;
    }

    private void Resize(ref InodeRecord record, ulong sizeBytes)
    {
        // A file whose writer may be ahead of the recorded size can have blocks behind any size.
        if (sizeBytes < record.SizeBytes || (record.Flags & InodeFlags.SizeUnrecorded) != 0)
        {
            // Of two cuts that were not done yet the deeper one counts.
            ulong cut = (record.Flags & InodeFlags.Truncating) != 0 && _view.TryGetPending(PendingKind.Truncating, record.Inode, out ulong earlier)
                ? Math.Min(sizeBytes, earlier)
                : sizeBytes;
            _record.PutPending(PendingKind.Truncating, record.Inode, cut);
            record.Flags |= InodeFlags.Truncating;
        }

        record.SizeBytes = sizeBytes;
    }
}
