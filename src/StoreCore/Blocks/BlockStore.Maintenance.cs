using StoreCore.Disk;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>What a step of background work has done, in bytes, and whether there is more to do at once.</summary>
public readonly record struct MaintenanceReport(long MovedBytes, long PunchedBytes, bool HasMore);

public sealed partial class BlockStore
{
    private const int PunchRuns = 1024;

    private readonly Lock _maintenanceLock = new();
    private byte[]? _moveBuffer;
    private ChunkRun[]? _punchRuns;
    private long _reclaimedInlineBytes;
    private bool _sweeping;
    private SegmentKey _sweepNext;

    /// <summary>
    /// A step of background work: gives freed space back to the disk, then moves cold inline and scattered chunks into runs, at most
    /// <paramref name="budgetBytes"/> of them. Deterministic; the caller throttles by how often and with how much it calls. One caller at a time, others wait.
    /// </summary>
    public FsStatus RunMaintenance(long budgetBytes, out MaintenanceReport report)
    {
        report = default;
        if (IsStopped)
            return FsStatus.Stopped;

        try
        {
            lock (_maintenanceLock)
                return MaintainUnderLock(budgetBytes, ref report);
        }
        catch (Exception e) when (IsExpected(e))
        {
            return Handle(e);
        }
    }

    private FsStatus MaintainUnderLock(long budgetBytes, ref MaintenanceReport report)
    {
        // What a window holds in memory is bounded by flushing it, where nobody else does.
        if (_index.OpenSegments > _options.MaxWindowSegments && Sync() == FsStatus.Stopped)
            return FsStatus.Stopped;

        _guard.EngineMemoryBytes = _kv.Usage.MemoryBytes;
        ReclaimInline(waits: true);
        bool gives = _allocator.StaleChunks * Limits.ChunkSizeBytes > _options.StaleLimitBytes
            || _clock.GetElapsedTime(_allocator.ReleasedAt) >= _options.PunchAfter;
        long punched = gives ? PunchStale(PunchRuns) : 0;
        report = new MaintenanceReport(0, punched, punched > 0);
        while (report.MovedBytes < budgetBytes && _settleQueue.TryTake(out SegmentKey key))
        {
            FsStatus status = Settle(key, out long movedBytes);
            if (status is FsStatus.Stopped or FsStatus.NoSpace)
                return status;
            report = report with { MovedBytes = report.MovedBytes + movedBytes, HasMore = true };
        }

        if (report.MovedBytes < budgetBytes && Sweep(budgetBytes - report.MovedBytes))
            report = report with { HasMore = true };

        bool runsLow = _volumes.All.Length > 0 && _allocator.FreeChunks < _options.ChunksPerVolume / 4;
        if (runsLow && _guard.Space.AvailableBytes > Limits.BlockSizeBytes)
            _volumes.Prepare();
        return FsStatus.Ok;
    }

    /// <summary>
    /// Where inline data has been deleted and space is short, the engine is made to give it back. <paramref name="waits"/>: also where that takes long, for the table is large.
    /// </summary>
    private void ReclaimInline(bool waits)
    {
        const long WorthwhileBytes = 1 << 20, QuickBytes = 1L << 30;
        lock (_maintenanceLock)
        {
            long deleted = _index.DeletedInlineBytes - _reclaimedInlineBytes;
            if (deleted < WorthwhileBytes || deleted / 4 < _guard.Space.AvailableBytes || (!waits && _kv.Usage.DiskBytes > QuickBytes))
                return;

            if (_kv.Reclaim(KvTable.InlineData, _guard.DiskAvailableBytes))
                _reclaimedInlineBytes += deleted;
            _guard.Distrust();
        }
    }

    /// <summary>Punches at most so many runs of free space; returns the bytes given back.</summary>
    private long PunchStale(int maxRuns)
    {
        long punched = 0;
        lock (_maintenanceLock)
        {
            ChunkRun[] runs = _punchRuns ??= new ChunkRun[PunchRuns];
            while (maxRuns > 0)
            {
                int count = _allocator.TakeStale(runs, Math.Min(maxRuns, PunchRuns));
                if (count == 0)
                    break;

                maxRuns -= count;
                int done = 0;
                try
                {
                    for (; done < count; done++)
                    {
                        ChunkRun run = runs[done];
                        _volumes[run.First.Volume].File.PunchHole(run.First.Offset, (long)run.Count * Limits.ChunkSizeBytes);
                        punched += (long)run.Count * Limits.ChunkSizeBytes;
                    }
                }
                catch (DiskException e)
                {
                    // The space stays usable, it only is not given back; the next start tries again.
                    Faults.Add(default, 0, _volumes[runs[done].First.Volume].Name, runs[done].First.Offset, e.Message);
                    maxRuns = 0;
                }
                finally
                {
                    for (int i = 0; i < count; i++)
                        _allocator.Release(runs[i], stale: false);
                }
            }
        }

        return punched;
    }

