using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What an operation was, for those who read the log; its effects alone say what it does. Append only.</summary>
public enum OpKind : byte
{
    Format = 1,
    Create = 2,
    CreateUnlinked = 3,
    Link = 4,
    Unlink = 5,
    RemoveDirectory = 6,
    Rename = 7,
    SetAttributes = 8,
    TruncateDone = 9,
    SetXattr = 10,
    RemoveXattr = 11,
    BeginExtending = 12,
    RecordSizes = 13,
    Reap = 14,
    PurgeDone = 15,

    /// <summary>Written by the offline repair.</summary>
    Repair = 16,

    /// <summary>A part of a dump that is loaded into an empty store.</summary>
    Load = 17,

    /// <summary>An export was added or changed.</summary>
    PutExport = 18,
    RemoveExport = 19,

    /// <summary>The cluster got its secret.</summary>
    MakeSecret = 20,

    /// <summary>A server that gives locks has started.</summary>
    BeginLockService = 21,
    PutLockClient = 22,
    RemoveLockClient = 23,
}

/// <summary>One change of one row, as it stands in an op record. Append only.</summary>
internal enum OpEffect : byte
{
    /// <summary>inode u64, length u8, row (<see cref="InodeRow"/>).</summary>
    PutInode = 1,

    /// <summary>inode u64.</summary>
    DeleteInode = 2,

    /// <summary>directory u64, cookie u64, child u64, kind u8, length u8, name: both the Names and the Entries row.</summary>
    PutEntry = 3,

    /// <summary>directory u64, cookie u64, length u8, name: both rows.</summary>
    DeleteEntry = 4,

    /// <summary>inode u64, length u8, name, length u32, value. The empty name is the target of a symlink.</summary>
    PutXattr = 5,

    /// <summary>inode u64, length u8, name.</summary>
    DeleteXattr = 6,

    /// <summary>kind u8, inode u64, value u64.</summary>
    PutPending = 7,

    /// <summary>kind u8, inode u64.</summary>
    DeletePending = 8,

    /// <summary>file system id, 16 bytes: only in the first record of a log.</summary>
    Format = 9,

    /// <summary>table u8, length u16, key: written by the offline repair, for rows that no other effect names.</summary>
    DeleteRow = 10,

    /// <summary>kind u8, number u32, length u32, row.</summary>
    PutCluster = 11,

    /// <summary>kind u8, number u32.</summary>
    DeleteCluster = 12,
}

