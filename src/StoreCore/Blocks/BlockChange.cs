using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>A segment before and after a change.</summary>
internal struct SegmentChange
{
    public SegmentKey Key;
    public SegmentMap Old;
    public SegmentMap New;

    /// <summary>
    /// Chunks that were punched or cut, in whole or in part: what they were before must not come back by way of an undo row, since a later write could
    /// make bytes visible that the cut has promised to be zero.
    /// </summary>
    public uint Severed;
}

/// <summary>
/// One atomic change of one block while it is put together: the new maps, the inline data (already in the batch) and the space taken for it. One
/// to a thread, reused, so that a write allocates nothing. Used under the block's exclusive stripe, except for the taking and filling of fresh space.
/// </summary>
internal sealed class BlockChange
{
    [ThreadStatic]
    private static BlockChange? t_cached;

    private readonly SegmentChange[] _segments = new SegmentChange[Limits.SegmentsPerBlock];
    private bool _inUse;

    public KvBatch Batch { get; } = new();

    /// <summary>For chunks that are put together or checked: one to work on, one for what was there.</summary>
    public byte[] Scratch { get; } = new byte[Limits.ChunkSizeBytes];

    /// <summary>Space that was taken for this change and that nothing points to before the commit.</summary>
    public ChunkRun[] Taken { get; } = new ChunkRun[Limits.ChunksPerBlock];

    public int TakenRuns { get; set; }

    public uint[] TakenChecksums { get; } = new uint[Limits.ChunksPerBlock];

    public int Count { get; private set; }

    public Span<SegmentChange> Segments => _segments.AsSpan(0, Count);

    public static BlockChange Rent()
    {
        BlockChange change = t_cached ??= new BlockChange();
        if (change._inUse)
            throw new InvalidOperationException("a change of a block within a change of a block");

        change._inUse = true;
        change.Count = 0;
        change.TakenRuns = 0;
        change.Batch.Clear();
        return change;
    }

    public void Return() => _inUse = false;

    /// <summary>Adds a segment with its present map, to be changed in <see cref="SegmentChange.New"/>.</summary>
    public ref SegmentChange Add(in SegmentKey key, in SegmentMap present)
    {
        ref SegmentChange segment = ref _segments[Count++];
        segment.Key = key;
        segment.Old = present;
        segment.New = present;
        segment.Severed = 0;
        return ref segment;
    }

    /// <summary>Puts the data of a whole chunk into the key-value store, without its trailing zeros.</summary>
    public void PutInline(ref SegmentChange segment, int chunk, ReadOnlySpan<byte> data, uint checksum)
    {
        Span<byte> key = stackalloc byte[SegmentKey.InlineSizeBytes];
        Batch.Put(KvTable.InlineData, segment.Key.EncodeInline(key, chunk), data[..(data.LastIndexOfAnyExcept((byte)0) + 1)]);
        segment.New.Set(chunk, ChunkLocation.Inline, checksum);
    }

    public void PutInline(ref SegmentChange segment, int chunk, ReadOnlySpan<byte> data) =>
        PutInline(ref segment, chunk, data, Crc32C.Compute(data));
}
