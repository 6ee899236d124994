namespace StoreCore.Blocks;

/// <summary>Consecutive chunks of one volume.</summary>
internal readonly record struct ChunkRun(ChunkLocation First, int Count);

/// <summary>
/// Hands out chunks that nothing on disk points to. Large requests get consecutive chunks where there are any; small ones go one behind the other
/// into a group of their own, so that random writes of a file become sequential on the disk and do not cut up the space of large ones. A chunk taken
/// stays busy until <see cref="Release"/>. Any thread may call any member.
/// </summary>
internal sealed class SpaceAllocator(VolumeSet volumes, TimeProvider clock)
{
    /// <summary>Requests below this share a group with others of their kind.</summary>
    private const int LargeRequestChunks = 16;

    /// <summary>A group for small requests should be at least three quarters free, else a quarter.</summary>
    private static ReadOnlySpan<int> HomeThresholds => [Volume.ChunksPerGroup * 3 / 4, Volume.ChunksPerGroup / 4];

    private readonly Lock _lock = new();
    private (int Volume, int Chunk) _large;
    private (int Volume, int Group) _home = (-1, 0);

    /// <summary>A search of all volumes for this many consecutive chunks failed, and nothing was released since.</summary>
    private int _failedRun = int.MaxValue;
    private long _staleChunks;
    private long _releasedAt;

    /// <summary>Free chunks whose disk space has not been given back yet.</summary>
    public long StaleChunks => Volatile.Read(ref _staleChunks);

    /// <summary>When chunks became stale last, as a timestamp of the clock.</summary>
    public long ReleasedAt => Volatile.Read(ref _releasedAt);

    /// <summary>Chunks that can be taken at once, in all volumes.</summary>
    public long FreeChunks
    {
        get
        {
            lock (_lock)
                return CountFree();
        }
    }

    /// <summary>
    /// Takes <paramref name="count"/> chunks in as few runs as can be had and returns the number of runs; 0 where there is no space (then nothing
    /// is taken). <paramref name="runs"/> needs room for <paramref name="count"/> runs.
    /// </summary>
    /// <exception cref="Disk.DiskException">A new volume file could not be made.</exception>
    public int Take(int count, Span<ChunkRun> runs)
    {
        lock (_lock)
        {
            if (count < LargeRequestChunks ? TakeSmall(count, out ChunkRun run) : TakeLarge(count, out run))
            {
                runs[0] = run;
                return 1;
            }

            return TakePieces(count, runs);
        }
    }

    /// <summary>Gives chunks back for use. <paramref name="stale"/>: something may have been written to them.</summary>
    public void Release(ChunkRun run, bool stale = true)
    {
        lock (_lock)
        {
            Volume volume = volumes[run.First.Volume];
            volume.Release(run.First.Chunk, run.Count);
            if (stale)
            {
                volume.Stale.Set(run.First.Chunk, run.Count);
                _staleChunks += run.Count;
                _releasedAt = clock.GetTimestamp();
                ReuseSoon(run);
            }

            _failedRun = int.MaxValue;
        }
    }

    /// <summary>Goes back to a large piece that was freed: the disk has its blocks allocated already, and the volumes stay small.</summary>
    private void ReuseSoon(ChunkRun run)
    {
        if (run.Count < Volume.ChunksPerGroup)
            return;

        ReadOnlySpan<Volume> all = volumes.All;
        uint at = _large.Volume < all.Length ? all[_large.Volume].Id : uint.MaxValue;
        if (run.First.Volume > at || (run.First.Volume == at && run.First.Chunk >= _large.Chunk))
            return;

        int index = 0;
        while (all[index].Id != run.First.Volume)
            index++;
        _large = (index, run.First.Chunk);
    }

    /// <summary>
    /// Takes free chunks that hold disk space, so that they can be punched: at most <paramref name="maxRuns"/> runs. They are given back with <see cref="Release"/>, not stale.
    /// </summary>
    public int TakeStale(Span<ChunkRun> runs, int maxRuns)
    {
        int found = 0;
        lock (_lock)
        {
            foreach (Volume volume in volumes.All)
            {
                // After a start every free chunk may be stale; afterwards only those marked.
                for (; volume.NextUnknownGroup < volume.Groups && found < maxRuns; volume.NextUnknownGroup++)
                {
                    int first = volume.NextUnknownGroup * Volume.ChunksPerGroup;
                    int end = first + Volume.ChunksPerGroup;
                    if (found > maxRuns - Volume.ChunksPerGroup / 2)
                        return found;

                    for (int at = volume.Busy.Find(false, first, end); at < end; at = volume.Busy.Find(false, at, end))
                    {
                        int stop = volume.Busy.Find(true, at, end);
                        Append(runs, ref found, TakeRun(volume, at, stop - at));
                        at = stop;
                    }
                }

                if (_staleChunks == 0)
                    continue;

                for (int at = 0; found < maxRuns && (at = volume.Stale.Find(true, at, volume.Chunks)) < volume.Chunks;)
                {
                    int stop = volume.Stale.Find(false, at, volume.Chunks);
                    Append(runs, ref found, TakeRun(volume, at, stop - at));
                    at = stop;
                }

                if (found == maxRuns)
                    break;
            }
        }

        return found;
    }

    private static void Append(Span<ChunkRun> runs, ref int count, ChunkRun run)
    {
        if (count > 0 && runs[count - 1].First.Plus(runs[count - 1].Count) == run.First)
            runs[count - 1] = runs[count - 1] with { Count = runs[count - 1].Count + run.Count };
        else
            runs[count++] = run;
    }

