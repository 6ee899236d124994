using System.Globalization;
using System.Text;
using static StoreCore.Kv.RocksDbNative;

namespace StoreCore.Kv;

/// <summary>
/// How the engine is set up: one options object for the database and one per table. Settings are passed in RocksDB's own text form
/// (include/rocksdb/options.h names and explains each; an unknown name is refused at open), for not all of them have a C function.
/// </summary>
internal sealed unsafe class RocksDbSettings : IDisposable
{
    private readonly nint[] _tables = new nint[TableCount];
    private nint _database;
    private nint _cache;

    public const int TableCount = (int)KvTable.Cluster + 1;

    public RocksDbSettings(RocksDbOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MemoryBudgetBytes, 8L << 20);
        try
        {
            _cache = rocksdb_cache_create_lru((nuint)options.BlockCacheBytes);
            _database = Parse(DatabaseText(options));
            for (int i = 0; i < TableCount; i++)
            {
                _tables[i] = Parse(TableText((KvTable)i, options));
                SetTableFormat(_tables[i], (KvTable)i);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public nint Database => _database;

    public ReadOnlySpan<nint> Tables => _tables;

    public nint Cache => _cache;

    /// <summary>The column family's name: "default" has to be the first, the others are the table's name in small letters.</summary>
    public static string NameOf(KvTable table) => table == KvTable.System ? "default" : table.ToString().ToLowerInvariant();

    private static string DatabaseText(RocksDbOptions options) => Join(
        ("create_if_missing", "true"),
        ("create_missing_column_families", "true"),
        ("db_write_buffer_size", options.WriteBufferBytes),
        ("max_total_wal_size", options.MaxLogBytes),
        ("max_open_files", options.MaxOpenFiles),
        ("max_background_jobs", options.BackgroundJobs),

        // Recovery. The log is inspected before the engine sees it (LogInspector): what was flushed must be there whole, what follows is cut to a
        // prefix. Of the engine's modes only this one combines a prefix with the check that no table file is ahead of the log.
        ("wal_recovery_mode", "kPointInTimeRecovery"),
        ("track_and_verify_wals_in_manifest", "true"),

        // A failure is final: no retries behind the scenes.
        ("paranoid_checks", "true"),
        ("max_bgerror_resume_count", 0),

        // The engine's own log: for evidence, bounded.
        ("info_log_level", "WARN_LEVEL"),
        ("max_log_file_size", 4 << 20),
        ("keep_log_file_num", 2),
        ("stats_dump_period_sec", 0),
        ("stats_persist_period_sec", 0),
        ("max_manifest_file_size", 16 << 20),
        ("manifest_preallocation_size", 64 << 10),

        // Table files go to the disk as they are written, so that the flush of the log does not have to wait behind them.
        ("bytes_per_sync", 1 << 20));

    private static string TableText(KvTable table, RocksDbOptions options)
    {
        // Full row: the tables that a file's life writes to; the others rarely grow before the shared limit makes them flush.
        bool large = table is KvTable.Inodes or KvTable.Names or KvTable.Entries or KvTable.OpLog or KvTable.Segments or KvTable.InlineData;
        long buffer = Math.Max(1 << 20, options.WriteBufferBytes / (large ? 4 : 16));
        return Join(
            ("write_buffer_size", buffer),
            ("max_write_buffer_number", 3),
            ("arena_block_size", Math.Min(256 << 10, buffer / 8)),
            ("target_file_size_base", 32 << 20),
            ("max_bytes_for_level_base", 128 << 20),
            ("level_compaction_dynamic_level_bytes", "true"),

            // Fresh files are rewritten soon: not worth the processor. Deeper levels hold nearly all bytes: LZ4 halves names and inode rows for
            // a fraction of what the read costs. Inline data is on its way to a volume file and may not be compressible at all.
            ("compression_per_level", table == KvTable.InlineData
                ? "kNoCompression"
                : "kNoCompression:kNoCompression:kLZ4Compression"),
            ("memtable_prefix_bloom_size_ratio", IsPointLookup(table) ? "0.05" : "0"),
            ("memtable_whole_key_filtering", IsPointLookup(table) ? "true" : "false"));
    }

    /// <summary>Tables that are asked for keys that do not exist (a name to be created, a chunk that is not inline): a filter saves the search.</summary>
    private static bool IsPointLookup(KvTable table) =>
        table is KvTable.Inodes or KvTable.Names or KvTable.Xattrs or KvTable.Segments or KvTable.InlineData or KvTable.Undo or KvTable.Requests;

    private void SetTableFormat(nint options, KvTable table)
    {
        nint format = rocksdb_block_based_options_create();
        rocksdb_block_based_options_set_block_cache(format, _cache);
        rocksdb_block_based_options_set_block_size(format, 8 << 10);
        rocksdb_block_based_options_set_format_version(format, 5);

        // Index and filters count in the block cache: memory stays bounded however many files there are.
        rocksdb_block_based_options_set_cache_index_and_filter_blocks(format, 1);
        rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(format, 1);
        rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(format, 1);

        // In pieces of a few KiB: a table file's whole filter has some 2 MiB, as much as a shard of the cache, and with ten million files each lookup
        // read one anew (300 us instead of 14).
        const int TwoLevelIndexSearch = 2;
        rocksdb_block_based_options_set_index_type(format, TwoLevelIndexSearch);
        rocksdb_block_based_options_set_partition_filters(format, 1);
        if (IsPointLookup(table))
        {
            const double BitsPerKey = 10; // 1 % false positives
            const int BinaryAndHash = 1;
            rocksdb_block_based_options_set_filter_policy(format, rocksdb_filterpolicy_create_bloom_full(BitsPerKey));
            rocksdb_block_based_options_set_data_block_index_type(format, BinaryAndHash);
        }

        rocksdb_options_set_block_based_table_factory(options, format);
        rocksdb_block_based_options_destroy(format);
    }

    private static nint Parse(string text)
    {
        nint plain = rocksdb_options_create();
        nint parsed = rocksdb_options_create();
        byte* error = null;
        rocksdb_get_options_from_string(plain, text, parsed, &error);
        rocksdb_options_destroy(plain);
        if (error != null)
        {
            rocksdb_options_destroy(parsed);
            throw Failure(error, "settings of the key-value store");
        }

        return parsed;
    }

    private static string Join(params ReadOnlySpan<(string Name, object Value)> settings)
    {
        var text = new StringBuilder();
        foreach ((string name, object value) in settings)
            text.Append(CultureInfo.InvariantCulture, $"{name}={value};");
        return text.ToString();
    }

    public void Dispose()
    {
        for (int i = 0; i < TableCount; i++)
        {
            if (_tables[i] != 0)
                rocksdb_options_destroy(_tables[i]);
            _tables[i] = 0;
        }

        if (_database != 0)
            rocksdb_options_destroy(_database);
        if (_cache != 0)
            rocksdb_cache_destroy(_cache);
        _database = _cache = 0;
    }
}
