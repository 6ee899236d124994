using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace StoreCore.Rpc;

/// <summary>
/// The calls of libc for sockets that are never blocked on, and for waiting on many at once. All are blittable; each returns -1 on failure and leaves the reason
/// in <see cref="Marshal.GetLastPInvokeError"/>. The figures are those of x86-64 and arm64 Linux.
/// </summary>
internal static unsafe partial class LibC
{
    private const string Library = "libc";

    internal const int EPERM = 1, EINTR = 4, EAGAIN = 11, EPIPE = 32, EPROTO = 71;
    internal const int ENETDOWN = 100, ECONNABORTED = 103, ECONNRESET = 104, EHOSTUNREACH = 113;

    private const int InternetV4 = 2, InternetV6 = 10; // AF_INET, AF_INET6
    private const int Stream = 1, NonBlock = 0x800, CloseOnExec = 0x80000; // SOCK_*
    private const int MessageNoSignal = 0x4000; // MSG_NOSIGNAL

    private const int LevelSocket = 1, LevelTcp = 6, LevelV6 = 41;
    private const int ReuseAddress = 2, KeepAlive = 9, Linger = 13; // SO_*
    private const int NoDelay = 1, KeepIdle = 4, KeepInterval = 5, KeepCount = 6, UserTimeout = 18; // TCP_*
    private const int V6Only = 26; // IPV6_V6ONLY

    internal const uint EventIn = 1, EventOut = 4, EventError = 8, EventHangUp = 0x10, EventPeerHangUp = 0x2000, EventEdge = 0x8000_0000;
    internal const int ControlAdd = 1, ControlModify = 3;

    /// <summary>struct epoll_event is packed on x86-64 only.</summary>
    private static readonly int EventBytes = X86Base.IsSupported ? 12 : 16;

    private static readonly int EventDataOffset = EventBytes - 8;

    private const int AddressBytes = 28; // struct sockaddr_in6; sockaddr_in has 16

    [LibraryImport(Library, EntryPoint = "socket", SetLastError = true)]
    private static partial int Socket(int family, int type, int protocol);

    [LibraryImport(Library, EntryPoint = "bind", SetLastError = true)]
    private static partial int Bind(int descriptor, byte* address, int length);

    [LibraryImport(Library, EntryPoint = "listen", SetLastError = true)]
    private static partial int Listen(int descriptor, int backlog);

    [LibraryImport(Library, EntryPoint = "accept4", SetLastError = true)]
    private static partial int Accept(int descriptor, byte* address, int* length, int flags);

    [LibraryImport(Library, EntryPoint = "getsockname", SetLastError = true)]
    private static partial int SocketName(int descriptor, byte* address, int* length);

    [LibraryImport(Library, EntryPoint = "setsockopt", SetLastError = true)]
    private static partial int SetOption(int descriptor, int level, int name, void* value, int length);

