using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Tests.Kv;

/// <summary>
/// Crashes without simulation: the directory of a live store is copied, as a killed process would leave it, and its log is damaged, as a lost machine or a
/// bad disk might. What opens must hold a prefix of the batches with all flushed ones; what cannot must be refused with its file named.
/// </summary>
public sealed class RocksDbCrashTests : IDisposable
{
    private static readonly RocksDbOptions Options = new() { MemoryBudgetBytes = 16 << 20 };

    private readonly TestDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_killed_process_loses_nothing()
    {
        string at = _directory["a"];
        for (int generation = 1; generation <= 4; generation++)
        {
            using RocksDbStore store = RocksDbStore.Open(at, Options);
            int count = VerifyPrefix(store);
            Assert.Equal((generation - 1) * 60, count);
            Fill(store, ref count, 30, generation);
            store.Sync();
            Fill(store, ref count, 30, generation);
            CopyDirectory(at, at + "x");
            at += "x";
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void A_damaged_end_of_the_log_leaves_a_prefix_with_all_that_was_flushed(int seed)
    {
        var random = new Random(seed);
        string at = _directory["a"];
        int count = 0;
        for (int generation = 0; generation < 6; generation++)
        {
            int stable;
            long stableBytes;
            using (RocksDbStore store = RocksDbStore.Open(at, Options))
            {
                count = VerifyPrefix(store);
                Fill(store, ref count, random.Next(1, 40), seed);
                store.Sync();
                stable = count;
                stableBytes = LiveLog(at).GoodBytes;
                string log = LiveLog(at).Path;
                Fill(store, ref count, random.Next(1, 40), seed);

                // A flush of tables meanwhile has moved the log on: then nothing of the old one can be damaged by a lost write.
                CopyDirectory(at, at + "x");
                at += "x";
                if (LiveLog(at).Path.EndsWith(Path.GetFileName(log), StringComparison.Ordinal))
                    Damage(LiveLog(at).Path, stableBytes, LiveLog(at).GoodBytes, random);
            }

            using (RocksDbStore store = RocksDbStore.Open(at, Options))
            {
                int kept = VerifyPrefix(store);
                Assert.True(kept >= stable && kept <= count, $"seed {seed}, generation {generation}: {kept} of {stable} to {count}");
                count = kept;
            }
        }
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public void Damage_to_what_was_flushed_is_refused_and_stays_refused(int seed)
    {
        var random = new Random(seed);
        string origin = _directory["a"];
        int count = 0;
        using (RocksDbStore store = RocksDbStore.Open(origin, Options))
        {
            Fill(store, ref count, 50, seed);
            store.Sync();
            for (int round = 0; round < 12; round++)
            {
                string at = _directory[$"b{round}"];
                CopyDirectory(origin, at);
                LogFile log = LiveLog(at);
                Damage(log.Path, 0, log.GoodBytes, random);
                AssertRefused(() => RocksDbStore.Open(at, Options), Path.GetFileName(log.Path));
                AssertRefused(() => RocksDbStore.Open(at, Options), Path.GetFileName(log.Path));

                // With the file back nothing is lost: the refusals have changed nothing else.
                File.Copy(LiveLog(origin).Path, log.Path, overwrite: true);
                using (RocksDbStore mended = RocksDbStore.Open(at, Options))
                    Assert.Equal(count, VerifyPrefix(mended));
                Directory.Delete(at, recursive: true);
            }
        }
    }

    [Fact]
    public void A_lost_log_is_refused()
    {
        string at = MakeStore(tables: false);
        File.Delete(LiveLog(at).Path);
        AssertRefused(() => RocksDbStore.Open(at, Options), ".log");
        AssertRefused(() => RocksDbStore.Open(at, Options), ".log");
    }

    [Fact]
    public void A_creation_that_was_cut_short_is_finished_by_the_next_open()
    {
        string young = _directory["young"];
        RocksDbStore.Open(young, Options).Dispose();

        // What a kill between the creation of two tables leaves: a manifest that ends earlier, and no note of a flush.
        string manifest = Directory.GetFiles(young, "MANIFEST-*")[0];
        using (FileStream file = File.OpenWrite(manifest))
            file.SetLength(file.Length * 2 / 3);
        File.WriteAllBytes(Path.Combine(young, StableMark.FileName), []);
        using RocksDbStore store = RocksDbStore.Open(young, Options);
        int count = 0;
        Fill(store, ref count, 3, 1);
        Assert.Equal(3, VerifyPrefix(store));
    }

    [Theory]
    [InlineData("*.sst")]
    [InlineData("MANIFEST-*")]
    [InlineData("CURRENT")]
    public void A_lost_file_is_refused_by_name(string pattern)
    {
        string at = MakeStore(tables: true);
        string victim = Directory.GetFiles(at, pattern)[0];
        File.Delete(victim);
        AssertRefused(() => RocksDbStore.Open(at, Options), Path.GetFileName(victim));
        AssertRefused(() => RocksDbStore.Open(at, Options), Path.GetFileName(victim));
    }

    [Fact]
    public void A_truncated_table_is_refused_by_name()
    {
        string at = MakeStore(tables: true);
        string victim = Directory.GetFiles(at, "*.sst")[0];
        using (FileStream file = File.OpenWrite(victim))
            file.SetLength(file.Length / 2);
        AssertRefused(() => RocksDbStore.Open(at, Options), Path.GetFileName(victim));
    }

    [Fact]
    public void A_damaged_manifest_is_refused()
    {
        string at = MakeStore(tables: true);
        Flip(Directory.GetFiles(at, "MANIFEST-*")[0], 100);
        AssertRefused(() => RocksDbStore.Open(at, Options), at);
    }

    [Fact]
    public void A_rotten_table_is_told_at_the_read_never_read_as_data()
    {
        string at = MakeStore(tables: true);
        string victim = Directory.GetFiles(at, "*.sst").MaxBy(file => new FileInfo(file).Length)!;
        long length = new FileInfo(victim).Length;
        for (long offset = 50; offset < length - 4096; offset += 4096)
            Flip(victim, offset);
        using RocksDbStore store = RocksDbStore.Open(at, Options);
        string message = Assert.Throws<KvFailedException>(() => KvStoreConformance.List(store, KvTable.InlineData)).Message;
        Assert.Contains(Path.GetFileName(victim), message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
        byte[] value = new byte[8192];
        Assert.Throws<KvFailedException>(() =>
        {
            for (int i = 1; i <= 300; i++)
                store.Get(KvTable.InlineData, Key(i), value);
        });
    }

    [Fact]
    public void A_store_in_use_is_refused()
    {
        string at = _directory["a"];
        using RocksDbStore store = RocksDbStore.Open(at, Options);
        AssertRefused(() => RocksDbStore.Open(at, Options), "in use");
        int count = 0;
        Fill(store, ref count, 1, 1);
    }

    [Fact]
    public void Zeros_ahead_of_the_log_never_overwrite_what_threads_write_meanwhile()
    {
        const int Threads = 4, Rounds = 250;
        string at = _directory["a"];
        var failures = new List<Exception>();
        using (RocksDbStore store = RocksDbStore.Open(at, Options))
        {
            Thread[] threads = [.. Enumerable.Range(0, Threads).Select(id => new Thread(() =>
            {
                try
                {
                    var random = new Random(id);
                    var batch = new KvBatch();
                    for (int i = 0; i < Rounds; i++)
                    {
                        byte[] value = new byte[random.Next(1, 9000)];
                        Array.Fill(value, (byte)(id + 1));
                        batch.Clear();
                        batch.Put(KvTable.OpLog, Key(id * Rounds + i), value);
                        store.Write(batch);
                        if (random.Next(3) == 0)
                            store.Sync();
                    }

                    store.Sync();
                }
                catch (Exception e)
                {
                    lock (failures)
                        failures.Add(e);
                }
            }))];
            foreach (Thread thread in threads)
                thread.Start();
            foreach (Thread thread in threads)
                thread.Join();
            Assert.Empty(failures);

            // A log begun within the last tick of the directory's coarse time is noticed a tick later.
            Thread.Sleep(20);
            int count = 0;
            Fill(store, ref count, 1, 1, 100);
            store.Sync();
            CopyDirectory(at, at + "x");
        }

        LogFile log = LiveLog(at + "x");
        Assert.False(log.IsTorn);
        Assert.True(log.LengthBytes > log.GoodBytes, "no zeros were written ahead");
        using RocksDbStore again = RocksDbStore.Open(at + "x", Options);
        using IKvIterator rows = again.Iterate(KvTable.OpLog, [], []);
        for (int i = 0; i < Threads * Rounds; i++)
        {
            Assert.True(rows.Next());
            Assert.Equal(i, BinaryPrimitives.ReadInt32BigEndian(rows.Key));
            Assert.False(rows.Value.ContainsAnyExcept((byte)(i / Rounds + 1)));
        }
    }

    [Fact]
    public void Old_logs_that_come_back_do_no_harm()
    {
        string at = _directory["a"], log = "";
        byte[] bytes = [];
        int count = 0;
        for (int generation = 0; generation < 3; generation++)
        {
            using RocksDbStore store = RocksDbStore.Open(at, Options);
            Assert.Equal(count, VerifyPrefix(store));
            Fill(store, ref count, 5, 1);
            store.Sync();
            if (generation == 0)
                (log, bytes) = (LiveLog(at).Path, File.ReadAllBytes(LiveLog(at).Path));
        }

        // As where a deletion had not reached the disk: the log of the first generation is here again, whole or torn, and those between are not.
        Assert.False(File.Exists(log));
        foreach (int length in (int[])[bytes.Length, 1000, 0])
        {
            File.WriteAllBytes(log, bytes[..length]);
            using RocksDbStore store = RocksDbStore.Open(at, Options);
            Assert.Equal(count, VerifyPrefix(store));
            Fill(store, ref count, 3, 1);
            store.Sync();
        }
    }

    [Fact]
    public void A_checkpoint_opens_as_a_store_of_its_own()
    {
        int count = 0;
        using (RocksDbStore store = RocksDbStore.Open(_directory["a"], Options))
        {
            Fill(store, ref count, 40, 1);
            store.Sync();
            Fill(store, ref count, 1, 1);
            store.Checkpoint(_directory["copy"]);
            int further = count;
            Fill(store, ref further, 5, 1);
            Assert.Throws<KvFailedException>(() => store.Checkpoint(_directory["copy"]));
        }

        using RocksDbStore copy = RocksDbStore.Open(_directory["copy"], Options);
        Assert.Equal(count, VerifyPrefix(copy));
    }

    private string MakeStore(bool tables)
    {
        string at = _directory["store"];
        int count = 0;
        using RocksDbStore store = RocksDbStore.Open(at, Options);
        Fill(store, ref count, tables ? 300 : 20, 1, tables ? 8192 : 100);
        store.Sync();
        string copy = at + "-killed";
        if (tables)
            store.Checkpoint(copy);
        else
            CopyDirectory(at, copy);
        return copy;
    }

    /// <summary>Batch number i: row i of InlineData, the count in System, and every tenth row of Names so far deleted.</summary>
    private static void Fill(RocksDbStore store, ref int count, int batches, int seed, int maxBytes = 60_000)
    {
        var random = new Random(seed * 1000 + count);
        var batch = new KvBatch();
        for (int i = 0; i < batches; i++)
        {
            count++;
            byte[] value = new byte[random.Next(maxBytes / 2, maxBytes)];
            random.NextBytes(value);
            BinaryPrimitives.WriteUInt32LittleEndian(value, Crc32C.Compute(value.AsSpan(4)));
            batch.Clear();
            batch.Put(KvTable.InlineData, Key(count), value);
            batch.Put(KvTable.System, "count"u8, Key(count));
            batch.Put(KvTable.Names, Key(count), Key(count));
            if (count % 10 == 0)
                batch.DeleteRange(KvTable.Names, Key(0), Key(count));
            store.Write(batch);
        }
    }

    /// <summary>Asserts that the store is exactly what some number of batches made, and returns it.</summary>
    private static int VerifyPrefix(RocksDbStore store)
    {
        byte[] value = new byte[64 * 1024];
        int count = store.Get(KvTable.System, "count"u8, value) < 0 ? 0 : BinaryPrimitives.ReadInt32BigEndian(value);
        int expected = 0;
        using (IKvIterator rows = store.Iterate(KvTable.InlineData, [], []))
        {
            while (rows.Next())
            {
                Assert.Equal(++expected, BinaryPrimitives.ReadInt32BigEndian(rows.Key));
                Assert.Equal(BinaryPrimitives.ReadUInt32LittleEndian(rows.Value), Crc32C.Compute(rows.Value[4..]));
            }
        }

        Assert.Equal(count, expected);
        IEnumerable<string> names = Enumerable.Range(Math.Max(1, count / 10 * 10), count - Math.Max(1, count / 10 * 10) + 1)
            .Select(i => $"{Convert.ToHexString(Key(i))}={Convert.ToHexString(Key(i))}");
        Assert.Equal(count == 0 ? [] : names, KvStoreConformance.List(store, KvTable.Names));
        return count;
    }

    private static byte[] Key(int i)
    {
        byte[] key = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(key, i);
        return key;
    }

    private static LogFile LiveLog(string directory)
    {
        (string path, ulong number) = LogInspector.LogFiles(directory).Last();
        return LogScanner.Scan(path, number);
    }

    /// <summary>Hurts a file somewhere in a range: cut there, a bit, a sector of zeros or of garbage.</summary>
    private static void Damage(string path, long from, long to, Random random)
    {
        if (from >= to)
            return;

        using FileStream file = File.Open(path, FileMode.Open);
        long at = random.NextInt64(from, to);
        int length = (int)Math.Min(512, to - at);
        byte[] bytes = new byte[length];
        file.Position = at;
        switch (random.Next(4))
        {
            case 0:
                file.SetLength(at);
                break;
            case 1:
                bytes[0] = (byte)(file.ReadByte() ^ (1 << random.Next(8)));
                file.Position = at;
                file.Write(bytes.AsSpan(0, 1));
                break;
            case 2:
                file.Write(bytes);
                break;
            default:
                random.NextBytes(bytes);
                file.Write(bytes);
                break;
        }
    }

    private static void Flip(string path, long offset)
    {
        using FileStream file = File.Open(path, FileMode.Open);
        file.Position = offset;
        int value = file.ReadByte();
        file.Position = offset;
        file.WriteByte((byte)(value ^ 0x20));
    }

    /// <summary>Copies what a process killed at one moment would leave: again, if the engine has changed its files meanwhile.</summary>
    private static void CopyDirectory(string from, string to)
    {
        while (true)
        {
            string[] before = Contents(from);
            Directory.CreateDirectory(to);
            try
            {
                foreach (string file in Directory.GetFiles(from))
                    File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
                if (before.SequenceEqual(Contents(from)))
                    return;
            }
            catch (FileNotFoundException)
            {
                // Deleted between the listing and its turn: once more.
            }

            Directory.Delete(to, recursive: true);
        }
    }

    private static string[] Contents(string directory) =>
        [.. new DirectoryInfo(directory).GetFiles().Where(file => file.Exists).Select(file => $"{file.Name} {file.Length}").Order(StringComparer.Ordinal)];

    private static void AssertRefused(Func<RocksDbStore> open, string named)
    {
        string message = Assert.Throws<KvFailedException>(() => open().Dispose()).Message;
        Assert.True(message.Contains(named, StringComparison.Ordinal), $"no \"{named}\" in: {message}");
        Assert.DoesNotContain('\n', message);
    }
}
