using StoreCore.Disk;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

public sealed partial class BlockStore
{
    public FsStatus Write(BlockId block, int offset, ReadOnlySpan<byte> data, WriteHint hint, out long allocatedDelta)
    {
        allocatedDelta = 0;
        CheckRange(offset, data.Length);
        if (IsStopped)
            return FsStatus.Stopped;
        if (data.IsEmpty)
            return FsStatus.Ok;

        BlockChange change = BlockChange.Rent();
        try
        {
            bool inline = IsForLog(block, offset, data.Length, hint);
            FsStatus status = Admit(data.Length, inline);
            if (status != FsStatus.Ok)
                return status;

            // [firstWhole, endWhole) are the chunks that the data covers; those before and behind are put together from old and new.
            int firstWhole = (offset + Limits.ChunkSizeBytes - 1) / Limits.ChunkSizeBytes;
            int endWhole = (offset + data.Length) / Limits.ChunkSizeBytes;
            if (!inline && endWhole > firstWhole)
            {
                int from = firstWhole * Limits.ChunkSizeBytes - offset;
                status = WriteFresh(change, data.Slice(from, (endWhole - firstWhole) * Limits.ChunkSizeBytes));
                if (status != FsStatus.Ok)
                    return status;
            }

            status = CommitWrite(change, block, offset, data, ref allocatedDelta);
            if (status != FsStatus.Ok)
                ReleaseTaken(change);
            return status;
        }
        catch (Exception e) when (IsExpected(e))
        {
            return Handle(e);
        }
        finally
        {
            change.Return();
        }
    }

    /// <summary>Small data whose flush follows at once, and files of one chunk at most, live in the key-value store.</summary>
    private bool IsForLog(BlockId block, int offset, int lengthBytes, WriteHint hint) =>
        (hint == WriteHint.SyncSoon && lengthBytes <= _options.InlineSyncThresholdBytes)
        || (block.Index == 0 && offset + lengthBytes <= Limits.ChunkSizeBytes);

    /// <summary>Makes sure that there is space; frees what waits for a flush or a punch before it gives up.</summary>
    private FsStatus Admit(int sizeBytes, bool inline)
    {
        // Edges may take a chunk each.
        long needed = sizeBytes + 2L * Limits.ChunkSizeBytes;
        if (_guard.TryAdmit(needed, inline))
            return FsStatus.Ok;
        if (_index.PendingChunks + _allocator.StaleChunks > 0)
        {
            FsStatus status = Sync();
            if (status != FsStatus.Ok)
                return status;
            PunchStale(int.MaxValue);
        }

        ReclaimInline(waits: false);
        return _guard.TryAdmit(needed, inline) ? FsStatus.Ok : FsStatus.NoSpace;
    }

    /// <summary>Puts whole chunks into space that nothing points to: no lock is held.</summary>
    private FsStatus WriteFresh(BlockChange change, ReadOnlySpan<byte> data)
    {
        int count = data.Length / Limits.ChunkSizeBytes;
        change.TakenRuns = _allocator.Take(count, change.Taken);
        if (change.TakenRuns == 0)
            return FsStatus.NoSpace;

        ReadOnlySpan<byte> rest = data;
        foreach (ChunkRun run in change.Taken.AsSpan(0, change.TakenRuns))
        {
            int length = run.Count * Limits.ChunkSizeBytes;
            Volume volume = _volumes[run.First.Volume];
            try
            {
                volume.File.Write(run.First.Offset, rest[..length]);
                if (volume.WriteBehind.Add(run.First.Offset, length, out long start, out long behind))
                    volume.File.StartWriteback(start, behind);
            }
            catch (DiskException e)
            {
                // What the disk refused for another reason than space stays taken until the next start: it would refuse the next one as well.
                if (e.Errno == Libc.ENOSPC)
                    ReleaseTaken(change);
                else
                    Faults.Add(default, 0, volume.Name, run.First.Offset, e.Message);
                throw;
            }

            rest = rest[length..];
        }

        for (int i = 0; i < count; i++)
            change.TakenChecksums[i] = Crc32C.Compute(data.Slice(i * Limits.ChunkSizeBytes, Limits.ChunkSizeBytes));
        return FsStatus.Ok;
    }

