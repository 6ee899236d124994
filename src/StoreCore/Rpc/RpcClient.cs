using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace StoreCore.Rpc;

/// <summary>How a call of ours ended.</summary>
public enum RpcClientStatus
{
    Success,

    /// <summary>The server answered with an error of RFC 5531 §9; see the text.</summary>
    Refused,

    /// <summary>No answer came in time. The connection stays usable: a late answer is passed over.</summary>
    TimedOut,

    /// <summary>The connection is broken, or the peer does not speak RPC; nothing more can be sent over it.</summary>
    Broken,
}

/// <summary>The outcome of a call; <see cref="Text"/> says for people what went wrong.</summary>
public readonly record struct RpcClientResult(RpcClientStatus Status, string Text)
{
    public bool Succeeded => Status == RpcClientStatus.Success;
}

/// <summary>
/// A client for rare calls: registration, callbacks, probes, tests. One call at a time over one TCP (or Unix domain) connection; every wait has a
/// deadline. One thread at a time.
/// </summary>
public sealed class RpcClient : IDisposable
{
    private const int HeadBytes = 512; // mark, header, AUTH_SYS credential without groups

    private const int HighestPrivileged = 1023, LowestPrivileged = 600; // as bindresvport(3), which leaves the lower ones to well-known services

    private readonly Socket _socket;
    private byte[] _space = new byte[4096];
    private uint _xid;
    private bool _broken;

    private RpcClient(Socket socket, uint firstXid)
    {
        _socket = socket;
        _xid = firstXid;
    }

    /// <summary>Uid and gid of an AUTH_SYS credential; null: AUTH_NONE.</summary>
    public (uint Uid, uint Gid)? Credential { get; set; }

    /// <summary>Connects.</summary>
    /// <param name="from">Our address: a callback must come from the one that its client knows.</param>
    /// <param name="firstXid">The number of the first call: different for each new connection to one server, or it takes the call for a retransmission.</param>
    /// <param name="error">Why not, one line for people.</param>
    /// <param name="privileged">From a port below 1024, which servers ask for that believe AUTH_SYS; needs the right to use one.</param>
    /// <returns>Null if there is no connection in time.</returns>
    public static RpcClient? Connect(
        EndPoint to, TimeSpan timeout, uint firstXid, out string? error, IPAddress? from = null, bool privileged = false)
    {
        // The port of a connection to there that has just ended can be bound, but not connected from: then the next.
        int highest = HighestPrivileged;
        RpcClient? client;
        do
            client = Connect(to, timeout, firstXid, out error, from, privileged, ref highest);
        while (client is null && highest >= LowestPrivileged);
        return client;
    }

