namespace StoreCore.Blocks;

/// <summary>
/// Decoded index rows under a byte budget, missing rows included. Set associative: a key may only lie in the eight places of its set, the least
/// recently used of them gives way. Fixed arrays of values: no allocation after construction, and memory is touched only as it fills.
/// Any thread may call any member; an entry is always what was committed last, because commits store under their lock.
/// </summary>
internal sealed class SegmentCache
{
    private const int Ways = 8;

    private readonly Shard[] _shards;
    private readonly int _setsPerShard;

    public SegmentCache(long budgetBytes)
    {
        int entryBytes = System.Runtime.CompilerServices.Unsafe.SizeOf<Entry>();
        long sets = Math.Clamp(budgetBytes / (entryBytes * Ways), 1, 1 << 24);
        int shards = (int)Math.Min(64, sets);
        _setsPerShard = (int)(sets / shards);
        _shards = new Shard[shards];
        for (int i = 0; i < shards; i++)
            _shards[i] = new Shard(_setsPerShard * Ways);
    }

    public bool TryGet(in SegmentKey key, out SegmentMap map)
    {
        (Shard shard, int at) = Place(key);
        lock (shard)
        {
            Span<Entry> set = shard.Entries.AsSpan(at, Ways);
            foreach (ref Entry entry in set)
            {
                if (entry.Used != 0 && entry.Key == key)
                {
                    entry.Used = ++shard.Clock;
                    map = entry.Map;
                    return true;
                }
            }
        }

        map = default;
        return false;
    }

    /// <summary>Stores what a commit has made true.</summary>
    public void Put(in SegmentKey key, in SegmentMap map) => Store(key, map, replace: true);

    /// <summary>Stores what was read from the index, unless a commit was faster.</summary>
    public void Fill(in SegmentKey key, in SegmentMap map) => Store(key, map, replace: false);

    private void Store(in SegmentKey key, in SegmentMap map, bool replace)
    {
        (Shard shard, int at) = Place(key);
        lock (shard)
        {
            Span<Entry> set = shard.Entries.AsSpan(at, Ways);
            int victim = 0;
            for (int i = 0; i < Ways; i++)
            {
                if (set[i].Used != 0 && set[i].Key == key)
                {
                    if (replace)
                        set[i].Map = map;
                    return;
                }

                if (set[i].Used < set[victim].Used)
                    victim = i;
            }

            set[victim].Key = key;
            set[victim].Map = map;
            set[victim].Used = ++shard.Clock;
        }
    }

    public void Clear()
    {
        foreach (Shard shard in _shards)
        {
            lock (shard)
                Array.Clear(shard.Entries);
        }
    }

    private (Shard Shard, int At) Place(in SegmentKey key)
    {
        // Multiplying by odd constants spreads neighbours; the high bits are the mixed ones.
        ulong hash = (key.Inode * 0x9E3779B97F4A7C15UL) ^ (((ulong)key.Block << 5 | key.Segment) * 0xC2B2AE3D27D4EB4FUL);
        hash ^= hash >> 32;
        hash *= 0x9E3779B97F4A7C15UL;
        uint high = (uint)(hash >> 32);
        uint low = (uint)hash;
        return (_shards[(uint)((ulong)high * (uint)_shards.Length >> 32)], (int)((ulong)low * (uint)_setsPerShard >> 32) * Ways);
    }

    private sealed class Shard(int entries)
    {
        public readonly Entry[] Entries = new Entry[entries];

        /// <summary>64 bits: never wraps in the life of a process.</summary>
        public long Clock;
    }

    private struct Entry
    {
        public SegmentKey Key;
        public long Used;
        public SegmentMap Map;
    }
}
