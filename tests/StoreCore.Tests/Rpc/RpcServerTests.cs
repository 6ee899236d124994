using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

/// <summary>The server over real sockets of loopback.</summary>
[Collection(AloneCollection.Name)]
public sealed class RpcServerTests
{
    private static void Until(Func<bool> condition, string what) => RpcServerFixture.Until(condition, what);

    [Fact]
    public void Calls_cut_and_fragmented_anywhere_are_answered()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        byte[] message = RpcMessages.Call(1, EchoProgram.Echo, RpcMessages.Opaque("some bytes"u8));
        byte[] whole = RpcMessages.Record(message);
        for (int cut = 1; cut < whole.Length; cut++)
        {
            client.Send(whole.AsSpan(0, cut));
            Thread.Yield();
            client.Send(whole.AsSpan(cut));
            Assert.Equal(1u, client.ReceiveXid());
        }

        for (int fragment = 1; fragment < message.Length; fragment++)
        {
            client.Send(RpcMessages.Record(message, fragment));
            Assert.Equal(1u, client.ReceiveXid());
        }

        foreach (byte one in whole)
            client.Send([one]);
        Assert.Equal(1u, client.ReceiveXid());
    }

    [Theory]
    [InlineData(16, 0)]
    [InlineData(1000, 100)]
    [InlineData(2000, 5000)]
    [InlineData(60, 100_000)]
    [InlineData(12, 1024 * 1024)]
    public void Pipelined_calls_are_all_answered(int calls, int bytes)
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        var random = new Random(7);
        byte[][] data = new byte[calls][];
        for (int i = 0; i < calls; i++)
        {
            data[i] = new byte[bytes == 0 ? 0 : bytes - random.Next(bytes / 2)];
            random.NextBytes(data[i]);
        }

        var sender = new Thread(() =>
        {
            for (int i = 0; i < calls; i++)
                client.Send(RpcMessages.Record(RpcMessages.Call((uint)i, EchoProgram.Echo, RpcMessages.Opaque(data[i])), i % 7 == 0 ? 3000 : int.MaxValue));
        });
        sender.Start();
        var seen = new HashSet<uint>();
        for (int i = 0; i < calls; i++)
        {
            byte[] reply = client.Receive()!;
            uint xid = BinaryPrimitives.ReadUInt32BigEndian(reply);
            Assert.True(seen.Add(xid));
            var results = new XdrReader(reply.AsSpan(RpcProtocol.AcceptedHeadBytes));
            Assert.Equal(data[xid], results.Opaque(int.MaxValue));
            Assert.True(results.AtEnd);
        }

        sender.Join();
    }

    [Fact]
    public void Short_large_and_blocking_calls_mix_on_many_connections()
    {
        using var fixture = new RpcServerFixture(static options => options with { BudgetBytes = 64L << 20, MaxQueuedReplyBytes = 2 << 20 });
        fixture.Echo.Gate.Set();
        var failures = new List<Exception>();
        Thread[] clients = [.. Enumerable.Range(0, 8).Select(seed => new Thread(() =>
        {
            try
            {
                Mix(fixture, seed);
            }
            catch (Exception e)
            {
                lock (failures)
                    failures.Add(e);
            }
        }))];
        Array.ForEach(clients, static client => client.Start());
        Array.ForEach(clients, static client => client.Join());
        Assert.Empty(failures);
    }

    private static void Mix(RpcServerFixture fixture, int seed)
    {
        const int Calls = 2000;
        using RpcStream client = fixture.Connect();
        var random = new Random(seed);
        int[] sizes = [.. Enumerable.Range(0, Calls).Select(_ => random.Next(20) switch { 0 => random.Next(1 << 20), 1 => random.Next(40_000), _ => random.Next(300) })];
        var sender = new Thread(() =>
        {
            var batch = new List<byte>();
            for (int i = 0; i < Calls; i++)
            {
                uint procedure = (uint)i % 50 == 0 ? EchoProgram.Wait : EchoProgram.Echo;
                batch.AddRange(RpcMessages.Record(RpcMessages.Call((uint)i, procedure, RpcMessages.Opaque(new byte[sizes[i]])), i % 31 == 0 ? 3000 : int.MaxValue));
                if (batch.Count < 4000 && i < Calls - 1)
                    continue;
                client.Send(batch.ToArray());
                batch.Clear();
            }
        });
        sender.Start();
        bool[] seen = new bool[Calls];
        for (int i = 0; i < Calls; i++)
        {
            byte[] reply = client.Receive()!;
            uint xid = BinaryPrimitives.ReadUInt32BigEndian(reply);
            Assert.False(seen[xid]);
            seen[xid] = true;
            Assert.Equal((uint)sizes[xid], BinaryPrimitives.ReadUInt32BigEndian(reply.AsSpan(RpcProtocol.AcceptedHeadBytes)));
        }

        sender.Join();
    }

    [Fact]
    public void The_payload_of_a_large_call_lies_on_a_page()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        byte[] data = new byte[1 << 20];
        new Random(1).NextBytes(data);
        client.Call(1, EchoProgram.Consume, RpcMessages.Opaque(data));
        byte[] reply = client.Receive()!;
        var results = new XdrReader(reply.AsSpan(RpcProtocol.AcceptedHeadBytes));
        Assert.Equal(0u, results.U32());
        Assert.Equal(EchoProgram.Sum(data), results.U64());
    }

    [Fact]
    public void Replies_overtake_a_call_that_takes_long()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        client.Call(1, EchoProgram.Wait, RpcMessages.Opaque("slow"u8));
        client.Call(2, EchoProgram.Echo, RpcMessages.Opaque("quick"u8));
        Assert.Equal(2u, client.ReceiveXid());
        using (RpcStream other = fixture.Connect())
        {
            other.Call(3, 0);
            Assert.Equal(3u, other.ReceiveXid());
        }

        RpcConnectionInfo info = Assert.Single(fixture.Server.Connections(), one => one.Peer.Port == client.Port);
        Assert.Equal((1, 2L), (info.CallsInProgress, info.Calls));
        RpcServerState state = fixture.Server.State();
        Assert.Equal(1, state.Calls.InFlight);
        fixture.Echo.Gate.Set();
        Assert.Equal(1u, client.ReceiveXid());
    }

    [Fact]
    public void Many_calls_that_block_leave_room_for_others()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream greedy = fixture.Connect();
        for (uint i = 0; i < 200; i++)
            greedy.Call(i, EchoProgram.Wait, RpcMessages.Opaque("x"u8));
        Until(() => fixture.Echo.Waiting >= 20, "the calls of one connection are handled at once");
        for (uint i = 0; i < 50; i++)
        {
            using RpcStream other = fixture.Connect();
            other.Call(i, EchoProgram.Echo, RpcMessages.Opaque("x"u8));
            Assert.Equal(i, other.ReceiveXid());
        }

        Assert.InRange(fixture.Echo.Waiting, 20, 32);
        fixture.Echo.Gate.Set();
        for (int i = 0; i < 200; i++)
            greedy.ReceiveXid();
    }

    [Fact]
    public void A_client_that_does_not_read_is_not_read_and_does_not_slow_the_others()
    {
        using var fixture = new RpcServerFixture(static options => options with { MaxQueuedReplyBytes = 2 << 20 });
        using var deaf = new RpcStream(fixture.Endpoint, receiveBufferBytes: 16384);
        deaf.Socket.Blocking = false;
        byte[] call = RpcMessages.Record(RpcMessages.Call(1, EchoProgram.Produce, RpcMessages.Word(1 << 20)));
        int sent = 0;
        void SendMore()
        {
            while (deaf.Socket.Send(call, 0, call.Length, SocketFlags.None, out SocketError error) == call.Length && error == SocketError.Success && sent < 60)
                sent++;
        }

        SendMore();
        RpcConnectionInfo Info() => Assert.Single(fixture.Server.Connections(), one => one.Peer.Port == deaf.Port);
        Until(() => fixture.Server.Connections().Count == 1, "it is accepted");
        Until(() => Info().QueuedBytes > 2 << 20, "replies are queued up to the limit");
        Until(() => Info().CallsInProgress == 0, "and no more calls are begun");
        long calls = Info().Calls;
        using (RpcStream other = fixture.Connect())
        {
            for (uint i = 0; i < 1000; i++)
            {
                other.Call(i, EchoProgram.Echo, RpcMessages.Opaque("x"u8));
                Assert.Equal(i, other.ReceiveXid());
            }
        }

        Assert.Equal(calls, Info().Calls);
        Assert.InRange(Info().QueuedBytes, 2 << 20, 40 << 20);

        // Once it reads, everything is answered.
        deaf.Socket.Blocking = true;
        for (int i = 0; i < sent; i++)
            Assert.Equal(1u, deaf.ReceiveXid());
        Until(() => Info().QueuedBytes == 0, "the queue is empty");
    }

    [Fact]
    public void A_client_that_does_not_read_is_closed_after_a_while()
    {
        using var fixture = new RpcServerFixture(static options => options with { SendTimeout = TimeSpan.FromSeconds(1), MaxQueuedReplyBytes = 1 << 20 });
        using var deaf = new RpcStream(fixture.Endpoint, receiveBufferBytes: 16384);
        for (uint i = 0; i < 16; i++)
            deaf.Call(i, EchoProgram.Produce, RpcMessages.Word(1 << 20));
        Until(() => fixture.Events.ReasonOf(1) is not null, "the connection is closed");
    }

    [Theory]
    [InlineData(3)] // together they leave a share for others
    [InlineData(60)] // too many for the budget: those who do not read are closed, soon
    public void Memory_stays_within_the_budget_and_those_who_read_are_served(int deafClients)
    {
        const long Budget = 40L << 20;
        using var fixture = new RpcServerFixture(static options => options with { BudgetBytes = Budget });
        var deaf = new List<RpcStream>();
        try
        {
            for (int i = 0; i < deafClients; i++)
            {
                var one = new RpcStream(fixture.Endpoint, receiveBufferBytes: 16384);
                deaf.Add(one);
                for (uint xid = 0; xid < 20; xid++)
                    one.Call(xid, EchoProgram.Produce, RpcMessages.Word(1 << 20));
            }

            long most = 0;
            byte[] data = new byte[1 << 20];
            using RpcStream other = fixture.Connect();
            for (uint i = 0; i < 200; i++)
            {
                if (i % 2 == 0)
                    other.Call(i, EchoProgram.Echo, RpcMessages.Opaque("x"u8));
                else
                    other.Call(i, EchoProgram.Consume, RpcMessages.Opaque(data));
                Assert.Equal(i, other.ReceiveXid());
                most = Math.Max(most, fixture.Server.State().BudgetUsedBytes);
            }

            Assert.InRange(most, 5L << 20, Budget + (deafClients * Limits.RpcReceiveBytes));
            if (deafClients > 3)
            {
                Assert.Contains(fixture.Events.Closed, static closed => closed.Reason == "the client does not read its replies");
                return;
            }

            Assert.Empty(fixture.Events.Closed);
            foreach (RpcStream one in deaf)
            {
                for (int i = 0; i < 20; i++)
                    one.ReceiveXid();
            }
        }
        finally
        {
            deaf.ForEach(static one => one.Dispose());
        }
    }

    [Fact]
    public void Large_calls_that_never_end_are_closed_when_others_need_the_memory()
    {
        using var fixture = new RpcServerFixture(static options => options with
        {
            BudgetBytes = 12L << 20,
            ShortageTimeout = TimeSpan.FromSeconds(1),
        });
        byte[] beginning = RpcMessages.Record(RpcMessages.Call(1, EchoProgram.Consume, RpcMessages.Opaque(new byte[1 << 20])))[..100_000];
        var stalled = new List<RpcStream>();
        try
        {
            for (int i = 0; i < 20; i++)
            {
                RpcStream one = fixture.Connect();
                stalled.Add(one);
                one.Send(beginning);
            }

            Until(() => fixture.Server.State().WaitingForMemory > 0, "the budget is used up");
            using RpcStream other = fixture.Connect();
            other.Call(7, EchoProgram.Consume, RpcMessages.Opaque(new byte[1 << 20]));
            Assert.Equal(7u, other.ReceiveXid());
            Assert.Contains(fixture.Events.Closed, static closed => closed.Reason.Contains("did not complete", StringComparison.Ordinal));
        }
        finally
        {
            stalled.ForEach(static one => one.Dispose());
        }
    }

    [Fact]
    public void Silent_and_slow_clients_are_closed()
    {
        using var fixture = new RpcServerFixture(static options => options with
        {
            FirstCallTimeout = TimeSpan.FromSeconds(1),
            RecordTimeout = TimeSpan.FromSeconds(1),
            IdleTimeout = TimeSpan.FromSeconds(1),
        });
        using RpcStream silent = fixture.Connect();
        using RpcStream slow = fixture.Connect();
        slow.Call(1, 0);
        Assert.Equal(1u, slow.ReceiveXid());
        slow.Send(RpcMessages.Record(RpcMessages.Call(2, 0))[..10]);
        using RpcStream idle = fixture.Connect();
        idle.Call(3, 0);
        Assert.Equal(3u, idle.ReceiveXid());
        Until(() => fixture.Server.State().Connections == 0, "all are closed");
        Assert.Equal("no call has come", fixture.Events.ReasonOf(1));
        Assert.Equal("the client began a call and did not complete it", fixture.Events.ReasonOf(2));
        Assert.Equal("idle", fixture.Events.ReasonOf(3));
    }

    [Theory]
    [InlineData("FFFFFFFF")] // a record of 2 GiB
    [InlineData("80000004" + "00000007")] // a record that is no call
    [InlineData("474554202F20485454502F312E310D0A")] // "GET / HTTP/1.1"
    public void A_peer_that_does_not_speak_RPC_is_closed(string hex)
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        client.Call(1, 0);
        client.Send(Convert.FromHexString(hex));
        Assert.Equal(1u, client.ReceiveXid()); // what came before is answered
        Assert.Null(client.Receive());
        Until(() => fixture.Events.ReasonOf(1)?.StartsWith("not RPC", StringComparison.Ordinal) == true, "closed with its reason");
    }

    [Fact]
    public void What_was_asked_before_the_end_of_the_stream_is_answered()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        client.Call(1, EchoProgram.Wait, RpcMessages.Opaque("x"u8));
        client.Call(2, EchoProgram.Produce, RpcMessages.Word(1 << 20));
        client.Socket.Shutdown(SocketShutdown.Send);
        Assert.Equal(2u, client.ReceiveXid());
        fixture.Echo.Gate.Set();
        Assert.Equal(1u, client.ReceiveXid());
        Assert.Null(client.Receive());
        Until(() => fixture.Events.ReasonOf(1) == "the client closed it", "closed in order");
    }

    [Fact]
    public void A_client_that_goes_away_under_way_is_forgotten()
    {
        using var fixture = new RpcServerFixture();
        for (int i = 0; i < 50; i++)
        {
            using RpcStream client = fixture.Connect();
            client.Call(1, EchoProgram.Produce, RpcMessages.Word(1 << 20));
            client.Call(2, EchoProgram.Echo, RpcMessages.Opaque(new byte[i * 20_000]));
            client.Send(RpcMessages.Record(RpcMessages.Call(3, EchoProgram.Echo, RpcMessages.Opaque(new byte[200_000])))[..(i * 4000)]);
            client.Socket.LingerState = new LingerOption(true, i % 2 == 0 ? 0 : 1);
        }

        Until(() => fixture.Server.State().Connections == 0, "all are gone");
    }

    [Fact]
    public void Connections_above_a_limit_are_refused()
    {
        using var fixture = new RpcServerFixture(static options => options with { MaxConnections = 4, MaxConnectionsPerAddress = 3 });
        RpcStream[] clients = [.. Enumerable.Range(0, 4).Select(_ => fixture.Connect())];
        Assert.Null(clients[3].Receive());
        foreach (RpcStream client in clients[..3])
        {
            client.Call(1, 0);
            Assert.Equal(1u, client.ReceiveXid());
        }

        clients[0].Dispose();
        Until(() => fixture.Server.State().Connections == 2, "the place is free");
        using RpcStream next = fixture.Connect();
        next.Call(2, 0);
        Assert.Equal(2u, next.ReceiveXid());
        Assert.Equal(1, fixture.Server.State().Refused);
        Array.ForEach(clients, static client => client.Dispose());
    }

    [Fact]
    public void Idle_connections_of_one_address_keep_no_other_out()
    {
        using var fixture = new RpcServerFixture(static options => options with { MaxConnections = 4 });
        RpcStream[] greedy = [.. Enumerable.Range(0, 4).Select(_ => Connect("127.0.0.2"))];
        foreach (int one in new[] { 1, 0, 3, 2 })
        {
            greedy[one].Call(1, 0);
            Assert.Equal(1u, greedy[one].ReceiveXid());
        }

        Until(() => fixture.Server.Connections().All(static one => one.CallsInProgress == 0), "all calls have ended");

        // The longest idle makes room, then the next; not beyond an equal share, and none of them for one of their own so soon.
        using RpcStream first = Connect("127.0.0.3"), second = Connect("127.0.0.3"), third = Connect("127.0.0.3"), own = Connect("127.0.0.2");
        foreach (RpcStream other in new[] { first, second })
        {
            other.Call(2, 0);
            Assert.Equal(2u, other.ReceiveXid());
        }

        Assert.All([greedy[0], greedy[1], third, own], static closed => Assert.Null(closed.Receive()));
        Assert.Equal((4, 2L), (fixture.Server.State().Connections, fixture.Server.State().Refused));
        greedy[2].Call(3, 0);
        Assert.Equal(3u, greedy[2].ReceiveXid());
        Array.ForEach(greedy, static client => client.Dispose());

        RpcStream Connect(string from) => new(fixture.Endpoint, from: IPAddress.Parse(from));
    }

    [Fact]
    public void Chosen_connections_are_reset()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream one = fixture.Connect();
        using RpcStream other = fixture.Connect();
        one.Call(1, 0);
        one.ReceiveXid();
        other.Call(1, 0);
        other.ReceiveXid();
        Assert.Equal(1, fixture.Server.CloseConnections(connection => connection.Peer.Port == one.Port, "evicted", reset: true));
        Assert.Null(one.Receive());
        Until(() => fixture.Server.State().Connections == 1, "it is gone"); // the client learns it first
        Assert.Equal("evicted", fixture.Events.ReasonOf(1));
        other.Call(2, 0);
        Assert.Equal(2u, other.ReceiveXid());
    }

    [Fact]
    public void Stopping_lets_calls_in_progress_end()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        using RpcStream idle = fixture.Connect();
        client.Call(1, EchoProgram.Wait, RpcMessages.Opaque("x"u8));
        Until(() => fixture.Echo.Waiting == 1, "the call has begun");
        bool inOrder = false;
        var stop = new Thread(() => inOrder = fixture.Server.Stop(RpcServerFixture.Patience));
        stop.Start();
        Assert.Null(idle.Receive());
        using var refused = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        Assert.Equal(SocketError.ConnectionRefused, Assert.Throws<SocketException>(() => refused.Connect(fixture.Endpoint)).SocketErrorCode);
        fixture.Echo.Gate.Set();
        Assert.Equal(1u, client.ReceiveXid());
        Assert.Null(client.Receive());
        stop.Join();
        Assert.True(inOrder);
    }

    [Fact]
    public void Stopping_does_not_wait_for_ever()
    {
        var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        client.Call(1, EchoProgram.Wait, RpcMessages.Opaque("x"u8));
        Until(() => fixture.Echo.Waiting == 1, "the call has begun");
        Assert.False(fixture.Server.Stop(TimeSpan.FromMilliseconds(100)));
        Assert.Null(client.Receive());
        fixture.Echo.Gate.Set();
        fixture.Dispose();
    }

    [Fact]
    public void An_address_that_is_taken_is_an_error_in_words()
    {
        using var fixture = new RpcServerFixture();
        var options = new RpcServerOptions { Listen = fixture.Server.Endpoints };
        Assert.Null(RpcServer.Start(options, fixture.Dispatcher, fixture.Events, TimeProvider.System, out string? error));
        Assert.Equal($"{fixture.Server.Endpoints[0]}: Address already in use", error);
        Assert.Null(RpcServer.Start(
            options with { BudgetBytes = 1 << 20 }, fixture.Dispatcher, fixture.Events, TimeProvider.System, out error));
        Assert.Contains("budget", error, StringComparison.Ordinal);
    }

    [Fact]
    public void IPv6_clients_are_served()
    {
        using var fixture = new RpcServerFixture(static options => options with
        {
            Listen = [RpcPeer.From(IPAddress.Loopback, 0), RpcPeer.From(IPAddress.IPv6Loopback, 0)],
        });
        using RpcClient? client = RpcClient.Connect(
            new IPEndPoint(IPAddress.IPv6Loopback, fixture.Server.Endpoints[1].Port), RpcServerFixture.Patience, 1, out string? error);
        Assert.Null(error);
        Assert.True(client!.Call(EchoProgram.Number, 1, 0, [], RpcServerFixture.Patience, out _).Succeeded);
        RpcConnectionInfo info = Assert.Single(fixture.Server.Connections());
        Assert.False(info.Peer.IsV4);
        Assert.Equal($"[::1]:{fixture.Server.Endpoints[1].Port}", info.Local.ToString());
    }

    [Fact]
    public void The_last_fault_of_a_connection_is_shown()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        client.Call(1, EchoProgram.Echo);
        Assert.NotNull(client.Receive());
        Assert.Equal(RpcFault.GarbageArguments, Assert.Single(fixture.Server.Connections()).LastFault);
    }

    [Theory]
    [InlineData(1, 100)]
    [InlineData(16, 100)]
    [InlineData(8, 200_000)]
    public void Serving_allocates_nothing_per_call(int depth, int bytes)
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        byte[] record = RpcMessages.Record(RpcMessages.Call(1, EchoProgram.Measure, RpcMessages.Opaque(new byte[bytes])));
        byte[] batch = [.. Enumerable.Repeat(record, depth).SelectMany(static one => one)];
        byte[] replies = new byte[depth * (RpcProtocol.RecordMarkBytes + RpcProtocol.AcceptedHeadBytes + 4 + bytes)];
        int rounds = 20_000 / depth;
        var sender = new Thread(() =>
        {
            for (int i = 0; i < rounds && bytes > 1000; i++)
                client.Send(batch);
        });
        sender.Start();
        for (int i = 0; i < rounds; i++)
        {
            if (bytes <= 1000)
                client.Send(batch);
            Assert.True(client.Fill(replies));
        }

        sender.Join();
        // Pools fill, workers start, and a collection counts the rest of every thread's allocation context: all that is no call's.
        Assert.Equal(rounds * depth, fixture.Echo.Measured.Sum());
        Assert.InRange(fixture.Echo.Allocating.Sum(), 0, rounds * depth / 100);
    }
}

/// <summary>What needs the machine for itself, or would disturb others.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneCollection
{
    public const string Name = "alone";
}
