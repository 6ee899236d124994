using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using StoreCore;
using StoreCore.Rpc;
using StoreCore.Tests.Rpc;

namespace Bench;

/// <summary>
/// Benchmarks of the RPC stack: <c>rpc-fuzz N [SEED]</c> and <c>rpc-pingpong [SECONDS]</c>, which measures round trips over loopback against a program that does nothing but
/// move bytes: what is left is the stack's and the kernel's share.
/// </summary>
internal static class RpcBench
{
    private const uint Program = 0x2000_0001;

    private sealed class Echo : IRpcProgram
    {
        private static readonly byte[] Attributes = new byte[112];

        uint IRpcProgram.Program => Program;

        public uint LowestVersion => 1;

        public uint HighestVersion => 1;

        public string Name => "echo";

        public int Procedures => 4;

        public string ProcedureName(uint procedure) => procedure switch { 1 => "GETATTR", 2 => "READ", 3 => "WRITE", _ => "NULL" };

        public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
        {
            switch (call.Procedure)
            {
                case 1:
                    results.Fixed(Attributes);
                    return RpcAcceptStatus.Success;
                case 2:
                    int length = (int)Math.Min(arguments.U32(), Limits.MaxTransferBytes);
                    Span<byte> place = results.Reserve(length);
                    place.Fill(7);
                    results.Commit(length);
                    return RpcAcceptStatus.Success;
                default:
                    ReadOnlySpan<byte> data = arguments.Opaque(Limits.MaxTransferBytes);
                    if (!arguments.AtEnd)
                        return RpcAcceptStatus.GarbageArguments;
                    results.U32((uint)data.Length);
                    return RpcAcceptStatus.Success;
            }
        }
    }

    private sealed class NoEvents : IRpcEvents
    {
        public void Defect(IRpcProgram program, uint version, uint procedure, Exception fault) => Console.Error.WriteLine(fault);

        public void ConnectionOpened(IRpcConnection connection)
        {
        }

        public void ConnectionClosed(IRpcConnection connection, string reason)
        {
        }

        public void ServerFault(string what, Exception? fault) => Console.Error.WriteLine($"{what} {fault}");
    }

    /// <summary>Sends N random and mutated records through the dispatcher; each million has a seed of its own, counted from SEED.</summary>
    public static int Fuzz(long records, int seed)
    {
        const long Part = 1_000_000;
        for (long done = 0; done < records; done += Part, seed++)
        {
            var fuzzer = new RpcFuzzer(seed);
            long part = Math.Min(Part, records - done);
            fuzzer.Run(part);
            Console.WriteLine(
                $"seed {seed}: {part} records, {fuzzer.Answered} answered, {fuzzer.Succeeded} of them with success, {fuzzer.Hopeless} were no calls");
        }

        return 0;
    }

    public static int PingPong(double seconds)
    {
        var dispatcher = new RpcDispatcher([new Echo()], new NoEvents(), TimeProvider.System);
        var options = new RpcServerOptions { Listen = [RpcPeer.From(IPAddress.Loopback, 0)] };
        using RpcServer? server = RpcServer.Start(options, dispatcher, new NoEvents(), TimeProvider.System, out string? error);
        if (server is null)
        {
            Console.Error.WriteLine(error);
            return 1;
        }

        var endpoint = new IPEndPoint(IPAddress.Loopback, server.Endpoints[0].Port);
        foreach (bool polling in new[] { false, true })
        {
            Measure("GETATTR", endpoint, 1, 1, 0, polling, seconds);
            Measure("GETATTR", endpoint, 16, 1, 0, polling, seconds);
        }

        Measure("READ 4 KiB", endpoint, 16, 2, 4096, false, seconds);
        Measure("WRITE 4 KiB", endpoint, 16, 3, 4096, false, seconds);
        Measure("READ 1 MiB", endpoint, 1, 2, 1 << 20, false, seconds);
        Measure("READ 1 MiB", endpoint, 8, 2, 1 << 20, false, seconds);
        Measure("WRITE 1 MiB", endpoint, 1, 3, 1 << 20, false, seconds);
        Measure("WRITE 1 MiB", endpoint, 8, 3, 1 << 20, false, seconds);
        Console.WriteLine(server.State());
        return 0;
    }

