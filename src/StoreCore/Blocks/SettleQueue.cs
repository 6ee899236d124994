namespace StoreCore.Blocks;

/// <summary>
/// Segments that background work should look at once they are cold: with inline chunks of more than a tiny file, or in many pieces. Oldest first.
/// What does not fit is forgotten and found again by a sweep of the index. Any thread may call any member.
/// </summary>
internal sealed class SettleQueue(BlockStoreOptions options, TimeProvider clock)
{
    private const int LookedAt = 1024;

    private readonly Lock _lock = new();
    private readonly Dictionary<SegmentKey, long> _touched = [];
    private readonly Queue<SegmentKey> _order = new();
    private readonly long _coldAfter = (long)(options.ColdAfter.TotalSeconds * clock.TimestampFrequency);

    /// <summary>Segments were forgotten for lack of room since the last call of <see cref="TakeOverflow"/>. True at the start: the last run's are not known.</summary>
    private bool _overflowed = true;

    public int Count
    {
        get
        {
            lock (_lock)
                return _touched.Count;
        }
    }

    /// <summary>True where the segment is not as it should be in the long run.</summary>
    public bool Wants(in SegmentKey key, in SegmentMap map) => (map.HasInline && !IsTiny(key, map)) || map.CountPieces() >= options.DefragmentRuns;

    /// <summary>Notes a segment as it was just committed.</summary>
    public void Note(in SegmentKey key, in SegmentMap map)
    {
        if (!Wants(key, map))
            return;

        long now = clock.GetTimestamp();
        lock (_lock)
        {
            if (_touched.Count >= options.MaxWaitingSegments && !_touched.ContainsKey(key))
            {
                _overflowed = true;
                return;
            }

            ref long touched = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_touched, key, out bool exists);
            touched = now;
            if (!exists)
                _order.Enqueue(key);
        }
    }

    /// <summary>The next segment that has been left alone for long enough.</summary>
    public bool TryTake(out SegmentKey key)
    {
        long cold = clock.GetTimestamp() - _coldAfter;
        lock (_lock)
        {
            // What was touched again goes behind the others; a busy queue is looked through a piece at a time.
            for (int i = Math.Min(_order.Count, LookedAt); i > 0; i--)
            {
                key = _order.Dequeue();
                if (_touched[key] <= cold)
                {
                    _touched.Remove(key);
                    return true;
                }

                _order.Enqueue(key);
            }
        }

        key = default;
        return false;
    }

    public bool TakeOverflow()
    {
        lock (_lock)
        {
            bool overflowed = _overflowed;
            _overflowed = false;
            return overflowed;
        }
    }

    /// <summary>A file of one chunk costs no volume space.</summary>
    private static bool IsTiny(in SegmentKey key, in SegmentMap map) =>
        key is { Block: 0, Segment: 0 } && map.Locations[0].IsInline && map.End <= Limits.ChunkSizeBytes && map.MappedChunks == 1;
}
