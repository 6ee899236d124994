using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Operations that make and remove names.</summary>
internal sealed partial class MetadataCore
{
    public FsStatus Create(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, out InodeRecord created)
    {
        created = default;
        _kind = OpKind.Create;
        FsStatus status = CheckName(name);
        if (status != FsStatus.Ok)
            return status;
        status = LoadDirectory(caller, parent, out InodeRecord directory);
        caller.Request?.Directory.Saw(directory);
        if (status != FsStatus.Ok)
            return status;
        if (_view.TryGetName(parent, name, out NameRow there))
            return IsRepeated(there, spec, out created) ? FsStatus.Ok : FsStatus.Exists;
        status = CheckAddition(directory, caller);
        if (status != FsStatus.Ok)
            return status;
        status = NewRecord(caller, directory, spec, out created);
        if (status != FsStatus.Ok)
            return status;

        created.Links = created.IsDirectory ? 2u : 1u;
        _record.PutInode(created);
        AddEntry(ref directory, created, name);
        _record.PutInode(directory);
        _record.Answer(created.Inode);
        caller.Request?.Directory.Became(directory);
        return FsStatus.Ok;
    }

    public FsStatus CreateUnlinked(in Caller caller, InodeId parent, in NewInode spec, out InodeRecord created)
    {
        created = default;
        _kind = OpKind.CreateUnlinked;
        FsStatus status = LoadDirectory(caller, parent, out InodeRecord directory);
        if (status != FsStatus.Ok)
            return status;
        if (spec.Mode >> 12 != (uint)InodeKind.File)
            return FsStatus.Invalid;
        status = CheckAddition(directory, caller);
        if (status != FsStatus.Ok)
            return status;
        status = NewRecord(caller, directory, spec, out created);
        if (status != FsStatus.Ok)
            return status;

        _record.PutInode(created);
        _record.PutPending(PendingKind.Unlinked, created.Inode);
        _record.Answer(created.Inode);
        return FsStatus.Ok;
    }

    public FsStatus Link(in Caller caller, InodeId inode, InodeId newParent, ReadOnlySpan<byte> newName, out InodeRecord record)
    {
        record = default;
        _kind = OpKind.Link;
        FsStatus status = CheckName(newName);
        if (status != FsStatus.Ok)
            return status;
        status = LoadDirectory(caller, newParent, out InodeRecord directory);
        caller.Request?.Directory.Saw(directory);
        if (status != FsStatus.Ok)
            return status;
        status = Load(inode, out record);
        if (status != FsStatus.Ok)
            return status;
        if (_view.TryGetName(newParent, newName, out _))
            return FsStatus.Exists;
        status = CheckAddition(directory, caller);
        if (status != FsStatus.Ok)
            return status;
        if (record.IsDirectory || (record.Flags & (InodeFlags.Immutable | InodeFlags.AppendOnly)) != 0)
            return FsStatus.NotPermitted;
        if (record.Links >= Limits.MaxLinks)
            return FsStatus.TooManyLinks;

        if (record.Links == 0)
            _record.DeletePending(PendingKind.Unlinked, inode);
        record.Links++;
        record.Changed = _now;
        _record.PutInode(record);
        AddEntry(ref directory, record, newName);
        _record.PutInode(directory);
        _record.Answer(inode);
        caller.Request?.Directory.Became(directory);
        return FsStatus.Ok;
    }

    public FsStatus Unlink(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord removed)
    {
        _kind = OpKind.Unlink;
        FsStatus status = LoadRemoval(caller, parent, name, out InodeRecord directory, out NameRow row, out removed);
        if (status != FsStatus.Ok)
            return status;
        if (removed.IsDirectory)
            return FsStatus.IsDirectory;

        RemoveEntry(ref directory, row, name);
        _record.PutInode(directory);
        caller.Request?.Directory.Became(directory);
        DropLink(ref removed);
        _record.Answer(removed.Inode);
        return FsStatus.Ok;
    }

    public FsStatus RemoveDirectory(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord removed)
    {
        _kind = OpKind.RemoveDirectory;
        FsStatus status = LoadRemoval(caller, parent, name, out InodeRecord directory, out NameRow row, out removed);
        if (status != FsStatus.Ok)
            return status;
        if (!removed.IsDirectory)
            return FsStatus.NotDirectory;
        if (removed.SizeBytes != 0)
            return FsStatus.NotEmpty;

        RemoveEntry(ref directory, row, name);
        _record.PutInode(directory);
        caller.Request?.Directory.Became(directory);
        DropLink(ref removed);
        _record.Answer(removed.Inode);
        return FsStatus.Ok;
    }

