using System.Diagnostics;
using StoreCore;
using StoreCore.Blocks;
using StoreCore.Disk;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace Bench;

/// <summary>
/// <c>blocks DIR [MIB]</c>: the block store against plain reads and writes of one file in the same directory, in turn, on one thread.
/// </summary>
internal static class BlockBench
{
    private const int Transfer = Limits.MaxTransferBytes;
    private const int SyncWrites = 400;

    public static int Run(string[] arguments)
    {
        string directory = Path.Combine(arguments[0], $"block-bench-{Environment.ProcessId}");
        int sizeMib = arguments.Length > 1 ? int.Parse(arguments[1]) : 1024;
        try
        {
            Measure(directory, sizeMib);
            return 0;
        }
        finally
        {
            if (Directory.Exists(directory))
                Directory.Delete(directory, recursive: true);
        }
    }

    private static void Measure(string directory, int sizeMib)
    {
        using var kv = RocksDbStore.Open(Path.Combine(directory, "kv"), new RocksDbOptions());
        using var disk = new PosixDisk(Path.Combine(directory, "volumes"));
        using var store = BlockStore.Open(kv, disk, new BlockStoreOptions { StoreId = Guid.NewGuid() }, TimeProvider.System);
        using IDiskFile raw = disk.Open("raw", create: true);
        byte[] data = new byte[Transfer];
        var random = new Random(1);
        random.NextBytes(data);
        int blocks = sizeMib * (1 << 20) / Limits.BlockSizeBytes;
        int chunks = sizeMib * 256;

        Console.WriteLine($"{"job",-34} {"store",12} {"raw",12} {"ratio",7}");
        raw.EnsureLength((long)sizeMib << 20);
        Pair("write 1 MiB sequential", "MiB/s", sizeMib,
            i => Check(store.Write(Block(i), i % 4 * Transfer, data, WriteHint.Buffered, out _)), i => raw.Write((long)i * Transfer, data));
        Pair("flush after it", "/s", 1, _ => Check(store.Sync()), _ => raw.Sync());
        Pair("read 1 MiB sequential", "MiB/s", sizeMib,
            i => Check(store.Read(Block(i), i % 4 * Transfer, data)), i => raw.Read((long)i * Transfer, data));
        int small = Math.Min(chunks, 100_000);
        int[] places = [.. Enumerable.Range(0, small).Select(_ => random.Next(chunks))];
        Pair("overwrite 4 KiB random, buffered", "/s", small,
            i => Check(store.Write(new BlockId(new InodeId(1), (uint)(places[i] / 1024)), places[i] % 1024 * 4096, data.AsSpan(0, 4096), WriteHint.Buffered, out _)),
            i => raw.Write(places[i] * 4096L, data.AsSpan(0, 4096)));
        Pair("flush after it", "/s", 1, _ => Check(store.Sync()), _ => raw.Sync());
        Pair("read 4 KiB random", "/s", small,
            i => Check(store.Read(new BlockId(new InodeId(1), (uint)(places[i] / 1024)), places[i] % 1024 * 4096, data.AsSpan(0, 4096))),
            i => raw.Read(places[i] * 4096L, data.AsSpan(0, 4096)));
        Pair("overwrite 4 KiB random, sync soon", "/s", small / 4,
            i => Check(store.Write(new BlockId(new InodeId(1), (uint)(places[i] / 1024)), places[i] % 1024 * 4096, data.AsSpan(0, 4096), WriteHint.SyncSoon, out _)),
            i => raw.Write(places[i] * 4096L, data.AsSpan(0, 4096)));
        Check(store.Sync());
        Pair("overwrite 4 KiB and flush each", "/s", SyncWrites,
            i =>
            {
                Check(store.Write(new BlockId(new InodeId(1), (uint)(places[i] / 1024)), places[i] % 1024 * 4096, data.AsSpan(0, 4096), WriteHint.SyncSoon, out _));
                Check(store.Sync());
            },
            i =>
            {
                raw.Write(places[i] * 4096L, data.AsSpan(0, 4096));
                raw.Sync();
            });
        Pair("new files of 4 KiB", "/s", small,
            i => Check(store.Write(new BlockId(new InodeId((ulong)i + 2), 0), 0, data.AsSpan(0, 4096), WriteHint.Buffered, out _)), null);
        Pair("delete them", "/s", small, i => Check(store.Truncate(new InodeId((ulong)i + 2), 0, out _)), null);
        Pair("delete the large one", "/s", 1, i => Check(store.Truncate(new InodeId(1), 0, out _)), null);
        Check(store.Sync());
        BlockCheckReport report = store.Check();
        Console.WriteLine($"check: {report.ProblemCount} problems, {report.SegmentRows} rows left; {blocks} blocks were used");
    }

    private static BlockId Block(int mebibyte) => new(new InodeId(1), (uint)(mebibyte / 4));

    private static void Pair(string job, string unit, int count, Action<int> store, Action<int>? raw)
    {
        double ours = Rate(count, store), theirs = raw is null ? 0 : Rate(count, raw);
        Console.WriteLine(raw is null
            ? $"{job,-34} {ours,8:F0} {unit}"
            : $"{job,-34} {ours,8:F0} {unit,-5} {theirs,6:F0} {unit,-5} {ours / theirs,6:F2}");
    }

    private static double Rate(int count, Action<int> action)
    {
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < count; i++)
            action(i);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        if (allocated > count * 8L)
            Console.WriteLine($"  ({allocated / count} managed bytes each)");
        return count / seconds;
    }

    private static void Check(FsStatus status)
    {
        if (status != FsStatus.Ok)
            throw new InvalidOperationException($"the store answered {status}");
    }
}
