namespace StoreCore.Blocks;

/// <summary>Every number of the block store that can be chosen, with its unit and the reason for its default.</summary>
public sealed record BlockStoreOptions
{
    /// <summary>Identity of the store; stands in every volume's header, so that a volume of another store is refused.</summary>
    public required Guid StoreId { get; init; }

    /// <summary>Size of a volume file. Files are sparse: the size bounds what one bad file can take along and how long one fdatasync holds others up.</summary>
    public long VolumeSizeBytes { get; init; } = 1L << 30;

    /// <summary>Largest use of the disk by block data, in bytes; by default all of it.</summary>
    public long CapacityLimitBytes { get; init; } = long.MaxValue;

    /// <summary>Writes up to this size whose flush will follow at once go into the shared log: one flush instead of two.</summary>
    public int InlineSyncThresholdBytes { get; init; } = 64 * 1024;

    /// <summary>Writes from this size on count as a stream whose data the disk may begin with before a flush asks for it (<see cref="WriteBehind"/>).</summary>
    public int WriteBehindLeastBytes { get; init; } = 256 * 1024;

    /// <summary>So much of a stream is given to the disk at once: several requests of the largest size that disks take.</summary>
    public int WriteBehindStepBytes { get; init; } = 4 << 20;

    /// <summary>
    /// Space that writes may not touch, so that deletes, metadata and recovery still work on a full disk: the larger of this and
    /// <see cref="ReservePerMille"/> of the disk, but at most <see cref="ReserveCapPerMille"/> of it (tiny disks).
    /// </summary>
    public long ReserveBytes { get; init; } = 64L << 20;

    public int ReservePerMille { get; init; } = 10;

    public int ReserveCapPerMille { get; init; } = 50;

    /// <summary>How old the known free space of the disk may be: others use the disk as well.</summary>
    public TimeSpan SpaceRefresh { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Memory for decoded index rows (some 420 bytes for 128 KiB of data).</summary>
    public long MapCacheBytes { get; init; } = 64L << 20;

    /// <summary>Locks over blocks. More stripes mean fewer chance collisions; each costs some 60 bytes.</summary>
    public int LockStripes { get; init; } = 1024;

    /// <summary>
    /// Freed space stays with its volume for so long after the last freeing, to be written again: the host file system then has neither to free nor to allocate. Above
    /// <see cref="StaleLimitBytes"/> it is given back at once, and on a full disk when a writer needs it.
    /// </summary>
    public TimeSpan PunchAfter { get; init; } = TimeSpan.FromSeconds(10);

    public long StaleLimitBytes { get; init; } = 1L << 30;

    /// <summary>How long a segment must not have been written before background work moves its inline or scattered chunks.</summary>
    public TimeSpan ColdAfter { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>A segment in at least this many runs is rewritten into one: at some 20 µs a seek-free read call, 8 runs double the cost of reading 128 KiB.</summary>
    public int DefragmentRuns { get; init; } = 8;

    /// <summary>Segments waiting for background work that are remembered (some 50 bytes each); what does not fit is found by the next sweep.</summary>
    public int MaxWaitingSegments { get; init; } = 256 * 1024;

    /// <summary>Background work flushes by itself when more segments than this (8 GiB of data) have changed since the last flush: each costs some 50 bytes until then.</summary>
    public int MaxWindowSegments { get; init; } = 64 * 1024;

    /// <summary>
    /// Change rows of the space table after which they are folded into the rows of their groups (<see cref="SpaceLog"/>): a start reads some 100 KiB of them at most, and the groups of so many
    /// commits are written in a millisecond or two.
    /// </summary>
    public int SpaceFoldRows { get; init; } = 1024;

    /// <summary>Groups that one step of such a fold writes: commits wait for a step.</summary>
    public int SpaceFoldStepGroups { get; init; } = 256;

    /// <summary>Faults that are remembered one by one; beyond this they are only counted.</summary>
    public int MaxRememberedFaults { get; init; } = 256;

    /// <summary>
    /// Accept missing volumes and ones with a damaged header or a cut end instead of refusing to open: headers are written anew and what is gone is a hole, so that
    /// only the chunks that were lost answer with an error. For offline repair only.
    /// </summary>
    public bool RepairVolumes { get; init; }

    internal int ChunksPerVolume => checked((int)(VolumeSizeBytes / Limits.ChunkSizeBytes));

    internal void Validate()
    {
        const long GroupBytes = (long)Volume.ChunksPerGroup * Limits.ChunkSizeBytes;
        ArgumentOutOfRangeException.ThrowIfLessThan(VolumeSizeBytes, GroupBytes);
        ArgumentOutOfRangeException.ThrowIfNotEqual(VolumeSizeBytes % GroupBytes, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(VolumeSizeBytes, 1L << 40);
        ArgumentOutOfRangeException.ThrowIfNegative(InlineSyncThresholdBytes);
        ArgumentOutOfRangeException.ThrowIfLessThan(LockStripes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(DefragmentRuns, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(SpaceFoldRows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(SpaceFoldStepGroups, 1);
    }
}

/// <summary>The store cannot be opened as it is; the message names the file and says how to mend it.</summary>
public sealed class BlockStoreException(string message, Exception? inner = null) : Exception(message, inner);
