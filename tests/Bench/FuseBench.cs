using Gateway.Fuse;
using Gateway.Tests.Fuse;
using Microsoft.Extensions.Logging;

namespace Bench;

/// <summary>Benchmarks of the FUSE front end: <c>fuse-mount DIR [poll bulk long readers]</c> and <c>fuse-fuzz N [SEED]</c>.</summary>
internal static class FuseBench
{
    /// <summary>
    /// Mounts a file system that keeps names and sizes in memory and no data, until it is unmounted: what is measured on it is the front end's and
    /// the kernel's share. The optional figures replace those of the reader policy.
    /// </summary>
    public static int Mount(string[] arguments)
    {
        using ILoggerFactory logs = LoggerFactory.Create(static builder => builder.AddSimpleConsole(static o => o.SingleLine = true));
        int Figure(int index, int standard) => arguments.Length > index ? int.Parse(arguments[index]) : standard;
        var standard = new FuseReaderPolicy(TimeProvider.System.TimestampFrequency, Environment.ProcessorCount);
        var policy = new FuseReaderPolicy(TimeProvider.System.TimestampFrequency, Environment.ProcessorCount)
        {
            PollMicroseconds = Figure(1, standard.PollMicroseconds),
            BulkMicroseconds = Figure(2, standard.BulkMicroseconds),
            LongMicroseconds = Figure(3, standard.LongMicroseconds),
            BulkReaders = Figure(4, standard.BulkReaders),
        };
        MountOptions options = MountOptions.Parse(Environment.GetEnvironmentVariable("FUSE_BENCH_OPTIONS") ?? "allow_other", out string? error)!;
        FuseMount? mount = error is null
            ? FuseMount.Mount(
                new MemoryVfs(discard: true), arguments[0], "gatewayfs#null", options, 1, TimeProvider.System, logs.CreateLogger("fuse"),
                out FuseMountError? problem, policy)
            : null;
        if (mount is null)
        {
            Console.Error.WriteLine(error ?? "cannot mount");
            return 1;
        }

        Console.WriteLine($"mounted on {mount.MountPoint}, protocol 7.{mount.ProtocolMinor}, {mount.Negotiated}");
        FuseSessionEnd end = mount.Completion.Result;
        foreach (FuseOperationStatistics operation in mount.Statistics.Operations())
        {
            Console.WriteLine(
                $"{operation.Name,-16} {operation.Count,9} errors {operation.Errors,7} mean {operation.TotalMicroseconds / operation.Count,8:F1} us  p99 <{operation.QuantileMicroseconds(0.99),7} us");
        }

        Console.WriteLine(end);
        return 0;
    }

    /// <summary>Sends N random and mutated requests through the dispatcher; each million has a seed of its own, counted from SEED.</summary>
    public static int Fuzz(string[] arguments)
    {
        const long Part = 1_000_000;
        long requests = long.Parse(arguments[0]);
        int seed = arguments.Length > 1 ? int.Parse(arguments[1]) : 1;
        for (long done = 0; done < requests; done += Part, seed++)
        {
            var fuzzer = new FuseFuzzer(seed);
            long part = Math.Min(Part, requests - done);
            fuzzer.Run(part);
            Console.WriteLine($"seed {seed}: {part} requests, {fuzzer.Answered} answered, {fuzzer.Failed} of them with an error, {fuzzer.Faults} defects");
            if (fuzzer.Faults > 0)
                return 1;
        }

        return 0;
    }
}
