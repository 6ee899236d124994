using StoreCore.Kv;

namespace Sim;

/// <summary>
/// An <see cref="IKvStore"/> in memory that models what a crash leaves: all batches that were synced and a random prefix of those that were
/// not. It can be told to fail, and then stays failed like the real one. Thread safe; with one thread it is deterministic.
/// </summary>
public sealed class SimKvStore : IKvStore
{
    private const int TableCount = (int)KvTable.Cluster + 1;

    private readonly object _lock = new();
    private readonly SimPower _power;
    private readonly Dictionary<string, SimKvStore> _checkpoints;

    /// <summary>The roots of all tables after each batch since the last sync; the first is the synced state, the last the present.</summary>
    private readonly List<SortedTree?[]> _history;

    private long _stamp;
    private bool _dead;
    private bool _disposed;
    private KvFailedException? _failure;
    private (int Countdown, string Reason)? _writeFault;
    private (int Countdown, string Reason)? _syncFault;
    private SortedTree?[]? _unacknowledged;

    /// <param name="power">Shared by the parts of one machine; by default one that is never cut.</param>
    public SimKvStore(SimPower? power = null)
        : this(power ?? new SimPower(), new SortedTree?[TableCount], 0, [])
    {
    }

    private SimKvStore(SimPower power, SortedTree?[] state, long stamp, Dictionary<string, SimKvStore> checkpoints)
    {
        _power = power;
        _history = [state];
        _stamp = stamp;
        _checkpoints = checkpoints;
    }

    /// <summary>Batches applied since the store was opened.</summary>
    public long Writes { get; private set; }

    /// <summary>Calls of <see cref="Sync"/> that succeeded since the store was opened.</summary>
    public long Syncs { get; private set; }

    /// <summary>Iterators and snapshots that were not disposed.</summary>
    public int OpenViews { get; private set; }

    /// <summary>Lets the write after <paramref name="after"/> more fail, and with it the store. What it wrote may be found after a crash, or not.</summary>
    public void FailWrite(int after = 0, string reason = "IO error: No space left on device")
    {
        lock (_lock)
            _writeFault = (after, reason);
    }

    /// <summary>Lets the sync after <paramref name="after"/> more fail, and with it the store.</summary>
    public void FailSync(int after = 0, string reason = "IO error: Input/output error")
    {
        lock (_lock)
            _syncFault = (after, reason);
    }

    /// <summary>The machine dies: returns the store as reopened, with all synced batches and a random prefix of the others. This one is dead.</summary>
    public SimKvStore Crash(Random random)
    {
        lock (_lock)
        {
            if (_unacknowledged is { } batch)
                _history.Add(batch);

            // Often all or nothing: the extremes find other faults than the middle.
            int kept = random.Next(4) switch
            {
                0 => 0,
                1 => _history.Count - 1,
                _ => random.Next(_history.Count),
            };
            return Reopen(kept);
        }
    }

    /// <summary>The process dies, the machine lives on: returns the store as reopened, with all batches that were applied. This one is dead.</summary>
    public SimKvStore Kill()
    {
        lock (_lock)
            return Reopen(_history.Count - 1);
    }

    /// <summary>The copy that <see cref="Checkpoint"/> made under this name, opened.</summary>
    public SimKvStore OpenCheckpoint(string directory)
    {
        lock (_lock)
            return _checkpoints[directory];
    }

    public int Get(KvTable table, ReadOnlySpan<byte> key, Span<byte> destination)
    {
        byte[]? value = SortedTree.Find(State()[(int)table], key);
        if (value is null)
            return -1;
        if (value.Length <= destination.Length)
            value.CopyTo(destination);
        return value.Length;
    }

    public void Write(KvBatch batch)
    {
        if (batch.Count == 0)
            return;

        lock (_lock)
        {
            ThrowIfUnusable();
            ThrowIfFailed();
            _power.Step();
            SortedTree?[] state = Apply(batch);
            if (Strikes(ref _writeFault) is { } reason)
            {
                _unacknowledged = state;
                throw _failure = new KvFailedException($"write: {reason}");
            }

            _history.Add(state);
            Writes++;
        }
    }

    public void Sync()
    {
        lock (_lock)
        {
            ThrowIfUnusable();
            ThrowIfFailed();
            _power.Step();
            if (Strikes(ref _syncFault) is { } reason)
                throw _failure = new KvFailedException($"flush: {reason}");

            _history.RemoveRange(0, _history.Count - 1);
            Syncs++;
        }
    }