    /// <summary>Walks the index for what the queue could not hold or what an earlier run left. Returns whether there is more to walk.</summary>
    private bool Sweep(long budgetBytes)
    {
        const int RowsPerStep = 4096;
        if (!_sweeping)
        {
            if (!_settleQueue.TakeOverflow())
                return false;
            (_sweeping, _sweepNext) = (true, default);
        }

        Span<byte> lower = stackalloc byte[SegmentKey.SizeBytes];
        using IKvIterator rows = _kv.Iterate(KvTable.Segments, _sweepNext.Encode(lower), []);
        for (int i = 0; rows.Next(); i++)
        {
            if (!SegmentKey.TryDecode(rows.Key, out SegmentKey key))
                continue; // for fsck to tell
            if (i >= RowsPerStep || budgetBytes <= 0)
            {
                _sweepNext = key;
                return true;
            }

            // What is hot meanwhile is found by the queue when it has cooled down.
            if (SegmentCodec.TryDecode(rows.Value, out SegmentMap map) && _settleQueue.Wants(key, map))
            {
                _settleQueue.Note(key, map);
                budgetBytes -= (long)map.MappedChunks * Limits.ChunkSizeBytes;
            }
        }

        _sweeping = false;
        return false;
    }

    /// <summary>Rewrites what is inline or scattered in a segment into one run. Gives up where the segment changes meanwhile: then it is not cold.</summary>
    private FsStatus Settle(SegmentKey key, out long movedBytes)
    {
        movedBytes = 0;
        byte[] data = _moveBuffer ??= GC.AllocateUninitializedArray<byte>(Limits.SegmentSizeBytes);
        StripeLock stripe = _stripes.For(key.BlockId);
        stripe.EnterShared();
        long version;
        SegmentMap map;
        uint moving;
        try
        {
            FsStatus status = Load(key, out map);
            if (status != FsStatus.Ok)
                return status;
            if (!_settleQueue.Wants(key, map))
                return FsStatus.Ok;

            version = stripe.Version;
            moving = ChunksToMove(map);
            for (int chunk = 0, at = 0; chunk < Limits.ChunksPerSegment; chunk++)
            {
                if ((moving & 1u << chunk) == 0)
                    continue;

                // A bad chunk keeps the segment as it is: nothing is gained by moving what cannot be read.
                status = _reader.ReadChunk(key, map, chunk, data.AsSpan(at));
                if (status != FsStatus.Ok)
                    return status;
                at += Limits.ChunkSizeBytes;
            }
        }
        finally
        {
            stripe.ExitShared();
        }

        int count = System.Numerics.BitOperations.PopCount(moving);
        BlockChange change = BlockChange.Rent();
        try
        {
            // Not admitted against the reserve: what is moved is freed elsewhere.
            FsStatus status = WriteFresh(change, data.AsSpan(0, count * Limits.ChunkSizeBytes));
            if (status != FsStatus.Ok)
                return status;

            // On a full disk fresh space may be as scattered as the old.
            if (!map.HasInline && change.TakenRuns > map.CountPieces() / 2)
            {
                ReleaseTaken(change);
                return FsStatus.Ok;
            }

            stripe.EnterExclusive();
            try
            {
                // The lock itself has counted once for this holder.
                if (stripe.Version != version + 1)
                {
                    ReleaseTaken(change);
                    _settleQueue.Note(key, map);
                    return FsStatus.Ok;
                }

                ref SegmentChange segment = ref change.Add(key, map);
                var taken = new TakenCursor(change);
                for (uint rest = moving; rest != 0; rest &= rest - 1)
                {
                    taken.TryNext(out ChunkLocation location, out uint checksum);
                    segment.New.Set(System.Numerics.BitOperations.TrailingZeroCount(rest), location, checksum);
                }

                _index.Commit(change);
                movedBytes = (long)count * Limits.ChunkSizeBytes;
            }
            finally
            {
                stripe.ExitExclusive();
            }

            return FsStatus.Ok;
        }
        finally
        {
            change.Return();
        }
    }

    /// <summary>All chunks of a segment in many pieces; otherwise only those inline.</summary>
    private uint ChunksToMove(in SegmentMap map)
    {
        bool all = map.CountPieces() >= _options.DefragmentRuns;
        uint moving = 0;
        for (int chunk = 0; chunk < Limits.ChunksPerSegment; chunk++)
        {
            ChunkLocation location = map.Locations[chunk];
            if (location.IsInline || (all && location.IsVolume))
                moving |= 1u << chunk;
        }

        return moving;
    }
}
