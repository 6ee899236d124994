using Sim;
using StoreCore.Kv;

namespace StoreCore.Tests.Kv;

/// <summary>The same random batches go to the real store and the simulated one; both must always show the same.</summary>
public sealed class KvDifferentialTests : IDisposable
{
    private static readonly KvTable[] Tables = Enum.GetValues<KvTable>();

    private readonly TestDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_batches_leave_both_alike(int seed)
    {
        var random = new Random(seed);
        var options = new RocksDbOptions { MemoryBudgetBytes = 16 << 20 };
        RocksDbStore real = RocksDbStore.Open(_directory["kv"], options);
        var sim = new SimKvStore();
        var batch = new KvBatch();
        for (int round = 0; round < 400; round++)
        {
            batch.Clear();
            FillAtRandom(batch, random);
            AssertReadsBack(batch);
            real.Write(batch);
            sim.Write(batch);
            if (random.Next(8) == 0)
            {
                real.Sync();
                sim.Sync();
            }

            if (random.Next(4) == 0)
                AssertAlike(real, sim, random, $"seed {seed}, round {round}");
            if (random.Next(100) == 0)
            {
                real.Dispose();
                real = RocksDbStore.Open(_directory["kv"], options);
                sim = sim.Kill();
            }
        }

        foreach (KvTable table in Tables)
            Assert.Equal(KvStoreConformance.List(sim, table), KvStoreConformance.List(real, table));
        real.Dispose();
    }

    private static void FillAtRandom(KvBatch batch, Random random)
    {
        var part = new KvBatch();
        for (int i = random.Next(1, 12); i > 0; i--)
        {
            KvBatch target = random.Next(4) == 0 ? part : batch;
            KvTable table = Tables[random.Next(Tables.Length)];
            byte[] key = RandomKey(random);
            switch (random.Next(10))
            {
                case < 7:
                    byte[] value = new byte[random.Next(3) switch { 0 => random.Next(4), 1 => random.Next(120, 140), _ => random.Next(20_000) }];
                    random.NextBytes(value);
                    target.Put(table, key, value);
                    break;
                case < 9:
                    target.Delete(table, key);
                    break;
                default:
                    byte[] other = RandomKey(random);
                    bool ascending = key.AsSpan().SequenceCompareTo(other) <= 0;
                    target.DeleteRange(table, ascending ? key : other, ascending ? other : key);
                    break;
            }
        }

        batch.Append(part);
    }

    /// <summary>Few different first bytes, so that keys meet each other; now and then a long one.</summary>
    private static byte[] RandomKey(Random random)
    {
        byte[] key = new byte[random.Next(20) == 0 ? random.Next(120, 300) : random.Next(4)];
        for (int i = 0; i < key.Length; i++)
            key[i] = (byte)(random.Next(4) * 85);
        return key;
    }

    /// <summary>The reader finds what the writer put in: its bytes, written again, are the same.</summary>
    private static void AssertReadsBack(KvBatch batch)
    {
        var copy = new KvBatch();
        KvBatch.Reader reader = batch.GetReader();
        while (reader.Next())
        {
            if (reader.Change == KvBatch.Change.Put)
                copy.Put(reader.Table, reader.Key, reader.Value);
            else if (reader.Change == KvBatch.Change.Delete)
                copy.Delete(reader.Table, reader.Key);
            else
                copy.DeleteRange(reader.Table, reader.Key, reader.Value);
        }

        Assert.Equal(batch.Count, copy.Count);
        Assert.True(batch.Encoded.SequenceEqual(copy.Encoded));
    }

    private static void AssertAlike(IKvStore real, IKvStore sim, Random random, string when)
    {
        KvTable table = Tables[random.Next(Tables.Length)];
        byte[] lower = RandomKey(random), upper = random.Next(2) == 0 ? [] : RandomKey(random);
        Assert.Equal(KvStoreConformance.List(sim, table, lower, upper), KvStoreConformance.List(real, table, lower, upper));

        byte[] one = new byte[20_000], two = new byte[20_000];
        for (int i = 0; i < 20; i++)
        {
            byte[] key = RandomKey(random);
            int length = sim.Get(table, key, one);
            Assert.True(length == real.Get(table, key, two), when);
            Assert.True(length < 0 || one.AsSpan(0, length).SequenceEqual(two.AsSpan(0, length)), when);
        }
    }
}
