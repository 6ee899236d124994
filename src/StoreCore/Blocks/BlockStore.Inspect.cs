using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>Where a scrub goes on: plain numbers, so that it can be kept over a restart. The default is the start.</summary>
public readonly record struct ScrubCursor(ulong Inode, uint Block, byte Segment);

/// <summary>What a step of a scrub has read and found, and where the next one starts; <see cref="Done"/> when all was read.</summary>
public readonly record struct ScrubStep(ScrubCursor Next, long VerifiedBytes, long BadChunks, bool Done);

public enum BlockExtentKind
{
    /// <summary>In the key-value store.</summary>
    Inline,

    /// <summary>In a volume file.</summary>
    Volume,

    /// <summary>Gone, as a repair found: reads answer with an error.</summary>
    Lost,
}

/// <summary>A part of a file and where it lies. <see cref="BadChunks"/> counts chunks that do not read right; -1 where nobody looked.</summary>
public sealed record BlockExtent(ulong FileOffset, long LengthBytes, BlockExtentKind Kind, string Volume, long VolumeOffset, int BadChunks);

public sealed partial class BlockStore
{
    /// <summary>
    /// Verifies that index, inline data and space agree, both ways, as of one moment; the store may serve meanwhile. <paramref name="onInode"/> gets every inode
    /// that has blocks, in ascending order, for the comparison with the metadata.
    /// </summary>
    /// <exception cref="KvFailedException">The key-value store failed.</exception>
    public BlockCheckReport Check(Action<InodeUsage>? onInode = null, int maxProblems = 1000) =>
        new BlockChecker(_kv, _volumes, _reader, repair: false, maxProblems).Run(onInode);

    /// <summary>
    /// As <see cref="Check"/>, and sets right what disagrees: space bitmaps follow the rows, orphaned inline data goes, chunks whose data is gone answer with an
    /// error from then on. No other call may be running, also none from <paramref name="onInode"/> that changes something.
    /// </summary>
    /// <exception cref="KvFailedException">The key-value store failed.</exception>
    public BlockCheckReport Repair(Action<InodeUsage>? onInode = null, int maxProblems = 1000)
    {
        // Change rows of the space table would hide the rows that the repair writes.
        _index.FoldSpace(all: true);
        BlockCheckReport report = new BlockChecker(_kv, _volumes, _reader, repair: true, maxProblems).Run(onInode);
        _kv.Sync();
        _allocator.Reset();
        _index.Reset();
        return report;
    }

    /// <summary>
    /// Reads and verifies up to <paramref name="budgetBytes"/> of what is stored, in file order from a cursor on. Bad chunks are counted here and named in <see cref="Faults"/>. The
    /// store serves meanwhile; the caller throttles by how often it calls. What is written behind the cursor is seen by the next scrub.
    /// </summary>
    public FsStatus Scrub(ScrubCursor from, long budgetBytes, out ScrubStep step)
    {
        step = new ScrubStep(from, 0, 0, false);
        if (IsStopped)
            return FsStatus.Stopped;

        try
        {
            Span<byte> lower = stackalloc byte[SegmentKey.SizeBytes];
            using IKvIterator rows = _kv.Iterate(KvTable.Segments, new SegmentKey(from.Inode, from.Block, from.Segment).Encode(lower), []);
            byte[] data = new byte[Limits.SegmentSizeBytes];
            while (rows.Next())
            {
                if (!SegmentKey.TryDecode(rows.Key, out SegmentKey key))
                {
                    BadKey(rows.Key);
                    step = step with { BadChunks = step.BadChunks + 1 };
                    continue;
                }

                if (step.VerifiedBytes >= budgetBytes)
                {
                    step = step with { Next = new ScrubCursor(key.Inode, key.Block, key.Segment) };
                    return FsStatus.Ok;
                }

                (int mapped, int bad) = ScrubSegment(key, data);
                step = step with { VerifiedBytes = step.VerifiedBytes + (long)mapped * Limits.ChunkSizeBytes, BadChunks = step.BadChunks + bad };
            }

            step = step with { Done = true, Next = default };
            return FsStatus.Ok;
        }
        catch (KvFailedException e)
        {
            return Stop(e.Message);
        }
    }

