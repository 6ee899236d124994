using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>rename(2) with its flags.</summary>
internal sealed partial class MetadataCore
{
    public FsStatus Rename(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, InodeId newParent, ReadOnlySpan<byte> newName, RenameFlags flags,
        out InodeRecord moved, out InodeRecord displaced)
    {
        _kind = OpKind.Rename;
        bool isExchange = (flags & RenameFlags.Exchange) != 0;
        FsStatus status = LoadRename(
            caller, parent, name, newParent, newName, flags, out InodeRecord from, out InodeRecord to, out NameRow source, out NameRow target,
            out moved, out displaced);
        if (status != FsStatus.Ok)
            return status;
        if (moved.Inode == displaced.Inode)
        {
            // Two names of one inode: rename(2) leaves both.
            displaced = default;
            return FsStatus.Ok;
        }

        status = CheckRename(caller, from, to, moved, displaced, isExchange);
        if (status != FsStatus.Ok)
            return status;

        ref InodeRecord into = ref from;
        if (parent != newParent)
            into = ref to;
        if (isExchange)
        {
            _record.PutEntry(parent, source.Cookie, displaced.Inode, displaced.Kind, name);
            _record.PutEntry(newParent, target.Cookie, moved.Inode, moved.Kind, newName);
            if (moved.IsDirectory)
                MoveDirectory(ref moved, ref from, ref into);
            if (displaced.IsDirectory)
                MoveDirectory(ref displaced, ref into, ref from);
            Touch(ref from);
            displaced.Changed = _now;
            _record.PutInode(displaced);
        }
        else
        {
            RemoveEntry(ref from, source, name);
            if (displaced.Inode == InodeId.None)
            {
                AddEntry(ref into, moved, newName);
            }
            else
            {
                // The name stays, so its cookie stays: a listing under way sees it once.
                _record.PutEntry(newParent, target.Cookie, moved.Inode, moved.Kind, newName);
                if (moved.IsDirectory && !displaced.IsDirectory)
                    into.Links++;
                DropLink(ref displaced);
            }

            if (moved.IsDirectory)
                moved.Parent = newParent;
        }

        Touch(ref into);
        _record.PutInode(from);
        if (parent != newParent)
            _record.PutInode(to);
        moved.Changed = _now;
        _record.PutInode(moved);
        _record.Answer(moved.Inode);
        caller.Request?.Directory.Became(from);
        caller.Request?.NewDirectory.Became(into);
        return FsStatus.Ok;
    }

    private FsStatus LoadRename(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, InodeId newParent, ReadOnlySpan<byte> newName, RenameFlags flags,
        out InodeRecord from, out InodeRecord to, out NameRow source, out NameRow target, out InodeRecord moved, out InodeRecord displaced)
    {
        from = to = moved = displaced = default;
        source = target = default;
        bool isExchange = (flags & RenameFlags.Exchange) != 0;
        if ((flags & ~(RenameFlags.NoReplace | RenameFlags.Exchange)) != 0 || flags == (RenameFlags.NoReplace | RenameFlags.Exchange))
            return FsStatus.Invalid;

        FsStatus status = CheckName(name);
        if (status != FsStatus.Ok)
            return status;
        status = CheckName(newName);
        if (status != FsStatus.Ok)
            return status;
        status = LoadDirectory(caller, parent, out from);
        caller.Request?.Directory.Saw(from);
        if (status != FsStatus.Ok)
            return status;
        status = LoadDirectory(caller, newParent, out to);
        caller.Request?.NewDirectory.Saw(to);
        if (status != FsStatus.Ok)
            return status;
        if (!_view.TryGetName(parent, name, out source))
            return FsStatus.NotFound;
        bool isReplacing = _view.TryGetName(newParent, newName, out target);
        if (isReplacing && (flags & RenameFlags.NoReplace) != 0)
            return FsStatus.Exists;
        if (!isReplacing && isExchange)
            return FsStatus.NotFound;
        if (!_view.TryGetInode(source.Child, out moved) || (isReplacing && !_view.TryGetInode(target.Child, out displaced)))
            return FsStatus.IoError;
        if (parent == newParent)
            return FsStatus.Ok;
        if (moved.IsDirectory && IsWithin(newParent, moved.Inode))
            return FsStatus.Invalid;
        return isExchange && displaced.IsDirectory && IsWithin(parent, displaced.Inode) ? FsStatus.Invalid : FsStatus.Ok;
    }

    private FsStatus CheckRename(
        in Caller caller, in InodeRecord from, in InodeRecord to, in InodeRecord moved, in InodeRecord displaced, bool isExchange)
    {
        FsStatus status = CheckRemoval(from, moved, caller);
        if (status != FsStatus.Ok)
            return status;
        bool isReplacing = displaced.Inode != InodeId.None;
        status = isReplacing ? CheckRemoval(to, displaced, caller) : CheckAddition(to, caller);
        if (status != FsStatus.Ok)
            return status;
        if (isReplacing && !isExchange)
        {
            if (moved.IsDirectory && !displaced.IsDirectory)
                return FsStatus.NotDirectory;
            if (!moved.IsDirectory && displaced.IsDirectory)
                return FsStatus.IsDirectory;
            if (displaced.IsDirectory && displaced.SizeBytes != 0)
                return FsStatus.NotEmpty;
        }

        if (from.Inode == to.Inode)
            return FsStatus.Ok;
        // A directory that changes its parent is itself written: its ".." is.
        bool mayMove = (!moved.IsDirectory || Allows(moved, caller, AccessKinds.Write))
            && (!isExchange || !displaced.IsDirectory || Allows(displaced, caller, AccessKinds.Write));
        return mayMove ? FsStatus.Ok : FsStatus.AccessDenied;
    }

    private static void MoveDirectory(ref InodeRecord directory, ref InodeRecord from, ref InodeRecord to)
    {
        directory.Parent = to.Inode;
        from.Links--;
        to.Links++;
    }

    /// <summary>Whether a directory is, or lies below, another one.</summary>
    private bool IsWithin(InodeId directory, InodeId ancestor)
    {
        while (directory != ancestor)
        {
            if (directory == InodeId.Root || !_view.TryGetInode(directory, out InodeRecord record))
                return false;
            directory = record.Parent;
        }

        return true;
    }
}
