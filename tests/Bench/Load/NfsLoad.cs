using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace Bench.Load;

/// <summary>
/// <c>nfs-load ADDRESS:PORT EXPORT CONNECTIONS SECONDS [NAME=VALUE...]</c>: mixed work over many connections against a daemon, every answer compared with what must be there.
/// Prints operations by connection and durations by procedure; ends with 1 if anything was wrong. The names are the properties of <see cref="Options"/>.
/// </summary>
internal static class NfsLoad
{
    private sealed record Options
    {
        /// <summary>Calls that each connection has out.</summary>
        public int Depth { get; init; } = 2;

        /// <summary>Pages of 4 KiB of each job's file.</summary>
        public int Pages { get; init; } = 256;

        /// <summary>Threads of the client.</summary>
        public int Threads { get; init; } = 1;

        /// <summary>Connections beside that ask and never read.</summary>
        public int Stuck { get; init; }

        /// <summary>Connections beside that send a byte now and then.</summary>
        public int Slow { get; init; }

        /// <summary>The daemon's process, whose memory is watched; 0: none.</summary>
        public int Pid { get; init; }

        public int Seed { get; init; } = 1;

        /// <summary>Null where a name is none or a value no number.</summary>
        public static Options? Parse(IEnumerable<string> words)
        {
            var options = new Options();
            foreach (string word in words)
            {
                string[] parts = word.Split('=');
                if (parts.Length != 2 || !int.TryParse(parts[1], CultureInfo.InvariantCulture, out int value))
                    return null;
                Options? next = parts[0] switch
                {
                    "depth" => options with { Depth = value },
                    "pages" => options with { Pages = value },
                    "threads" => options with { Threads = value },
                    "stuck" => options with { Stuck = value },
                    "slow" => options with { Slow = value },
                    "pid" => options with { Pid = value },
                    "seed" => options with { Seed = value },
                    _ => null,
                };
                if (next is null)
                    return null;
                options = next;
            }

            return options;
        }
    }

    public static int Run(IPEndPoint server, string export, int connections, int seconds, IEnumerable<string> words)
    {
        if (Options.Parse(words) is not { } options)
        {
            Console.Error.WriteLine("nfs-load takes depth=, pages=, threads=, stuck=, slow=, pid= and seed=, each with a number");
            return 64;
        }

        LoadStatistics[] statistics = [.. Enumerable.Range(0, options.Threads).Select(static _ => new LoadStatistics())];
        List<ILoadSocket>[] shares = [.. statistics.Select(static _ => new List<ILoadSocket>())];
        List<LoadConnection> all = [];
        long began = Stopwatch.GetTimestamp();
        byte[] victim = [];
        using (var tree = new LoadTree(server, export))
        {
            string run = $"load-{Environment.ProcessId}-{options.Seed}";
            for (int i = 0; i < connections; i++)
            {
                LoadFile[] files = [.. Enumerable.Range(0, options.Depth).Select(job => new LoadFile(((ulong)options.Seed << 40) | ((ulong)i << 16) | (uint)job, options.Pages))];
                LoadTree.Directory directory = tree.Make($"{run}-{i}", files);
                LoadJob[] jobs = [.. files.Select((file, job) => new LoadJob(directory, job, file, HashCode.Combine(options.Seed, i, job)))];
                var connection = new LoadConnection(server, jobs, statistics[i % options.Threads]);
                all.Add(connection);
                shares[i % options.Threads].Add(connection);
            }

            victim = tree.Make($"{run}-victim", [new LoadFile(0, 256)]).Files[0].Handle;
        }

        LoadNuisance[] nuisances =
        [
            .. Enumerable.Range(0, options.Stuck).Select(_ => new StuckReader(server, victim)),
            .. Enumerable.Range(0, options.Slow).Select(_ => new SlowWriter(server, victim)),
        ];
        shares[0].AddRange(nuisances);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{connections} connections with {options.Depth} files of {options.Pages * 4} KiB each made in {Stopwatch.GetElapsedTime(began).TotalSeconds:F1} s"));

        LoadThread[] threads = [.. shares.Select(static share => new LoadThread(share))];
        foreach (LoadThread thread in threads)
            thread.Start();
        var memory = new LoadMemory(options.Pid);
        memory.Watch(TimeSpan.FromSeconds(3)); // warming up
        foreach (LoadThread thread in threads)
            thread.Count();
        began = Stopwatch.GetTimestamp();
        memory.Watch(TimeSpan.FromSeconds(seconds));
        double elapsed = Stopwatch.GetElapsedTime(began).TotalSeconds;
        foreach (LoadThread thread in threads)
            thread.Stop();
        return Report(all, statistics, nuisances, memory, elapsed);
    }

    private static int Report(List<LoadConnection> all, LoadStatistics[] statistics, LoadNuisance[] nuisances, LoadMemory memory, double seconds)
    {
        LoadStatistics sum = statistics[0];
        foreach (LoadStatistics other in statistics.AsSpan(1))
            sum.Add(other);
        foreach (string line in sum.Lines(seconds))
            Console.WriteLine(line);
        long[] operations = [.. all.Select(static one => one.Operations).Order()];
        long median = operations[operations.Length / 2];
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{sum.Total} operations in {seconds:F1} s, {sum.Total / seconds:F0}/s; by connection: slowest {operations[0]}, median {median}, fastest {operations[^1]}; median/slowest {(double)median / Math.Max(1, operations[0]):F2}"));
        Console.WriteLine(memory);
        if (nuisances.Length > 0)
            Console.WriteLine($"{nuisances.Length} nuisances, closed by the server {nuisances.Sum(static one => one.Closed)} times; {nuisances.OfType<StuckReader>().Sum(static one => one.Asked)} megabytes asked for and not read");
        string[] errors = [.. all.SelectMany(static one => one.Errors)];
        Console.WriteLine($"{errors.Length} errors");
        foreach (string error in errors.Take(20))
            Console.WriteLine($"  {error}");
        return errors.Length == 0 ? 0 : 1;
    }
}