    /// <param name="highest">The highest privileged port to try; afterwards the one to go on with, 0 where that would be of no use.</param>
    private static RpcClient? Connect(
        EndPoint to, TimeSpan timeout, uint firstXid, out string? error, IPAddress? from, bool privileged, ref int highest)
    {
        int next = 0;
        var socket = new Socket(to.AddressFamily, SocketType.Stream, to is UnixDomainSocketEndPoint ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            if (privileged)
                next = BindPrivileged(socket, from ?? AnyLike(to), highest) - 1;
            else if (from is not null)
                socket.Bind(new IPEndPoint(from, 0));
            socket.Blocking = false;
            try
            {
                socket.Connect(to);
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
            {
                if (!socket.Poll(timeout, SelectMode.SelectWrite))
                    throw new SocketException((int)SocketError.TimedOut);
                int failed = (int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)!;
                if (failed != 0)
                    throw new SocketException(failed);
            }

            if (to is not UnixDomainSocketEndPoint)
                socket.NoDelay = true;
            error = null;
            return new RpcClient(socket, firstXid);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            highest = e.SocketErrorCode == SocketError.AddressNotAvailable ? next : 0;
            error = $"{to}: {e.Message}";
            return null;
        }
    }

    /// <summary>Calls a procedure and waits for its answer.</summary>
    /// <param name="arguments">In XDR.</param>
    /// <param name="results">In XDR; valid until the next call.</param>
    public RpcClientResult Call(
        uint program, uint version, uint procedure, ReadOnlySpan<byte> arguments, TimeSpan timeout, out ReadOnlySpan<byte> results)
    {
        results = default;
        if (_broken)
            return new RpcClientResult(RpcClientStatus.Broken, "the connection is broken");

        long deadline = Stopwatch.GetTimestamp() + (long)(timeout.TotalSeconds * Stopwatch.Frequency);
        uint xid = ++_xid;
        try
        {
            if (Send(Build(xid, program, version, procedure, arguments), deadline) is { } problem)
                return problem;

            while (true)
            {
                int length = Receive(deadline, out RpcClientResult failed);
                if (length < 0)
                    return failed;
                var reply = new XdrReader(_space.AsSpan(0, length));
                if (reply.U32() == xid && !reply.Malformed)
                    return Judge(ref reply, out results);
            }
        }
        catch (SocketException e)
        {
            return Break(e.Message);
        }
    }

    public void Dispose() => _socket.Dispose();

    private static IPAddress AnyLike(EndPoint to) => to.AddressFamily == AddressFamily.InterNetworkV6 ? IPAddress.IPv6Any : IPAddress.Any;

    /// <summary>Binds to the first port from <paramref name="highest"/> down that is free.</summary>
    private static int BindPrivileged(Socket socket, IPAddress from, int highest)
    {
        for (int port = highest; ; port--)
        {
            try
            {
                socket.Bind(new IPEndPoint(from, port));
                return port;
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse && port > LowestPrivileged)
            {
                // The next.
            }
        }
    }

    private ReadOnlySpan<byte> Build(uint xid, uint program, uint version, uint procedure, ReadOnlySpan<byte> arguments)
    {
        EnsureSpace(HeadBytes + arguments.Length);
        var call = new XdrWriter(_space.AsSpan(RpcProtocol.RecordMarkBytes));
        call.U32(xid);
        call.U32(RpcProtocol.Call);
        call.U32(RpcProtocol.Version);
        call.U32(program);
        call.U32(version);
        call.U32(procedure);
        if (Credential is { } who)
        {
            call.U32((uint)RpcAuthFlavor.Sys);
            int lengthAt = call.Position;
            call.U32(0);
            call.U32(0); // stamp
            call.String("gateway"u8);
            call.U32(who.Uid);
            call.U32(who.Gid);
            call.U32(0); // groups
            call.PatchU32(lengthAt, (uint)(call.Position - lengthAt - 4));
        }
        else
        {
            call.U64(0);
        }

        call.U64(0); // verifier
        call.Fixed(arguments);
        if (call.Overflow)
            throw new InvalidOperationException("the call does not fit");
        BinaryPrimitives.WriteUInt32BigEndian(_space, RpcProtocol.LastFragment | (uint)call.Position);
        return _space.AsSpan(0, RpcProtocol.RecordMarkBytes + call.Position);
    }

    private RpcClientResult? Send(ReadOnlySpan<byte> bytes, long deadline)
    {
        int all = bytes.Length;
        while (bytes.Length > 0)
        {
            int sent = _socket.Send(bytes, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock)
            {
                // What was sent in part cannot be taken back: the stream is of no use then.
                if (!_socket.Poll(Left(deadline), SelectMode.SelectWrite) && Left(deadline) <= TimeSpan.Zero)
                    return bytes.Length == all ? Late() : Break("the server took only a part of the call in time");
                continue;
            }

            if (error != SocketError.Success)
                return Break(new SocketException((int)error).Message);
            bytes = bytes[sent..];
        }

        return null;
    }

    /// <summary>One whole record at the beginning of the space; its length, or -1.</summary>
    private int Receive(long deadline, out RpcClientResult failed)
    {
        Span<byte> mark = stackalloc byte[RpcProtocol.RecordMarkBytes];
        int length = 0;
        while (true)
        {
            failed = Fill(mark, deadline, begun: length > 0);
            if (!failed.Succeeded)
                return -1;

            uint word = BinaryPrimitives.ReadUInt32BigEndian(mark);
            uint bytes = word & ~RpcProtocol.LastFragment;
            if (bytes > (uint)(Limits.RpcMaxRecordBytes - length))
            {
                failed = Break("the reply is too long");
                return -1;
            }

            EnsureSpace(length + (int)bytes);
            failed = Fill(_space.AsSpan(length, (int)bytes), deadline, begun: true);
            if (!failed.Succeeded)
                return -1;
            length += (int)bytes;
            if (word != bytes)
                return length;
        }
    }

    private RpcClientResult Fill(Span<byte> space, long deadline, bool begun)
    {
        int all = space.Length;
        while (space.Length > 0)
        {
            int count = _socket.Receive(space, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock)
            {
                if (!_socket.Poll(Left(deadline), SelectMode.SelectRead) && Left(deadline) <= TimeSpan.Zero)
                    return begun || space.Length < all ? Break("the server sent only a part of the reply in time") : Late();
                continue;
            }

            if (error != SocketError.Success)
                return Break(new SocketException((int)error).Message);
            if (count == 0)
                return Break("the server closed the connection");
            space = space[count..];
        }

        return new RpcClientResult(RpcClientStatus.Success, "");
    }

    private RpcClientResult Judge(scoped ref XdrReader reply, out ReadOnlySpan<byte> results)
    {
        results = default;
        uint type = reply.U32();
        uint status = reply.U32();
        if (reply.Malformed || type != RpcProtocol.Reply || status > RpcProtocol.MessageDenied)
            return Break("the answer is no RPC reply");

        if (status == RpcProtocol.MessageDenied)
        {
            uint why = reply.U32();
            uint detail = reply.U32();
            if (reply.Malformed)
                return Break("the answer is no RPC reply");
            return new RpcClientResult(
                RpcClientStatus.Refused,
                why == RpcProtocol.AuthError ? $"authentication refused: {(RpcAuthStatus)detail}" : $"the server speaks RPC version {detail}");
        }

        reply.U32();
        reply.Opaque(RpcProtocol.MaxAuthBytes);
        uint accepted = reply.U32();
        if (reply.Malformed)
            return Break("the answer is no RPC reply");
        if (accepted != (uint)RpcAcceptStatus.Success)
            return new RpcClientResult(RpcClientStatus.Refused, ((RpcAcceptStatus)accepted).ToString());

        results = reply.Rest;
        return new RpcClientResult(RpcClientStatus.Success, "");
    }

    private void EnsureSpace(int bytes)
    {
        if (_space.Length < bytes)
            Array.Resize(ref _space, Math.Max(bytes, 2 * _space.Length));
    }

    private static TimeSpan Left(long deadline)
    {
        double seconds = (deadline - Stopwatch.GetTimestamp()) / (double)Stopwatch.Frequency;
        return seconds > 0 ? TimeSpan.FromSeconds(seconds) : TimeSpan.Zero;
    }

    private static RpcClientResult Late() => new(RpcClientStatus.TimedOut, "no answer in time");

    private RpcClientResult Break(string why)
    {
        _broken = true;
        return new RpcClientResult(RpcClientStatus.Broken, why);
    }
}