    /// <summary>
    /// Where the blocks of an inode lie, in file order; with <paramref name="verify"/> every chunk is read and verified. For operators: work and memory are proportional
    /// to the number of pieces.
    /// </summary>
    public FsStatus Describe(InodeId inode, bool verify, out IReadOnlyList<BlockExtent> extents)
    {
        var found = new List<BlockExtent>();
        extents = found;
        if (IsStopped)
            return FsStatus.Stopped;

        try
        {
            byte[] data = new byte[Limits.ChunkSizeBytes];
            using IKvIterator rows = IterateSegments(new SegmentKey(inode.Value, 0, 0));
            while (rows.Next())
            {
                if (!SegmentKey.TryDecode(rows.Key, out SegmentKey key))
                    return BadKey(rows.Key);

                FsStatus status = DescribeSegment(key, verify ? data : null, found);
                if (status != FsStatus.Ok)
                    return status;
            }

            return FsStatus.Ok;
        }
        catch (KvFailedException e)
        {
            return Stop(e.Message);
        }
    }

    private FsStatus DescribeSegment(in SegmentKey key, byte[]? data, List<BlockExtent> found)
    {
        StripeLock stripe = _stripes.For(key.BlockId);
        stripe.EnterShared();
        try
        {
            FsStatus status = Load(key, out SegmentMap map);
            if (status != FsStatus.Ok)
                return status;

            for (int chunk = 0; chunk < Limits.ChunksPerSegment;)
            {
                ChunkLocation location = map.Locations[chunk];
                int run = map.RunLength(chunk, Limits.ChunksPerSegment);
                if (!location.IsHole)
                {
                    BlockExtentKind kind = location.IsVolume ? BlockExtentKind.Volume : location.IsInline ? BlockExtentKind.Inline : BlockExtentKind.Lost;
                    Append(found, new BlockExtent(
                        key.FileOffset + (ulong)chunk * Limits.ChunkSizeBytes,
                        (long)run * Limits.ChunkSizeBytes,
                        kind,
                        location.IsVolume ? Volume.NameOf(location.Volume) : "",
                        location.IsVolume ? location.Offset : 0,
                        data is null ? -1 : CountBad(key, map, chunk, run, data)));
                }

                chunk += run;
            }

            return FsStatus.Ok;
        }
        finally
        {
            stripe.ExitShared();
        }
    }

    /// <summary>Joins what goes on where the last extent ended, in the file and in its place.</summary>
    private static void Append(List<BlockExtent> extents, BlockExtent next)
    {
        if (extents.Count > 0 && extents[^1] is { } last
            && last.Kind == next.Kind
            && last.Volume == next.Volume
            && last.FileOffset + (ulong)last.LengthBytes == next.FileOffset
            && (next.Kind != BlockExtentKind.Volume || last.VolumeOffset + last.LengthBytes == next.VolumeOffset))
        {
            extents[^1] = last with { LengthBytes = last.LengthBytes + next.LengthBytes, BadChunks = Math.Max(-1, last.BadChunks + Math.Max(next.BadChunks, 0)) };
        }
        else
        {
            extents.Add(next);
        }
    }

    private (int Mapped, int Bad) ScrubSegment(in SegmentKey key, byte[] data)
    {
        StripeLock stripe = _stripes.For(key.BlockId);
        stripe.EnterShared();
        try
        {
            if (Load(key, out SegmentMap map) != FsStatus.Ok)
                return (0, 1);

            int mapped = map.MappedChunks;
            if (mapped == 0)
                return (0, 0);

            // All at once, and one by one only where something is wrong: to name every bad chunk, not the first of each run.
            FsStatus status = _reader.Read(key, map, 0, data, data);
            return (mapped, status == FsStatus.Ok ? 0 : CountBad(key, map, 0, Limits.ChunksPerSegment, data));
        }
        finally
        {
            stripe.ExitShared();
        }
    }

    private int CountBad(in SegmentKey key, in SegmentMap map, int chunk, int count, byte[] data)
    {
        int bad = 0;
        for (int i = 0; i < count; i++)
            bad += _reader.ReadChunk(key, map, chunk + i, data) == FsStatus.Ok ? 0 : 1;
        return bad;
    }
}