    private FsStatus LoadRemoval(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord directory, out NameRow row, out InodeRecord child)
    {
        row = default;
        child = default;
        directory = default;
        FsStatus status = CheckName(name);
        if (status != FsStatus.Ok)
            return status;
        status = LoadDirectory(caller, parent, out directory);
        caller.Request?.Directory.Saw(directory);
        if (status != FsStatus.Ok)
            return status;
        if (!_view.TryGetName(parent, name, out row))
            return FsStatus.NotFound;
        // A name without an inode is damage that fsck mends; it concerns this name alone.
        return _view.TryGetInode(row.Child, out child) ? CheckRemoval(directory, child, caller) : FsStatus.IoError;
    }

    /// <summary>What may_create of Linux asks of the directory.</summary>
    private FsStatus CheckAddition(in InodeRecord directory, in Caller caller)
    {
        if (directory.Links == 0)
            return FsStatus.NotFound;
        if ((directory.Flags & InodeFlags.Immutable) != 0)
            return FsStatus.NotPermitted;
        return Allows(directory, caller, AccessKinds.Write) ? FsStatus.Ok : FsStatus.AccessDenied;
    }

    /// <summary>What may_delete of Linux asks of the directory and the inode whose name is taken away.</summary>
    private FsStatus CheckRemoval(in InodeRecord directory, in InodeRecord child, in Caller caller)
    {
        FsStatus status = CheckAddition(directory, caller);
        if (status != FsStatus.Ok)
            return status;
        bool isBarred = (directory.Flags & InodeFlags.AppendOnly) != 0
            || (child.Flags & (InodeFlags.Immutable | InodeFlags.AppendOnly)) != 0
            || Permissions.IsStickyBarred(directory, child, caller);
        return isBarred ? FsStatus.NotPermitted : FsStatus.Ok;
    }

    /// <summary>Fills everything but the link count, and writes the attributes that come with it (symlink target, inherited ACLs).</summary>
    private FsStatus NewRecord(in Caller caller, in InodeRecord directory, in NewInode spec, out InodeRecord created)
    {
        created = default;
        var kind = (InodeKind)(spec.Mode >> 12);
        switch (kind)
        {
            case InodeKind.Fifo or InodeKind.CharacterDevice or InodeKind.Directory or InodeKind.BlockDevice or InodeKind.File or InodeKind.Socket:
                break;
            case InodeKind.Symlink when spec.Target.Length > Limits.MaxSymlinkBytes:
                return FsStatus.NameTooLong;
            case InodeKind.Symlink when !spec.Target.IsEmpty && !spec.Target.Contains((byte)0):
                break;
            default:
                return FsStatus.Invalid;
        }

        if (_state.Inodes >= Limits.MaxInodes)
            return FsStatus.NoSpace;

        var inode = new InodeId(_state.NextInode++);
        _state.Inodes++;
        bool inheritsGroup = (directory.Mode & Permissions.SetGid) != 0;
        created = new InodeRecord
        {
            Inode = inode,
            Generation = NewGeneration(),
            Uid = caller.Uid,
            Gid = inheritsGroup ? directory.Gid : caller.Gid,
            Accessed = _now,
            Modified = _now,
            Changed = _now,
            Born = _now,
        };
        uint mode = spec.Mode & Permissions.ModeBits;
        switch (kind)
        {
            case InodeKind.Symlink:
                mode = 0x1FF;
                created.SizeBytes = (ulong)spec.Target.Length;
                _record.PutXattr(inode, default, spec.Target);
                break;
            case InodeKind.Directory:
                created.Parent = directory.Inode;
                created.NextCookie = Limits.FirstEntryCookie;
                break;
            case InodeKind.CharacterDevice or InodeKind.BlockDevice:
                created.Device = spec.Device;
                break;
            case InodeKind.File when spec.ForWriting:
                created.Flags |= InodeFlags.SizeUnrecorded;
                _record.PutPending(PendingKind.SizeUnrecorded, inode);
                break;
        }

        if (kind == InodeKind.Directory)
            mode |= inheritsGroup ? Permissions.SetGid : 0;
        else if ((mode & (Permissions.SetGid | Permissions.GroupExecute)) == (Permissions.SetGid | Permissions.GroupExecute)
            && !Permissions.MayKeepSetGid(created.Gid, caller))
            mode &= ~Permissions.SetGid;

        if (kind != InodeKind.Symlink)
        {
            if ((directory.Flags & InodeFlags.HasDefaultAcl) != 0)
                InheritAcl(directory.Inode, kind, ref created, ref mode);
            else
                mode &= ~(spec.Umask & 0x1FF);
        }

        created.Mode = ((uint)kind << 12) | mode;
        return spec.Attributes.Mask == AttributeMask.None && spec.Verifier is null ? FsStatus.Ok : SetFirst(caller, spec, ref created);
    }

