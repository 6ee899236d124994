using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using StoreCore.Primitives;
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
    private readonly LogExtender? _extender;
    private StableMark? _mark;
    private nint _db;

    // One use for the owner and one for each call, iterator and snapshot: the engine is closed when the last is over.
    private int _uses = 1;
    private int _disposed;
    private int _closed;

    private volatile KvFailedException? _failure;

    // Group commit. Batches are counted, so that a flush with nothing to flush costs nothing.
    private readonly object _flush = new();
    private long _appliedBatches;
    private long _stableBatches;
    private long _flushesBegun;
    private long _flushesDone;

    private RocksDbStore(string directory, RocksDbSettings settings, bool extendLog)
    {
        _directory = directory;
        _settings = settings;
        _extender = extendLog ? new LogExtender(directory) : null;
    }

    /// <summary>Opens the store in a directory; makes both where they do not exist yet.</summary>
    /// <param name="directory">Of the store alone.</param>
    /// <param name="options">What it may use.</param>
    /// <param name="notice">Gets a sentence where a crash had left an unfinished end of the log, which was cut off.</param>
    /// <exception cref="KvFailedException">The directory is in use, or a file is missing or damaged: the message names it.</exception>
    public static RocksDbStore Open(string directory, RocksDbOptions options, Action<string>? notice = null)
    {
        var store = new RocksDbStore(directory, new RocksDbSettings(options), options.ExtendLog);
        try
        {
            CreateDirectory(directory);
            store._mark = new StableMark(directory); // the lock: from here on nobody else touches the log
            RefuseHeadless(directory);
            var inspector = new LogInspector(directory, store._mark.Sequence, store.AskReadOnly);
            if (inspector.Inspect() is { } cut)
                notice?.Invoke(cut);
            store.OpenNative(store._mark.Sequence);
            return store;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            store.Dispose();
            throw new KvFailedException($"open {directory}: {e.Message}", e);
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    private static void CreateDirectory(string directory)
    {
        if (Directory.Exists(directory))
            return;

        // The engine flushes what it makes inside; that the directory itself has a name is left to its maker.
        string parent = Directory.CreateDirectory(directory).Parent!.FullName;
        if (Libc.FlushDirectory(parent) is var errno and not 0)
            throw new KvFailedException($"fsync {parent}: {Libc.Describe(errno)}");
    }

    /// <summary>The engine would make a new, empty store where its CURRENT file is lost: never where there is data.</summary>
    private static void RefuseHeadless(string directory)
    {
        if (File.Exists(Path.Combine(directory, "CURRENT")))
            return;

        string? data = Directory.EnumerateFiles(directory).FirstOrDefault(file => Path.GetExtension(file) is ".sst" or ".log");
        if (data is not null)
            throw new KvFailedException($"open {Path.Combine(directory, "CURRENT")}: the file is missing, but there is data ({Path.GetFileName(data)})");
    }

    private void OpenNative(ulong stable)
    {
        _db = OpenDatabase(_tables, readOnly: false);

        // KvBatch writes the numbers of the tables into its bytes.
        for (int i = 0; i < RocksDbSettings.TableCount; i++)
        {
            uint id = rocksdb_column_family_handle_get_id(_tables[i]);
            if (id != i)
                throw new KvFailedException($"open {_directory}: table {(KvTable)i} has number {id}, not {i}: the store was not made by this program");
        }

        // The other half of what the inspector found before.
        ulong last = rocksdb_get_latest_sequence_number(_db);
        if (last < stable)
            throw new KvFailedException($"open {_directory}: changes up to {stable} had been flushed, the engine found them up to {last} only");
    }

    private nint OpenDatabase(nint[] tables, bool readOnly)
    {
        nint* names = stackalloc nint[tables.Length];
        for (int i = 0; i < tables.Length; i++)
            names[i] = Marshal.StringToCoTaskMemUTF8(RocksDbSettings.NameOf((KvTable)i));

        byte* error = null;
        nint db;
        fixed (nint* options = _settings.Tables)
        fixed (nint* handles = tables)
        {
            db = readOnly
                ? rocksdb_open_for_read_only_column_families(_settings.Database, _directory, tables.Length, names, options, handles, 0, &error)
                : rocksdb_open_column_families(_settings.Database, _directory, tables.Length, names, options, handles, &error);
        }

        for (int i = 0; i < tables.Length; i++)
            Marshal.FreeCoTaskMem(names[i]);
        Check(error, $"open {_directory}");
        return db;
    }

    /// <summary>Tables that the store was made with or has gained since: the first so many, for they are only ever appended.</summary>
    private int CountTables()
    {
        byte* error = null;
        nuint count;
        byte** names = rocksdb_list_column_families(_settings.Database, _directory, &count, &error);
        Check(error, $"open {_directory}");
        rocksdb_list_column_families_destroy(names, count);
        return count <= RocksDbSettings.TableCount
            ? (int)count
            : throw new KvFailedException($"open {_directory}: it has {count} tables, this program knows {RocksDbSettings.TableCount}: a newer one has written to it");
    }

    /// <summary>Opens the store for a moment without changing anything in it.</summary>
    private LogInspector.EngineView AskReadOnly()
    {
        if (!File.Exists(Path.Combine(_directory, "CURRENT")))
            return default;

        nint[] tables = new nint[CountTables()];
        nint db = OpenDatabase(tables, readOnly: true);
        ulong needed = Property(db, tables[0], "rocksdb.min-log-number-to-keep\0"u8);
        ulong last = rocksdb_get_latest_sequence_number(db);
        foreach (nint table in tables)
            rocksdb_column_family_handle_destroy(table);
        rocksdb_close(db);
        return new LogInspector.EngineView(needed, last);
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
                _extender?.EnterWrite();
                rocksdb_write(_db, _writeOptions, native, &error);
                _extender?.ExitWrite(bytes.Length);
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
        KvFailedException? failure = null;
        try
        {
            FlushLog();
        }
        catch (Exception e)
        {
            // Whatever it was: those who wait must hear of it, and nobody may take the flush for done.
            failure = Latch(e as KvFailedException ?? new KvFailedException($"flush: {e.Message}", e));
        }

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

    private void FlushLog()
    {
        ulong sequence = rocksdb_get_latest_sequence_number(_db);
        _extender?.BeforeFlush();
        byte* error = null;
        rocksdb_flush_wal(_db, 1, &error);
        Check(error, "flush");
        _mark!.Write(sequence);
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

    public bool Reclaim(KvTable table, long availableBytes)
    {
        Enter();
        try
        {
            ThrowIfFailed();
            ulong inMemory = 0;
            foreach (nint family in _tables)
                inMemory += Property(_db, family, "rocksdb.cur-size-all-mem-tables\0"u8);
            if (inMemory > (ulong)Math.Max(0, availableBytes))
                return false;

            // A log file can go only when no table has changes in it that are not in a file of its own.
            nint options = rocksdb_flushoptions_create();
            byte* error = null;
            foreach (nint family in _tables)
            {
                rocksdb_flush_cf(_db, options, family, &error);
                if (error != null)
                    break;
            }

            rocksdb_flushoptions_destroy(options);
            if (error != null)
                throw Latch(Failure(error, "flush of the tables"));

            // Merging writes what is live before it deletes the rest. Keys are estimated with deletions taken off; a value is a chunk at most.
            ulong live = Property(_db, _tables[(int)table], "rocksdb.estimate-num-keys\0"u8) * Limits.ChunkSizeBytes;
            if (live > (ulong)Math.Max(0, availableBytes))
                return false;

            rocksdb_compact_range_cf(_db, _tables[(int)table], null, 0, null, 0);
            return true;
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
                    disk += LengthOf(file);

                ulong memory = (ulong)rocksdb_cache_get_usage(_settings.Cache);
                foreach (nint table in _tables)
                    memory += Property(_db, table, "rocksdb.cur-size-all-mem-tables\0"u8) + Property(_db, table, "rocksdb.estimate-table-readers-mem\0"u8);
                return new KvUsage(disk, (long)memory);
            }
            finally
            {
                Exit();
            }
        }
    }

    private static long LengthOf(FileInfo file)
    {
        try
        {
            return file.Length;
        }
        catch (FileNotFoundException)
        {
            return 0; // the engine has deleted it meanwhile
        }
    }

    private static ulong Property(nint db, nint table, ReadOnlySpan<byte> name)
    {
        ulong value = 0;
        fixed (byte* at = name)
        {
            if (rocksdb_property_int_cf(db, table, at, &value) != 0)
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
        _mark?.Dispose();
        _extender?.Dispose();
        _settings.Dispose();
    }
}