/// <summary>
/// One operation of the metadata state machine as the op log keeps it and a standby receives it. It carries the rows as they are afterwards, not what was asked for:
/// applying it reads nothing and decides nothing, so it is the same everywhere, whatever the version of the program that made the choices.
/// </summary>
/// <remarks>
/// Layout, little-endian:
/// <code>
///  0 u16 version = 1     2 u8 kind     3 u8 zero     4 u32 length of the whole record, checksum included
///  8 u64 sequence       16 u64 term
/// 24 i64 seconds, 32 u32 nanoseconds: the time of the operation
/// 36 u32 length of the request section
/// 40 u64 next inode number afterwards           48 u64 inodes in use afterwards
/// 56 request section, empty or 32 bytes: request id 16 bytes (two u64), u64 how many such requests there have been with this one,
///    u64 inode that the answer is about. So a repeated request finds its answer on whatever server it reaches (<see cref="RequestRow"/>).
///    effects: tag u8 and fields (<see cref="OpEffect"/>), up to the checksum
/// -4 u32 CRC32C of all before
/// </code>
/// </remarks>
public readonly ref struct OpRecord
{
    internal const ushort Version = 1;
    internal const int HeaderBytes = 56;
    internal const int ChecksumBytes = 4;
    internal const int RequestSectionBytes = 32;

    private readonly ReadOnlySpan<byte> _bytes;

    private OpRecord(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public ReadOnlySpan<byte> Encoded => _bytes;

    public OpKind Kind => (OpKind)_bytes[2];

    public LogIndex Sequence => new(BinaryPrimitives.ReadUInt64LittleEndian(_bytes[8..]));

    public Term Term => new(BinaryPrimitives.ReadUInt64LittleEndian(_bytes[16..]));

    public Timestamp Time => InodeRow.ReadTime(_bytes[24..]);

    /// <summary>Who asked and what was answered; empty where the caller does not repeat requests.</summary>
    public ReadOnlySpan<byte> Request => _bytes.Slice(HeaderBytes, RequestBytes);

    /// <summary>Of a record with a <see cref="Request"/>.</summary>
    internal RequestId RequestId => new(BinaryPrimitives.ReadUInt64LittleEndian(Request), BinaryPrimitives.ReadUInt64LittleEndian(Request[8..]));

    internal ulong RequestNumber => BinaryPrimitives.ReadUInt64LittleEndian(Request[16..]);

    internal InodeId RequestInode => new(BinaryPrimitives.ReadUInt64LittleEndian(Request[24..]));

    internal ulong NextInode => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[40..]);

    internal ulong Inodes => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[48..]);

    internal EffectReader Effects => new(_bytes[(HeaderBytes + RequestBytes)..^ChecksumBytes]);

    private int RequestBytes => (int)BinaryPrimitives.ReadUInt32LittleEndian(_bytes[36..]);

    /// <summary>Checks version, lengths and checksum.</summary>
    /// <exception cref="MetadataException">They are wrong; nothing of the record may be used.</exception>
    public static OpRecord Parse(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderBytes + ChecksumBytes)
            throw new MetadataException($"an op record of {bytes.Length} bytes is too short");
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(bytes);
        if (version != Version)
            throw new MetadataException($"an op record has version {version}, this program knows version {Version}");

        var record = new OpRecord(bytes);
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) != bytes.Length)
            throw new MetadataException($"the op record {record.Sequence.Value} has not the length it names");
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[^ChecksumBytes..]) != Crc32C.Compute(bytes[..^ChecksumBytes]))
            throw new MetadataException($"the op record {record.Sequence.Value} is damaged: its checksum is wrong");
        if ((uint)record.RequestBytes > bytes.Length - HeaderBytes - ChecksumBytes)
            throw new MetadataException($"the op record {record.Sequence.Value} names a request section beyond its end");
        if (record.RequestBytes is not 0 and not RequestSectionBytes)
            throw new MetadataException($"the op record {record.Sequence.Value} has a request section of {record.RequestBytes} bytes, which is none of this version");
        return record;
    }

    /// <summary>Walks the effects in order; fields that do not belong to the current <see cref="Effect"/> are left from earlier ones.</summary>
    internal ref struct EffectReader(ReadOnlySpan<byte> rest)
    {
        private ReadOnlySpan<byte> _rest = rest;

        public OpEffect Effect { get; private set; }

        /// <summary>The inode; of an entry its directory.</summary>
        public InodeId Inode { get; private set; }

        public NameRow Entry { get; private set; }

        public PendingKind Pending { get; private set; }

        public ClusterKind Cluster { get; private set; }

        /// <summary>The value of a pending row, a table, or the number of a cluster row.</summary>
        public ulong Number { get; private set; }

        /// <summary>Name of an entry or attribute, or a key.</summary>
        public ReadOnlySpan<byte> Name { get; private set; }

        /// <summary>Inode row, attribute value, file system id or cluster row.</summary>
        public ReadOnlySpan<byte> Value { get; private set; }

        /// <exception cref="MetadataException">The effect is unknown or reaches beyond the record.</exception>
        public bool Next()
        {
            if (_rest.IsEmpty)
                return false;

            Effect = (OpEffect)Take(1)[0];
            switch (Effect)
            {
                case OpEffect.PutInode:
                    Inode = new InodeId(TakeNumber());
                    Value = Take(Take(1)[0]);
                    break;
                case OpEffect.DeleteInode:
                    Inode = new InodeId(TakeNumber());
                    break;
                case OpEffect.PutEntry:
                    Inode = new InodeId(TakeNumber());
                    ulong cookie = TakeNumber();
                    var child = new InodeId(TakeNumber());
                    Entry = new NameRow(child, cookie, (InodeKind)Take(1)[0]);
                    Name = Take(Take(1)[0]);
                    break;
                case OpEffect.DeleteEntry:
                    Inode = new InodeId(TakeNumber());
                    Entry = new NameRow(InodeId.None, TakeNumber(), InodeKind.Unknown);
                    Name = Take(Take(1)[0]);
                    break;
                case OpEffect.PutXattr:
                    Inode = new InodeId(TakeNumber());
                    Name = Take(Take(1)[0]);
                    Value = Take(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)));
                    break;
                case OpEffect.DeleteXattr:
                    Inode = new InodeId(TakeNumber());
                    Name = Take(Take(1)[0]);
                    break;
                case OpEffect.PutPending:
                    Pending = (PendingKind)Take(1)[0];
                    Inode = new InodeId(TakeNumber());
                    Number = TakeNumber();
                    break;
                case OpEffect.DeletePending:
                    Pending = (PendingKind)Take(1)[0];
                    Inode = new InodeId(TakeNumber());
                    break;
                case OpEffect.Format:
                    Value = Take(16);
                    break;
                case OpEffect.DeleteRow:
                    Number = Take(1)[0];
                    Name = Take(BinaryPrimitives.ReadUInt16LittleEndian(Take(2)));
                    break;
                case OpEffect.PutCluster:
                    Cluster = (ClusterKind)Take(1)[0];
                    Number = BinaryPrimitives.ReadUInt32LittleEndian(Take(4));
                    Value = Take(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)));
                    break;
                case OpEffect.DeleteCluster:
                    Cluster = (ClusterKind)Take(1)[0];
                    Number = BinaryPrimitives.ReadUInt32LittleEndian(Take(4));
                    break;
                default:
                    throw new MetadataException($"an op record holds the unknown effect {(byte)Effect}");
            }

            return true;
        }

        private ulong TakeNumber() => BinaryPrimitives.ReadUInt64LittleEndian(Take(sizeof(ulong)));

        private ReadOnlySpan<byte> Take(uint bytes)
        {
            if (bytes > (uint)_rest.Length)
                throw new MetadataException("an effect reaches beyond the end of its op record");
            ReadOnlySpan<byte> taken = _rest[..(int)bytes];
            _rest = _rest[(int)bytes..];
            return taken;
        }
    }
}
