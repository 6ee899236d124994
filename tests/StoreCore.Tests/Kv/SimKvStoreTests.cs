using Sim;
using StoreCore.Kv;

namespace StoreCore.Tests.Kv;

/// <summary>The crashes and failures that the simulated store can make.</summary>
public class SimKvStoreTests
{
    [Fact]
    public void A_crash_keeps_what_was_synced_and_every_length_of_prefix_behind_it()
    {
        var seen = new HashSet<int>();
        for (int seed = 0; seed < 300; seed++)
        {
            var store = new SimKvStore();
            for (byte i = 1; i <= 9; i++)
            {
                Put(store, i);
                if (i == 4)
                    store.Sync();
            }

            SimKvStore after = store.Crash(new Random(seed));
            int kept = KvStoreConformance.List(after, KvTable.Names).Count;
            Assert.Equal(Enumerable.Range(1, kept).Select(i => $"{i:X2}={i:X2}"), KvStoreConformance.List(after, KvTable.Names));
            seen.Add(kept);
            Assert.Throws<SimPowerCutException>(() => Put(store, 1));
            Assert.Throws<SimPowerCutException>(() => store.Get(KvTable.Names, [1], default));
            Put(after, 77);
        }

        Assert.Equal([4, 5, 6, 7, 8, 9], seen.Order());
    }

    [Fact]
    public void A_killed_process_loses_nothing()
    {
        var store = new SimKvStore();
        Put(store, 1);
        Assert.Single(KvStoreConformance.List(store.Kill(), KvTable.Names));
    }

    [Fact]
    public void A_failed_write_stops_the_store_and_may_be_found_after_a_crash_or_not()
    {
        var seen = new HashSet<int>();
        for (int seed = 0; seed < 50; seed++)
        {
            var store = new SimKvStore();
            store.FailWrite(after: 1);
            Put(store, 1);
            store.Sync();
            Assert.Throws<KvFailedException>(() => Put(store, 2));
            Assert.Throws<KvFailedException>(() => Put(store, 3));
            Assert.Throws<KvFailedException>(store.Sync);
            Assert.Single(KvStoreConformance.List(store, KvTable.Names));
            seen.Add(KvStoreConformance.List(store.Crash(new Random(seed)), KvTable.Names).Count);
        }

        Assert.Equal([1, 2], seen.Order());
    }

    [Fact]
    public void A_failed_sync_stops_the_store_and_promises_nothing()
    {
        var seen = new HashSet<int>();
        for (int seed = 0; seed < 50; seed++)
        {
            var store = new SimKvStore();
            Put(store, 1);
            store.FailSync();
            Assert.Throws<KvFailedException>(store.Sync);
            Assert.Throws<KvFailedException>(store.Sync);
            seen.Add(KvStoreConformance.List(store.Crash(new Random(seed)), KvTable.Names).Count);
        }

        Assert.Equal([0, 1], seen.Order());
    }

    [Fact]
    public void The_power_fails_at_the_chosen_change_for_all_parts_of_the_machine()
    {
        var power = new SimPower();
        var store = new SimKvStore(power);
        var disk = new SimDisk(power: power);
        power.CutAfter(2);
        Put(store, 1);
        disk.Open("v", create: true).Dispose();
        Assert.Throws<SimPowerCutException>(() => Put(store, 2));
        Assert.True(power.IsCut);
        Assert.Throws<SimPowerCutException>(() => disk.List());
        SimKvStore after = store.Kill();
        SimDisk diskAfter = disk.Kill();
        power.Restore();
        Assert.Single(KvStoreConformance.List(after, KvTable.Names));
        Assert.Single(diskAfter.List());
    }

    [Fact]
    public void Views_that_were_not_disposed_are_counted()
    {
        var store = new SimKvStore();
        IKvSnapshot snapshot = store.Snapshot();
        IKvIterator iterator = store.Iterate(KvTable.Names, [], [], snapshot);
        Assert.Equal(2, store.OpenViews);
        iterator.Dispose();
        iterator.Dispose();
        snapshot.Dispose();
        Assert.Equal(0, store.OpenViews);
    }

    [Fact]
    public void A_checkpoint_is_a_store_of_its_own()
    {
        var store = new SimKvStore();
        Put(store, 1);
        store.Checkpoint("copy");
        Put(store, 2);
        Put(store.OpenCheckpoint("copy"), 3);
        Assert.Equal(["01=01", "02=02"], KvStoreConformance.List(store, KvTable.Names));
        Assert.Equal(["01=01", "03=03"], KvStoreConformance.List(store.OpenCheckpoint("copy"), KvTable.Names));
        Assert.Throws<KvFailedException>(() => store.Checkpoint("copy"));
    }

    private static void Put(SimKvStore store, byte key)
    {
        var batch = new KvBatch();
        batch.Put(KvTable.Names, [key], [key]);
        store.Write(batch);
    }
}
