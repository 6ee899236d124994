using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>
/// The active metadata server of one process: the state machine (<see cref="MetadataCore"/>) over a key-value store. Changes go one after the other through a lock:
/// prepared, applied to a batch together with their op record, written, published to the cache. Reads take no part in that. A failure of the store below,
/// or damage that concerns more than one name, is final: everything is answered <see cref="FsStatus.Stopped"/> from then on, with the evidence in <see cref="Failure"/>.
/// </summary>
public sealed partial class MetadataStore : IMetadata
{
    private readonly IKvStore _kv;
    private readonly TimeProvider _clock;
    private readonly InodeCache _cache;
    private readonly MetadataReader _reader;

    // Under _writer:
    private readonly Lock _writer = new();
    private readonly MetadataCore _core;
    private readonly KvBatch _batch = new();
    private MetadataState _state;

    // Copies for other threads.
    private ulong _sequence;
    private ulong _inodes;
    private ulong _requests;
    private Exception? _failure;

    private MetadataStore(IKvStore kv, MetadataOptions options, in MetadataState state)
    {
        _kv = kv;
        _clock = options.Clock;
        _cache = new InodeCache(options.CacheBytes);
        _reader = new MetadataReader(kv, _cache);
        _core = new MetadataCore(_reader);
        _state = state;
        _sequence = state.Sequence.Value;
        _inodes = state.Inodes;
        _requests = state.Requests;
        FileSystemId = state.FileSystemId;
        Term = state.Term;
    }

    public Guid FileSystemId { get; }

    /// <summary>The term in which this store was opened.</summary>
    public Term Term { get; }

    /// <summary>The last operation applied.</summary>
    public LogIndex Applied => new(Volatile.Read(ref _sequence));

    /// <summary>What stopped the store; null while it serves.</summary>
    public Exception? Failure => Volatile.Read(ref _failure);

    public (ulong Used, ulong Free) InodeCounts
    {
        get
        {
            ulong used = Volatile.Read(ref _inodes);
            return (used, Limits.MaxInodes - Math.Min(used, Limits.MaxInodes));
        }
    }

    /// <summary>Whether there is metadata in the store, of whatever version.</summary>
    public static bool IsFormatted(IKvStore kv) => kv.Get(KvTable.System, MetadataKeys.Superblock, default) >= 0;

    /// <summary>Writes an empty file system with its root directory and makes it stable.</summary>
    /// <param name="fileSystemId">A new random identity; it comes from the caller so that a simulation can choose it.</param>
    /// <exception cref="MetadataException">There is metadata already.</exception>
    public static void Format(IKvStore kv, Guid fileSystemId, Timestamp now)
    {
        CheckEmpty(kv);
        var core = new MetadataCore(new MetadataReader(kv, new InodeCache(0)));
        MetadataState state = default;
        core.Begin(state, now);
        core.Format(fileSystemId);
        var batch = new KvBatch();
        MetadataCore.Apply(OpRecord.Parse(core.Finish()), ref state, batch);
        state.Save(batch);
        kv.Write(batch);
        kv.Sync();
    }

    /// <summary>Refuses a store with a file system, and one with the remains of a load that did not come to its end.</summary>
    internal static void CheckEmpty(IKvStore kv)
    {
        if (IsFormatted(kv))
            throw new MetadataException("the store holds a file system already; it is not formatted again");
        foreach (KvTable table in new[] { KvTable.Inodes, KvTable.Names, KvTable.Entries, KvTable.Xattrs, KvTable.Pending, KvTable.OpLog, KvTable.Requests, KvTable.Cluster })
        {
            using IKvIterator rows = kv.Iterate(table, default, default);
            if (rows.Next())
                throw new MetadataException("the store holds the remains of a load that did not come to its end; delete its directory and begin anew");
        }
    }

    /// <summary>Opens a formatted store after checking that its state and its op log belong together.</summary>
    /// <exception cref="MetadataException">It is not formatted, of another version, or damaged.</exception>
    public static MetadataStore Open(IKvStore kv, MetadataOptions options)
    {
        MetadataState state = MetadataState.Load(kv);
        if (!state.IsFormatted)
            throw new MetadataException("the store holds no file system yet: format it first");

        CheckLog(kv, state);
        return new MetadataStore(kv, options, state);
    }

    private static void CheckLog(IKvStore kv, in MetadataState state)
    {
        Span<byte> key = stackalloc byte[sizeof(ulong)];
        ulong sequence = state.Sequence.Value;
        byte[] bytes = new byte[4096];
        int length = kv.Get(KvTable.OpLog, MetadataKeys.LogRecord(key, sequence), bytes);
        if (length > bytes.Length)
        {
            bytes = new byte[length];
            length = kv.Get(KvTable.OpLog, MetadataKeys.LogRecord(key, sequence), bytes);
        }

        if (length < 0)
            throw new MetadataException($"the op log does not hold record {sequence}, which the superblock names as the last one applied");
        OpRecord record = OpRecord.Parse(bytes.AsSpan(0, length));
        if (record.Sequence != state.Sequence || record.Term != state.Term)
        {
            throw new MetadataException(
                $"the op log's record {record.Sequence.Value} of term {record.Term.Value} stands where the superblock names {sequence} of term {state.Term.Value}");
        }

        if (kv.Get(KvTable.OpLog, MetadataKeys.LogRecord(key, sequence + 1), default) >= 0)
            throw new MetadataException($"the op log goes on after record {sequence}, which the superblock names as the last one applied");
    }

    public FsStatus Sync()
    {
        if (Failure is not null)
            return FsStatus.Stopped;

        try
        {
            _kv.Sync();
            return FsStatus.Ok;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    /// <summary>Keeps the first failure that stops the store; true for those that a caller is answered with a status.</summary>
    private bool IsFatal(Exception e)
    {
        if (e is not (KvFailedException or MetadataException))
            return false;

        Interlocked.CompareExchange(ref _failure, e, null);
        return true;
    }
}
