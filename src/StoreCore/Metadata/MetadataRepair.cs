using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>
/// The mendings that findings of <see cref="MetadataCheck"/> name. Each looks at the present state, for an earlier one may have changed it, and writes one operation or none.
/// For a store that nobody else uses.
/// </summary>
internal sealed class MetadataRepair
{
    private static readonly byte[] LostAndFound = "lost+found"u8.ToArray();

    private readonly IKvStore _kv;
    private readonly Timestamp _now;
    private readonly OpRecordBuilder _record = new();
    private readonly KvBatch _batch = new();
    private MetadataState _state;

    public MetadataRepair(IKvStore kv, Timestamp now)
    {
        _kv = kv;
        _now = now;
        _state = MetadataState.Load(kv);
        _record.Begin();
    }

    /// <summary>The log cannot be read through: it begins anew here, and who follows it must start from a copy of the state.</summary>
    public void RestartLog()
    {
        _batch.Clear();
        _state.Log.Restart(_state.Sequence.Value + 1, _batch);
        Write();
    }

    public void SetCounts(ulong? inodes, ulong? nextInode)
    {
        _state.Inodes = inodes ?? _state.Inodes;
        _state.NextInode = nextInode ?? _state.NextInode;
        Commit();
    }

    public void DropRow(KvTable table, byte[] key)
    {
        _record.DeleteRow(table, key);
        Commit();
    }

    public void SetNextExport(uint next)
    {
        Span<byte> row = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(row, next);
        _record.PutCluster(ClusterKind.NextExport, 0, row);
        Commit();
    }

    public void MakeRoot()
    {
        if (!TryGet(InodeId.Root, out InodeRecord root))
            _state.Inodes++;
        if (!root.IsDirectory)
        {
            root = new InodeRecord
            {
                Inode = InodeId.Root,
                Generation = 1,
                Mode = ((uint)InodeKind.Directory << 12) | 0x1ED,
                Accessed = _now,
                Modified = _now,
                Born = _now,
                NextCookie = Limits.FirstEntryCookie,
            };
        }

        root.Parent = InodeId.Root;
        PutCounted(root);
    }

    /// <summary>Nothing is known of the inode any more: its names and attributes follow as findings of their own, its blocks are left to purge.</summary>
    public void DropInode(InodeId inode)
    {
        _record.DeleteInode(inode);
        _state.Inodes--;
        _record.PutPending(PendingKind.Purging, inode);
        Commit();
    }

    public void DropNames(InodeId owner)
    {
        Drop(KvTable.Names, owner);
        Drop(KvTable.Entries, owner);
        Commit();
    }

    /// <summary>Makes entries from the names, and names from entries that have none.</summary>
    public void MatchNames(InodeId directory)
    {
        if (!TryGet(directory, out InodeRecord record))
            return;

        var byName = new Dictionary<string, NameRow>();
        ForEach(KvTable.Names, directory, (key, value) =>
        {
            if (value.Length == NameRow.Bytes && key.Length > sizeof(ulong))
                byName[Convert.ToHexString(key[sizeof(ulong)..])] = NameRow.Decode(directory, value);
        });
        ulong next = Math.Max(record.NextCookie, Limits.FirstEntryCookie);
        ForEach(KvTable.Entries, directory, (key, value) =>
        {
            if (key.Length != 2 * sizeof(ulong) || value.Length is <= 9 or > EntryRow.MaxBytes)
                return;
            ulong cookie = BinaryPrimitives.ReadUInt64BigEndian(key[sizeof(ulong)..]);
            EntryRow entry = EntryRow.Decode(directory, value);
            byName.TryAdd(Convert.ToHexString(entry.Name), new NameRow(entry.Child, cookie, entry.Kind));
            next = Math.Max(next, cookie + 1);
        });

        Drop(KvTable.Names, directory);
        Drop(KvTable.Entries, directory);
        var cookies = new HashSet<ulong>();
        foreach ((string name, NameRow row) in byName)
        {
            ulong cookie = row.Cookie >= Limits.FirstEntryCookie && cookies.Add(row.Cookie) ? row.Cookie : next;
            next = Math.Max(next, cookie + 1);
            _record.PutEntry(directory, cookie, row.Child, row.Kind, Convert.FromHexString(name));
        }

        record.NextCookie = next;
        _record.PutInode(record);
        Commit();
    }

    public void Recount(InodeId directory)
    {
        if (TryGet(directory, out InodeRecord record) && record.IsDirectory)
            PutCounted(record);
    }

