using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>
/// What the state machine knows of itself, stored as the superblock row in the same batch as the operation that changed it: which operation was
/// applied last, in which term, and the numbers that the next one chooses from. The default value is a store that was never formatted.
/// </summary>
public struct MetadataState
{
    /// <summary>Format of all metadata rows and op records; a store of another version is refused.</summary>
    public const uint FormatVersion = 1;

    /// <summary>First number of an inode that is not the root; those between are kept for the system.</summary>
    public const ulong FirstInode = 16;

    public Guid FileSystemId;
    public Term Term;

    /// <summary>The last operation that was applied; 0 before the format.</summary>
    public LogIndex Sequence;

    /// <summary>The number that the next new inode gets.</summary>
    public ulong NextInode;

    /// <summary>Rows in the Inodes table.</summary>
    public ulong Inodes;

    /// <summary>Requests of clients whose answer was ever kept.</summary>
    public ulong Requests;

    internal OpLogSegments Log;

    public readonly bool IsFormatted => Sequence.Value != 0;

    // Layout, little-endian: magic "GWMETA" and two zero bytes, format version u32, file system id 16 bytes (big-endian fields, as its text reads), term u64,
    // sequence u64, next inode u64, inodes u64, bytes in the op log's last segment u64, requests u64, CRC32C u32 of all before. Rows from before there were requests lack that field.
    private const int RowBytes = 8 + 4 + 16 + 48 + 4, RowBytesWithoutRequests = RowBytes - 8;

    private static ReadOnlySpan<byte> Magic => "GWMETA\0\0"u8;

    /// <summary>Adds the superblock row to a batch.</summary>
    public readonly void Save(KvBatch batch)
    {
        Span<byte> row = stackalloc byte[RowBytes];
        Magic.CopyTo(row);
        BinaryPrimitives.WriteUInt32LittleEndian(row[8..], FormatVersion);
        FileSystemId.TryWriteBytes(row[12..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt64LittleEndian(row[28..], Term.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(row[36..], Sequence.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(row[44..], NextInode);
        BinaryPrimitives.WriteUInt64LittleEndian(row[52..], Inodes);
        BinaryPrimitives.WriteUInt64LittleEndian(row[60..], Log.LastBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(row[68..], Requests);
        BinaryPrimitives.WriteUInt32LittleEndian(row[^4..], Crc32C.Compute(row[..^4]));
        batch.Put(KvTable.System, MetadataKeys.Superblock, row);
    }

    /// <summary>Reads the superblock; the default state where there is none.</summary>
    /// <exception cref="MetadataException">It is damaged or of another version.</exception>
    public static MetadataState Load(IKvStore kv) => Load((table, key) =>
    {
        int length = kv.Get(table, key, default);
        byte[] row = new byte[Math.Max(length, 0)];
        return length < 0 ? null : row[..kv.Get(table, key, row)];
    });

    internal static MetadataState Load(RowGetter get)
    {
        byte[]? found = get(KvTable.System, MetadataKeys.Superblock);
        if (found is null)
            return default;
        ReadOnlySpan<byte> row = found;
        if (row.Length < 12 || !row.StartsWith(Magic))
            throw new MetadataException($"the metadata superblock is damaged ({row.Length} bytes without its mark)");

        uint version = BinaryPrimitives.ReadUInt32LittleEndian(row[8..]);
        if (version != FormatVersion)
        {
            throw new MetadataException(
                $"the metadata has format version {version}, this program knows version {FormatVersion}; use the program that wrote it");
        }

        if (row.Length is not RowBytes and not RowBytesWithoutRequests || BinaryPrimitives.ReadUInt32LittleEndian(row[^4..]) != Crc32C.Compute(row[..^4]))
            throw new MetadataException("the metadata superblock is damaged (its checksum is wrong)");

        var state = new MetadataState
        {
            FileSystemId = new Guid(row.Slice(12, 16), bigEndian: true),
            Term = new Term(BinaryPrimitives.ReadUInt64LittleEndian(row[28..])),
            Sequence = new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(row[36..])),
            NextInode = BinaryPrimitives.ReadUInt64LittleEndian(row[44..]),
            Inodes = BinaryPrimitives.ReadUInt64LittleEndian(row[52..]),
            Requests = row.Length == RowBytes ? BinaryPrimitives.ReadUInt64LittleEndian(row[68..]) : 0,
        };
        state.Log.Load(get);
        state.Log.LastBytes = BinaryPrimitives.ReadUInt64LittleEndian(row[60..]);
        return state;
    }
}

/// <summary>Reads one row; null where there is none.</summary>
internal delegate byte[]? RowGetter(KvTable table, ReadOnlySpan<byte> key);