    /// <summary>One client keeps <paramref name="depth"/> calls on their way.</summary>
    private static void Measure(string name, IPEndPoint endpoint, int depth, uint procedure, int bytes, bool polling, double seconds)
    {
        using var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(endpoint);
        byte[] call = Message(procedure, bytes);
        byte[] many = new byte[depth * call.Length];
        for (int i = 0; i < depth; i++)
            call.CopyTo(many, i * call.Length);
        byte[] space = new byte[4 << 20];
        long calls = 0;
        long began = Stopwatch.GetTimestamp();
        int have = 0;
        long end = began + (long)(seconds * Stopwatch.Frequency);
        var sender = bytes >= 1 << 20 && procedure == 3 ? new SemaphoreSlim(depth) : null;
        Thread? writer = null;
        if (sender is null)
        {
            socket.Send(many);
        }
        else
        {
            // Large calls do not fit into the socket: sending and receiving go on at once.
            writer = new Thread(() =>
            {
                while (Stopwatch.GetTimestamp() < end)
                {
                    sender.Wait();
                    socket.Send(call);
                }

                socket.Shutdown(SocketShutdown.Send);
            });
            writer.Start();
        }

        while (true)
        {
            if (polling)
            {
                while (socket.Available == 0)
                    Thread.SpinWait(20);
            }

            int received = socket.Receive(space, have, space.Length - have, SocketFlags.None);
            if (received == 0)
                break;
            have += received;
            int at = 0;
            int done = 0;
            while (have - at >= 4)
            {
                int length = (int)(BinaryPrimitives.ReadUInt32BigEndian(space.AsSpan(at)) & 0x7FFF_FFFF) + 4;
                if (have - at < length)
                    break;
                at += length;
                done++;
            }

            space.AsSpan(at, have - at).CopyTo(space);
            have -= at;
            calls += done;
            if (sender is not null)
            {
                if (done > 0)
                    sender.Release(done);
                continue;
            }

            if (Stopwatch.GetTimestamp() >= end)
                break;
            if (done > 0)
                socket.Send(many, 0, done * call.Length, SocketFlags.None);
        }

        writer?.Join();
        double elapsed = Stopwatch.GetElapsedTime(began).TotalSeconds;
        string rate = bytes >= 1 << 20 ? $"{calls * (bytes / 1048576.0) / elapsed,9:F0} MiB/s" : $"{calls / elapsed,9:F0} calls/s";
        Console.WriteLine($"{name,-12} depth {depth,2}  {(polling ? "polling" : "waiting")} client  {rate}");
    }

    /// <summary>A call with its mark, by AUTH_SYS.</summary>
    private static byte[] Message(uint procedure, int bytes)
    {
        byte[] space = new byte[bytes + 512];
        var writer = new XdrWriter(space.AsSpan(4));
        writer.U32(1);
        writer.U32(RpcProtocol.Call);
        writer.U32(RpcProtocol.Version);
        writer.U32(Program);
        writer.U32(1);
        writer.U32(procedure);
        writer.U32((uint)RpcAuthFlavor.Sys);
        writer.U32(28);
        writer.U32(0);
        writer.String("host"u8);
        writer.U32(1000);
        writer.U32(1000);
        writer.U32(1);
        writer.U32(1000);
        writer.U64(0);
        if (procedure == 2)
            writer.U32((uint)bytes);
        if (procedure == 3)
            writer.Opaque(new byte[bytes]);
        BinaryPrimitives.WriteUInt32BigEndian(space, RpcProtocol.LastFragment | (uint)writer.Position);
        return space[..(4 + writer.Position)];
    }
}
