using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Reads: any thread, without the writer.</summary>
public sealed partial class MetadataStore
{
    /// <summary>
    /// Entries after which a listing takes a fresh iterator: an iterator holds memory of its moment, and how long a sink takes is not ours to say.
    /// </summary>
    private const int EntriesPerIterator = 4096;

    public FsStatus GetInode(InodeId inode, out InodeRecord record)
    {
        record = default;
        if (Failure is not null)
            return FsStatus.Stopped;

        try
        {
            return _reader.TryGetInode(inode, out record) ? FsStatus.Ok : FsStatus.Stale;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    public FsStatus Lookup(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord child)
    {
        child = default;
        if (Failure is not null)
            return FsStatus.Stopped;
        FsStatus status = MetadataCore.CheckName(name);
        if (status != FsStatus.Ok)
            return status;

        try
        {
            if (!_reader.TryGetInode(parent, out InodeRecord directory))
                return FsStatus.Stale;
            if (!directory.IsDirectory)
                return FsStatus.NotDirectory;
            if (!caller.Trusted && (_reader.Granted(directory, caller) & AccessKinds.Execute) == 0)
                return FsStatus.AccessDenied;

            InodeId missing = InodeId.None;
            while (_reader.TryGetName(parent, name, out NameRow row))
            {
                if (_reader.TryGetInode(row.Child, out child))
                    return FsStatus.Ok;
                // The name was removed and its inode reaped between the two reads, or the name leads nowhere: then it still does the second time.
                if (row.Child == missing)
                    return FsStatus.IoError;
                missing = row.Child;
            }

            return FsStatus.NotFound;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    public FsStatus Access(in Caller caller, InodeId inode, uint wanted, out uint granted)
    {
        granted = 0;
        FsStatus status = GetInode(inode, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;

        try
        {
            granted = (uint)_reader.Granted(record, caller) & wanted;
            return FsStatus.Ok;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    public FsStatus ReadLink(InodeId inode, Span<byte> target, out int lengthBytes)
    {
        lengthBytes = 0;
        FsStatus status = GetInode(inode, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;
        if (record.Kind != InodeKind.Symlink)
            return FsStatus.Invalid;

        try
        {
            int length = _reader.GetXattr(inode, default, target);
            if (length < 0)
                return _reader.TryGetInode(inode, out _) ? FsStatus.IoError : FsStatus.Stale;
            lengthBytes = length;
            return length <= target.Length ? FsStatus.Ok : FsStatus.OutOfRange;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    public FsStatus ReadDirectory(InodeId directory, ulong cookie, bool withAttributes, IDirectorySink sink)
    {
        FsStatus status = GetInode(directory, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;
        if (!record.IsDirectory)
            return FsStatus.NotDirectory;

        try
        {
            while (ListSome(directory, ref cookie, withAttributes, sink))
            {
            }

            return FsStatus.Ok;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    /// <summary>Lists from one iterator; false at the end of the directory or where the sink is full.</summary>
    private bool ListSome(InodeId directory, ref ulong cookie, bool withAttributes, IDirectorySink sink)
    {
        if (cookie == ulong.MaxValue)
            return false;

        Span<byte> lower = stackalloc byte[2 * sizeof(ulong)], upper = stackalloc byte[sizeof(ulong)];
        using IKvIterator rows = _kv.Iterate(
            KvTable.Entries, MetadataKeys.Entry(lower, directory, cookie + 1), MetadataKeys.After(upper, directory));
        InodeRecord attributes = default;
        for (int i = 0; i < EntriesPerIterator; i++)
        {
            if (!rows.Next())
                return false;

            ulong next = BinaryPrimitives.ReadUInt64BigEndian(rows.Key[sizeof(ulong)..]);
            EntryRow entry = EntryRow.Decode(directory, rows.Value);
            // An inode that is gone by now had its name removed after the iterator was made.
            bool isListed = !withAttributes || _reader.TryGetInode(entry.Child, out attributes);
            if (isListed && !sink.Add(next, entry.Child, entry.Kind, entry.Name, attributes))
                return false;
            cookie = next;
        }

        return true;
    }

    public FsStatus GetXattr(InodeId inode, ReadOnlySpan<byte> name, Span<byte> value, out int lengthBytes)
    {
        lengthBytes = 0;
        FsStatus status = GetInode(inode, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;
        status = XattrNames.Check(name, record.Kind);
        if (status != FsStatus.Ok)
            return status == FsStatus.NotPermitted ? FsStatus.NoData : status; // cannot exist, so reading finds none
        if ((record.Flags & InodeFlags.HasXattrs) == 0)
            return FsStatus.NoData;

        try
        {
            int length = _reader.GetXattr(inode, name, value);
            if (length < 0)
                return FsStatus.NoData;
            lengthBytes = length;
            return value.IsEmpty || length <= value.Length ? FsStatus.Ok : FsStatus.OutOfRange;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    public FsStatus ListXattrs(InodeId inode, Span<byte> names, out int lengthBytes)
    {
        lengthBytes = 0;
        FsStatus status = GetInode(inode, out InodeRecord record);
        if (status != FsStatus.Ok || (record.Flags & InodeFlags.HasXattrs) == 0)
            return status;

        try
        {
            Span<byte> lower = stackalloc byte[sizeof(ulong)], upper = stackalloc byte[sizeof(ulong)];
            int total = 0;
            using IKvIterator rows = _kv.Iterate(KvTable.Xattrs, MetadataKeys.Inode(lower, inode), MetadataKeys.After(upper, inode));
            while (rows.Next())
            {
                ReadOnlySpan<byte> name = rows.Key[sizeof(ulong)..];
                if (name.IsEmpty)
                    continue;
                if (total + name.Length < names.Length)
                {
                    name.CopyTo(names[total..]);
                    names[total + name.Length] = 0;
                }

                total += name.Length + 1;
            }

            lengthBytes = total;
            return names.IsEmpty || total <= names.Length ? FsStatus.Ok : FsStatus.OutOfRange;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    /// <exception cref="KvFailedException">The store has failed.</exception>
    public int ListPending(PendingKind kind, InodeId after, Span<(InodeId Inode, ulong Value)> destination)
    {
        if (after.Value == ulong.MaxValue)
            return 0;

        Span<byte> lower = stackalloc byte[1 + sizeof(ulong)];
        ReadOnlySpan<byte> upper = [(byte)((byte)kind + 1)];
        int count = 0;
        using IKvIterator rows = _kv.Iterate(KvTable.Pending, MetadataKeys.Pending(lower, kind, new InodeId(after.Value + 1)), upper);
        while (count < destination.Length && rows.Next())
        {
            destination[count++] =
                (new InodeId(BinaryPrimitives.ReadUInt64BigEndian(rows.Key[1..])), BinaryPrimitives.ReadUInt64LittleEndian(rows.Value));
        }

        return count;
    }
}