    /// <summary>What the creator wants the attributes to be from the first moment on.</summary>
    private FsStatus SetFirst(in Caller caller, in NewInode spec, ref InodeRecord created)
    {
        AttributeChange first = spec.Attributes;
        first.Mask &= AttributeMask.Uid | AttributeMask.Gid | Times | (created.Kind == InodeKind.File ? AttributeMask.Size : AttributeMask.None);
        FsStatus status = CheckValues(created, first);
        if (status != FsStatus.Ok)
            return status;

        // The caller owns what it makes; it may have the owner it asks for, or else what comes of itself.
        bool isPrivileged = Permissions.IsPrivileged(caller);
        if ((first.Mask & AttributeMask.Uid) != 0 && isPrivileged)
            created.Uid = first.Uid;
        if ((first.Mask & AttributeMask.Gid) != 0 && (isPrivileged || caller.InGroup(first.Gid)))
            created.Gid = first.Gid;
        if ((first.Mask & AttributeMask.Size) != 0)
            created.SizeBytes = first.SizeBytes;
        if ((first.Mask & AttributeMask.Accessed) != 0)
            created.Accessed = first.Accessed;
        if ((first.Mask & AttributeMask.Modified) != 0)
            created.Modified = first.Modified;
        if (spec.Verifier is { } verifier)
            (created.Accessed, created.Modified) = TimesOf(verifier);
        return FsStatus.Ok;
    }

    /// <summary>A verifier as the two times that keep it: its halves as seconds. The creator sets the true times next.</summary>
    private static (Timestamp Accessed, Timestamp Modified) TimesOf(ulong verifier) => (new Timestamp((uint)(verifier >> 32), 0), new Timestamp((uint)verifier, 0));

    /// <summary>Whether what stands at the name was made by the very creation that comes again.</summary>
    private bool IsRepeated(NameRow there, in NewInode spec, out InodeRecord created)
    {
        created = default;
        return spec.Verifier is { } verifier && _view.TryGetInode(there.Child, out created) && created.Kind == InodeKind.File
            && TimesOf(verifier) == (created.Accessed, created.Modified);
    }

    private void InheritAcl(InodeId directory, InodeKind kind, ref InodeRecord created, ref uint mode)
    {
        Span<byte> acl = LoadAcl(directory, PosixAcl.DefaultName);
        if (PosixAcl.IsEmpty(acl))
            return;

        if (kind == InodeKind.Directory)
        {
            _record.PutXattr(created.Inode, PosixAcl.DefaultName, acl);
            created.Flags |= InodeFlags.HasDefaultAcl | InodeFlags.HasXattrs;
        }

        if (PosixAcl.Inherit(acl, ref mode))
        {
            _record.PutXattr(created.Inode, PosixAcl.AccessName, acl);
            created.Flags |= InodeFlags.HasAccessAcl | InodeFlags.HasXattrs;
        }
    }

    /// <summary>Adds the entry's rows and counts it; the caller writes the directory.</summary>
    private void AddEntry(ref InodeRecord directory, in InodeRecord child, ReadOnlySpan<byte> name)
    {
        _record.PutEntry(directory.Inode, directory.NextCookie++, child.Inode, child.Kind, name);
        directory.SizeBytes++;
        directory.Links += child.IsDirectory ? 1u : 0;
        Touch(ref directory);
    }

    /// <summary>Removes the entry's rows and counts it; the caller writes the directory.</summary>
    private void RemoveEntry(ref InodeRecord directory, NameRow row, ReadOnlySpan<byte> name)
    {
        _record.DeleteEntry(directory.Inode, row.Cookie, name);
        directory.SizeBytes--;
        directory.Links -= row.Kind == InodeKind.Directory ? 1u : 0;
        Touch(ref directory);
    }

    /// <summary>Writes the inode after one of its names was taken away.</summary>
    private void DropLink(ref InodeRecord inode)
    {
        inode.Links = inode.IsDirectory ? 0 : inode.Links - 1;
        inode.Changed = _now;
        _record.PutInode(inode);
        if (inode.Links == 0)
            _record.PutPending(PendingKind.Unlinked, inode.Inode);
    }

    private void Touch(ref InodeRecord inode)
    {
        inode.Modified = _now;
        inode.Changed = _now;
    }
}
