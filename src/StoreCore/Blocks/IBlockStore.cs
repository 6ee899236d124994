using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>How soon the writer is likely to want the data stable; it decides where small data goes, never what is promised.</summary>
public enum WriteHint
{
    /// <summary>No flush expected soon: data goes to fresh volume space.</summary>
    Buffered,

    /// <summary>A flush will follow at once (O_SYNC, a file that was fsynced lately): small data goes into the shared log, so that one flush is enough.</summary>
    SyncSoon,
}

/// <summary>
/// Blocks of up to <see cref="Limits.BlockSizeBytes"/> bytes each, addressed by inode and index. What was never written reads as zeros.
/// Every member may be called from any thread; operations on one block are atomic with respect to each other.
/// Changes are <em>applied</em> when the call returns (they survive the death of the process) and <em>stable</em> after <see cref="Sync"/>.
/// Offsets and lengths are in bytes within the block. Statuses: Ok, IoError (checksum wrong or disk failed), NoSpace, Stopped.
/// </summary>
public interface IBlockStore : IDisposable
{
    /// <summary>Writes data; <paramref name="allocatedDelta"/> is the change of space used by the block in bytes (what st_blocks counts).</summary>
    FsStatus Write(BlockId block, int offset, ReadOnlySpan<byte> data, WriteHint hint, out long allocatedDelta);

    /// <summary>Fills the whole destination; checksums of all chunks touched are verified.</summary>
    FsStatus Read(BlockId block, int offset, Span<byte> destination);

    /// <summary>Makes a range read as zeros and frees the whole chunks in it.</summary>
    FsStatus Punch(BlockId block, int offset, int lengthBytes, out long allocatedDelta);

    /// <summary>
    /// Frees everything of the inode from a byte offset of the file on: the rest of the block that holds the offset, and all later
    /// blocks that exist. Work is proportional to what is mapped, never to the size of the range.
    /// </summary>
    FsStatus Truncate(InodeId inode, ulong fileOffset, out long allocatedDelta);

    /// <summary>
    /// Frees everything of an inode from a block on, at most so many blocks (at least one) in this call; <paramref name="fromBlock"/> is where the next call goes on, and
    /// <paramref name="isDone"/> tells whether nothing is left. For background work, which is to leave room for others.
    /// </summary>
    FsStatus Purge(InodeId inode, ref uint fromBlock, int maxBlocks, out bool isDone);

    /// <summary>
    /// The next file offset at or after <paramref name="fileOffset"/> that is data (or a hole), in chunk granularity; false where there is none
    /// (no data up to the end: every file ends in a hole, so <paramref name="wantHole"/> always finds one).
    /// </summary>
    FsStatus Seek(InodeId inode, ulong fileOffset, bool wantHole, out bool found, out ulong position);

    /// <summary>
    /// What is stored of an inode: bytes of space, and the end of the last byte ever written and not cut since (exact to the byte). Used by
    /// recovery to learn the size of a file whose size was not recorded before the crash.
    /// </summary>
    FsStatus Measure(InodeId inode, out long allocatedBytes, out ulong endOfData);

    /// <summary>Makes every change applied before this call stable. Concurrent callers share flushes. Also flushes the shared key-value log.</summary>
    FsStatus Sync();

    /// <summary>Lets the user of the store add to the shared log between the two halves of each <see cref="Sync"/>. One participant; before the first Sync.</summary>
    void Join(ISyncParticipant participant);

    /// <summary>Space as clients may use it, in bytes: the reserve that keeps deletes and recovery possible is not available.</summary>
    BlockSpace Space { get; }
}

/// <summary>
/// Has records (file sizes) that may reach the log only when the data they speak of is on the disk, and that are to be stable with the same flush.
/// Called by whichever thread does the flush, one at a time.
/// </summary>
public interface ISyncParticipant
{
    /// <summary>A flush begins: data applied before this moment will be on the disk when <see cref="DataStable"/> is called.</summary>
    void SyncBegins();

    /// <summary>What is applied to the log now becomes stable with this flush. A status other than Ok ends the flush with it.</summary>
    FsStatus DataStable();
}

/// <summary>Bytes: all, used by blocks, and what can still be written.</summary>
public readonly record struct BlockSpace(long TotalBytes, long UsedBytes, long AvailableBytes);