    public void DropXattrs(InodeId inode)
    {
        Drop(KvTable.Xattrs, inode);
        Commit();
    }

    public void DropXattr(InodeId inode, byte[] name)
    {
        _record.DeleteXattr(inode, name);
        Commit();
    }

    /// <summary>A symlink without its target says nothing: it becomes one that leads nowhere, so that its owner sees which one it was.</summary>
    public void MendTarget(InodeId inode)
    {
        if (!TryGet(inode, out InodeRecord record))
            return;
        byte[] target = "lost"u8.ToArray();
        ForEach(KvTable.Xattrs, inode, (key, value) => target = key.Length == sizeof(ulong) && value.Length > 0 ? value.ToArray() : target);
        _record.PutXattr(inode, default, target);
        record.SizeBytes = (ulong)target.Length;
        _record.PutInode(record);
        Commit();
    }

    public void SetFlags(InodeId inode, InodeFlags which, InodeFlags flags)
    {
        if (!TryGet(inode, out InodeRecord record))
            return;
        record.Flags = (record.Flags & ~which) | flags;
        _record.PutInode(record);
        Commit();
    }

    /// <summary>The mode decides: it is what was seen.</summary>
    public void MatchAcl(InodeId inode)
    {
        if (!TryGet(inode, out InodeRecord record))
            return;
        ForEach(KvTable.Xattrs, inode, (key, value) =>
        {
            if (!key[sizeof(ulong)..].SequenceEqual(PosixAcl.AccessName))
                return;
            byte[] acl = value.ToArray();
            PosixAcl.SetMode(acl, record.Mode);
            _record.PutXattr(inode, PosixAcl.AccessName, acl);
        });
        Commit();
    }

    public void DropPending(PendingKind kind, InodeId inode)
    {
        _record.DeletePending(kind, inode);
        Commit();
    }

    public void AddPending(PendingKind kind, InodeId inode)
    {
        _record.PutPending(kind, inode);
        Commit();
    }

    /// <summary>To stand on the list and to be measured or cut once more does no harm; not to stand there may.</summary>
    public void MatchPending(PendingKind kind, InodeFlags flag, InodeId inode)
    {
        if (!TryGet(inode, out InodeRecord record))
            return;
        if (record.Kind != InodeKind.File)
        {
            _record.DeletePending(kind, inode);
            record.Flags &= ~flag;
        }
        else
        {
            if ((record.Flags & flag) != 0)
                _record.PutPending(kind, inode, record.SizeBytes);
            record.Flags |= flag;
        }

        _record.PutInode(record);
        Commit();
    }

    public void RemoveName(InodeId directory, ulong cookie, byte[] name)
    {
        _record.DeleteEntry(directory, cookie, name);
        Commit();
        Recount(directory);
    }

    public void SetKind(InodeId directory, ulong cookie, byte[] name, InodeId child, InodeKind kind)
    {
        _record.PutEntry(directory, cookie, child, kind, name);
        Commit();
        Recount(directory);
    }

    public void SetLinks(InodeId inode, uint links)
    {
        if (!TryGet(inode, out InodeRecord record))
            return;
        if (record.IsDirectory)
        {
            PutCounted(record);
            return;
        }

        record.Links = links;
        _record.PutInode(record);
        Commit();
    }

    /// <summary>A directory has one name: that in its parent stays where there is one, else the one found makes its directory the parent.</summary>
    public void SettleParent(InodeId child, InodeId directory, ulong cookie, byte[] name)
    {
        if (!TryGet(child, out InodeRecord record))
            return;
        if (FindName(record.Parent, child) is { } own && !(record.Parent == directory && own.Cookie == cookie))
        {
            RemoveName(directory, cookie, name);
            return;
        }

        record.Parent = directory;
        _record.PutInode(record);
        Commit();
    }

    public void CutCircle(InodeId directory)
    {
        if (TryGet(directory, out InodeRecord record) && FindName(record.Parent, directory) is { } found)
            RemoveName(record.Parent, found.Cookie, found.Name);
    }

    /// <summary>Gives an inode without a name one in <c>/lost+found</c>.</summary>
    public void Reattach(InodeId inode)
    {
        if (!TryGet(inode, out InodeRecord record) || !TryGet(InodeId.Root, out InodeRecord root))
            return;

        InodeRecord home = FindLostAndFound(ref root);
        byte[] name = System.Text.Encoding.ASCII.GetBytes($"#{inode}");
        while (NameExists(home.Inode, name))
            name = [.. name, (byte)'_'];
        _record.PutEntry(home.Inode, home.NextCookie++, inode, record.Kind, name);
        home.SizeBytes++;
        home.Links += record.IsDirectory ? 1u : 0;
        _record.PutInode(home);
        if (record.IsDirectory)
            record.Parent = home.Inode;
        else
            record.Links = 1;
        _record.PutInode(record);
        Commit();
    }