    [LibraryImport(Library, EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(int descriptor, byte* buffer, nuint length, int flags);

    [LibraryImport(Library, EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(int descriptor, byte* buffer, nuint length, int flags);

    [LibraryImport(Library, EntryPoint = "shutdown", SetLastError = true)]
    private static partial int Shutdown(int descriptor, int how);

    [LibraryImport(Library, EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int descriptor);

    [LibraryImport(Library, EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate(int flags);

    [LibraryImport(Library, EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollControl(int epoll, int operation, int descriptor, byte* @event);

    [LibraryImport(Library, EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(int epoll, byte* events, int count, int timeoutMilliseconds);

    [LibraryImport(Library, EntryPoint = "eventfd", SetLastError = true)]
    private static partial int EventDescriptor(uint value, int flags);

    [LibraryImport(Library, EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(int descriptor, void* buffer, nuint count);

    /// <summary>An epoll instance, or a negated errno.</summary>
    internal static int NewEpoll() => Result(EpollCreate(CloseOnExec));

    /// <summary>A descriptor that becomes readable, for good, with <see cref="Raise"/>.</summary>
    internal static int NewEvent() => Result(EventDescriptor(0, CloseOnExec | NonBlock));

    internal static int Raise(int descriptor)
    {
        ulong one = 1;
        return Result((int)Write(descriptor, &one, sizeof(ulong)));
    }

    /// <summary>Registers a descriptor (or changes what is asked of it), to be reported with <paramref name="data"/>. 0 or a negated errno.</summary>
    internal static int Watch(int epoll, int operation, int descriptor, uint events, ulong data)
    {
        byte* what = stackalloc byte[16];
        MemoryMarshal.Write(new Span<byte>(what, 4), events);
        MemoryMarshal.Write(new Span<byte>(what + EventDataOffset, 8), data);
        return Result(EpollControl(epoll, operation, descriptor, what));
    }

    /// <summary>Waits for events; see <see cref="EventAt"/>. Their number or a negated errno.</summary>
    /// <param name="space">16 bytes for each event.</param>
    internal static int Wait(int epoll, Span<byte> space, int timeoutMilliseconds)
    {
        fixed (byte* events = space)
            return Result(EpollWait(epoll, events, space.Length / 16, timeoutMilliseconds));
    }

    internal static (uint Events, ulong Data) EventAt(ReadOnlySpan<byte> space, int index)
    {
        ReadOnlySpan<byte> one = space.Slice(index * EventBytes, EventBytes);
        return (MemoryMarshal.Read<uint>(one), MemoryMarshal.Read<ulong>(one[EventDataOffset..]));
    }

    /// <summary>A bound and listening socket that does not block, or a negated errno. An IPv6 one takes no IPv4.</summary>
    internal static int NewListener(RpcPeer local, int backlog)
    {
        bool v4 = local.IsV4;
        int descriptor = Socket(v4 ? InternetV4 : InternetV6, Stream | NonBlock | CloseOnExec, 0);
        if (descriptor < 0)
            return Result(descriptor);

        byte* address = stackalloc byte[AddressBytes];
        int length = WriteAddress(local, new Span<byte>(address, AddressBytes));
        int result = SetInt(descriptor, LevelSocket, ReuseAddress, 1);
        if (result >= 0 && !v4)
            result = SetInt(descriptor, LevelV6, V6Only, 1);
        if (result >= 0)
            result = Result(Bind(descriptor, address, length));
        if (result >= 0)
            result = Result(Listen(descriptor, backlog));
        if (result >= 0)
            return descriptor;

        _ = Close(descriptor);
        return result;
    }

    /// <summary>The next connection, which does not block, or a negated errno.</summary>
    internal static int AcceptFrom(int listener, out RpcPeer peer)
    {
        byte* address = stackalloc byte[AddressBytes];
        int length = AddressBytes;
        int descriptor = Accept(listener, address, &length, NonBlock | CloseOnExec);
        peer = descriptor < 0 ? default : ReadAddress(new ReadOnlySpan<byte>(address, length));
        return Result(descriptor);
    }

    /// <summary>A socket's own address; all zeros if it has none.</summary>
    internal static RpcPeer LocalOf(int descriptor)
    {
        byte* address = stackalloc byte[AddressBytes];
        int length = AddressBytes;
        return SocketName(descriptor, address, &length) < 0 ? default : ReadAddress(new ReadOnlySpan<byte>(address, length));
    }

    /// <summary>
    /// Replies go out at once, and a peer that has vanished is noticed within about two minutes although nothing is sent. 0 or a negated errno.
    /// </summary>
    internal static int SetConnectionOptions(int descriptor, int userTimeoutMilliseconds)
    {
        int result = SetInt(descriptor, LevelTcp, NoDelay, 1);
        result = result < 0 ? result : SetInt(descriptor, LevelSocket, KeepAlive, 1);
        result = result < 0 ? result : SetInt(descriptor, LevelTcp, KeepIdle, 60);
        result = result < 0 ? result : SetInt(descriptor, LevelTcp, KeepInterval, 10);
        result = result < 0 ? result : SetInt(descriptor, LevelTcp, KeepCount, 6);
        return result < 0 ? result : SetInt(descriptor, LevelTcp, UserTimeout, userTimeoutMilliseconds);
    }

    /// <summary>Closing it will reset the connection instead of ending it in order.</summary>
    internal static void ResetOnClose(int descriptor)
    {
        ulong onWithoutTime = 1; // struct linger: l_onoff 1, l_linger 0
        _ = SetOption(descriptor, LevelSocket, Linger, &onWithoutTime, sizeof(ulong));
    }

    /// <summary>Bytes received, 0 at the end of the stream, or a negated errno.</summary>
    internal static int Receive(int descriptor, Span<byte> space)
    {
        fixed (byte* at = space)
        {
            nint count = Receive(descriptor, at, (nuint)space.Length, 0);
            return count >= 0 ? (int)count : -Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Bytes that the socket took, or a negated errno.</summary>
    internal static int Send(int descriptor, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* at = bytes)
        {
            nint count = Send(descriptor, at, (nuint)bytes.Length, MessageNoSignal);
            return count >= 0 ? (int)count : -Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>Ends both directions, so that whoever still uses the socket notices; the descriptor stays.</summary>
    internal static void ShutdownBoth(int descriptor) => _ = Shutdown(descriptor, 2);

    internal static string Describe(int errno) => Marshal.GetPInvokeErrorMessage(errno);

    private static int SetInt(int descriptor, int level, int name, int value) => Result(SetOption(descriptor, level, name, &value, sizeof(int)));

    private static int Result(int result) => result >= 0 ? result : -Marshal.GetLastPInvokeError();

    // sockaddr_in: family (host order), port, address. sockaddr_in6: family, port, flow information, address, scope.
    private static int WriteAddress(RpcPeer peer, Span<byte> space)
    {
        space.Clear();
        BinaryPrimitives.WriteUInt16BigEndian(space[2..], peer.Port);
        if (peer.IsV4)
        {
            MemoryMarshal.Write(space, (ushort)InternetV4);
            BinaryPrimitives.WriteUInt32BigEndian(space[4..], peer.V4);
            return 16;
        }

        MemoryMarshal.Write(space, (ushort)InternetV6);
        BinaryPrimitives.WriteUInt128BigEndian(space[8..], peer.Address);
        return AddressBytes;
    }

    private static RpcPeer ReadAddress(ReadOnlySpan<byte> address)
    {
        ushort port = BinaryPrimitives.ReadUInt16BigEndian(address[2..]);
        return MemoryMarshal.Read<ushort>(address) == InternetV4
            ? RpcPeer.From(BinaryPrimitives.ReadUInt32BigEndian(address[4..]), port)
            : new RpcPeer(BinaryPrimitives.ReadUInt128BigEndian(address[8..]), port);
    }
}
