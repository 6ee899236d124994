namespace StoreCore.Kv;

/// <summary>
/// The tables (RocksDB column families) that metadata and blocks share, and with them one write-ahead log: a batch may touch
/// several tables and is atomic over all of them. The number is the column family's place at creation: append only; a store that was made before a table was gains it when it is opened.
/// </summary>
public enum KvTable : byte
{
    /// <summary>Superblock: format, file system id, counters, term.</summary>
    System = 0,

    /// <summary>inode → inode record.</summary>
    Inodes = 1,

    /// <summary>(directory, name) → (child, kind, cookie).</summary>
    Names = 2,

    /// <summary>(directory, cookie) → (child, kind, name): what a directory listing walks.</summary>
    Entries = 3,

    /// <summary>(inode, attribute name) → value.</summary>
    Xattrs = 4,

    /// <summary>(kind, inode): inodes that a restart must look at: open-unlinked, size not recorded yet, blocks to purge.</summary>
    Pending = 5,

    /// <summary>log index → op record.</summary>
    OpLog = 6,

    /// <summary>(inode, block, segment) → where its chunks lie and their checksums.</summary>
    Segments = 7,

    /// <summary>(inode, block, chunk) → data of a chunk that is not in a volume file (yet).</summary>
    InlineData = 8,

    /// <summary>(volume, group) → bitmap of used chunks.</summary>
    Space = 9,

    /// <summary>(sync window, segment key) → the row before the window: what recovery falls back to where volume data did not reach the disk.</summary>
    Undo = 10,

    /// <summary>(generation, request id) → what a client's request was answered: so that it gets the same answer when it comes again.</summary>
    Requests = 11,

    /// <summary>(kind, number) → what all gateways of the cluster share: the secret, the exports.</summary>
    Cluster = 12,
}

/// <summary>
/// An ordered map with atomic batches and one log: the seam over RocksDB. Any thread may call any member.
/// A batch is <em>applied</em> when <see cref="Write"/> returns (it survives the death of the process) and <em>stable</em> when a
/// <see cref="Sync"/> that began afterwards has returned (it survives the death of the machine). After a crash the store holds a
/// prefix of the batches in the order they were applied, and at least all stable ones.
/// Any failure of the engine to write or flush is final: the store throws <see cref="KvFailedException"/> from then on.
/// </summary>
public interface IKvStore : IDisposable
{
    /// <summary>
    /// Copies the value of <paramref name="key"/> to <paramref name="destination"/> and returns its length; -1 where there is none. If
    /// the value is longer than the destination the length is returned and nothing is copied. Allocates nothing.
    /// </summary>
    int Get(KvTable table, ReadOnlySpan<byte> key, Span<byte> destination);

    /// <summary>Applies the batch atomically. The batch can be cleared and used again afterwards.</summary>
    void Write(KvBatch batch);

    /// <summary>Makes every batch applied before this call stable. Callers that come while a flush runs share the next one.</summary>
    void Sync();

    /// <summary>
    /// Walks keys in ascending byte order from <paramref name="lower"/> (inclusive) to <paramref name="upper"/> (exclusive; empty: to the end)
    /// as they were when the iterator was made. Dispose it soon: it holds memory of its moment.
    /// </summary>
    IKvIterator Iterate(KvTable table, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, IKvSnapshot? snapshot = null);

    /// <summary>A consistent view for iterators that must agree with each other (dump, fsck). Dispose it.</summary>
    IKvSnapshot Snapshot();

    /// <summary>A consistent copy of the whole store in a new directory on the same file system (hard links where the engine can).</summary>
    void Checkpoint(string directory);

    /// <summary>
    /// Gives the disk back what deleted pairs of a table still take: writes out what memory holds, drops the log behind it and merges the table's files. Takes its time, and space
    /// of its own meanwhile: nothing is done where <paramref name="availableBytes"/> would not do. An engine that keeps nothing of what is deleted has nothing to do.
    /// </summary>
    /// <returns>False where it has not been done for lack of space.</returns>
    bool Reclaim(KvTable table, long availableBytes) => true;

    /// <summary>Bytes on disk of tables and log, and memory in use by the engine, for statfs and the memory budget.</summary>
    KvUsage Usage { get; }
}

/// <summary>A moment of an <see cref="IKvStore"/>.</summary>
public interface IKvSnapshot : IDisposable;

/// <summary>A cursor; positioned on the first pair after the first <see cref="Next"/>. One thread at a time.</summary>
public interface IKvIterator : IDisposable
{
    bool Next();

    /// <summary>Valid until the next call of <see cref="Next"/>.</summary>
    ReadOnlySpan<byte> Key { get; }

    /// <summary>Valid until the next call of <see cref="Next"/>.</summary>
    ReadOnlySpan<byte> Value { get; }
}

/// <summary>What the engine holds, in bytes.</summary>
public readonly record struct KvUsage(long DiskBytes, long MemoryBytes);

/// <summary>The engine could not write, flush or read its files; the message holds its evidence and names the file where it can.</summary>
public sealed class KvFailedException(string message, Exception? inner = null) : Exception(message, inner);
