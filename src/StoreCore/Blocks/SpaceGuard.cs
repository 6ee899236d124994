using StoreCore.Disk;

namespace StoreCore.Blocks;

/// <summary>
/// Says whether new data may be written. The disk is asked at most once in <see cref="BlockStoreOptions.SpaceRefresh"/> while there is plenty; in between
/// every write is taken off what was known. Any thread may call any member.
/// </summary>
internal sealed class SpaceGuard(IDisk disk, BlockIndex index, SpaceAllocator allocator, BlockStoreOptions options, TimeProvider clock)
{
    private long _headroom;
    private long _engineMemory;
    private long _inlineSince;
    private long _refreshAt;

    public BlockSpace Space
    {
        get
        {
            DiskSpace space = disk.Space;
            long used = index.UsedChunks * Limits.ChunkSizeBytes;
            long reusable = (index.PendingChunks + allocator.StaleChunks) * Limits.ChunkSizeBytes;
            return new BlockSpace(Total(space), used, Math.Max(0, Available(space, used, reusable)));
        }
    }

    /// <summary>
    /// True where so many bytes may be written; they are then counted as written. <paramref name="inline"/>: to the key-value store, whose log takes them now and whose tables
    /// take them again later.
    /// </summary>
    /// <exception cref="DiskException">The disk could not be asked.</exception>
    public bool TryAdmit(long sizeBytes, bool inline)
    {
        if (inline)
            Interlocked.Add(ref _inlineSince, sizeBytes);
        if (clock.GetTimestamp() < Volatile.Read(ref _refreshAt) && Interlocked.Add(ref _headroom, -sizeBytes) >= 0)
            return true;

        Refresh();
        if (Interlocked.Add(ref _headroom, -sizeBytes) >= 0)
            return true;

        Interlocked.Add(ref _headroom, sizeBytes);
        return false;
    }

    /// <summary>The disk was full in spite of all: ask it again before the next write.</summary>
    public void Distrust() => Volatile.Write(ref _refreshAt, long.MinValue);

    private void Refresh()
    {
        long now = clock.GetTimestamp();
        Interlocked.Exchange(ref _headroom, Available(disk.Space, index.UsedChunks * Limits.ChunkSizeBytes, reusable: 0));
        Volatile.Write(ref _refreshAt, now + (long)(options.SpaceRefresh.TotalSeconds * clock.TimestampFrequency));
    }

    /// <summary>What the key-value store holds in memory: it will need as much of the disk to write it out. Asking it is too dear for every refresh.</summary>
    public long EngineMemoryBytes
    {
        set
        {
            Volatile.Write(ref _engineMemory, value);
            Interlocked.Exchange(ref _inlineSince, 0);
        }
    }

    /// <summary>What the disk has for everybody, the reserve included.</summary>
    public long DiskAvailableBytes => disk.Space.AvailableBytes;

    private long Total(DiskSpace space) => Math.Min(options.CapacityLimitBytes, space.TotalBytes);

    /// <param name="space">The disk.</param>
    /// <param name="used">Bytes that the index points to.</param>
    /// <param name="reusable">Bytes that take disk space now, but will be free after a flush and a punch.</param>
    private long Available(DiskSpace space, long used, long reusable)
    {
        long onDisk = space.AvailableBytes > long.MaxValue - reusable ? long.MaxValue : space.AvailableBytes + reusable;
        return Math.Min(onDisk, Total(space) - used) - Reserve(space);
    }

    private long Reserve(DiskSpace space)
    {
        long total = Total(space);
        long cap = total / 1000 * options.ReserveCapPerMille;
        long engine = Volatile.Read(ref _engineMemory) + Interlocked.Read(ref _inlineSince);
        return Math.Min(Math.Max(options.ReserveBytes, total / 1000 * options.ReservePerMille), cap) + Math.Min(engine, total / 4);
    }
}
