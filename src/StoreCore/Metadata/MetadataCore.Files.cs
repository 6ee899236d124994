using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What data writes and the end of files leave behind; asked by the Vfs itself, never by a client.</summary>
internal sealed partial class MetadataCore
{
    private readonly HashSet<InodeId> _seen = [];

    public FsStatus BeginExtending(InodeId inode)
    {
        _kind = OpKind.BeginExtending;
        FsStatus status = Load(inode, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;
        if (record.Kind != InodeKind.File)
            return FsStatus.Invalid;
        if ((record.Flags & InodeFlags.SizeUnrecorded) != 0)
            return FsStatus.Ok;

        record.Flags |= InodeFlags.SizeUnrecorded;
        _record.PutInode(record);
        _record.PutPending(PendingKind.SizeUnrecorded, inode);
        return FsStatus.Ok;
    }

    public FsStatus RecordSizes(ReadOnlySpan<SizeUpdate> updates)
    {
        _kind = OpKind.RecordSizes;
        _seen.Clear();
        for (int i = updates.Length - 1; i >= 0; i--)
        {
            // Of several updates of one inode the last one counts; those of inodes that are gone do not.
            ref readonly SizeUpdate update = ref updates[i];
            if (!_seen.Add(update.Inode) || !_view.TryGetInode(update.Inode, out InodeRecord record))
                continue;

            if (record.Kind != InodeKind.File)
                continue;

            record.SizeBytes = update.SizeBytes;
            record.AllocatedBytes = update.AllocatedBytes;
            record.Accessed = update.Accessed;
            record.Modified = update.Modified;
            if (record.Changed.CompareTo(update.Changed) < 0)
                record.Changed = update.Changed;
            if (update.Final && (record.Flags & InodeFlags.SizeUnrecorded) != 0)
            {
                record.Flags &= ~InodeFlags.SizeUnrecorded;
                _record.DeletePending(PendingKind.SizeUnrecorded, update.Inode);
            }

            _record.PutInode(record);
        }

        return FsStatus.Ok;
    }

    public FsStatus Reap(ReadOnlySpan<InodeId> inodes)
    {
        _kind = OpKind.Reap;
        _seen.Clear();
        foreach (InodeId inode in inodes)
        {
            // One that got a name again meanwhile stays.
            if (!_seen.Add(inode) || !_view.TryGetInode(inode, out InodeRecord record) || record.Links != 0)
                continue;

            _record.DeleteInode(inode);
            _state.Inodes--;
            DeleteAllXattrs(record);
            _record.DeletePending(PendingKind.Unlinked, inode);
            if ((record.Flags & InodeFlags.SizeUnrecorded) != 0)
                _record.DeletePending(PendingKind.SizeUnrecorded, inode);
            if ((record.Flags & InodeFlags.Truncating) != 0)
                _record.DeletePending(PendingKind.Truncating, inode);
            const InodeFlags mayHaveBlocks = InodeFlags.SizeUnrecorded | InodeFlags.Truncating;
            if (record.Kind == InodeKind.File && (record.SizeBytes != 0 || record.AllocatedBytes != 0 || (record.Flags & mayHaveBlocks) != 0))
                _record.PutPending(PendingKind.Purging, inode);
        }

        return FsStatus.Ok;
    }

    public FsStatus PurgeDone(ReadOnlySpan<InodeId> inodes)
    {
        _kind = OpKind.PurgeDone;
        foreach (InodeId inode in inodes)
            _record.DeletePending(PendingKind.Purging, inode);
        return FsStatus.Ok;
    }

    private void DeleteAllXattrs(in InodeRecord record)
    {
        if (record.Kind == InodeKind.Symlink)
            _record.DeleteXattr(record.Inode, default);
        if ((record.Flags & InodeFlags.HasXattrs) == 0)
            return;

        ReadOnlySpan<byte> names = _names.AsSpan(0, _view.ListXattrs(record.Inode, _names));
        while (!names.IsEmpty)
        {
            ReadOnlySpan<byte> name = names.Slice(1, names[0]);
            names = names[(1 + name.Length)..];
            if (!name.IsEmpty)
                _record.DeleteXattr(record.Inode, name);
        }
    }
}
