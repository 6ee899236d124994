using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Extended attributes and POSIX ACLs.</summary>
internal sealed partial class MetadataCore
{
    public FsStatus SetXattr(
        in Caller caller, InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, XattrSetFlags flags, out InodeRecord record)
    {
        _kind = OpKind.SetXattr;
        FsStatus status = LoadForXattr(caller, inode, name, out record);
        if (status != FsStatus.Ok)
            return status;
        const XattrSetFlags existence = XattrSetFlags.Create | XattrSetFlags.Replace;
        if ((flags & ~(existence | XattrSetFlags.KillSetGid)) != 0 || (flags & existence) == existence)
            return FsStatus.Invalid;
        if (value.Length > Limits.MaxXattrValueBytes)
            return FsStatus.ArgumentTooLong;

        bool exists = (record.Flags & InodeFlags.HasXattrs) != 0 && _view.GetXattr(inode, name, default) >= 0;
        if (exists && (flags & XattrSetFlags.Create) != 0)
            return FsStatus.Exists;
        if (!exists && (flags & XattrSetFlags.Replace) != 0)
            return FsStatus.NoData;
        if (!exists && (record.Flags & InodeFlags.HasXattrs) != 0 && ListBytes(inode, default) + name.Length + 1 > Limits.MaxXattrListBytes)
            return FsStatus.NoSpace;

        record.Changed = _now;
        if (XattrNames.IsAcl(name))
        {
            bool keepsSetGid = (flags & XattrSetFlags.KillSetGid) == 0 && Permissions.MayKeepSetGid(record.Gid, caller);
            status = SetAcl(ref record, name, value, exists, keepsSetGid);
            if (status != FsStatus.Ok)
                return status;
        }
        else
        {
            _record.PutXattr(inode, name, value);
            record.Flags |= InodeFlags.HasXattrs;
        }

        _record.PutInode(record);
        _record.Answer(inode);
        return FsStatus.Ok;
    }

    public FsStatus RemoveXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, out InodeRecord record)
    {
        _kind = OpKind.RemoveXattr;
        FsStatus status = LoadForXattr(caller, inode, name, out record);
        if (status != FsStatus.Ok)
            return status;
        if ((record.Flags & InodeFlags.HasXattrs) == 0 || _view.GetXattr(inode, name, default) < 0)
            return XattrNames.IsAcl(name) ? FsStatus.Ok : FsStatus.NoData; // an ACL that says no more than the mode is not stored

        DeleteXattr(ref record, name);
        record.Changed = _now;
        _record.PutInode(record);
        _record.Answer(inode);
        return FsStatus.Ok;
    }

    private FsStatus LoadForXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, out InodeRecord record)
    {
        FsStatus status = Load(inode, out record);
        if (status != FsStatus.Ok)
            return status;
        status = XattrNames.Check(name, record.Kind);
        if (status != FsStatus.Ok)
            return status;
        if ((record.Flags & (InodeFlags.Immutable | InodeFlags.AppendOnly)) != 0)
            return FsStatus.NotPermitted;
        return XattrNames.CheckChange(name, record, caller, Allows(record, caller, AccessKinds.Write));
    }

    private FsStatus SetAcl(ref InodeRecord record, ReadOnlySpan<byte> name, ReadOnlySpan<byte> acl, bool exists, bool keepsSetGid)
    {
        FsStatus status = PosixAcl.Validate(acl);
        if (status != FsStatus.Ok)
            return status;
        bool isAccess = name.SequenceEqual(PosixAcl.AccessName);
        if (!isAccess && !record.IsDirectory)
            return PosixAcl.IsEmpty(acl) ? FsStatus.Ok : FsStatus.AccessDenied;

        bool isStored = !PosixAcl.IsEmpty(acl);
        if (isAccess && isStored)
        {
            record.Mode = (record.Mode & ~0x1FFu) | PosixAcl.ToMode(acl, out bool isMinimal);
            isStored = !isMinimal;
            if (!keepsSetGid)
                record.Mode &= ~Permissions.SetGid;
        }

        if (isStored)
        {
            _record.PutXattr(record.Inode, name, acl);
            record.Flags |= InodeFlags.HasXattrs | (isAccess ? InodeFlags.HasAccessAcl : InodeFlags.HasDefaultAcl);
        }
        else if (exists)
        {
            DeleteXattr(ref record, name);
        }

        return FsStatus.Ok;
    }

    /// <summary>Deletes a row that is there and keeps the flags true.</summary>
    private void DeleteXattr(ref InodeRecord record, ReadOnlySpan<byte> name)
    {
        _record.DeleteXattr(record.Inode, name);
        if (name.SequenceEqual(PosixAcl.AccessName))
            record.Flags &= ~InodeFlags.HasAccessAcl;
        else if (name.SequenceEqual(PosixAcl.DefaultName))
            record.Flags &= ~InodeFlags.HasDefaultAcl;
        if (ListBytes(record.Inode, name) == 0)
            record.Flags &= ~InodeFlags.HasXattrs;
    }

    /// <summary>Length of the list of names as listxattr(2) gives it, without one of them.</summary>
    private int ListBytes(InodeId inode, ReadOnlySpan<byte> except)
    {
        int total = 0;
        ReadOnlySpan<byte> names = _names.AsSpan(0, _view.ListXattrs(inode, _names));
        while (!names.IsEmpty)
        {
            ReadOnlySpan<byte> name = names.Slice(1, names[0]);
            names = names[(1 + name.Length)..];
            if (!name.IsEmpty && !name.SequenceEqual(except))
                total += name.Length + 1;
        }

        return total;
    }
}
