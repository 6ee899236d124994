using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace StoreCore.Kv;

/// <summary>
/// The functions of rocksdb/c.h (version 7.8) that the store uses. All handles are opaque pointers. Functions with an <c>errptr</c> set it to a
/// malloc'ed C string on failure; <see cref="Check"/> turns that into the exception and frees it.
/// </summary>
internal static unsafe partial class RocksDbNative
{
    private const string Library = "librocksdb.so.7.8";

    // Database.
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint rocksdb_open_column_families(
        nint options, string name, int count, nint* names, nint* columnFamilyOptions, nint* handles, byte** error);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint rocksdb_open_for_read_only_column_families(
        nint options, string name, int count, nint* names, nint* columnFamilyOptions, nint* handles, byte errorIfWalExists, byte** error);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial byte** rocksdb_list_column_families(nint options, string name, nuint* count, byte** error);

    [LibraryImport(Library)]
    internal static partial void rocksdb_list_column_families_destroy(byte** list, nuint count);

    [LibraryImport(Library)]
    internal static partial void rocksdb_close(nint db);

    [LibraryImport(Library)]
    internal static partial uint rocksdb_column_family_handle_get_id(nint handle);

    [LibraryImport(Library)]
    internal static partial void rocksdb_column_family_handle_destroy(nint handle);

    [LibraryImport(Library)]
    internal static partial void rocksdb_cancel_all_background_work(nint db, byte wait);

    [LibraryImport(Library)]
    internal static partial ulong rocksdb_get_latest_sequence_number(nint db);

    [LibraryImport(Library)]
    internal static partial int rocksdb_property_int_cf(nint db, nint columnFamily, byte* name, ulong* value);

    // Writes.
    [LibraryImport(Library)]
    internal static partial nint rocksdb_writebatch_create_from(byte* bytes, nuint length);

    [LibraryImport(Library)]
    internal static partial void rocksdb_writebatch_destroy(nint batch);

    [LibraryImport(Library)]
    internal static partial void rocksdb_write(nint db, nint writeOptions, nint batch, byte** error);

    [LibraryImport(Library)]
    internal static partial void rocksdb_flush_wal(nint db, byte sync, byte** error);

    [LibraryImport(Library)]
    internal static partial nint rocksdb_flushoptions_create();

    [LibraryImport(Library)]
    internal static partial void rocksdb_flushoptions_destroy(nint options);

    /// <summary>Waits for the end, as the options are made.</summary>
    [LibraryImport(Library)]
    internal static partial void rocksdb_flush_cf(nint db, nint options, nint columnFamily, byte** error);

    [LibraryImport(Library)]
    internal static partial void rocksdb_compact_range_cf(
        nint db, nint columnFamily, byte* start, nuint startLength, byte* limit, nuint limitLength);

    [LibraryImport(Library)]
    internal static partial nint rocksdb_writeoptions_create();

    [LibraryImport(Library)]
    internal static partial void rocksdb_writeoptions_destroy(nint options);

    // Reads. Calls that never wait and only return a field skip the transition to preemptive mode.
    [LibraryImport(Library)]
    internal static partial nint rocksdb_get_pinned_cf(nint db, nint readOptions, nint columnFamily, byte* key, nuint keyLength, byte** error);

    [LibraryImport(Library)]
    [SuppressGCTransition]
    internal static partial byte* rocksdb_pinnableslice_value(nint slice, nuint* length);

    [LibraryImport(Library)]
    internal static partial void rocksdb_pinnableslice_destroy(nint slice);

    [LibraryImport(Library)]
    internal static partial nint rocksdb_readoptions_create();

    [LibraryImport(Library)]
    internal static partial void rocksdb_readoptions_destroy(nint options);

    /// <summary>Keeps the pointer, not a copy: the key has to live as long as the iterators made with these options.</summary>
    [LibraryImport(Library)]
    internal static partial void rocksdb_readoptions_set_iterate_upper_bound(nint options, byte* key, nuint length);

    [LibraryImport(Library)]
    internal static partial void rocksdb_readoptions_set_snapshot(nint options, nint snapshot);

