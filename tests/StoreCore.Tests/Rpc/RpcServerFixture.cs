using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

/// <summary>A server on a free port of loopback, with the echo program; at its end it must stop in order.</summary>
internal sealed class RpcServerFixture : IDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public RpcServerFixture(Func<RpcServerOptions, RpcServerOptions>? change = null)
    {
        Dispatcher = new RpcDispatcher([Echo], Events, TimeProvider.System);
        var options = new RpcServerOptions { Listen = [RpcPeer.From(IPAddress.Loopback, 0)] };
        Server = RpcServer.Start(change?.Invoke(options) ?? options, Dispatcher, Events, TimeProvider.System, out string? error)
            ?? throw new InvalidOperationException(error);
    }

    public EchoProgram Echo { get; } = new();

    public RecordedEvents Events { get; } = new();

    public RpcDispatcher Dispatcher { get; }

    public RpcServer Server { get; }

    public IPEndPoint Endpoint => new(IPAddress.Loopback, Server.Endpoints[0].Port);

    public RpcStream Connect() => new(Endpoint);

    public static void Until(Func<bool> condition, string what) => Assert.True(SpinWait.SpinUntil(condition, Patience), what);

    public void Dispose()
    {
        Echo.Gate.Set();
        Assert.True(Server.Stop(Patience));
        RpcServerState state = Server.State();
        Assert.Equal((0, 0L, 0), (state.Connections, state.BudgetUsedBytes, state.WaitingForMemory));
        Assert.Equal(0, Server.LargeBuffers.RentedCount);
        Assert.Equal(0, Server.SmallBuffers.RentedCount);
        Assert.Equal(Events.Opened, Events.Closed.Count);
        Assert.Equal(Events.Opened, Echo.Closed.Count);
        Assert.Empty(Events.Faults);
        Echo.Gate.Dispose();
    }
}

/// <summary>The client's end of a connection, with nothing but bytes.</summary>
internal sealed class RpcStream : IDisposable
{
    private readonly byte[] _mark = new byte[4];

    public RpcStream(IPEndPoint endpoint, int receiveBufferBytes = 0, IPAddress? from = null)
    {
        if (from is not null)
            Socket.Bind(new IPEndPoint(from, 0));
        if (receiveBufferBytes > 0)
            Socket.ReceiveBufferSize = receiveBufferBytes;
        Socket.NoDelay = true;
        Socket.ReceiveTimeout = Socket.SendTimeout = (int)RpcServerFixture.Patience.TotalMilliseconds;
        Socket.Connect(endpoint);
    }

    public Socket Socket { get; } = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    public ushort Port => (ushort)((IPEndPoint)Socket.LocalEndPoint!).Port;

    public void Send(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
            bytes = bytes[Socket.Send(bytes)..];
    }

    public void Call(uint xid, uint procedure, ReadOnlySpan<byte> arguments = default) => Send(RpcMessages.Record(RpcMessages.Call(xid, procedure, arguments)));

    /// <summary>The next reply without its mark; null at the end of the stream.</summary>
    public byte[]? Receive()
    {
        if (!Fill(_mark))
            return null;
        uint mark = BinaryPrimitives.ReadUInt32BigEndian(_mark);
        Assert.True((mark & RpcProtocol.LastFragment) != 0);
        byte[] reply = new byte[mark & ~RpcProtocol.LastFragment];
        Assert.True(Fill(reply));
        return reply;
    }

    /// <summary>The xid of the next reply, which must be a success.</summary>
    public uint ReceiveXid()
    {
        byte[]? reply = Receive();
        Assert.NotNull(reply);
        Assert.Equal(0u, BinaryPrimitives.ReadUInt32BigEndian(reply.AsSpan(20)));
        return BinaryPrimitives.ReadUInt32BigEndian(reply);
    }

    /// <summary>Fills without allocation; false at the end of the stream.</summary>
    public bool Fill(Span<byte> space)
    {
        while (space.Length > 0)
        {
            int count = Socket.Receive(space, SocketFlags.None, out SocketError error);
            if (error is SocketError.ConnectionReset)
                return false;
            if (error != SocketError.Success)
                throw new SocketException((int)error);
            if (count == 0)
                return false;
            space = space[count..];
        }

        return true;
    }

    public void Dispose() => Socket.Dispose();
}
