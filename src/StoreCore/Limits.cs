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

    /// <summary>
    /// Answers of client requests are kept by generations of this many; the current and the one before are there. At some thousand changes a second that is more than what other clients do
    /// while one that lost its connection comes back; as rows, some 10 MiB at most.
    /// </summary>
    public const int RequestsPerGeneration = 65536;

    /// <summary>Most exports of a cluster: a listing stays one answer.</summary>
    public const int MaxExports = 4096;

    /// <summary>Longest path of an export in bytes (PATH_MAX without its zero byte).</summary>
    public const int MaxExportPathBytes = 4095;

    /// <summary>Longest text of the rules of an export in bytes: some hundred clients.</summary>
    public const int MaxExportRulesBytes = 32768;

    /// <summary>The secret of the cluster, from which file handles are authenticated: 256 bits.</summary>
    public const int SecretBytes = 32;

    /// <summary>
    /// Largest RPC message in bytes, call or reply: a whole transfer, and before it the header with two credentials of 400 bytes and the arguments or
    /// attributes, which together stay far below 16 KiB. A client that announces more is not one of ours.
    /// </summary>
    public const int RpcMaxRecordBytes = MaxTransferBytes + 16 * 1024;

    /// <summary>Calls up to this size are handled where they were received; for larger ones a buffer of <see cref="RpcBufferBytes"/> is taken from the budget first.</summary>
    public const int RpcSmallRecordBytes = 16 * 1024;

    /// <summary>Bytes that are received with one call when no large record is under way: a pipeline of calls, or the beginning of a large one.</summary>
    public const int RpcReceiveBytes = 64 * 1024;

    /// <summary>Segments in which a connection keeps calls that have come and cannot begin yet: some dozens of short ones.</summary>
    public const int RpcSegmentBytes = 4096;

    /// <summary>Replies to pipelined short calls are sent together up to this size.</summary>
    public const int RpcBatchBytes = 64 * 1024;

    /// <summary>Size of the buffers for large calls and for replies: one record after a batch, its payload on a page boundary.</summary>
    public const int RpcBufferBytes = RpcMaxRecordBytes + RpcBatchBytes + 2 * 4096;

    /// <summary>Most fragments of one record: clients send one, or one per buffer of theirs; a stream of empty ones would never end.</summary>
    public const int RpcMaxFragments = 4096;
}
