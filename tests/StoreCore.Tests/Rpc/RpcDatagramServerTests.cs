using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

/// <summary>Calls by UDP, over loopback.</summary>
public sealed class RpcDatagramServerTests : IDisposable
{
    private readonly RecordedEvents _events = new();
    private readonly Small _small = new();
    private readonly RpcDispatcher _dispatcher;
    private readonly RpcDatagramServer _server;
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp)
    {
        ReceiveTimeout = (int)RpcServerFixture.Patience.TotalMilliseconds,
    };

    public RpcDatagramServerTests()
    {
        _dispatcher = new RpcDispatcher([new EchoProgram(), _small], _events, TimeProvider.System);
        _server = Start(RpcPeer.From(IPAddress.Loopback, 0))!;
        _socket.Connect(new IPEndPoint(IPAddress.Loopback, _server.Endpoint.Port));
    }

    public void Dispose()
    {
        _socket.Dispose();
        _server.Dispose();
        Assert.Empty(_events.Faults);
    }

    /// <summary>Procedure 1 answers with as many words as it is told.</summary>
    private sealed class Small : IRpcProgram
    {
        public uint Program => 0x2000_0002;

        public uint LowestVersion => 1;

        public uint HighestVersion => 1;

        public string Name => "small";

        public int Procedures => 2;

        public bool ServesDatagrams => true;

        public List<RpcPeer> Peers { get; } = [];

        public int Closed { get; private set; }

        public string ProcedureName(uint procedure) => "WORDS";

        public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
        {
            uint words = arguments.U32();
            if (!arguments.AtEnd)
                return RpcAcceptStatus.GarbageArguments;
            Assert.True(call.Connection.IsDatagram);
            Peers.Add(call.Peer);
            for (; words > 0; words--)
                results.U32(words);
            return RpcAcceptStatus.Success;
        }

        public void ConnectionClosed(IRpcConnection connection) => Closed++;
    }

    private RpcDatagramServer? Start(RpcPeer listen) => RpcDatagramServer.Start(listen, _dispatcher, _events, out _);

    private static byte[] Words(uint xid, uint words, uint program = 0x2000_0002) => RpcMessages.Call(xid, 1, RpcMessages.Word(words), program);

    private static byte[] Noise(int length) => [.. Enumerable.Repeat((byte)0xFF, length)];

    private byte[] Receive()
    {
        byte[] reply = new byte[4096];
        return reply[.._socket.Receive(reply)];
    }

    private static (uint Xid, uint Status) Head(byte[] reply) => (BinaryPrimitives.ReadUInt32BigEndian(reply), BinaryPrimitives.ReadUInt32BigEndian(reply.AsSpan(20)));

    [Fact]
    public void A_call_is_answered_to_its_sender()
    {
        _socket.Send(Words(7, 1));
        byte[] reply = Receive();
        Assert.Equal(28, reply.Length);
        Assert.Equal((7u, 0u), Head(reply));
        Assert.Equal(RpcPeer.From(IPAddress.Loopback, ((IPEndPoint)_socket.LocalEndPoint!).Port), Assert.Single(_small.Peers));
        _server.Dispose();
        Assert.Equal(1, _small.Closed);
        Assert.Equal(1, _dispatcher.Statistics.Progress().Completed);
    }

    [Fact]
    public void Programs_of_streams_are_not_there()
    {
        _socket.Send(Words(1, 0, EchoProgram.Number));
        Assert.Equal((1u, 1u), Head(Receive())); // PROG_UNAVAIL, not PROG_MISMATCH
        Assert.Equal(1, _dispatcher.Statistics.Faults(RpcFault.ProgramUnavailable));
    }

    [Fact]
    public void What_is_no_call_too_long_or_would_be_answered_by_more_than_it_is_gets_no_answer()
    {
        foreach (byte[] message in (byte[][])[[], [1], Noise(2000), Noise(3000), Noise(60000), [0, 0, 0, 9, 0, 0, 0, 1], Words(2, 20), Words(3, 300)])
            _socket.Send(message);
        _socket.Send(Words(4, 5)); // 44 bytes, and as many in the answer
        byte[] reply = Receive();
        Assert.Equal((4u, 0u), Head(reply));
        Assert.Equal(Words(4, 5).Length, reply.Length);
    }

    [Fact]
    public void A_port_that_is_taken_is_said()
    {
        Assert.Null(RpcDatagramServer.Start(_server.Endpoint, _dispatcher, _events, out string? error));
        Assert.StartsWith($"{_server.Endpoint} (UDP): ", error, StringComparison.Ordinal);
        using RpcDatagramServer? other = Start(RpcPeer.From(IPAddress.IPv6Loopback, _server.Endpoint.Port));
        Assert.NotNull(other);
    }
}
