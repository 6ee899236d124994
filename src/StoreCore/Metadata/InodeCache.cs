using System.Runtime.CompilerServices;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>
/// Inode records in a fixed amount of memory: shards of slots in arrays, so that the collector sees a handful of objects however many inodes there are; a slot is
/// freed by the clock algorithm. Any thread may read and fill, the one writer changes. Allocates nothing after construction.
/// </summary>
/// <remarks>
/// A reader that missed reads the store and fills the cache with what it found. Two rules keep it from planting an old value: while a change of an inode is under way (from
/// <see cref="BeginChange"/>, before the store is written, to its end) nothing is filled into that shard and the inode is not cached; and a fill must present the
/// version that the shard had when the reader missed, which both the begin and the end of a change raise: a reader that missed in between may have read either value.
/// </remarks>
internal sealed class InodeCache
{
    /// <summary>Enough that readers and the writer seldom meet in one.</summary>
    private const int Shards = 64;

    /// <summary>Below this a cache would be all overhead.</summary>
    private const int MinSlotsPerShard = 16;

    private readonly Shard[] _shards = new Shard[Shards];

    /// <param name="budgetBytes">Memory for slots and their index together.</param>
    public InodeCache(long budgetBytes)
    {
        long perShard = budgetBytes / Shards / (Unsafe.SizeOf<Slot>() + 2 * sizeof(int));
        int slots = (int)Math.Clamp(perShard, MinSlotsPerShard, 1 << 24);
        for (int i = 0; i < Shards; i++)
            _shards[i] = new Shard(slots);
    }

    /// <summary>On a miss <paramref name="version"/> is what <see cref="Fill"/> asks for.</summary>
    public bool TryGet(InodeId inode, out InodeRecord record, out uint version) => Of(inode, out uint hash).TryGet(inode, hash, out record, out version);

    /// <summary>Offers what a reader found in the store after a miss.</summary>
    public void Fill(in InodeRecord record, uint version) => Of(record.Inode, out uint hash).Fill(record, hash, version);

    /// <summary>The writer is about to write a change of this inode to the store: readers go there until <see cref="EndChange"/> or <see cref="EndRemoval"/>.</summary>
    public void BeginChange(InodeId inode) => Of(inode, out uint hash).BeginChange(inode, hash);

    public void EndChange(in InodeRecord record) => Of(record.Inode, out uint hash).EndChange(record, hash);

    public void EndRemoval(InodeId inode) => Of(inode, out _).EndRemoval();

    private Shard Of(InodeId inode, out uint hash)
    {
        ulong mixed = inode.Value * 0x9E3779B97F4A7C15;
        hash = (uint)(mixed >> 32);
        return _shards[(uint)(mixed >> 20) % Shards];
    }

    private struct Slot
    {
        public InodeRecord Record;

        /// <summary>Next slot of the same bucket, -1 at the end.</summary>
        public int Next;

        /// <summary>Used since the clock's hand last passed.</summary>
        public bool IsReferenced;
    }

    private sealed class Shard
    {
        private readonly Lock _lock = new();
        private readonly Slot[] _slots;
        private readonly int[] _buckets;
        private int _used;
        private int _hand;
        private int _changes;
        private uint _version;

        /// <summary>Slots that were emptied by a change; they chain through <see cref="Slot.Next"/>.</summary>
        private int _free = -1;

        public Shard(int slots)
        {
            _slots = new Slot[slots];
            _buckets = new int[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)slots)];
            Array.Fill(_buckets, -1);
        }

        public bool TryGet(InodeId inode, uint hash, out InodeRecord record, out uint version)
        {
            lock (_lock)
            {
                version = _version;
                int at = Find(inode, hash);
                if (at < 0)
                {
                    Unsafe.SkipInit(out record);
                    return false;
                }

                ref Slot slot = ref _slots[at];
                slot.IsReferenced = true;
                record = slot.Record;
                return true;
            }
        }

        public void Fill(in InodeRecord record, uint hash, uint version)
        {
            lock (_lock)
            {
                if (_changes == 0 && _version == version)
                    Put(record, hash);
            }
        }

        public void BeginChange(InodeId inode, uint hash)
        {
            lock (_lock)
            {
                _changes++;
                _version++;
                Remove(inode, hash);
            }
        }

        public void EndChange(in InodeRecord record, uint hash)
        {
            lock (_lock)
            {
                _changes--;
                _version++;
                Put(record, hash);
            }
        }

        public void EndRemoval()
        {
            lock (_lock)
            {
                _changes--;
                _version++;
            }
        }

        private int Find(InodeId inode, uint hash)
        {
            int at = _buckets[hash & (uint)(_buckets.Length - 1)];
            while (at >= 0 && _slots[at].Record.Inode != inode)
                at = _slots[at].Next;
            return at;
        }

        private void Put(in InodeRecord record, uint hash)
        {
            int at = Find(record.Inode, hash);
            if (at < 0)
            {
                at = Take();
                ref int bucket = ref _buckets[hash & (uint)(_buckets.Length - 1)];
                _slots[at].Next = bucket;
                bucket = at;
            }

            _slots[at].Record = record;
            _slots[at].IsReferenced = true;
        }

        private void Remove(InodeId inode, uint hash)
        {
            ref int link = ref _buckets[hash & (uint)(_buckets.Length - 1)];
            while (link >= 0 && _slots[link].Record.Inode != inode)
                link = ref _slots[link].Next;
            if (link < 0)
                return;

            int at = link;
            link = _slots[at].Next;
            _slots[at].Record.Inode = InodeId.None;
            _slots[at].Next = _free;
            _free = at;
        }

        /// <summary>An unchained slot: one never used, one emptied, or the first that the hand finds unused since its last round.</summary>
        private int Take()
        {
            if (_free >= 0)
            {
                int at = _free;
                _free = _slots[at].Next;
                return at;
            }

            if (_used < _slots.Length)
                return _used++;

            while (true)
            {
                if (++_hand >= _slots.Length)
                    _hand = 0;
                ref Slot slot = ref _slots[_hand];
                if (!slot.IsReferenced)
                    break;
                slot.IsReferenced = false;
            }

            InodeId victim = _slots[_hand].Record.Inode;
            Remove(victim, (uint)((victim.Value * 0x9E3779B97F4A7C15) >> 32));
            int taken = _free;
            _free = _slots[taken].Next;
            return taken;
        }
    }
}