    private bool TakeSmall(int count, out ChunkRun run)
    {
        for (int attempt = 0; attempt < 2; attempt++)
        {
            if (_home.Volume >= 0)
            {
                Volume volume = volumes.All[_home.Volume];
                int first = _home.Group * Volume.ChunksPerGroup;
                if (volume.GroupFree[_home.Group] >= count && FindRun(volume, first, first + Volume.ChunksPerGroup, count) is >= 0 and int at)
                {
                    run = TakeRun(volume, at, count);
                    return true;
                }
            }

            if (!FindHome())
                break;
        }

        run = default;
        return false;
    }

    private bool FindHome()
    {
        ReadOnlySpan<Volume> all = volumes.All;
        foreach (int threshold in HomeThresholds)
        {
            for (int i = 0; i <= all.Length; i++)
            {
                // From behind the present home round to it again.
                int index = (Math.Max(_home.Volume, 0) + i) % Math.Max(all.Length, 1);
                if (index >= all.Length || all[index].FreeChunks < threshold)
                    continue;

                int from = i == 0 && _home.Volume >= 0 ? _home.Group + 1 : 0;
                for (int group = from; group < all[index].Groups; group++)
                {
                    if (all[index].GroupFree[group] >= threshold)
                    {
                        _home = (index, group);
                        return true;
                    }
                }
            }

            if (volumes.TryAdd())
            {
                _home = (volumes.All.Length - 1, 0);
                return true;
            }
        }

        return false;
    }

    private bool TakeLarge(int count, out ChunkRun run)
    {
        run = default;
        if (count >= _failedRun)
            return false;

        ReadOnlySpan<Volume> all = volumes.All;
        for (int i = 0; i <= all.Length && all.Length > 0; i++)
        {
            int index = (_large.Volume + i) % all.Length;
            Volume volume = all[index];
            int from = i == 0 ? _large.Chunk : 0;
            int end = i == all.Length ? Math.Min(volume.Chunks, _large.Chunk + count) : volume.Chunks;
            if (volume.FreeChunks < count || FindRun(volume, from, end, count) is not (>= 0 and int at))
                continue;

            _large = (index, at + count);
            run = TakeRun(volume, at, count);
            return true;
        }

        if (!volumes.TryAdd())
        {
            _failedRun = count;
            return false;
        }

        Volume added = volumes.All[^1];
        if (FindRun(added, 0, added.Chunks, count) is not (>= 0 and int first))
            return false;

        _large = (volumes.All.Length - 1, first + count);
        run = TakeRun(added, first, count);
        return true;
    }

    private int TakePieces(int count, Span<ChunkRun> runs)
    {
        int found = 0;
        while (CountFree() < count)
        {
            if (!volumes.TryAdd())
                return 0;
        }

        ReadOnlySpan<Volume> all = volumes.All;
        for (int i = 0; i < all.Length && count > 0; i++)
        {
            Volume volume = all[(_large.Volume + i) % all.Length];
            for (int group = 0; group < volume.Groups && count > 0; group++)
            {
                int at = group * Volume.ChunksPerGroup;
                int end = at + Volume.ChunksPerGroup;
                while (volume.GroupFree[group] > 0 && count > 0 && (at = volume.Busy.Find(false, at, end)) < end)
                {
                    int length = Math.Min(count, volume.Busy.Find(true, at, end) - at);
                    runs[found++] = TakeRun(volume, at, length);
                    at += length;
                    count -= length;
                }
            }
        }

        return found;
    }

    private long CountFree()
    {
        long free = 0;
        foreach (Volume volume in volumes.All)
            free += volume.FreeChunks;
        return free;
    }

    /// <summary>The first of <paramref name="count"/> free consecutive chunks, outside the group of small requests if the search is for a large one; -1 where there are none.</summary>
    private int FindRun(Volume volume, int from, int end, int count)
    {
        int skipFrom = int.MaxValue, skipEnd = int.MaxValue;
        if (count >= LargeRequestChunks && _home.Volume >= 0 && volumes.All[_home.Volume] == volume)
        {
            skipFrom = _home.Group * Volume.ChunksPerGroup;
            skipEnd = skipFrom + Volume.ChunksPerGroup;
        }

        while ((from = volume.Busy.Find(false, from, end)) < end)
        {
            int stop = volume.Busy.Find(true, from, Math.Min(end, from + count));
            if (from < skipEnd && stop > skipFrom)
            {
                from = skipEnd;
                continue;
            }

            if (stop - from >= count)
                return from;
            from = stop;
        }

        return -1;
    }

    private ChunkRun TakeRun(Volume volume, int chunk, int count)
    {
        volume.Reserve(chunk, count);
        int stale = volume.Stale.Count(chunk, count);
        if (stale > 0)
        {
            volume.Stale.Clear(chunk, count);
            _staleChunks -= stale;
        }

        return new ChunkRun(new ChunkLocation(volume.Id, chunk), count);
    }

    /// <summary>Forgets what was known of free space, after the bitmaps were set anew.</summary>
    public void Reset()
    {
        lock (_lock)
        {
            foreach (Volume volume in volumes.All)
                volume.ResetBusy();
            _staleChunks = 0;
            _failedRun = int.MaxValue;
            _home = (-1, 0);
            _large = (0, 0);
        }
    }
}
