using System.Text;
using StoreCore.Kv;

namespace StoreCore.Tests.Kv;

/// <summary>What every <see cref="IKvStore"/> does; run against the real one and the simulated one, so that they cannot drift apart.</summary>
public abstract class KvStoreConformance : IDisposable
{
    protected abstract IKvStore Store { get; }

    public abstract void Dispose();

    [Fact]
    public void A_value_is_found_under_its_key_and_table_only()
    {
        Write(batch => batch.Put(KvTable.Names, [1, 2], [3, 4, 5]));
        Span<byte> value = stackalloc byte[8];
        Assert.Equal(3, Store.Get(KvTable.Names, [1, 2], value));
        Assert.Equal([3, 4, 5], value[..3].ToArray());
        Assert.Equal(-1, Store.Get(KvTable.Names, [1], value));
        Assert.Equal(-1, Store.Get(KvTable.Names, [1, 2, 0], value));
        Assert.Equal(-1, Store.Get(KvTable.Inodes, [1, 2], value));
    }

    [Fact]
    public void Every_table_takes_changes_of_one_batch()
    {
        KvTable[] tables = Enum.GetValues<KvTable>();
        Write(batch =>
        {
            foreach (KvTable table in tables)
                batch.Put(table, [9], [(byte)table]);
        });
        Span<byte> value = stackalloc byte[1];
        foreach (KvTable table in tables)
        {
            Assert.Equal(1, Store.Get(table, [9], value));
            Assert.Equal((byte)table, value[0]);
        }
    }

    [Fact]
    public void A_value_that_does_not_fit_tells_its_length_and_copies_nothing()
    {
        Write(batch => batch.Put(KvTable.Inodes, [1], [1, 2, 3, 4]));
        byte[] small = [9, 9, 9];
        Assert.Equal(4, Store.Get(KvTable.Inodes, [1], small));
        Assert.Equal([9, 9, 9], small);
        Assert.Equal(4, Store.Get(KvTable.Inodes, [1], default));
    }

    [Fact]
    public void Empty_keys_and_values_are_kept()
    {
        Write(batch =>
        {
            batch.Put(KvTable.Xattrs, [], [1]);
            batch.Put(KvTable.Xattrs, [1], []);
        });
        Span<byte> value = stackalloc byte[1];
        Assert.Equal(1, Store.Get(KvTable.Xattrs, [], value));
        Assert.Equal(0, Store.Get(KvTable.Xattrs, [1], value));
        Assert.Equal(["=01", "01="], List(KvTable.Xattrs));
    }

    [Fact]
    public void Large_values_return_whole()
    {
        byte[] large = new byte[3 << 20];
        new Random(1).NextBytes(large);
        Write(batch => batch.Put(KvTable.InlineData, [1], large));
        byte[] read = new byte[large.Length];
        Assert.Equal(large.Length, Store.Get(KvTable.InlineData, [1], read));
        Assert.Equal(large, read);
    }

    [Fact]
    public void Within_a_batch_the_later_change_wins()
    {
        Write(batch =>
        {
            batch.Put(KvTable.Names, [1], [1]);
            batch.Put(KvTable.Names, [1], [2]);
            batch.Put(KvTable.Names, [2], [1]);
            batch.Delete(KvTable.Names, [2]);
            batch.Put(KvTable.Names, [3], [1]);
            batch.DeleteRange(KvTable.Names, [3], [4]);
            batch.DeleteRange(KvTable.Names, [5], [6]);
            batch.Put(KvTable.Names, [5], [7]);
            batch.Delete(KvTable.Names, [77]);
        });
        Assert.Equal(["01=02", "05=07"], List(KvTable.Names));
    }

    [Fact]
    public void A_range_is_deleted_from_lower_inclusive_to_upper_exclusive()
    {
        Write(batch =>
        {
            for (byte i = 0; i < 10; i++)
                batch.Put(KvTable.Segments, [i], [i]);
        });
        Write(batch => batch.DeleteRange(KvTable.Segments, [3], [7]));
        Assert.Equal(["00=00", "01=01", "02=02", "07=07", "08=08", "09=09"], List(KvTable.Segments));
        Write(batch => batch.DeleteRange(KvTable.Segments, [1], [1]));
        Assert.Throws<ArgumentException>(() => Write(batch => batch.DeleteRange(KvTable.Segments, [9], [2])));
        Assert.Equal(6, List(KvTable.Segments).Count);
    }

    [Fact]
    public void Keys_are_walked_in_unsigned_byte_order_within_bounds()
    {
        Write(batch =>
        {
            foreach (byte[] key in (byte[][])[[0xFF], [0x80], [0x7F], [0x7F, 0], [0], [], [0x7F, 0xFF], [0x80, 0]])
                batch.Put(KvTable.Entries, key, [1]);
        });
        Assert.Equal(["=01", "00=01", "7F=01", "7F00=01", "7FFF=01", "80=01", "8000=01", "FF=01"], List(KvTable.Entries));
        Assert.Equal(["7F00=01", "7FFF=01"], List(KvTable.Entries, [0x7F, 0], [0x80]));
        Assert.Equal(["FF=01"], List(KvTable.Entries, [0x80, 1], []));
        Assert.Empty(List(KvTable.Entries, [1], [2]));
        Assert.Empty(List(KvTable.Entries, [0x90], [0x80]));
    }

