using System.Net;
using System.Net.Sockets;

namespace Bench.Load;

/// <summary>A connection that a <see cref="LoadThread"/> waits for. All members on that thread.</summary>
internal interface ILoadSocket
{
    /// <summary>The connection broke or something wrong was answered: one line each.</summary>
    IReadOnlyCollection<string> Errors { get; }

    /// <summary>Connects, asks to be told of events with <paramref name="data"/>, and begins.</summary>
    void Start(int epoll, ulong data);

    /// <summary>epoll reported these.</summary>
    void OnEvent(uint events);

    /// <summary>Some 20 ms have passed.</summary>
    void Tick();

    void Close();
}

internal static class LoadSockets
{
    /// <summary>A connection that is never blocked on.</summary>
    public static Socket Connect(IPEndPoint server)
    {
        var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.Connect(server);
        socket.Blocking = false;
        return socket;
    }

    public static int Descriptor(this Socket socket) => (int)socket.SafeHandle.DangerousGetHandle();
}
