using System.Buffers;
using System.IO.Pipelines;

namespace StoreCore.Rpc;

/// <summary>
/// One client's connection: its descriptor, what was received and not handled, what waits to be sent, and who may use it.
/// <para><em>The turn.</em> One worker at a time reads: it has the turn. A connection that is ready (something has come, or is there and not handled)
/// is in the server's queue once; the worker that takes it out has the turn, and gives it back before it handles a call, so that another may read on.
/// The turn is parked, nobody having it, while the connection may not read: too many calls in progress, too many replies unread, no memory.</para>
/// <para><em>References.</em> The open connection, the turn unless idle, and each call in progress hold one; the last to go frees everything. So the descriptor's number
/// cannot become another's while anybody uses it.</para>
/// </summary>
internal sealed class RpcConnection : IRpcConnection, IRpcBudgetWaiter
{
    private const int Busy = 1, Event = 2; // _turn

    private readonly RpcServer _server;
    private readonly int _descriptor;
    private readonly Pipe _input;
    private object? _state;
    private int _turn;
    private int _references = 1;
    private int _parked;
    private int _calls;
    private int _closed;
    private int _inputEnded;
    private string _reason = "";
    private int _grantedBytes;
    private int _keptBytes;
    private bool _reset;
    private bool _hungUp; // reported by epoll: what has come must be read to its end

    public RpcConnection(RpcServer server, int descriptor, long id, RpcPeer peer, RpcPeer local, long now)
    {
        _server = server;
        _descriptor = descriptor;
        Id = id;
        Peer = peer;
        Local = local;
        Since = server.Clock.GetUtcNow();
        LastReceivedAt = LastCallAt = now;
        Output = new RpcOutput(this, descriptor, server.Budget, server.SmallBuffers, server.Clock);
        _input = new Pipe(server.InputOptions);
    }

    public long Id { get; }

    public RpcPeer Peer { get; }

    public RpcPeer Local { get; }

    public object? State => Volatile.Read(ref _state);

    public object? SetState(object? state, object? expected)
    {
        object? before = Interlocked.CompareExchange(ref _state, state, expected);
        return before == expected ? state : before;
    }

    public DateTimeOffset Since { get; }

    public RpcRecordReader Reader { get; } = new(Limits.RpcMaxRecordBytes);

    public RpcOutput Output { get; }

    /// <summary>The place in the server's table.</summary>
    public int Index { get; set; }

    /// <summary>The next in the server's queue of ready connections; the queue's.</summary>
    public RpcConnection? NextReady { get; set; }

    public bool Closed => Volatile.Read(ref _closed) != 0;

    /// <summary>Why it was closed, one line for people.</summary>
    public string Reason => _reason;

    public int CallsInProgress => Volatile.Read(ref _calls);

    public long HeldBytes { get; set; }

    public int WantedBytes { get; set; }

    // What follows is written by whoever has the turn only.

    /// <summary>All that had come was received, unless an event says otherwise.</summary>
    public bool Drained { get; set; } = true;

    /// <summary>Part of the budget that the large record under way holds.</summary>
    public int RecordBytes { get; set; }

    public long ReceivedBytes { get; set; }

    public long Calls { get; set; }

    /// <summary>When bytes last came; when a whole call last came; when the first bytes of a call came that is not whole yet (0: there is none).</summary>
    public long LastReceivedAt { get; set; }

    public long LastCallAt { get; set; }

    public long RecordBeganAt { get; set; }

    /// <summary>Whether a whole call is in what was kept, for whoever passes the turn.</summary>
    public bool HasMore { get; set; }

    /// <summary>The last thing that went wrong with a call; written by any worker.</summary>
    public RpcFault? LastFault { get; set; }

    /// <summary>The leader: epoll reported this.</summary>
    public void OnEvent(uint events)
    {
        if ((events & (LibC.EventPeerHangUp | LibC.EventHangUp | LibC.EventError)) != 0)
            Volatile.Write(ref _hungUp, true);
        if (!TryReference())
            return;

        if ((events & LibC.EventOut) != 0)
            Output.Writable();
        bool enqueue = false;
        if ((events & ~LibC.EventOut) != 0)
        {
            int before = Interlocked.Or(ref _turn, Event | Busy);
            enqueue = (before & Busy) == 0;
        }

        if (enqueue)
            _server.Ready.Enqueue(this); // the reference goes to the turn
        else
            Release();
    }

    /// <summary>More may have come since it was drained.</summary>
    public bool TakeEvent()
    {
        bool taken = (Interlocked.And(ref _turn, ~Event) & Event) != 0;
        if (taken)
            Drained = false;
        return taken;
    }

    /// <summary>Gives the turn back, since nothing is there; false, and the turn stays, if something has come meanwhile.</summary>
    public bool TryIdle()
    {
        if (Interlocked.CompareExchange(ref _turn, 0, Busy) != Busy)
            return false;
        Release();
        return true;
    }

    /// <summary>Gives the turn to the next worker, to none while there is nothing to read, or parks it. Nothing of the turn's may be touched after.</summary>
    /// <param name="more">A whole call is in what was kept.</param>
    public void PassTurn(bool more)
    {
        if (!MayRead())
            Park();
        else if (more || !Drained || !TryIdle())
            _server.Ready.Enqueue(this);
    }

    /// <summary>Has the turn wait until <see cref="MayRead"/>.</summary>
    public void Park()
    {
        Interlocked.Exchange(ref _parked, 1);
        Unpark();
    }