    public IKvIterator Iterate(KvTable table, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, IKvSnapshot? snapshot = null)
    {
        SortedTree?[] state = snapshot switch
        {
            null => State(),
            View ours when ours.Store == this => ours.State,
            _ => throw new ArgumentException("the snapshot is of another store", nameof(snapshot)),
        };
        return new Iterator(this, state[(int)table], lower, upper);
    }

    public IKvSnapshot Snapshot() => new View(this, State());

    public void Checkpoint(string directory)
    {
        lock (_lock)
        {
            ThrowIfUnusable();
            ThrowIfFailed();
            if (!_checkpoints.TryAdd(directory, new SimKvStore(new SimPower(), _history[^1], _stamp, [])))
                throw new KvFailedException($"checkpoint {directory}: Invalid argument: Directory exists");
        }
    }

    public KvUsage Usage
    {
        get
        {
            long bytes = 0;
            foreach (SortedTree? root in State())
            {
                var walker = new SortedTree.Walker(root, default);
                while (walker.Next() is { } pair)
                    bytes += pair.Key.Length + pair.Value.Length;
            }

            return new KvUsage(bytes, bytes);
        }
    }

    public void Dispose()
    {
        lock (_lock)
            _disposed = true;
    }

    private SortedTree?[] State()
    {
        lock (_lock)
        {
            ThrowIfUnusable();
            return _history[^1];
        }
    }

    private SimKvStore Reopen(int at)
    {
        if (_dead)
            throw new InvalidOperationException("the store has crashed already");
        _dead = true;
        return new SimKvStore(_power, _history[at], _stamp, _checkpoints);
    }

    private SortedTree?[] Apply(KvBatch batch)
    {
        long stamp = ++_stamp;
        var state = (SortedTree?[])_history[^1].Clone();
        KvBatch.Reader reader = batch.GetReader();
        while (reader.Next())
        {
            ref SortedTree? root = ref state[(int)reader.Table];
            switch (reader.Change)
            {
                case KvBatch.Change.Put:
                    root = SortedTree.Put(root, reader.Key, reader.Value, stamp);
                    break;
                case KvBatch.Change.Delete:
                    root = SortedTree.Remove(root, reader.Key, stamp);
                    break;
                case KvBatch.Change.DeleteRange:
                    while (SortedTree.Ceiling(root, reader.Key) is { } next && next.Key.SequenceCompareTo(reader.Value) < 0)
                        root = SortedTree.Remove(root, next.Key, stamp);
                    break;
            }
        }

        return state;
    }

    private static string? Strikes(ref (int Countdown, string Reason)? fault)
    {
        if (fault is not { } armed)
            return null;
        if (armed.Countdown == 0)
        {
            fault = null;
            return armed.Reason;
        }

        fault = (armed.Countdown - 1, armed.Reason);
        return null;
    }

    private void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_dead)
            throw new SimPowerCutException();
        _power.ThrowIfCut();
    }

    private void ThrowIfFailed()
    {
        if (_failure is { } failure)
            throw new KvFailedException($"the key-value store has stopped: {failure.Message}", failure);
    }

    private void CountView(int change)
    {
        lock (_lock)
            OpenViews += change;
    }

    private sealed class View : IKvSnapshot
    {
        private bool _closed;
        private readonly SortedTree?[] _state;

        public View(SimKvStore store, SortedTree?[] state)
        {
            Store = store;
            _state = state;
            store.CountView(1);
        }

        public SimKvStore Store { get; }

        public SortedTree?[] State
        {
            get
            {
                ObjectDisposedException.ThrowIf(_closed, this);
                return _state;
            }
        }

        public void Dispose()
        {
            if (!_closed)
                Store.CountView(-1);
            _closed = true;
        }
    }

    private sealed class Iterator : IKvIterator
    {
        private readonly SimKvStore _store;
        private readonly SortedTree.Walker _walker;
        private readonly byte[] _upper;
        private SortedTree? _at;
        private bool _ended;
        private bool _closed;

        public Iterator(SimKvStore store, SortedTree? root, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper)
        {
            _store = store;
            _walker = new SortedTree.Walker(root, lower);
            _upper = upper.ToArray();
            store.CountView(1);
        }

        public ReadOnlySpan<byte> Key => Positioned.Key;

        public ReadOnlySpan<byte> Value => Positioned.Value;

        private SortedTree Positioned => _at ?? throw new InvalidOperationException("the iterator stands on no pair");

        public bool Next()
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            _at = _ended ? null : _walker.Next();
            if (_at is not null && _upper.Length > 0 && _at.Key.SequenceCompareTo(_upper) >= 0)
                _at = null;
            _ended = _at is null;
            return !_ended;
        }

        public void Dispose()
        {
            if (!_closed)
                _store.CountView(-1);
            _closed = true;
            _at = null;
        }
    }
}
