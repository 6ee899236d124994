using System.Diagnostics;
using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace Bench;

/// <summary>
/// Jobs of ordinary programs on a directory, whatever file system it is on: one row each, "name value unit", more is better. One thread; the
/// kernel's caches are dropped before what is called cold. What each row needs it makes, what it made it deletes.
/// </summary>
internal static class MountJobs
{
    private const int Files = 2000;
    private const int StreamMiB = 256;
    private const int RandomWrites = 20_000;
    private const int SyncedWrites = 300;
    private const int ChunkBytes = 4096;

    public static int Run(string directory)
    {
        string work = Path.Combine(directory, $"bench-{Environment.ProcessId}");
        Directory.CreateDirectory(work);
        try
        {
            Stream(Path.Combine(work, "stream"));
            SmallFiles(work);
            return 0;
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    /// <summary>Runs the simulated crashes of seeds <c>first</c> to <c>first + seeds - 1</c>.</summary>
    public static int Crashes(int seeds, int first)
    {
        var elapsed = Stopwatch.StartNew();
        int failures = 0;
        Parallel.For(first, first + seeds, seed =>
        {
            try
            {
                new Sim.FileSystem.CrashSimulation(seed).Run(crashes: 2);
            }
            catch (Sim.FileSystem.SimulationFailedException e)
            {
                Interlocked.Increment(ref failures);
                Console.WriteLine(e.Message);
            }
        });
        Console.WriteLine($"{seeds} seeds from {first} on, {failures} failed, {elapsed.Elapsed.TotalSeconds:F0} s");
        return failures == 0 ? 0 : 1;
    }

    private static void Stream(string path)
    {
        var mebibyte = new byte[1 << 20];
        new Random(1).NextBytes(mebibyte);
        using (SafeFileHandle handle = File.OpenHandle(path, FileMode.Create, FileAccess.ReadWrite))
        {
            Row("seq_write_1m", "MiB/s", StreamMiB, () =>
            {
                for (long i = 0; i < StreamMiB; i++)
                    RandomAccess.Write(handle, mebibyte, i << 20);
                RandomAccess.FlushToDisk(handle);
            });
            DropCaches();
            Row("seq_read_1m_cold", "MiB/s", StreamMiB, () =>
            {
                for (long i = 0; i < StreamMiB; i++)
                    RandomAccess.Read(handle, mebibyte, i << 20);
            });
            var random = new Random(2);
            byte[] chunk = mebibyte[..ChunkBytes];
            Row("rand_write_4k", "ops/s", RandomWrites, () =>
            {
                for (int i = 0; i < RandomWrites; i++)
                    RandomAccess.Write(handle, chunk, (long)random.Next(StreamMiB * 256) * ChunkBytes);
            });
            Row("rand_write_4k_fsync", "ops/s", SyncedWrites, () =>
            {
                for (int i = 0; i < SyncedWrites; i++)
                {
                    RandomAccess.Write(handle, chunk, (long)random.Next(StreamMiB * 256) * ChunkBytes);
                    RandomAccess.FlushToDisk(handle);
                }
            });
        }

        File.Delete(path);
    }

    private static void SmallFiles(string work)
    {
        var chunk = new byte[ChunkBytes];
        Array.Fill(chunk, (byte)'x');
        string Name(int i) => Path.Combine(work, $"f{i}");
        Each("create_4k", Files, i =>
        {
            using SafeFileHandle handle = File.OpenHandle(Name(i), FileMode.CreateNew, FileAccess.Write);
            RandomAccess.Write(handle, chunk, 0);
        });
        Each("create_4k_fsync", SyncedWrites, i =>
        {
            using SafeFileHandle handle = File.OpenHandle(Path.Combine(work, $"s{i}"), FileMode.CreateNew, FileAccess.Write);
            RandomAccess.Write(handle, chunk, 0);
            RandomAccess.FlushToDisk(handle);
        });
        DropCaches();
        Each("stat_cold", Files, i => _ = new FileInfo(Name(i)).Length);
        DropCaches();
        Each("open_read_4k_cold", Files, i =>
        {
            using SafeFileHandle handle = File.OpenHandle(Name(i));
            RandomAccess.Read(handle, chunk, 0);
        });
        Row("list_attributes", "entries/s", Files + SyncedWrites, () => _ = new DirectoryInfo(work).EnumerateFiles().Sum(f => f.Length));
        Each("rename", Files, i => File.Move(Name(i), Path.Combine(work, $"g{i}")));
        Each("unlink", Files, i => File.Delete(Path.Combine(work, $"g{i}")));
    }

    private static void Each(string name, int count, Action<int> operation) => Row(name, "ops/s", count, () =>
    {
        for (int i = 0; i < count; i++)
            operation(i);
    });

    private static void Row(string name, string unit, int amount, Action job)
    {
        long started = Stopwatch.GetTimestamp();
        job();
        double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name} {amount / seconds:F1} {unit}"));
    }

    private static void DropCaches()
    {
        using (Process sync = Process.Start("sync"))
            sync.WaitForExit();
        File.WriteAllText("/proc/sys/vm/drop_caches", "3");
    }
}