    [Fact]
    public void An_iterator_shows_the_moment_it_was_made()
    {
        Write(batch =>
        {
            batch.Put(KvTable.Names, [1], [1]);
            batch.Put(KvTable.Names, [2], [2]);
        });
        using IKvIterator iterator = Store.Iterate(KvTable.Names, [], []);
        Write(batch =>
        {
            batch.Delete(KvTable.Names, [2]);
            batch.Put(KvTable.Names, [1], [9]);
            batch.Put(KvTable.Names, [3], [3]);
        });
        Assert.Equal(["01=01", "02=02"], Walk(iterator));
        Assert.Equal(["01=09", "03=03"], List(KvTable.Names));
    }

    [Fact]
    public void Iterators_of_one_snapshot_agree_over_tables()
    {
        Write(batch => batch.Put(KvTable.Names, [1], [1]));
        using IKvSnapshot snapshot = Store.Snapshot();
        Write(batch =>
        {
            batch.Put(KvTable.Names, [1], [2]);
            batch.Put(KvTable.Inodes, [1], [2]);
        });
        using IKvIterator names = Store.Iterate(KvTable.Names, [], [], snapshot);
        using IKvIterator inodes = Store.Iterate(KvTable.Inodes, [], [], snapshot);
        Assert.Equal(["01=01"], Walk(names));
        Assert.Empty(Walk(inodes));
    }

    [Fact]
    public void An_iterator_that_stands_on_no_pair_refuses_to_be_read()
    {
        Write(batch => batch.Put(KvTable.Names, [1], [1]));
        using IKvIterator iterator = Store.Iterate(KvTable.Names, [], []);
        Assert.Throws<InvalidOperationException>(() => iterator.Key.Length);
        Assert.True(iterator.Next());
        Assert.False(iterator.Next());
        Assert.False(iterator.Next());
        Assert.Throws<InvalidOperationException>(() => iterator.Value.Length);
    }

    [Fact]
    public void A_batch_can_be_used_again_and_an_empty_one_changes_nothing()
    {
        var batch = new KvBatch();
        Store.Write(batch);
        batch.Put(KvTable.Names, [1], [1]);
        Store.Write(batch);
        batch.Clear();
        batch.Put(KvTable.Names, [2], [2]);
        Store.Write(batch);
        Store.Sync();
        Assert.Equal(["01=01", "02=02"], List(KvTable.Names));
    }

    [Fact]
    public void Many_threads_write_sync_and_read_at_once()
    {
        const int Threads = 4, Rounds = 40;
        var threads = new Thread[Threads];
        var failures = new List<Exception>();
        for (int t = 0; t < Threads; t++)
        {
            byte id = (byte)t;
            threads[t] = new Thread(() =>
            {
                try
                {
                    var batch = new KvBatch();
                    Span<byte> value = stackalloc byte[2];
                    for (byte i = 0; i < Rounds; i++)
                    {
                        batch.Clear();
                        batch.Put(KvTable.OpLog, [id, i], [id, i]);
                        Store.Write(batch);
                        Store.Sync();
                        Assert.Equal(2, Store.Get(KvTable.OpLog, [id, i], value));
                        using IKvIterator iterator = Store.Iterate(KvTable.OpLog, [id], [(byte)(id + 1)]);
                        Assert.Equal(i + 1, Walk(iterator).Count);
                    }
                }
                catch (Exception e)
                {
                    lock (failures)
                        failures.Add(e);
                }
            });
        }

        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.Empty(failures);
        Assert.Equal(Threads * Rounds, List(KvTable.OpLog).Count);
    }

    [Fact]
    public void Usage_grows_with_what_is_stored()
    {
        Write(batch => batch.Put(KvTable.InlineData, [1], new byte[1 << 20]));
        KvUsage usage = Store.Usage;
        Assert.InRange(usage.DiskBytes, 1 << 20, 1 << 30);
        Assert.InRange(usage.MemoryBytes, 1 << 20, 1 << 30);
    }

    [Fact]
    public void A_disposed_store_refuses_every_call()
    {
        IKvIterator iterator = Store.Iterate(KvTable.Names, [], []);
        Store.Dispose();
        iterator.Dispose();
        Store.Dispose();
        var batch = new KvBatch();
        batch.Put(KvTable.Names, [1], [1]);
        Assert.Throws<ObjectDisposedException>(() => Store.Write(batch));
        Assert.Throws<ObjectDisposedException>(() => Store.Get(KvTable.Names, [1], default));
        Assert.Throws<ObjectDisposedException>(() => Store.Sync());
        Assert.Throws<ObjectDisposedException>(() => Store.Iterate(KvTable.Names, [], []));
        Assert.Throws<ObjectDisposedException>(() => Store.Snapshot());
        Assert.Throws<ObjectDisposedException>(() => Store.Usage);
    }

    protected void Write(Action<KvBatch> fill)
    {
        var batch = new KvBatch();
        fill(batch);
        Store.Write(batch);
    }

    protected List<string> List(KvTable table, byte[]? lower = null, byte[]? upper = null) => List(Store, table, lower, upper);

    /// <summary>All pairs as "KEY=VALUE" in hex.</summary>
    internal static List<string> List(IKvStore store, KvTable table, byte[]? lower = null, byte[]? upper = null)
    {
        using IKvIterator iterator = store.Iterate(table, lower, upper);
        return Walk(iterator);
    }

    internal static List<string> Walk(IKvIterator iterator)
    {
        var pairs = new List<string>();
        while (iterator.Next())
            pairs.Add($"{Convert.ToHexString(iterator.Key)}={Convert.ToHexString(iterator.Value)}");
        return pairs;
    }
}
