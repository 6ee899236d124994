using System.Runtime.InteropServices;
using static StoreCore.Kv.RocksDbNative;

namespace StoreCore.Kv;

/// <summary>A native iterator with its bounds; keeps the store open as long as it lives.</summary>
internal sealed unsafe class RocksDbIterator : IKvIterator
{
    private readonly RocksDbStore _store;
    private nint _iterator;
    private nint _options;
    private byte* _bounds;
    private readonly int _lowerLength;
    private bool _started;

    /// <summary>The caller holds a use of the store, which passes to the iterator.</summary>
    public RocksDbIterator(RocksDbStore store, nint db, nint columnFamily, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, nint snapshot)
    {
        _store = store;
        _lowerLength = lower.Length;
        _bounds = (byte*)NativeMemory.Alloc((nuint)(lower.Length + upper.Length + 1));
        lower.CopyTo(new Span<byte>(_bounds, lower.Length));
        upper.CopyTo(new Span<byte>(_bounds + lower.Length, upper.Length));

        _options = rocksdb_readoptions_create();
        if (!upper.IsEmpty)
            rocksdb_readoptions_set_iterate_upper_bound(_options, _bounds + lower.Length, (nuint)upper.Length);
        if (snapshot != 0)
            rocksdb_readoptions_set_snapshot(_options, snapshot);
        _iterator = rocksdb_create_iterator_cf(db, _options, columnFamily);
    }

    public ReadOnlySpan<byte> Key
    {
        get
        {
            nuint length;
            byte* at = rocksdb_iter_key(Positioned, &length);
            return new ReadOnlySpan<byte>(at, checked((int)length));
        }
    }

    public ReadOnlySpan<byte> Value
    {
        get
        {
            nuint length;
            byte* at = rocksdb_iter_value(Positioned, &length);
            return new ReadOnlySpan<byte>(at, checked((int)length));
        }
    }

    private nint Positioned =>
        _started && _iterator != 0 && rocksdb_iter_valid(_iterator) != 0 ? _iterator : throw new InvalidOperationException("the iterator stands on no pair");

    public bool Next()
    {
        ObjectDisposedException.ThrowIf(_iterator == 0, this);
        if (!_started)
        {
            _started = true;
            rocksdb_iter_seek(_iterator, _bounds, (nuint)_lowerLength);
        }
        else if (rocksdb_iter_valid(_iterator) != 0)
        {
            rocksdb_iter_next(_iterator);
        }

        if (rocksdb_iter_valid(_iterator) != 0)
            return true;

        byte* error = null;
        rocksdb_iter_get_error(_iterator, &error);
        Check(error, "read");
        return false;
    }

    public void Dispose()
    {
        if (_iterator == 0)
            return;

        rocksdb_iter_destroy(_iterator);
        rocksdb_readoptions_destroy(_options);
        NativeMemory.Free(_bounds);
        _iterator = _options = 0;
        _bounds = null;
        _store.Exit();
    }
}

/// <summary>A native snapshot; keeps the store open as long as it lives.</summary>
internal sealed class RocksDbSnapshot(RocksDbStore store, nint db) : IKvSnapshot
{
    private nint _snapshot = rocksdb_create_snapshot(db);

    internal nint Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_snapshot == 0, this);
            return _snapshot;
        }
    }

    internal RocksDbStore Store => store;

    public void Dispose()
    {
        if (_snapshot == 0)
            return;

        rocksdb_release_snapshot(db, _snapshot);
        _snapshot = 0;
        store.Exit();
    }
}