    /// <summary>The turn ends for good: the connection is closed.</summary>
    public void EndTurn() => Release();

    /// <summary>The turn ends for good: the client sends nothing more. What it asked before is still answered.</summary>
    public void EndTurnAtEndOfInput()
    {
        Interlocked.Exchange(ref _inputEnded, 1); // before it is asked whether a call is in progress
        CloseIfDone();
        Release();
    }

    /// <summary>Receives what has come; see <see cref="LibC.Receive"/>.</summary>
    public int Receive(Span<byte> space, long now)
    {
        int count;
        do
            count = LibC.Receive(_descriptor, space);
        while (count == -LibC.EINTR);

        if (count == -LibC.EAGAIN)
            Drained = true;
        if (count <= 0)
            return count;

        // A stream that gave less than it could has no more; but the end of it may lie behind.
        Drained = count < space.Length && !Volatile.Read(ref _hungUp);
        ReceivedBytes += count;
        LastReceivedAt = now;
        return count;
    }

    /// <summary>Keeps what is not handled yet until the next turn.</summary>
    public void KeepInput(ReadOnlySpan<byte> rest)
    {
        if (rest.IsEmpty)
            return;

        _input.Writer.Write(rest);
        ValueTask<FlushResult> flushed = _input.Writer.FlushAsync();
        if (!flushed.IsCompletedSuccessfully)
            throw new InvalidOperationException("a pipe without a threshold made its writer wait");
        _ = flushed.Result;
        _keptBytes = rest.Length;
        _server.Budget.Charge(this, SegmentBytes(rest.Length));
    }

    /// <summary>What was kept, into a buffer of at least <see cref="Limits.RpcReceiveBytes"/>; its length.</summary>
    public int TakeInput(Span<byte> space)
    {
        if (_keptBytes == 0)
            return 0;
        if (!_input.Reader.TryRead(out ReadResult kept))
            throw new InvalidOperationException("the pipe lost what was kept in it");

        int length = (int)kept.Buffer.Length;
        kept.Buffer.CopyTo(space);
        _input.Reader.AdvanceTo(kept.Buffer.End);
        _keptBytes = 0;
        _server.Budget.Give(this, SegmentBytes(length));
        return length;
    }

    /// <summary>The memory of the pipe that holds so much, in whole segments.</summary>
    private static int SegmentBytes(int length) => (length + Limits.RpcSegmentBytes - 1) / Limits.RpcSegmentBytes * Limits.RpcSegmentBytes;

    /// <summary>What the budget granted while the connection waited for it; 0: nothing.</summary>
    public int TakeGrant()
    {
        int granted = _grantedBytes;
        _grantedBytes = 0;
        return granted;
    }

    public void Granted()
    {
        _grantedBytes = Limits.RpcBufferBytes;
        _server.EnqueueAndWake(this);
    }

    /// <summary>Counts a call in progress. By whoever has the turn.</summary>
    public void BeginCall()
    {
        Interlocked.Increment(ref _references);
        Interlocked.Increment(ref _calls);
    }

    /// <summary>Its reply was sent or queued.</summary>
    public void EndCall()
    {
        Interlocked.Decrement(ref _calls);
        Unpark();
        CloseIfDone();
        Release();
    }

    /// <summary>Replies that waited have gone.</summary>
    public void OutputShrank()
    {
        Unpark();
        CloseIfDone();
    }

    /// <summary>Nothing is in progress and nothing waits to be sent.</summary>
    public bool Quiet => CallsInProgress == 0 && Output.QueuedBytes == 0;

    /// <summary>Closes a connection whose client sends nothing more, once everything is answered.</summary>
    private void CloseIfDone()
    {
        if (Volatile.Read(ref _inputEnded) != 0 && Quiet)
            Close("the client closed it");
    }

    /// <summary>Ends it; any thread, any number of times. The descriptor stays until nobody uses it.</summary>
    /// <param name="reset">The client is to see a reset, not an end in order.</param>
    public void Close(string reason, bool reset = false)
    {
        if (!TryReference())
            return;

        if (Interlocked.Exchange(ref _closed, 1) == 0)
        {
            _reason = reason;
            _reset = reset;
            LibC.ShutdownBoth(_descriptor);
            if (Interlocked.Exchange(ref _parked, 0) != 0 || _server.Budget.Withdraw(this))
                _server.EnqueueAndWake(this);
            Release();
        }

        Release();
    }

    private bool MayRead() =>
        !_server.Stopping
        && Output.HeldBytes <= _server.Options.MaxQueuedReplyBytes
        && _server.MayBegin(CallsInProgress);

    private void Unpark()
    {
        if (Volatile.Read(ref _parked) != 0 && (MayRead() || Closed) && Interlocked.Exchange(ref _parked, 0) != 0)
            _server.EnqueueAndWake(this);
    }

    private bool TryReference()
    {
        int references = Volatile.Read(ref _references);
        while (references > 0)
        {
            int before = Interlocked.CompareExchange(ref _references, references + 1, references);
            if (before == references)
                return true;
            references = before;
        }

        return false;
    }

    private void Release()
    {
        if (Interlocked.Decrement(ref _references) == 0)
            Free();
    }

    private void Free()
    {
        if (_reset)
            LibC.ResetOnClose(_descriptor);
        _ = LibC.Close(_descriptor);
        Output.Clear();
        Reader.Dispose();
        _input.Writer.Complete();
        _input.Reader.Complete();
        if (HeldBytes > 0)
            _server.Budget.Give(this, HeldBytes);
        _server.Forget(this);
    }
}
