using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>
/// Keys of the metadata tables. Numbers are big-endian, so that the byte order of keys is the order of the numbers and all rows of
/// one inode or directory are neighbours.
/// </summary>
/// <remarks>
/// Inodes: inode u64. Names: directory u64, name. Entries: directory u64, cookie u64. Xattrs: inode u64, attribute name (the empty name holds
/// the target of a symlink). Pending: kind u8, inode u64. OpLog: sequence u64. Requests: generation u64, request id 16 bytes. Cluster: kind u8, number u32. System: the ASCII word <c>metadata</c>.
/// Each method writes the key to the start of <c>buffer</c> and returns that part; <see cref="MaxBytes"/> always suffices.
/// </remarks>
internal static class MetadataKeys
{
    /// <summary>Longest key of any metadata table: a number and a name.</summary>
    public const int MaxBytes = sizeof(ulong) + Limits.MaxNameBytes;

    public const int RequestBytes = 3 * sizeof(ulong);

    public const int ClusterBytes = 1 + sizeof(uint);

    /// <summary>Key of the superblock in the System table, which the block store shares.</summary>
    public static ReadOnlySpan<byte> Superblock => "metadata"u8;

    public static ReadOnlySpan<byte> Inode(Span<byte> buffer, InodeId inode) => Number(buffer, inode.Value);

    public static ReadOnlySpan<byte> LogRecord(Span<byte> buffer, ulong sequence) => Number(buffer, sequence);

    /// <summary>Of a name in a directory, or of an extended attribute of an inode.</summary>
    public static ReadOnlySpan<byte> Named(Span<byte> buffer, InodeId owner, ReadOnlySpan<byte> name)
    {
        BinaryPrimitives.WriteUInt64BigEndian(buffer, owner.Value);
        name.CopyTo(buffer[sizeof(ulong)..]);
        return buffer[..(sizeof(ulong) + name.Length)];
    }

    public static ReadOnlySpan<byte> Entry(Span<byte> buffer, InodeId directory, ulong cookie)
    {
        BinaryPrimitives.WriteUInt64BigEndian(buffer, directory.Value);
        BinaryPrimitives.WriteUInt64BigEndian(buffer[sizeof(ulong)..], cookie);
        return buffer[..(2 * sizeof(ulong))];
    }

    public static ReadOnlySpan<byte> Pending(Span<byte> buffer, PendingKind kind, InodeId inode)
    {
        buffer[0] = (byte)kind;
        BinaryPrimitives.WriteUInt64BigEndian(buffer[1..], inode.Value);
        return buffer[..(1 + sizeof(ulong))];
    }

    public static ReadOnlySpan<byte> Request(Span<byte> buffer, ulong generation, RequestId id)
    {
        BinaryPrimitives.WriteUInt64BigEndian(buffer, generation);
        BinaryPrimitives.WriteUInt64BigEndian(buffer[sizeof(ulong)..], id.High);
        BinaryPrimitives.WriteUInt64BigEndian(buffer[(2 * sizeof(ulong))..], id.Low);
        return buffer[..RequestBytes];
    }

    /// <summary>Where the requests of a generation begin.</summary>
    public static ReadOnlySpan<byte> Requests(Span<byte> buffer, ulong generation) => Number(buffer, generation);

    public static ReadOnlySpan<byte> Cluster(Span<byte> buffer, ClusterKind kind, uint number)
    {
        buffer[0] = (byte)kind;
        BinaryPrimitives.WriteUInt32BigEndian(buffer[1..], number);
        return buffer[..ClusterBytes];
    }

    /// <summary>The key behind all keys that start with <paramref name="owner"/>; empty (the end of the table) for the last number.</summary>
    public static ReadOnlySpan<byte> After(Span<byte> buffer, InodeId owner) =>
        owner.Value == ulong.MaxValue ? default : Number(buffer, owner.Value + 1);

    /// <summary>The number that every key but those of Pending and System starts with.</summary>
    public static InodeId Owner(ReadOnlySpan<byte> key) => new(BinaryPrimitives.ReadUInt64BigEndian(key));

    private static ReadOnlySpan<byte> Number(Span<byte> buffer, ulong number)
    {
        BinaryPrimitives.WriteUInt64BigEndian(buffer, number);
        return buffer[..sizeof(ulong)];
    }
}
