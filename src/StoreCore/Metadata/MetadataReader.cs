using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>
/// Reads rows through the inode cache. Any thread; what it returns is the state after some operation that was applied when the call began or later, and
/// never an older one than an earlier call on any thread has seen. Throws <see cref="KvFailedException"/> and, for a row that cannot be,
/// <see cref="MetadataException"/>.
/// </summary>
internal sealed class MetadataReader(IKvStore kv, InodeCache cache) : IMetadataView
{
    public IKvStore Kv { get; } = kv;

    public bool TryGetInode(InodeId inode, out InodeRecord record)
    {
        if (cache.TryGet(inode, out record, out uint version))
            return true;
        if (!TryReadInode(Kv, inode, out record))
            return false;

        cache.Fill(record, version);
        return true;
    }

    /// <summary>Past the cache, for those who work on a store as a whole.</summary>
    public static bool TryReadInode(IKvStore kv, InodeId inode, out InodeRecord record)
    {
        Span<byte> key = stackalloc byte[sizeof(ulong)];
        Span<byte> row = stackalloc byte[InodeRow.MaxBytes];
        int length = kv.Get(KvTable.Inodes, MetadataKeys.Inode(key, inode), row);
        if (length < 0)
        {
            record = default;
            return false;
        }

        record = InodeRow.Decode(inode, row[..Math.Min(length, row.Length)]);
        return true;
    }

    public bool TryGetName(InodeId directory, ReadOnlySpan<byte> name, out NameRow row)
    {
        Span<byte> key = stackalloc byte[MetadataKeys.MaxBytes];
        Span<byte> value = stackalloc byte[NameRow.Bytes];
        int length = Kv.Get(KvTable.Names, MetadataKeys.Named(key, directory, name), value);
        if (length < 0)
        {
            row = default;
            return false;
        }

        row = NameRow.Decode(directory, length == value.Length ? value : default);
        return true;
    }

    public int GetXattr(InodeId inode, ReadOnlySpan<byte> name, Span<byte> value)
    {
        Span<byte> key = stackalloc byte[MetadataKeys.MaxBytes];
        return Kv.Get(KvTable.Xattrs, MetadataKeys.Named(key, inode, name), value);
    }

    public int ListXattrs(InodeId inode, Span<byte> names)
    {
        Span<byte> lower = stackalloc byte[sizeof(ulong)], upper = stackalloc byte[sizeof(ulong)];
        int length = 0;
        using IKvIterator rows = Kv.Iterate(KvTable.Xattrs, MetadataKeys.Inode(lower, inode), MetadataKeys.After(upper, inode));
        while (rows.Next())
        {
            ReadOnlySpan<byte> name = rows.Key[sizeof(ulong)..];
            if (length + 1 + name.Length > names.Length)
                throw new MetadataException($"metadata is damaged: inode {inode} has more attributes than one can have; run gatewayctl fsck --repair");
            names[length++] = (byte)name.Length;
            name.CopyTo(names[length..]);
            length += name.Length;
        }

        return length;
    }

    public bool TryGetPending(PendingKind kind, InodeId inode, out ulong value)
    {
        Span<byte> key = stackalloc byte[1 + sizeof(ulong)];
        Span<byte> row = stackalloc byte[sizeof(ulong)];
        bool isThere = Kv.Get(KvTable.Pending, MetadataKeys.Pending(key, kind, inode), row) == row.Length;
        value = isThere ? BinaryPrimitives.ReadUInt64LittleEndian(row) : 0;
        return isThere;
    }

    public int GetCluster(ClusterKind kind, uint number, Span<byte> row) =>
        Kv.Get(KvTable.Cluster, MetadataKeys.Cluster(stackalloc byte[MetadataKeys.ClusterBytes], kind, number), row);

    public IReadOnlyList<ExportDefinition> ListExports()
    {
        var exports = new List<ExportDefinition>();
        using IKvIterator rows = Kv.Iterate(KvTable.Cluster, [(byte)ClusterKind.Export], [(byte)ClusterKind.Export + 1]);
        while (rows.Next())
        {
            uint id = BinaryPrimitives.ReadUInt32BigEndian(rows.Key[1..]);
            if (!ExportRow.TryDecode(id, rows.Value, out ExportDefinition? export))
                throw new MetadataException($"metadata is damaged: the row of export {id} is not one that this version writes; run gatewayctl fsck --repair");
            exports.Add(export!);
        }

        return exports;
    }

    public IReadOnlyList<LockClient> ListLockClients()
    {
        var clients = new List<LockClient>();
        using IKvIterator rows = Kv.Iterate(KvTable.Cluster, [(byte)ClusterKind.LockClient], [(byte)ClusterKind.LockClient + 1]);
        while (rows.Next())
        {
            uint id = BinaryPrimitives.ReadUInt32BigEndian(rows.Key[1..]);
            if (!LockClientRow.TryDecode(id, rows.Value, out LockClient? client))
                throw new MetadataException($"metadata is damaged: the row of lock client {id} is not one that this version writes; run gatewayctl fsck --repair");
            clients.Add(client!);
        }

        return clients;
    }

    /// <summary>What the access ACL and the mode say, whether the caller is trusted or not.</summary>
    public AccessKinds Granted(in InodeRecord inode, in Caller caller)
    {
        if ((inode.Flags & InodeFlags.HasAccessAcl) == 0)
            return Permissions.Granted(inode, default, caller);

        Span<byte> acl = stackalloc byte[PosixAcl.MaxBytes];
        int length = GetXattr(inode.Inode, PosixAcl.AccessName, acl);
        if (length > acl.Length)
            throw new MetadataException($"metadata is damaged: an ACL of inode {inode.Inode} has {length} bytes; run gatewayctl fsck --repair");
        return Permissions.Granted(inode, acl[..Math.Max(length, 0)], caller);
    }
}
