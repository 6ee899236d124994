using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using StoreCore.Rpc;

namespace Bench.Load;

/// <summary>A client at work: so many jobs over one connection, each with one call out. Counts only while told to.</summary>
internal sealed class LoadConnection(IPEndPoint server, LoadJob[] jobs, LoadStatistics statistics) : ILoadSocket
{
    private const int MaxErrors = 20;

    private readonly List<string> _errors = [];
    private byte[] _input = new byte[128 << 10];
    private byte[] _output = new byte[128 << 10];
    private int _have;
    private int _from;
    private int _to;
    private uint _xid = (uint)Random.Shared.Next();
    private Socket? _socket;
    private int _descriptor;
    private int _epoll;
    private ulong _data;
    private bool _waitsToSend;

    /// <summary>Answers within the time that is measured.</summary>
    public long Operations { get; private set; }

    public bool Counts { get; set; }

    public IReadOnlyCollection<string> Errors => _errors;

    public void Start(int epoll, ulong data)
    {
        _socket = LoadSockets.Connect(server);
        (_descriptor, _epoll, _data) = (_socket.Descriptor(), epoll, data);
        LibC.Watch(_epoll, LibC.ControlAdd, _descriptor, LibC.EventIn, _data);
        foreach (LoadJob job in jobs)
            Issue(job);
        Send();
    }

    public void OnEvent(uint events)
    {
        if (_socket is null)
            return;
        if ((events & LibC.EventOut) != 0)
            Send();
        if ((events & ~LibC.EventOut) != 0)
            Receive();
    }

    public void Tick()
    {
    }

    public void Close()
    {
        _socket?.Dispose();
        _socket = null;
    }

    private void Receive()
    {
        int received = LibC.Receive(_descriptor, _input.AsSpan(_have));
        if (received is -LibC.EAGAIN or -LibC.EINTR)
            return;
        if (received <= 0)
        {
            Fail(received == 0 ? "the server closed the connection" : LibC.Describe(-received));
            return;
        }

        _have += received;
        int at = 0;
        long now = Stopwatch.GetTimestamp();
        while (_socket is not null && LoadCall.WholeLength(_input.AsSpan(at, _have - at)) is var length and > 0)
        {
            Take(_input.AsSpan(at + RpcProtocol.RecordMarkBytes, length - RpcProtocol.RecordMarkBytes), now);
            at += length;
        }

        _input.AsSpan(at, _have - at).CopyTo(_input);
        _have -= at;
        if (_have == _input.Length)
            Array.Resize(ref _input, 2 * _have);
        Send();
    }

    private void Take(ReadOnlySpan<byte> record, long now)
    {
        var reply = new XdrReader(record);
        uint xid = reply.U32();
        LoadJob? job = Array.Find(jobs, job => job.Xid == xid);
        bool isAccepted = reply.U32() == RpcProtocol.Reply && reply.U64() == 0 && reply.U64() == 0;
        if (job is null || reply.Malformed || !isAccepted)
        {
            Fail(job is null ? "an answer to nothing that was asked" : "a call was refused");
            return;
        }

        if (job.Check(ref reply) is { } wrong)
            Note($"{job.Procedure}: {wrong}");
        if (Counts)
        {
            Operations++;
            statistics.Count(job.Procedure, (now - job.Began) * 1_000_000 / Stopwatch.Frequency);
        }

        Issue(job);
    }

    private void Issue(LoadJob job)
    {
        const int Most = (1 << 20) + 4096;
        if (_output.Length - _to < Most)
        {
            _output.AsSpan(_from, _to - _from).CopyTo(_output);
            (_from, _to) = (0, _to - _from);
            if (_output.Length - _to < Most)
                Array.Resize(ref _output, _to + Most);
        }

        job.Xid = ++_xid;
        var call = new XdrWriter(_output.AsSpan(_to));
        LoadCall.Begin(ref call, _xid, (uint)job.Choose());
        job.WriteArguments(ref call);
        _to += LoadCall.End(ref call);
        job.Began = Stopwatch.GetTimestamp();
    }

    private void Send()
    {
        while (_socket is not null && _from < _to)
        {
            int sent = LibC.Send(_descriptor, _output.AsSpan(_from, _to - _from));
            if (sent == -LibC.EAGAIN)
                break;
            if (sent < 0)
                Fail(LibC.Describe(-sent));
            else
                _from += sent;
        }

        if (_socket is null || _waitsToSend == _from < _to)
            return;
        _waitsToSend = _from < _to;
        LibC.Watch(_epoll, LibC.ControlModify, _descriptor, LibC.EventIn | (_waitsToSend ? LibC.EventOut : 0), _data);
    }

    private void Fail(string what)
    {
        Note(what);
        Close();
    }

    private void Note(string what)
    {
        if (_errors.Count < MaxErrors)
            _errors.Add(what);
    }
}