    private void ReleaseTaken(BlockChange change)
    {
        foreach (ChunkRun run in change.Taken.AsSpan(0, change.TakenRuns))
            _allocator.Release(run);
        change.TakenRuns = 0;
    }

    private FsStatus CommitWrite(BlockChange change, BlockId block, int offset, ReadOnlySpan<byte> data, ref long allocatedDelta)
    {
        StripeLock stripe = _stripes.For(block);
        stripe.EnterExclusive();
        try
        {
            var taken = new TakenCursor(change);
            while (!data.IsEmpty)
            {
                var key = new SegmentKey(block, offset / Limits.SegmentSizeBytes);
                int within = offset % Limits.SegmentSizeBytes;
                int length = Math.Min(data.Length, Limits.SegmentSizeBytes - within);
                FsStatus status = Load(key, out SegmentMap map);
                if (status != FsStatus.Ok)
                    return status;

                status = WriteSegment(change, ref change.Add(key, map), within, data[..length], ref taken);
                if (status != FsStatus.Ok)
                    return status;

                offset += length;
                data = data[length..];
            }

            allocatedDelta = (long)_index.Commit(change) * Limits.ChunkSizeBytes;
            return FsStatus.Ok;
        }
        finally
        {
            stripe.ExitExclusive();
        }
    }

    private FsStatus WriteSegment(BlockChange change, ref SegmentChange segment, int offset, ReadOnlySpan<byte> data, ref TakenCursor taken)
    {
        int end = offset + data.Length;
        segment.New.End = Math.Max(segment.Old.End, end);
        while (!data.IsEmpty)
        {
            int chunk = offset / Limits.ChunkSizeBytes;
            int within = offset % Limits.ChunkSizeBytes;
            int length = Math.Min(data.Length, Limits.ChunkSizeBytes - within);
            if (length < Limits.ChunkSizeBytes)
            {
                // What lies behind the end is zero: nothing to read where only that would stay.
                bool keepsOld = within > 0 || offset + length < segment.Old.End;
                FsStatus status = keepsOld ? _reader.ReadChunk(segment.Key, segment.Old, chunk, change.Scratch) : FsStatus.Ok;
                if (status != FsStatus.Ok)
                    return status;
                if (!keepsOld)
                    change.Scratch.AsSpan(length).Clear();

                data[..length].CopyTo(change.Scratch.AsSpan(within));
                change.PutInline(ref segment, chunk, change.Scratch);
            }
            else if (taken.TryNext(out ChunkLocation location, out uint checksum))
            {
                segment.New.Set(chunk, location, checksum);
            }
            else
            {
                change.PutInline(ref segment, chunk, data[..length]);
            }

            offset += length;
            data = data[length..];
        }

        return FsStatus.Ok;
    }

    /// <summary>Deals out the chunks taken for a change, in order; none where the data goes inline.</summary>
    private ref struct TakenCursor(BlockChange change)
    {
        private readonly ReadOnlySpan<ChunkRun> _runs = change.Taken.AsSpan(0, change.TakenRuns);
        private readonly ReadOnlySpan<uint> _checksums = change.TakenChecksums;
        private int _run;
        private int _inRun;
        private int _next;

        public bool TryNext(out ChunkLocation location, out uint checksum)
        {
            if (_run == _runs.Length)
            {
                location = default;
                checksum = 0;
                return false;
            }

            location = _runs[_run].First.Plus(_inRun);
            checksum = _checksums[_next++];
            if (++_inRun == _runs[_run].Count)
            {
                _run++;
                _inRun = 0;
            }

            return true;
        }
    }
}