    [LibraryImport(Library)]
    internal static partial nint rocksdb_create_iterator_cf(nint db, nint readOptions, nint columnFamily);

    [LibraryImport(Library)]
    internal static partial void rocksdb_iter_destroy(nint iterator);

    [LibraryImport(Library)]
    internal static partial void rocksdb_iter_seek(nint iterator, byte* key, nuint length);

    [LibraryImport(Library)]
    internal static partial void rocksdb_iter_next(nint iterator);

    [LibraryImport(Library)]
    [SuppressGCTransition]
    internal static partial byte rocksdb_iter_valid(nint iterator);

    [LibraryImport(Library)]
    [SuppressGCTransition]
    internal static partial byte* rocksdb_iter_key(nint iterator, nuint* length);

    [LibraryImport(Library)]
    [SuppressGCTransition]
    internal static partial byte* rocksdb_iter_value(nint iterator, nuint* length);

    [LibraryImport(Library)]
    internal static partial void rocksdb_iter_get_error(nint iterator, byte** error);

    [LibraryImport(Library)]
    internal static partial nint rocksdb_create_snapshot(nint db);

    [LibraryImport(Library)]
    internal static partial void rocksdb_release_snapshot(nint db, nint snapshot);

    // Checkpoints.
    [LibraryImport(Library)]
    internal static partial nint rocksdb_checkpoint_object_create(nint db, byte** error);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial void rocksdb_checkpoint_create(nint checkpoint, string directory, ulong logSizeForFlush, byte** error);

    [LibraryImport(Library)]
    internal static partial void rocksdb_checkpoint_object_destroy(nint checkpoint);

    // Options.
    [LibraryImport(Library)]
    internal static partial nint rocksdb_options_create();

    [LibraryImport(Library)]
    internal static partial void rocksdb_options_destroy(nint options);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial void rocksdb_get_options_from_string(nint baseOptions, string text, nint newOptions, byte** error);

    [LibraryImport(Library)]
    internal static partial void rocksdb_options_set_block_based_table_factory(nint options, nint tableOptions);

    [LibraryImport(Library)]
    internal static partial nint rocksdb_block_based_options_create();

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_destroy(nint options);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_block_cache(nint options, nint cache);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_block_size(nint options, nuint sizeBytes);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_cache_index_and_filter_blocks(nint options, byte on);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(nint options, byte on);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(nint options, byte on);

    /// <summary>Takes the policy over.</summary>
    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_filter_policy(nint options, nint policy);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_data_block_index_type(nint options, int type);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_format_version(nint options, int version);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_index_type(nint options, int type);

    [LibraryImport(Library)]
    internal static partial void rocksdb_block_based_options_set_partition_filters(nint options, byte on);

    [LibraryImport(Library)]
    internal static partial nint rocksdb_filterpolicy_create_bloom_full(double bitsPerKey);

    [LibraryImport(Library)]
    internal static partial nint rocksdb_cache_create_lru(nuint capacityBytes);

    [LibraryImport(Library)]
    internal static partial nuint rocksdb_cache_get_usage(nint cache);

    [LibraryImport(Library)]
    internal static partial void rocksdb_cache_destroy(nint cache);

    [LibraryImport(Library)]
    internal static partial void rocksdb_free(void* pointer);

    /// <summary>Throws what the engine reported, in one line, and frees the report.</summary>
    internal static void Check(byte* error, string operation)
    {
        if (error != null)
            throw Failure(error, operation);
    }

    /// <summary>The exception for a report of the engine (such as "IO error: …: /path/000012.sst: No such file or directory"); frees the report.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static KvFailedException Failure(byte* error, string operation)
    {
        string reason = Marshal.PtrToStringUTF8((nint)error) ?? "no reason given";
        rocksdb_free(error);

        // For a table file that is missing the engine names what it tried last, the suffix that its predecessor used.
        return new KvFailedException($"{operation}: {reason.ReplaceLineEndings(" ").Replace(".ldb", ".sst", StringComparison.Ordinal)}");
    }
}
