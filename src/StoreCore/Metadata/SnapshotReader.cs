using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Reads of one moment of the store, past the cache, for those who walk it as a whole. One thread; dispose the snapshot after it.</summary>
public sealed class SnapshotReader(IKvStore kv, IKvSnapshot snapshot)
{
    /// <summary>All inodes after <paramref name="after"/> in ascending order: with it the blocks, which are ordered by inode too, can be matched in one walk.</summary>
    /// <exception cref="MetadataException">A row is damaged.</exception>
    public IEnumerable<InodeRecord> Inodes(InodeId after)
    {
        using Cursor rows = Open(KvTable.Inodes, after);
        while (rows.Next())
            yield return InodeRow.Decode(rows.Owner, rows.Value);
    }

    /// <summary>Inodes of the pending list of a kind, ascending. Blocks of an inode that is gone are right only while it stands there as <see cref="PendingKind.Purging"/>.</summary>
    public IEnumerable<InodeId> Pending(PendingKind kind)
    {
        using Cursor rows = OpenPending(kind);
        while (rows.Next())
            yield return rows.Owner;
    }

    /// <exception cref="MetadataException">The row is damaged.</exception>
    public bool TryGetInode(InodeId inode, out InodeRecord record)
    {
        byte[]? row = Get(KvTable.Inodes, MetadataKeys.Inode(stackalloc byte[sizeof(ulong)], inode));
        record = row is null ? default : InodeRow.Decode(inode, row);
        return row is not null;
    }

    internal byte[]? Get(KvTable table, ReadOnlySpan<byte> key)
    {
        Span<byte> after = stackalloc byte[MetadataKeys.MaxBytes + 1];
        key.CopyTo(after);
        after[key.Length] = 0;
        using IKvIterator at = kv.Iterate(table, key, after[..(key.Length + 1)], snapshot);
        return at.Next() ? at.Value.ToArray() : null;
    }

    internal bool IsPending(PendingKind kind, InodeId inode) =>
        Get(KvTable.Pending, MetadataKeys.Pending(stackalloc byte[1 + sizeof(ulong)], kind, inode)) is not null;

    /// <summary>All rows of a table that begins each key with a number, after that number.</summary>
    internal Cursor Open(KvTable table, InodeId after = default)
    {
        Span<byte> lower = stackalloc byte[sizeof(ulong)];
        return new Cursor(kv.Iterate(table, MetadataKeys.After(lower, after), default, snapshot), 0);
    }

    /// <summary>The rows of one inode or directory.</summary>
    internal Cursor OpenOne(KvTable table, InodeId owner)
    {
        Span<byte> lower = stackalloc byte[sizeof(ulong)], upper = stackalloc byte[sizeof(ulong)];
        return new Cursor(kv.Iterate(table, MetadataKeys.Inode(lower, owner), MetadataKeys.After(upper, owner), snapshot), 0);
    }

    /// <summary>All rows of a table, whatever their keys are.</summary>
    internal IKvIterator Rows(KvTable table) => kv.Iterate(table, default, default, snapshot);

    internal Cursor OpenPending(PendingKind kind) => new(kv.Iterate(KvTable.Pending, [(byte)kind], [(byte)(kind + 1)], snapshot), 1);

    /// <summary>A table's rows in order, with the number that each key names.</summary>
    internal sealed class Cursor(IKvIterator rows, int numberAt) : IDisposable
    {
        public bool IsAtEnd { get; private set; }

        /// <summary>The inode or directory of the row; the greatest number at the end, so that the least of several cursors is one with a row.</summary>
        public InodeId Owner { get; private set; }

        public ReadOnlySpan<byte> Key => rows.Key;

        public ReadOnlySpan<byte> Value => rows.Value;

        /// <summary>What follows the number.</summary>
        public ReadOnlySpan<byte> Rest => rows.Key[(numberAt + sizeof(ulong))..];

        public bool Next()
        {
            IsAtEnd = !rows.Next();
            if (!IsAtEnd && rows.Key.Length < numberAt + sizeof(ulong))
                throw new MetadataException($"metadata is damaged: a key of {rows.Key.Length} bytes is too short");
            Owner = IsAtEnd ? new InodeId(ulong.MaxValue) : new InodeId(BinaryPrimitives.ReadUInt64BigEndian(rows.Key[numberAt..]));
            return !IsAtEnd;
        }

        public void Dispose() => rows.Dispose();
    }
}