    private InodeRecord FindLostAndFound(ref InodeRecord root)
    {
        foreach ((NameRow row, byte[] name) in Names(InodeId.Root))
        {
            if (name.AsSpan().SequenceEqual(LostAndFound) && TryGet(row.Child, out InodeRecord there) && there.IsDirectory)
                return there;
        }

        byte[] free = LostAndFound;
        while (NameExists(InodeId.Root, free))
            free = [.. free, (byte)'_'];
        var made = new InodeRecord
        {
            Inode = new InodeId(_state.NextInode++),
            Generation = 1,
            Mode = ((uint)InodeKind.Directory << 12) | 0x1C0,
            Links = 2,
            Parent = InodeId.Root,
            NextCookie = Limits.FirstEntryCookie,
            Accessed = _now,
            Modified = _now,
            Changed = _now,
            Born = _now,
        };
        _state.Inodes++;
        _record.PutEntry(InodeId.Root, root.NextCookie++, made.Inode, made.Kind, free);
        root.SizeBytes++;
        root.Links++;
        _record.PutInode(root);
        return made;
    }

    private void PutCounted(InodeRecord directory)
    {
        directory.SizeBytes = 0;
        directory.Links = 2;
        foreach ((NameRow row, _) in Names(directory.Inode))
        {
            directory.SizeBytes++;
            directory.Links += row.Kind == InodeKind.Directory ? 1u : 0;
            directory.NextCookie = Math.Max(directory.NextCookie, row.Cookie + 1);
        }

        directory.Changed = _now;
        _record.PutInode(directory);
        Commit();
    }

    private bool TryGet(InodeId inode, out InodeRecord record)
    {
        try
        {
            return MetadataReader.TryReadInode(_kv, inode, out record);
        }
        catch (MetadataException)
        {
            // A finding of its own mends the row that cannot be read; what depends on it waits for the next round.
            record = default;
            return false;
        }
    }

    private bool NameExists(InodeId directory, byte[] name) =>
        _kv.Get(KvTable.Names, MetadataKeys.Named(stackalloc byte[MetadataKeys.MaxBytes], directory, name), default) >= 0;

    private (ulong Cookie, byte[] Name)? FindName(InodeId directory, InodeId child)
    {
        foreach ((NameRow row, byte[] name) in Names(directory))
        {
            if (row.Child == child)
                return (row.Cookie, name);
        }

        return null;
    }

    private IEnumerable<(NameRow Row, byte[] Name)> Names(InodeId directory)
    {
        using IKvIterator rows = Rows(KvTable.Names, directory);
        while (rows.Next())
        {
            if (rows.Value.Length == NameRow.Bytes)
                yield return (NameRow.Decode(directory, rows.Value), rows.Key[sizeof(ulong)..].ToArray());
        }
    }

    private delegate void RowAction(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value);

    private void ForEach(KvTable table, InodeId owner, RowAction action)
    {
        using IKvIterator rows = Rows(table, owner);
        while (rows.Next())
            action(rows.Key, rows.Value);
    }

    private void Drop(KvTable table, InodeId owner) => ForEach(table, owner, (key, _) => _record.DeleteRow(table, key));

    private IKvIterator Rows(KvTable table, InodeId owner)
    {
        Span<byte> lower = stackalloc byte[sizeof(ulong)], upper = stackalloc byte[sizeof(ulong)];
        return _kv.Iterate(table, MetadataKeys.Inode(lower, owner), MetadataKeys.After(upper, owner));
    }

    private void Commit()
    {
        _batch.Clear();
        Write();
    }

    /// <summary>Writes the operation prepared so far, behind what the batch holds already.</summary>
    private void Write()
    {
        ReadOnlySpan<byte> record = _record.Finish(
            OpKind.Repair, new LogIndex(_state.Sequence.Value + 1), _state.Term, _now, _state.NextInode, _state.Inodes);
        MetadataCore.Apply(OpRecord.Parse(record), ref _state, _batch);
        _state.Save(_batch);
        _kv.Write(_batch);
        _record.Begin();
    }
}
