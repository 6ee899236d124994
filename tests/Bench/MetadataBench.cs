using System.Diagnostics;
using System.Globalization;
using System.Text;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Bench;

/// <summary>The metadata core over RocksDB in this process: how it scales with the number of files, and what one operation costs.</summary>
internal static class MetadataBench
{
    private const int FilesPerDirectory = 10_000;

    private static readonly Caller Root = new(0, 0, trusted: true);

    /// <summary>Creates empty files and prints rate and resident memory for each tenth. Fails where the last tenth is slower than half of the first, or memory passes 1 GiB.</summary>
    public static int Scale(long files, string directory)
    {
        const long budgetBytes = 1L << 30;
        using RocksDbStore kv = Open(directory, out MetadataStore store);
        long part = Math.Max(files / 10, 1);
        double first = 0, last = 0, peak = 0;
        var clock = Stopwatch.StartNew();
        Console.WriteLine("      files   creates/s   cpu us   resident MiB   managed MiB   engine MiB   disk MiB");
        TimeSpan used = Environment.CpuUsage.TotalTime;
        InodeId parent = InodeId.Root;
        for (long i = 0; i < files; i++)
        {
            if (i % FilesPerDirectory == 0)
                parent = Create(store, InodeId.Root, $"dir{i / FilesPerDirectory}", 0x41ED).Inode;
            Create(store, parent, $"file{i:D8}", 0x81A4);
            if ((i + 1) % part != 0)
                continue;

            last = part / clock.Elapsed.TotalSeconds;
            first = first == 0 ? last : first;
            double resident = ResidentMib();
            peak = Math.Max(peak, resident);
            double processor = (Environment.CpuUsage.TotalTime - used).TotalMicroseconds / part;
            used = Environment.CpuUsage.TotalTime;
            KvUsage usage = kv.Usage;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{i + 1,11} {last,11:F0} {processor,8:F1} {resident,14:F0} {GC.GetTotalMemory(false) >> 20,13} {usage.MemoryBytes >> 20,12} {usage.DiskBytes >> 20,10}"));
            clock.Restart();
        }

        StatRandom(store, files);
        Time("listing of all, with attributes", () =>
        {
            var counter = new Counter();
            for (long i = 0; i < files; i += FilesPerDirectory)
                store.ReadDirectory(Lookup(store, InodeId.Root, $"dir{i / FilesPerDirectory}"), 0, true, counter);
            return counter.Count;
        });
        peak = Math.Max(peak, ResidentMib());
        bool isGood = last >= first / 2 && peak * (1 << 20) < budgetBytes;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"last/first {last / first:F2}, peak {peak:F0} MiB: {(isGood ? "good" : "too much")}"));
        return isGood ? 0 : 1;
    }

    /// <summary>Looks up random files in the store that <see cref="Scale"/> left behind.</summary>
    public static int Lookups(long files, string directory)
    {
        using RocksDbStore kv = Open(directory, out MetadataStore store);
        for (int i = 0; i < 5; i++)
            StatRandom(store, files);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"resident {ResidentMib():F0} MiB, engine {kv.Usage.MemoryBytes >> 20} MiB"));
        return 0;
    }

    /// <summary>Checks the store that <see cref="Scale"/> left behind, dumps it, and loads the dump into another one.</summary>
    public static int Whole(string directory)
    {
        using RocksDbStore kv = Open(directory, out _);
        Time("check, rows", () =>
        {
            MetadataCheckCounts counts = MetadataCheck.Run(kv, finding => { Console.WriteLine(finding); return true; });
            return counts.Inodes + counts.Names + counts.LogRecords;
        });
        string path = Path.Combine(directory, "dump");
        Time("dump, rows", () =>
        {
            using FileStream dump = File.Create(path);
            MetadataDumpCounts counts = MetadataDump.Write(kv, dump);
            Console.WriteLine($"{counts}, {dump.Length >> 20} MiB");
            return counts.Inodes + counts.Names;
        });
        using RocksDbStore copy = RocksDbStore.Open(Path.Combine(directory, "metadata-loaded"), new RocksDbOptions());
        Time("load, rows", () =>
        {
            using FileStream dump = File.OpenRead(path);
            MetadataDumpCounts counts = MetadataDump.Load(copy, dump);
            return counts.Inodes + counts.Names;
        });
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"resident {ResidentMib():F0} MiB"));
        return 0;
    }

    private static void StatRandom(MetadataStore store, long files) => Time("stat of random files by name", () =>
    {
        const int count = 20_000;
        var random = new Random(1);
        for (int i = 0; i < count; i++)
        {
            long file = random.NextInt64(files);
            Lookup(store, Lookup(store, InodeId.Root, $"dir{file / FilesPerDirectory}"), $"file{file:D8}");
        }

        return count;
    });

    /// <summary>Creates and removes files from several threads at once, each in a directory of its own, and looks some up meanwhile.</summary>
    public static int Threads(int operations, string directory)
    {
        using RocksDbStore kv = Open(directory, out MetadataStore store);
        foreach (int threads in new[] { 1, 2, 4, 8 })
        {
            Time($"{threads} threads: create, stat, unlink, reap", () =>
            {
                var workers = new Thread[threads];
                for (int i = 0; i < threads; i++)
                {
                    InodeId parent = Create(store, InodeId.Root, $"threads{threads}-{i}", 0x41ED).Inode;
                    workers[i] = new Thread(() => Churn(store, parent, operations / threads / 4));
                    workers[i].Start();
                }

                foreach (Thread worker in workers)
                    worker.Join();
                return operations / threads / 4 * 4 * threads;
            });
        }

        return 0;
    }

    /// <summary>What single operations cost, one thread after the other.</summary>
    public static int Operations(int count, string directory)
    {
        using RocksDbStore kv = Open(directory, out MetadataStore store);
        InodeId parent = Create(store, InodeId.Root, "operations", 0x41ED).Inode;
        byte[][] names = [.. Enumerable.Range(0, count).Select(i => Encoding.ASCII.GetBytes($"file{i:D8}"))];
        var inodes = new InodeId[count];
        void Each(string what, Action<int> operation) => Time(what, () =>
        {
            for (int i = 0; i < count; i++)
                operation(i);
            return count;
        });

        Each("create", i =>
        {
            store.Create(Root, parent, names[i], new NewInode { Mode = 0x81A4 }, out InodeRecord created);
            inodes[i] = created.Inode;
        });
        Each("get inode (cached)", i => store.GetInode(inodes[i], out _));
        Each("lookup", i => store.Lookup(Root, parent, names[i], out _));
        Each("chmod", i => store.SetAttributes(Root, inodes[i], new AttributeChange { Mask = AttributeMask.Mode, Mode = 0x180 }, out _));
        Each("record size", i => store.RecordSizes([new SizeUpdate { Inode = inodes[i], SizeBytes = 1 }]));
        Each("rename", i => store.Rename(Root, parent, names[i], InodeId.Root, names[i], RenameFlags.None, out _, out _));
        Each("unlink", i => store.Unlink(Root, InodeId.Root, names[i], out _));
        Each("reap", i => store.Reap(new ReadOnlySpan<InodeId>(in inodes[i])));
        return 0;
    }

    /// <summary>
    /// What putting several operations into one batch of the key-value store can save at best: the log of a run applied to an empty store, so many records to a batch.
    /// </summary>
    public static int Batching(int count, string directory)
    {
        var records = new List<byte[]>();
        using (RocksDbStore kv = Open(Path.Combine(directory, "log"), out MetadataStore store))
        {
            InodeId parent = Create(store, InodeId.Root, "batching", 0x41ED).Inode;
            for (int i = 0; i < count; i++)
                Create(store, parent, $"file{i:D8}", 0x81A4);
            using IKvIterator log = kv.Iterate(KvTable.OpLog, default, default);
            while (log.Next())
                records.Add(log.Value.ToArray());
        }

        foreach (int perBatch in new[] { 1, 2, 4, 8, 1, 2, 4, 8 })
        {
            using RocksDbStore kv = RocksDbStore.Open(Path.Combine(directory, $"copy-{Guid.NewGuid()}"), new RocksDbOptions());
            Time($"{perBatch} creations to a batch", () =>
            {
                MetadataState state = default;
                var batch = new KvBatch();
                for (int i = 0; i < records.Count; i++)
                {
                    MetadataCore.Apply(OpRecord.Parse(records[i]), ref state, batch);
                    if (i % perBatch != perBatch - 1)
                        continue;
                    state.Save(batch);
                    kv.Write(batch);
                    batch.Clear();
                }

                return records.Count;
            });
        }

        return 0;
    }

    private static void Churn(MetadataStore store, InodeId parent, int rounds)
    {
        Span<byte> name = stackalloc byte[32];
        for (int i = 0; i < rounds; i++)
        {
            Encoding.ASCII.TryGetBytes($"file{i}", name, out int length);
            store.Create(Root, parent, name[..length], new NewInode { Mode = 0x81A4 }, out InodeRecord created);
            store.Lookup(Root, parent, name[..length], out _);
            store.Unlink(Root, parent, name[..length], out _);
            store.Reap(new ReadOnlySpan<InodeId>(in created.Inode));
        }
    }

    private static RocksDbStore Open(string directory, out MetadataStore store)
    {
        var kv = RocksDbStore.Open(Path.Combine(directory, "metadata-bench"), new RocksDbOptions());
        if (!MetadataStore.IsFormatted(kv))
            MetadataStore.Format(kv, Guid.NewGuid(), Timestamp.Now(TimeProvider.System));
        store = MetadataStore.Open(kv, new MetadataOptions());
        return kv;
    }

    private static InodeRecord Create(MetadataStore store, InodeId parent, string name, uint mode)
    {
        Span<byte> bytes = stackalloc byte[64];
        Encoding.ASCII.TryGetBytes(name, bytes, out int length);
        FsStatus status = store.Create(Root, parent, bytes[..length], new NewInode { Mode = mode }, out InodeRecord created);
        return status == FsStatus.Ok ? created : throw new InvalidOperationException($"create {name}: {status} {store.Failure?.Message}");
    }

    private static InodeId Lookup(MetadataStore store, InodeId parent, string name)
    {
        FsStatus status = store.Lookup(Root, parent, Encoding.ASCII.GetBytes(name), out InodeRecord child);
        return status == FsStatus.Ok ? child.Inode : throw new InvalidOperationException($"lookup {name}: {status}");
    }

    private static void Time(string what, Func<long> run)
    {
        // The processor's time beside the clock's: it says the same on a machine that others use too.
        var clock = Stopwatch.StartNew();
        TimeSpan before = Environment.CpuUsage.TotalTime;
        long count = run();
        TimeSpan used = Environment.CpuUsage.TotalTime - before;
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{what}: {count / clock.Elapsed.TotalSeconds:F0}/s, {clock.Elapsed.TotalMicroseconds / count:F2} us each, {used.TotalMicroseconds / count:F2} us of processor"));
    }

    private static double ResidentMib()
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) / 1024;
    }

    private sealed class Counter : IDirectorySink
    {
        public long Count { get; private set; }

        public bool Add(ulong cookie, InodeId inode, InodeKind kind, ReadOnlySpan<byte> name, in InodeRecord attributes)
        {
            Count++;
            return true;
        }
    }
}
