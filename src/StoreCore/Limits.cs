namespace StoreCore;

/// <summary>
/// Every limit of the system in one place, with its unit and its reason; the relations between them are asserted by a test.
/// A value that reaches disk or wire may only change together with a format version.
/// </summary>
public static class Limits
{
    /// <summary>Bytes of a file that one block holds. Large enough that placement and peering work per block is rare, small enough to move at once.</summary>
    public const int BlockSizeBytes = 4 * 1024 * 1024;

    /// <summary>The unit of space, of checksums and of mapping: one page, so that a random 4 KiB write needs no read.</summary>
    public const int ChunkSizeBytes = 4096;

    /// <summary>Chunks mapped by one index row (128 KiB of data): a random overwrite rewrites a row of some 150 bytes, a 1 MiB write eight of them.</summary>
    public const int ChunksPerSegment = 32;

    public const int SegmentSizeBytes = ChunksPerSegment * ChunkSizeBytes;

    public const int SegmentsPerBlock = BlockSizeBytes / SegmentSizeBytes;

    public const int ChunksPerBlock = BlockSizeBytes / ChunkSizeBytes;

    /// <summary>Largest file: 2^32 blocks would be 16 PiB; the kernel's signed 64-bit offsets stay far above.</summary>
    public const ulong MaxFileSizeBytes = (ulong)uint.MaxValue * BlockSizeBytes;

    /// <summary>Longest name of a directory entry in bytes (NAME_MAX).</summary>
    public const int MaxNameBytes = 255;

    /// <summary>Longest symlink target in bytes (PATH_MAX without its zero byte).</summary>
    public const int MaxSymlinkBytes = 4095;

    /// <summary>Most links of one inode (as ext4 counts for files; directories are not limited).</summary>
    public const uint MaxLinks = 1_000_000;

    /// <summary>Longest extended attribute name in bytes with its namespace prefix (XATTR_NAME_MAX).</summary>
    public const int MaxXattrNameBytes = 255;

    /// <summary>Largest extended attribute value in bytes (XATTR_SIZE_MAX).</summary>
    public const int MaxXattrValueBytes = 65536;

    /// <summary>Largest list of extended attribute names in bytes (XATTR_LIST_MAX).</summary>
    public const int MaxXattrListBytes = 65536;

    /// <summary>Largest data payload of one READ or WRITE: the kernel's 256 pages.</summary>
    public const int MaxTransferBytes = 1024 * 1024;

    /// <summary>First directory cookie of a real entry; 0 is the start, 1 stands after ".", 2 after "..".</summary>
    public const ulong FirstEntryCookie = 3;

    /// <summary>Most inodes of one file system: far above what a store can hold, low enough that every tool's arithmetic on statfs bears it.</summary>
    public const ulong MaxInodes = 1UL << 40;

    /// <summary>The op log is trimmed by segments of at least this many bytes: rarely, since each trimming leaves a range tombstone until compaction.</summary>
    public const int OpLogSegmentBytes = 8 * 1024 * 1024;

    /// <summary>Segments of the op log that are kept: 128 MiB, some 400,000 creations, is what a standby can have missed and still follow.</summary>
    public const int OpLogSegments = 16;
}
