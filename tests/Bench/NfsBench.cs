using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Gateway.Daemon;
using Gateway.Nfs;
using Gateway.Nfs.Exports;
using Gateway.Tests.Nfs;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Blocks;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Bench;

/// <summary>The NFS front end: <c>nfs-serve DIR PORT</c>, <c>nfs-fuzz N [SEED]</c> and <c>nfs-fuzz-socket ADDRESS:PORT WRITABLE READONLY N [SEED]</c>.</summary>
internal static class NfsBench
{
    /// <summary>
    /// Serves a store of its own below DIR on 127.0.0.1:PORT until it is interrupted: "/" to everybody, without squash, from any port. NFS_BENCH_EXPORT replaces
    /// the clients and options. Prints the calls at its end.
    /// </summary>
    public static int Serve(string directory, int port)
    {
        using ILoggerFactory logs = LoggerFactory.Create(static builder => builder.AddSimpleConsole(static o => o.SingleLine = true).SetMinimumLevel(LogLevel.Information));
        using DataDirectory data = DataDirectory.Open(directory);
        using StoreStack store = StoreStack.Open(data, new MemoryPlan(1L << 30), TimeProvider.System);
        data.Keep();
        FsStatus recovered = store.Vfs.Recover(out _);
        if (recovered != FsStatus.Ok)
            throw new InvalidOperationException($"the store of {directory} answers {recovered}");
        using var background = new VfsBackground(store.Vfs, TimeSpan.FromSeconds(1), TimeProvider.System, static status => Console.Error.WriteLine($"a flush failed: {status}"));
        background.Start();
        using var maintenance = new BlockMaintenanceThread(store.Blocks, TimeProvider.System, TimeSpan.FromMilliseconds(500), 64 << 20);
        string rules = Environment.GetEnvironmentVariable("NFS_BENCH_EXPORT") ?? "*(rw,no_root_squash,insecure)";
        var exports = new ExportTableSource
        {
            Current = new ExportTable([new Export(1, "/", InodeId.Root, rules.Split(' ').Select(static rule => ClientRule.Parse(rule, out _)!))], NoHostNames.Instance),
        };
        string address = Environment.GetEnvironmentVariable("NFS_BENCH_ADDRESS") ?? "127.0.0.1";
        var options = new NfsServerOptions
        {
            FileSystemId = store.Metadata.FileSystemId,
            Secret = SHA256.HashData(store.Metadata.FileSystemId.ToByteArray()),
            WriteVerifier = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)),
            Rpc = new RpcServerOptions { Listen = [RpcPeer.From(IPAddress.Parse(address), port)] },
        };
        NfsServer? server = NfsServer.Start(store.Vfs, exports, options, TimeProvider.System, logs.CreateLogger("nfs"), out string? error);
        if (server is null)
        {
            Console.Error.WriteLine(error);
            return 1;
        }

        Console.WriteLine($"serving {directory} on {string.Join(", ", server.Endpoints)}");
        using var ended = new ManualResetEventSlim();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => { context.Cancel = true; ended.Set(); });
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => { context.Cancel = true; ended.Set(); });
        ended.Wait();
        foreach (RpcProcedureStatistics one in server.Statistics.Procedures())
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{one.Program,-6} {one.Procedure,-12} {one.Count,9} failed {one.Failed,5} mean {one.TotalMicroseconds / one.Count,8:F1} us  p99 <{one.QuantileMicroseconds(0.99),7} us"));
        }

        foreach (NfsClientInfo client in server.Clients())
            Console.WriteLine(client);
        return server.Stop(TimeSpan.FromSeconds(5)) ? 0 : 1;
    }

    /// <summary>Sends N random and mutated calls through all programs; each million has a seed of its own, counted from SEED.</summary>
    public static int Fuzz(long calls, int seed)
    {
        const long Part = 1_000_000;
        long began = Stopwatch.GetTimestamp();
        for (long done = 0; done < calls; done += Part, seed++)
        {
            var fuzzer = new NfsFuzzer(seed);
            long part = Math.Min(Part, calls - done);
            fuzzer.Run(part);
            Console.WriteLine($"seed {seed}: {part} calls, {fuzzer.Answered} answered, {fuzzer.Refused} refused, {fuzzer.Succeeded} of NFS succeeded; resident {Environment.WorkingSet >> 20} MiB");
        }

        Console.WriteLine($"{calls} calls in {Stopwatch.GetElapsedTime(began).TotalSeconds:F0} s");
        return 0;
    }

    /// <summary>
    /// Sends N random and mutated calls to a server over some connections at once, and asks it all the while as an ordinary client does. The two exports are one that this client may write
    /// and one that it may only read.
    /// </summary>
    public static int FuzzSocket(IPEndPoint server, string writable, string readOnly, long calls, int seed)
    {
        const int Threads = 4;
        NfsSocketFuzzer[] fuzzers = [.. Enumerable.Range(seed, Threads).Select(one => new NfsSocketFuzzer(server, writable, readOnly, one))];
        var faults = new List<Exception>();
        long began = Stopwatch.GetTimestamp();
        using var ended = new CancellationTokenSource();
        Thread good = Go(() => AskAsOrdinaryClient(server, ended.Token));
        Thread[] threads = [.. fuzzers.Select(fuzzer => Go(() => fuzzer.Run(calls / Threads)))];
        foreach (Thread thread in threads)
            thread.Join();
        ended.Cancel();
        good.Join();
        foreach (NfsSocketFuzzer fuzzer in fuzzers)
            fuzzer.Dispose();
        Console.WriteLine(
            $"seeds {seed} to {seed + Threads - 1}: {fuzzers.Sum(static one => one.Sent)} calls over {fuzzers.Sum(static one => one.Connections)} connections, "
            + $"{fuzzers.Sum(static one => one.Answered)} answered, in {Stopwatch.GetElapsedTime(began).TotalSeconds:F0} s");
        foreach (Exception fault in faults)
            Console.Error.WriteLine(fault);
        return faults.Count == 0 ? 0 : 1;

        Thread Go(Action work)
        {
            var thread = new Thread(() =>
            {
                try
                {
                    work();
                }
                catch (InvalidOperationException e)
                {
                    lock (faults)
                        faults.Add(e);
                }
            });
            thread.Start();
            return thread;
        }
    }

    private static void AskAsOrdinaryClient(IPEndPoint server, CancellationToken ended)
    {
        long asked = 0, longest = 0;
        while (!ended.IsCancellationRequested)
        {
            using RpcClient client = RpcClient.Connect(server, TimeSpan.FromSeconds(10), (uint)asked, out string? error) ?? throw new InvalidOperationException(error);
            for (int i = 0; i < 100; i++, asked++)
            {
                long began = Stopwatch.GetTimestamp();
                RpcClientResult result = client.Call(MountProgram.ProgramNumber, 3, 5, default, TimeSpan.FromSeconds(10), out _);
                longest = Math.Max(longest, Stopwatch.GetTimestamp() - began);
                if (!result.Succeeded)
                    throw new InvalidOperationException($"the ordinary client was not served: {result.Text}");
            }
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"an ordinary client got {asked} answers, after {longest * 1e3 / Stopwatch.Frequency:F1} ms at most"));
    }
}
