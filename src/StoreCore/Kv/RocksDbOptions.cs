namespace StoreCore.Kv;

/// <summary>What a <see cref="RocksDbStore"/> may use of the machine. Sizes in bytes.</summary>
public sealed record RocksDbOptions
{
    /// <summary>
    /// Memory of the engine in all: half of it is the block cache that all tables share (index and filter blocks count in it), three
    /// eighths are write buffers, the rest is left for open table readers and for what the engine does not count.
    /// </summary>
    public long MemoryBudgetBytes { get; init; } = 256L << 20;

    /// <summary>Table files held open at most; each costs a descriptor, its index lives in the block cache.</summary>
    public int MaxOpenFiles { get; init; } = 512;

    /// <summary>Threads that flush and compact in the background. Two leave the processor of a small machine to requests, yet a long compaction does not hold up a flush.</summary>
    public int BackgroundJobs { get; init; } = 2;

    /// <summary>Write zeros ahead of the log's end, which makes small flushes cheaper (see <see cref="LogExtender"/>).</summary>
    public bool ExtendLog { get; init; } = true;

    internal long BlockCacheBytes => MemoryBudgetBytes / 2;

    internal long WriteBufferBytes => MemoryBudgetBytes * 3 / 8;

    /// <summary>The log that a restart replays at most: twice the write buffers, some hundred MiB and so a second or two.</summary>
    internal long MaxLogBytes => WriteBufferBytes * 2;
}
