using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using static StoreCore.Kv.RocksDbNative;

namespace StoreCore.Kv;

/// <summary>
/// The key-value store over RocksDB 7.8 (Debian's librocksdb through its C API). See <see cref="IKvStore"/> for the contract and README.md
/// for recovery. One process at a time may have a directory open (the engine's LOCK file).
/// </summary>
public sealed unsafe class RocksDbStore : IKvStore
{
    private readonly RocksDbSettings _settings;
    private readonly nint[] _tables = new nint[RocksDbSettings.TableCount];
    private readonly nint _readOptions = rocksdb_readoptions_create();
    private readonly nint _writeOptions = rocksdb_writeoptions_create(); // sync = false
    private readonly string _directory;
    private nint _db;

    // One use for the owner and one for each call, iterator and snapshot: the engine is closed when the last is over.
    private int _uses = 1;
    private int _disposed;

    private volatile KvFailedException? _failure;

    // Group commit. Batches are counted, so that a flush with nothing to flush costs nothing.
    private readonly object _flush = new();
    private long _appliedBatches;
    private long _stableBatches;
    private long _flushesBegun;
    private long _flushesDone;

    private RocksDbStore(string directory, RocksDbSettings settings)
    {
        _directory = directory;
        _settings = settings;
    }

    /// <summary>Opens the store in a directory; makes both where they do not exist yet.</summary>
    /// <exception cref="KvFailedException">The directory is in use, or a file is missing or damaged: the message names it.</exception>
    public static RocksDbStore Open(string directory, RocksDbOptions options)
    {
        RefuseHeadless(directory);
        var store = new RocksDbStore(directory, new RocksDbSettings(options));
        try
        {
            store.OpenNative();
            return store;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    /// <summary>The engine would make a new, empty store where its CURRENT file is lost: never where there is data.</summary>
    private static void RefuseHeadless(string directory)
    {
        if (!Directory.Exists(directory) || File.Exists(Path.Combine(directory, "CURRENT")))
            return;

        string? data = Directory.EnumerateFiles(directory).FirstOrDefault(file => Path.GetExtension(file) is ".sst" or ".log");
        if (data is not null)
            throw new KvFailedException($"open {Path.Combine(directory, "CURRENT")}: the file is missing, but there is data ({Path.GetFileName(data)})");
    }

    private void OpenNative()
    {
        Directory.CreateDirectory(_directory);
        nint* names = stackalloc nint[RocksDbSettings.TableCount];
        for (int i = 0; i < RocksDbSettings.TableCount; i++)
            names[i] = Marshal.StringToCoTaskMemUTF8(RocksDbSettings.NameOf((KvTable)i));

        byte* error = null;
        fixed (nint* options = _settings.Tables)
        fixed (nint* handles = _tables)
            _db = rocksdb_open_column_families(_settings.Database, _directory, RocksDbSettings.TableCount, names, options, handles, &error);

        for (int i = 0; i < RocksDbSettings.TableCount; i++)
            Marshal.FreeCoTaskMem(names[i]);
        Check(error, $"open {_directory}");

        // KvBatch writes the numbers of the tables into its bytes.
        for (int i = 0; i < RocksDbSettings.TableCount; i++)
        {
            uint id = rocksdb_column_family_handle_get_id(_tables[i]);
            if (id != i)
                throw new KvFailedException($"open {_directory}: table {(KvTable)i} has number {id}, not {i}: the store was not made by this program");
        }
    }

    public int Get(KvTable table, ReadOnlySpan<byte> key, Span<byte> destination)
    {
        Enter();
        byte* error = null;
        nint slice;
        fixed (byte* at = key)
            slice = rocksdb_get_pinned_cf(_db, _readOptions, _tables[(int)table], at, (nuint)key.Length, &error);

        int length = -1;
        if (slice != 0)
        {
            nuint size;
            byte* value = rocksdb_pinnableslice_value(slice, &size);
            length = (int)size;
            if (length <= destination.Length)
                new ReadOnlySpan<byte>(value, length).CopyTo(destination);
            rocksdb_pinnableslice_destroy(slice);
        }

        Exit();
        Check(error, "read");
        return length;
    }

    public void Write(KvBatch batch)
    {
        if (batch.Count == 0)
            return;

        Enter();
        try
        {
            ThrowIfFailed();
            ReadOnlySpan<byte> bytes = batch.Encoded;
            byte* error = null;
            fixed (byte* at = bytes)
            {
                nint native = rocksdb_writebatch_create_from(at, (nuint)bytes.Length);
                rocksdb_write(_db, _writeOptions, native, &error);
                rocksdb_writebatch_destroy(native);
            }

            if (error != null)
                throw Latch(Failure(error, "write"));
            Interlocked.Increment(ref _appliedBatches);
        }
        finally
        {
            Exit();
        }
    }

    public void Sync()
    {
        Enter();
        try
        {
            ThrowIfFailed();
            if (Volatile.Read(ref _stableBatches) >= Volatile.Read(ref _appliedBatches))
                return;

            long flush;
            lock (_flush)
            {
                // A flush that runs already may have begun before our batch was written: only the next one counts.
                flush = _flushesBegun + 1;
                while (_flushesDone < flush && _flushesBegun != _flushesDone)
                    Monitor.Wait(_flush);

                ThrowIfFailed();
                if (_flushesDone >= flush)
                    return;
                _flushesBegun = flush;
            }

            Flush(flush);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>As the leader: one flush of the log for all that came since the last began.</summary>
    private void Flush(long flush)
    {
        long applied = Volatile.Read(ref _appliedBatches);
        byte* error = null;
        rocksdb_flush_wal(_db, 1, &error);
        KvFailedException? failure = error == null ? null : Latch(Failure(error, "flush"));

        lock (_flush)
        {
            if (failure is null)
                _stableBatches = applied;
            _flushesDone = flush;
            Monitor.PulseAll(_flush);
        }

        if (failure is not null)
            throw failure;
    }

    public IKvIterator Iterate(KvTable table, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, IKvSnapshot? snapshot = null)
    {
        nint moment = snapshot switch
        {
            null => 0,
            RocksDbSnapshot ours when ours.Store == this => ours.Handle,
            _ => throw new ArgumentException("the snapshot is of another store", nameof(snapshot)),
        };
        Enter();
        return new RocksDbIterator(this, _db, _tables[(int)table], lower, upper, moment);
    }

    public IKvSnapshot Snapshot()
    {
        Enter();
        return new RocksDbSnapshot(this, _db);
    }

    public void Checkpoint(string directory)
    {
        Enter();
        try
        {
            ThrowIfFailed();
            byte* error = null;
            nint checkpoint = rocksdb_checkpoint_object_create(_db, &error);
            Check(error, $"checkpoint {directory}");

            // 0: write buffers are flushed first, so that the copy needs no log.
            rocksdb_checkpoint_create(checkpoint, directory, 0, &error);
            rocksdb_checkpoint_object_destroy(checkpoint);
            Check(error, $"checkpoint {directory}");
        }
        finally
        {
            Exit();
        }
    }

    public KvUsage Usage
    {
        get
        {
            Enter();
            try
            {
                long disk = 0;
                foreach (FileInfo file in new DirectoryInfo(_directory).EnumerateFiles())
                    disk += file.Length;

                ulong memory = (ulong)rocksdb_cache_get_usage(_settings.Cache);
                foreach (nint table in _tables)
                    memory += Property(table, "rocksdb.cur-size-all-mem-tables\0"u8) + Property(table, "rocksdb.estimate-table-readers-mem\0"u8);
                return new KvUsage(disk, (long)memory);
            }
            finally
            {
                Exit();
            }
        }
    }

    private ulong Property(nint table, ReadOnlySpan<byte> name)
    {
        ulong value = 0;
        fixed (byte* at = name)
        {
            if (rocksdb_property_int_cf(_db, table, at, &value) != 0)
                throw new InvalidOperationException("the engine does not know one of its properties");
        }

        return value;
    }

    /// <summary>The first failure to write or flush stays: every later change is refused with it.</summary>
    private KvFailedException Latch(KvFailedException failure)
    {
        Interlocked.CompareExchange(ref _failure, failure, null);
        return _failure;
    }

    private void ThrowIfFailed()
    {
        if (_failure is { } failure)
            ThrowStopped(failure);
    }

    [DoesNotReturn]
    private static void ThrowStopped(KvFailedException failure) =>
        throw new KvFailedException($"the key-value store has stopped: {failure.Message}", failure);

    private void Enter()
    {
        Interlocked.Increment(ref _uses);
        if (Volatile.Read(ref _disposed) == 0)
            return;

        Exit();
        throw new ObjectDisposedException(nameof(RocksDbStore));
    }

    internal void Exit()
    {
        if (Interlocked.Decrement(ref _uses) == 0)
            Close();
    }

    /// <summary>No call begins after this; the engine is closed when those under way, and all iterators and snapshots, are over.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
            Exit();
    }

    private int _closed;

    private void Close()
    {
        if (Interlocked.Exchange(ref _closed, 1) != 0)
            return;

        foreach (nint table in _tables)
        {
            if (table != 0)
                rocksdb_column_family_handle_destroy(table);
        }

        if (_db != 0)
            rocksdb_close(_db);
        rocksdb_readoptions_destroy(_readOptions);
        rocksdb_writeoptions_destroy(_writeOptions);
        _settings.Dispose();
    }
}
