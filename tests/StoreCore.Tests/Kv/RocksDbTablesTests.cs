using System.Runtime.InteropServices;
using StoreCore.Kv;
using static StoreCore.Kv.RocksDbNative;

namespace StoreCore.Tests.Kv;

/// <summary>Stores of other versions of the program, which knew fewer or more tables.</summary>
public sealed unsafe class RocksDbTablesTests : IDisposable
{
    private static readonly RocksDbOptions Options = new() { MemoryBudgetBytes = 16 << 20 };

    private readonly TestDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_store_from_before_a_table_was_gains_it()
    {
        string at = _directory["a"];
        Make(at, RocksDbSettings.TableCount - 2);
        for (int round = 0; round < 2; round++)
        {
            using RocksDbStore store = RocksDbStore.Open(at, Options);
            byte[] value = new byte[8];
            Assert.Equal(round == 0 ? -1 : 1, store.Get(KvTable.Requests, "k"u8, value));
            Assert.Equal(1, store.Get(KvTable.Undo, "old"u8, value));
            var batch = new KvBatch();
            batch.Put(KvTable.Requests, "k"u8, "v"u8);
            batch.Put(KvTable.Cluster, "k"u8, "v"u8);
            store.Write(batch);
            store.Sync();
        }
    }

    [Fact]
    public void A_damaged_end_of_the_log_of_such_a_store_is_judged_as_ever()
    {
        string at = _directory["a"];
        Make(at, RocksDbSettings.TableCount - 2);
        string log = Directory.GetFiles(at, "*.log").OrderBy(file => file, StringComparer.Ordinal).Last();
        File.AppendAllText(log, "no record");
        string? notice = null;
        using (RocksDbStore store = RocksDbStore.Open(at, Options, text => notice = text))
            Assert.Equal(1, store.Get(KvTable.Undo, "old"u8, new byte[8]));
        Assert.NotNull(notice);
    }

    /// <summary>Makes a store with the first tables only, and a row in the last of them.</summary>
    private static void Make(string directory, int count)
    {
        Directory.CreateDirectory(directory);
        using var settings = new RocksDbSettings(Options);
        nint* names = stackalloc nint[count], handles = stackalloc nint[count];
        for (int i = 0; i < count; i++)
            names[i] = Marshal.StringToCoTaskMemUTF8(RocksDbSettings.NameOf((KvTable)i));
        byte* error = null;
        nint db;
        fixed (nint* options = settings.Tables)
            db = rocksdb_open_column_families(settings.Database, directory, count, names, options, handles, &error);
        Assert.True(error == null);
        var batch = new KvBatch();
        batch.Put((KvTable)(count - 1), "old"u8, "v"u8);
        nint writing = rocksdb_writeoptions_create();
        fixed (byte* bytes = batch.Encoded)
        {
            nint native = rocksdb_writebatch_create_from(bytes, (nuint)batch.Encoded.Length);
            rocksdb_write(db, writing, native, &error);
            rocksdb_writebatch_destroy(native);
        }

        Assert.True(error == null);
        rocksdb_flush_wal(db, 1, &error);
        Assert.True(error == null);
        for (int i = 0; i < count; i++)
        {
            Marshal.FreeCoTaskMem(names[i]);
            rocksdb_column_family_handle_destroy(handles[i]);
        }

        rocksdb_close(db);
        rocksdb_writeoptions_destroy(writing);
    }
}
