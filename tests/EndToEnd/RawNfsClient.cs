using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Gateway.Tests.Nfs;

namespace EndToEnd;

/// <summary>
/// An NFS client of nothing but bytes: what it has sent it can send again to the letter, over a new connection from the same address and port, as a kernel's client does
/// when its server has died.
/// </summary>
internal sealed class RawNfsClient : IDisposable
{
    private const uint Mount = 100005, Nfs = 100003;
    private const uint LastFragment = 0x8000_0000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly IPEndPoint _server;
    private IPEndPoint _own;
    private Socket _socket;

    public RawNfsClient(int port, string from)
    {
        _server = new IPEndPoint(IPAddress.Loopback, port);
        _own = new IPEndPoint(IPAddress.Parse(from), 0);
        _socket = Connect();
        _own = (IPEndPoint)_socket.LocalEndPoint!;
    }

    /// <summary>A call of NFS 3 as it stands on the wire, by root with AUTH_SYS.</summary>
    public static byte[] Call(uint xid, uint procedure, Xdr arguments) => Message(xid, Nfs, procedure, arguments);

    /// <summary>MNT; the handle of an export's root.</summary>
    public byte[] MountRoot(string path)
    {
        XdrView view = Results(Exchange(Message(1, Mount, 1, new Xdr().Text(path))));
        Assert.Equal(0u, view.U32());
        return view.Opaque();
    }

    /// <summary>LOOKUP; the handle of what is there.</summary>
    public byte[] Lookup(byte[] directory, string name)
    {
        XdrView view = Results(Exchange(Call(2, 3, new Xdr().Opaque(directory).Text(name))));
        Assert.Equal(0u, view.U32());
        return view.Opaque();
    }

    public byte[] Exchange(byte[] message)
    {
        Send(message);
        return Receive();
    }

    public void Send(params byte[][] messages)
    {
        ReadOnlySpan<byte> bytes = messages.SelectMany(static message => (byte[])[.. BigEndian((uint)message.Length | LastFragment), .. message]).ToArray();
        while (bytes.Length > 0)
            bytes = bytes[_socket.Send(bytes)..];
    }

    /// <summary>The next reply.</summary>
    public byte[] Receive()
    {
        uint mark = BinaryPrimitives.ReadUInt32BigEndian(Fill(4));
        Assert.True((mark & LastFragment) != 0);
        return Fill((int)(mark & ~LastFragment));
    }

    /// <summary>What stands behind the head of a reply, which must be of success.</summary>
    public static XdrView Results(byte[] reply)
    {
        var view = new XdrView(reply);
        view.U32();
        Assert.Equal((1u, 0u, 0u, 0u, 0u), (view.U32(), view.U32(), view.U32(), view.U32(), view.U32()));
        return view;
    }

    /// <summary>The connection breaks, as when the network or the server has lost it, and is made again.</summary>
    public void Reconnect()
    {
        _socket.LingerState = new LingerOption(true, 0); // an end in order would keep the port for a minute
        _socket.Dispose();
        _socket = Connect();
    }

    public void Dispose() => _socket.Dispose();

    private static byte[] Message(uint xid, uint program, uint procedure, Xdr arguments) =>
        new Xdr().U32(xid).U32(0).U32(2).U32(program).U32(3).U32(procedure)
            .U32(1).Opaque(new Xdr().U32(0).Text("raw").U32(0).U32(0).U32(0).Bytes).U32(0).U32(0).Raw(arguments.Bytes).Bytes;

    private Socket Connect()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
        {
            NoDelay = true,
            ReceiveTimeout = (int)Patience.TotalMilliseconds,
            SendTimeout = (int)Patience.TotalMilliseconds,
        };
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        socket.Bind(_own);
        socket.Connect(_server);
        return socket;
    }

    private byte[] Fill(int count)
    {
        byte[] bytes = new byte[count];
        for (int at = 0; at < count;)
        {
            int received = _socket.Receive(bytes.AsSpan(at));
            Assert.True(received > 0, "the server has closed the connection");
            at += received;
        }

        return bytes;
    }

    private static byte[] BigEndian(uint value)
    {
        byte[] bytes = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return bytes;
    }
}
