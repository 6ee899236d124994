using System.Net;
using System.Net.Sockets;

namespace StoreCore.Rpc;

/// <summary>
/// Serves, over UDP, those programs of a dispatcher that take calls by datagram (<see cref="IRpcProgram.ServesDatagrams"/>); for the others it answers as if they were not
/// there. For rare and small calls: one thread handles one at a time, what comes meanwhile waits in the kernel's buffer or is lost, as datagrams may be.
/// A sender's address proves nothing, so no reply is larger than its call: nobody can be flooded by way of us. Members may be called from any thread.
/// </summary>
public sealed class RpcDatagramServer : IDisposable
{
    /// <summary>The longest call: the header with a full credential and verifier, and a name of 1,024 bytes. What is longer is passed over.</summary>
    private const int MaxCallBytes = 2048;

    private readonly Socket _socket;
    private readonly RpcDispatcher _dispatcher;
    private readonly RpcLane _lane;
    private readonly IRpcEvents _events;
    private readonly Thread _thread;
    private volatile bool _isDisposed;
    private long _calls;

    private RpcDatagramServer(Socket socket, RpcDispatcher dispatcher, IRpcEvents events)
    {
        (_socket, _dispatcher, _events) = (socket, dispatcher, events);
        _lane = dispatcher.NewLane();
        var local = (IPEndPoint)socket.LocalEndPoint!;
        Endpoint = RpcPeer.From(local.Address, local.Port);
        _thread = new Thread(Run) { IsBackground = true, Name = "rpc datagrams" };
        _thread.Start();
    }

    /// <summary>Where it listens, with the port that was chosen.</summary>
    public RpcPeer Endpoint { get; }

    /// <summary>Listens and serves until <see cref="Dispose"/>.</summary>
    /// <param name="error">Why not, one line for people.</param>
    public static RpcDatagramServer? Start(RpcPeer listen, RpcDispatcher dispatcher, IRpcEvents events, out string? error)
    {
        var socket = new Socket(listen.IsV4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            if (!listen.IsV4)
                socket.DualMode = false; // as the listener of the streams: IPv4 has one of its own
            socket.Bind(new IPEndPoint(listen.ToIPAddress(), listen.Port));
        }
        catch (SocketException e)
        {
            socket.Dispose();
            error = $"{listen} (UDP): {e.Message}";
            return null;
        }

        error = null;
        return new RpcDatagramServer(socket, dispatcher, events);
    }

    /// <summary>Listens no more; a call in progress ends first.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        _socket.Dispose();
        _thread.Join();
    }

    private void Run()
    {
        byte[] call = new byte[MaxCallBytes], reply = new byte[MaxCallBytes];
        EndPoint any = new IPEndPoint(Endpoint.IsV4 ? IPAddress.Any : IPAddress.IPv6Any, 0);
        while (true)
        {
            EndPoint from = any;
            int count;
            try
            {
                count = _socket.ReceiveFrom(call, ref from);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.MessageSize)
            {
                continue;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (!_isDisposed)
                    _events.ServerFault($"no more calls by UDP on {Endpoint}: {e.Message}", e);
                return;
            }

            var sender = new Sender(++_calls, RpcPeer.From(((IPEndPoint)from).Address, ((IPEndPoint)from).Port), Endpoint);
            RpcOutcome outcome = _dispatcher.Dispatch(_lane, sender, call.AsSpan(0, count), reply, out int length);
            if (outcome == RpcOutcome.Reply && length <= count)
                Send(reply.AsSpan(0, length), from);
            _dispatcher.ConnectionClosed(sender);
        }
    }

    private void Send(ReadOnlySpan<byte> reply, EndPoint to)
    {
        try
        {
            _socket.SendTo(reply, to);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // A lost reply, to the sender: it asks again. (No way to it, a firewall, or the end of this server.)
        }
    }

    /// <summary>Where one datagram came from.</summary>
    private sealed class Sender(long id, RpcPeer peer, RpcPeer local) : IRpcConnection
    {
        private object? _state;

        public long Id => id;

        public RpcPeer Peer => peer;

        public RpcPeer Local => local;

        public bool IsDatagram => true;

        public object? State => _state;

        public object? SetState(object? state, object? expected) => ReferenceEquals(_state, expected) ? _state = state : _state;
    }
}
