using System.Numerics;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

public sealed partial class BlockStore
{
    /// <summary>Segments cut in one batch: up to 256 chunks, each a change or two where the file was written at random. Other writers wait for a batch, some half a millisecond.</summary>
    private const int SegmentsPerCut = 8;

    /// <summary>No block has this number: a file would have to be 16 PiB long.</summary>
    private const uint NoBlock = uint.MaxValue;

    public FsStatus Punch(BlockId block, int offset, int lengthBytes, out long allocatedDelta)
    {
        allocatedDelta = 0;
        CheckRange(offset, lengthBytes);
        if (IsStopped)
            return FsStatus.Stopped;
        if (lengthBytes == 0)
            return FsStatus.Ok;

        int first = offset / Limits.SegmentSizeBytes;
        int last = (offset + lengthBytes - 1) / Limits.SegmentSizeBytes;
        uint segments = (uint)((1UL << (last + 1)) - (1UL << first));
        return Cut(block, segments, offset, offset + lengthBytes, lowersEnd: false, ref allocatedDelta);
    }

    public FsStatus Truncate(InodeId inode, ulong fileOffset, out long allocatedDelta)
    {
        allocatedDelta = 0;
        return CutBlocks(inode, fileOffset, int.MaxValue, ref allocatedDelta, out _);
    }

    public FsStatus Purge(InodeId inode, ref uint fromBlock, int maxBlocks, out bool isDone)
    {
        long delta = 0;
        FsStatus status = CutBlocks(inode, (ulong)fromBlock * Limits.BlockSizeBytes, maxBlocks, ref delta, out uint next);
        isDone = status == FsStatus.Ok && next == NoBlock;
        fromBlock = next == NoBlock ? fromBlock : next;
        return status;
    }

    /// <summary>
    /// Cuts block by block, in batches of their own: restartable, and no lock or batch grows with the file. <paramref name="next"/> is the block to go on with.
    /// </summary>
    private FsStatus CutBlocks(InodeId inode, ulong fileOffset, int maxBlocks, ref long allocatedDelta, out uint next)
    {
        next = NoBlock;
        if (IsStopped)
            return FsStatus.Stopped;
        if (fileOffset >= Limits.MaxFileSizeBytes)
            return FsStatus.Ok;

        try
        {
            SegmentKey from = SegmentKey.Containing(inode, fileOffset);
            using IKvIterator rows = IterateSegments(from);
            uint block = from.Block;
            uint segments = 0;
            while (rows.Next())
            {
                if (!SegmentKey.TryDecode(rows.Key, out SegmentKey key))
                    return BadKey(rows.Key);
                if (key.Block != block)
                {
                    if (segments != 0)
                    {
                        FsStatus status = CutFrom(inode, block, segments, fileOffset, ref allocatedDelta);
                        if (status != FsStatus.Ok || --maxBlocks == 0)
                        {
                            next = status == FsStatus.Ok ? key.Block : block;
                            return status;
                        }
                    }

                    (block, segments) = (key.Block, 0);
                }

                segments |= 1u << key.Segment;
            }

            return CutFrom(inode, block, segments, fileOffset, ref allocatedDelta);
        }
        catch (KvFailedException e)
        {
            return Stop(e.Message);
        }
    }

    private FsStatus CutFrom(InodeId inode, uint block, uint segments, ulong fileOffset, ref long allocatedDelta)
    {
        ulong start = (ulong)block * Limits.BlockSizeBytes;
        int from = fileOffset > start ? (int)(fileOffset - start) : 0;
        FsStatus status = FsStatus.Ok;
        for (uint part = (1u << SegmentsPerCut) - 1; part != 0 && status == FsStatus.Ok; part <<= SegmentsPerCut)
        {
            if ((segments & part) != 0)
                status = Cut(new BlockId(inode, block), segments & part, from, Limits.BlockSizeBytes, lowersEnd: true, ref allocatedDelta);
        }

        return status;
    }

    /// <summary>Makes bytes [from, to) of the block read as zeros in those segments (one bit each); with <paramref name="lowersEnd"/> nothing was ever written there.</summary>
    private FsStatus Cut(BlockId block, uint segments, int from, int to, bool lowersEnd, ref long allocatedDelta)
    {
        BlockChange change = BlockChange.Rent();
        StripeLock stripe = _stripes.For(block);
        stripe.EnterExclusive();
        try
        {
            for (; segments != 0; segments &= segments - 1)
            {
                var key = new SegmentKey(block, BitOperations.TrailingZeroCount(segments));
                FsStatus status = Load(key, out SegmentMap map);
                if (status != FsStatus.Ok)
                    return status;
                if (map.IsEmpty)
                    continue;

                int start = key.Segment * Limits.SegmentSizeBytes;
                status = CutSegment(
                    change, ref change.Add(key, map), Math.Max(from - start, 0), Math.Min(to - start, Limits.SegmentSizeBytes), lowersEnd);
                if (status != FsStatus.Ok)
                    return status;
            }

            allocatedDelta += (long)_index.Commit(change) * Limits.ChunkSizeBytes;
            return FsStatus.Ok;
        }
        catch (Exception e) when (IsExpected(e))
        {
            return Handle(e);
        }
        finally
        {
            stripe.ExitExclusive();
            change.Return();
        }
    }

    private FsStatus CutSegment(BlockChange change, ref SegmentChange segment, int from, int to, bool lowersEnd)
    {
        for (int chunk = from / Limits.ChunkSizeBytes; chunk * Limits.ChunkSizeBytes < to; chunk++)
        {
            if (segment.Old.Locations[chunk].IsHole)
                continue;

            int start = chunk * Limits.ChunkSizeBytes;
            int cutFrom = Math.Max(from - start, 0);
            int cutTo = Math.Min(to - start, Limits.ChunkSizeBytes);
            if (cutFrom == 0 && cutTo == Limits.ChunkSizeBytes)
            {
                segment.New.SetHole(chunk);
                continue;
            }

            // Behind the end all is zero already.
            if (start + cutFrom >= segment.Old.End)
                continue;

            FsStatus status = _reader.ReadChunk(segment.Key, segment.Old, chunk, change.Scratch);
            if (status != FsStatus.Ok)
                return status;

            change.Scratch.AsSpan(cutFrom, cutTo - cutFrom).Clear();
            change.PutInline(ref segment, chunk, change.Scratch);
            segment.Severed |= 1u << chunk;
        }

        if (lowersEnd)
            segment.New.End = Math.Min(segment.New.End, from);
        return FsStatus.Ok;
    }

    /// <summary>All rows of an inode from a segment on.</summary>
    private IKvIterator IterateSegments(in SegmentKey from, IKvSnapshot? snapshot = null)
    {
        Span<byte> lower = stackalloc byte[SegmentKey.SizeBytes];
        Span<byte> upper = stackalloc byte[SegmentKey.SizeBytes];
        from.Encode(lower);

        // The first key of the next inode; none behind the last one.
        ReadOnlySpan<byte> end = from.Inode == ulong.MaxValue ? [] : new SegmentKey(from.Inode + 1, 0, 0).Encode(upper);
        return _kv.Iterate(KvTable.Segments, lower, end, snapshot);
    }

    private FsStatus BadKey(ReadOnlySpan<byte> key)
    {
        Faults.Add(default, 0, "", 0, $"an index key is damaged: {Convert.ToHexString(key)}");
        return FsStatus.IoError;
    }
}
