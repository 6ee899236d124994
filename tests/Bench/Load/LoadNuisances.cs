using System.Net;
using System.Net.Sockets;
using StoreCore.Rpc;

namespace Bench.Load;

/// <summary>A connection that misbehaves and, when the server has had enough of it, comes again, as soon as there is a server.</summary>
internal abstract class LoadNuisance(IPEndPoint server) : ILoadSocket
{
    private Socket? _socket;
    private int _epoll;
    private ulong _data;

    public IReadOnlyCollection<string> Errors => [];

    /// <summary>How often the server closed it.</summary>
    public int Closed { get; private set; }

    protected int Descriptor { get; private set; }

    public void Start(int epoll, ulong data)
    {
        (_epoll, _data) = (epoll, data);
        try
        {
            _socket = LoadSockets.Connect(server);
        }
        catch (SocketException)
        {
            return; // the next tick tries again
        }

        Descriptor = _socket.Descriptor();
        Began();
        LibC.Watch(_epoll, LibC.ControlAdd, Descriptor, LibC.EventOut | LibC.EventPeerHangUp | LibC.EventEdge, _data);
    }

    public void OnEvent(uint events)
    {
        if ((events & (LibC.EventPeerHangUp | LibC.EventHangUp | LibC.EventError)) != 0)
        {
            Closed++;
            Close();
            Start(_epoll, _data);
        }
        else
        {
            Writable();
        }
    }

    public virtual void Tick()
    {
        if (_socket is null)
            Start(_epoll, _data);
    }

    public void Close()
    {
        _socket?.Dispose();
        _socket = null;
    }

    protected virtual void Began()
    {
    }

    protected virtual void Writable()
    {
    }
}

/// <summary>Asks for a megabyte again and again and reads no answer.</summary>
internal sealed class StuckReader(IPEndPoint server, byte[] file) : LoadNuisance(server)
{
    private readonly byte[] _call = Call(file);
    private int _sent;

    public long Asked { get; private set; }

    protected override void Began() => _sent = 0;

    protected override void Writable()
    {
        while (true)
        {
            int sent = LibC.Send(Descriptor, _call.AsSpan(_sent));
            if (sent < 0)
                return; // full, or closed: then it is told
            _sent = (_sent + sent) % _call.Length;
            Asked += _sent == 0 ? 1 : 0;
        }
    }

    private static byte[] Call(byte[] file)
    {
        byte[] space = new byte[256];
        var call = new XdrWriter(space);
        LoadCall.Begin(ref call, 1, (uint)Gateway.Nfs.Nfs3Procedure.Read);
        call.Opaque(file);
        call.U64(0);
        call.U32(1 << 20);
        return space[..LoadCall.End(ref call)];
    }
}

/// <summary>Sends a large WRITE, one byte each 100 ms.</summary>
internal sealed class SlowWriter(IPEndPoint server, byte[] file) : LoadNuisance(server)
{
    private const int TicksPerByte = 5;

    private readonly byte[] _call = Call(file);
    private int _sent;
    private int _ticks;

    protected override void Began() => _sent = 0;

    public override void Tick()
    {
        base.Tick();
        if (++_ticks % TicksPerByte != 0)
            return;
        // The head at once, so that the server knows what is coming.
        int sent = LibC.Send(Descriptor, _call.AsSpan(_sent, _sent == 0 ? 200 : 1));
        _sent += Math.Max(sent, 0);
    }

    private static byte[] Call(byte[] file)
    {
        byte[] space = new byte[(1 << 20) + 4096];
        var call = new XdrWriter(space);
        LoadCall.Begin(ref call, 1, (uint)Gateway.Nfs.Nfs3Procedure.Write);
        call.Opaque(file);
        call.U64(0);
        call.U32(1 << 20);
        call.U32(0);
        call.Opaque(new byte[1 << 20]);
        return space[..LoadCall.End(ref call)];
    }
}
