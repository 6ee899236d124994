using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Rpc;

/// <summary>
/// One thread's part of the server: takes a connection that is ready, reads, and handles a call, or several short ones that have come together. Holds
/// a receive buffer, and while it works a reply buffer in which the replies are built one behind the other, marks included.
/// </summary>
internal sealed class RpcWorker(RpcServer server, RpcDispatcher dispatcher, RpcWorkerPolicy policy) : IDisposable
{
    /// <summary>
    /// Where the first reply begins in its buffer: then the data of an NFSv3 READ, behind mark, reply head and 104 bytes of attributes and counts, lies on pages.
    /// </summary>
    private const int ReplyStart = NativeBuffer.AlignmentBytes - RpcProtocol.RecordMarkBytes - RpcProtocol.AcceptedHeadBytes - 104;

    /// <summary>Most calls handled together: their replies wait for the last of them.</summary>
    private const int MaxBatch = 64;

    private readonly RpcLane _lane = dispatcher.NewLane();
    private readonly NativeBuffer _input = server.SmallBuffers.Rent();
    private NativeBuffer? _reply;
    private int _replyBytes;

    // The turn that is kept through a wait for the disk, how many were so far, and which of them the watch saw last.
    private RpcConnection? _kept;
    private long _keptTurns;
    private long _turnSeenKept;

    // The turn in progress.
    private int _at;
    private int _have;

    /// <summary>Room for what epoll finds.</summary>
    public byte[] Events { get; } = new byte[16 * RpcServer.EventsAtOnce];

    private NativeBuffer Reply => _reply ??= server.LargeBuffers.Rent();

    /// <summary>The worker will wait for a while: others may use its reply buffer.</summary>
    public void Rest()
    {
        _reply?.Dispose();
        _reply = null;
    }

    public void Dispose()
    {
        Rest();
        _input.Dispose();
    }

    /// <summary>Has the turn of a connection; gives it back.</summary>
    public void Turn(RpcConnection connection)
    {
        _at = 0;
        _have = connection.TakeInput(_input.Span);
        int paid = connection.TakeGrant();
        while (true)
        {
            if (connection.Closed)
            {
                GiveBack(connection, paid);
                connection.EndTurn();
                return;
            }

            int before = _at;
            RpcRecordStep step = connection.Reader.Next(_input.Span[.._have], ref _at, out int start, out int length);
            switch (step)
            {
                case RpcRecordStep.NeedsInput:
                    GiveBack(connection, paid);
                    paid = 0;
                    if (!Receive(connection))
                        return;
                    break;

                case RpcRecordStep.NeedsBuffer:
                    if (paid == 0 && !Admit(connection, _at))
                        return;
                    connection.RecordBytes = Limits.RpcBufferBytes;
                    paid = 0;
                    connection.Reader.Supply(server.LargeBuffers.Rent());
                    break;

                case RpcRecordStep.Malformed:
                    connection.Close($"not RPC: {connection.Reader.Problem}");
                    break;

                case RpcRecordStep.Record:
                    if (paid == 0 && !(connection.HeldBytes == 0 && server.MayBeginUnpaid))
                    {
                        if (!Admit(connection, before))
                            return;
                        paid = Limits.RpcBufferBytes;
                    }

                    Handle(connection, _input.Span.Slice(start, length), large: false, paid);
                    return;

                default:
                    using (NativeBuffer buffer = connection.Reader.TakeLarge(out start, out length))
                    {
                        paid = connection.RecordBytes;
                        connection.RecordBytes = 0;
                        Handle(connection, buffer.Span.Slice(start, length), large: true, paid);
                    }

                    return;
            }
        }
    }

    /// <summary>
    /// Handles a call, and short ones that have come together with it: gives the turn back first, so that others can go on whatever these take; sends
    /// their replies together. Only through a short wait for the disk is the turn kept: what comes meanwhile is then taken together, and waits together.
    /// </summary>
    /// <param name="record">If it is small, it lies directly before what is not used of the input.</param>
    private void Handle(RpcConnection connection, ReadOnlySpan<byte> record, bool large, int paid)
    {
        int slot = dispatcher.SlotOf(record);
        int next = _at;
        bool keepsTurn = !large && policy.KeepsTurn(slot);
        int end = !large && paid == 0 && policy.MayBatch(slot) ? Claim(connection, next, ref keepsTurn) : next;
        ReadOnlySpan<byte> rest = _input.Span[end.._have];
        bool more = RpcRecordReader.CanGoOn(rest);

        long now = server.Clock.GetTimestamp();
        connection.LastCallAt = now;
        connection.RecordBeganAt = rest.IsEmpty || more ? 0 : now;
        connection.Calls++;
        connection.KeepInput(rest);
        connection.BeginCall();
        if (keepsTurn)
            KeepTurn(connection, more);
        else
            connection.PassTurn(more);
        server.BeforeCall(slot, large);

        Call(connection, record, slot, ref paid);
        while (next < end)
        {
            now = Observe(slot, large, now);
            int length = RpcRecordReader.WholeLength(_input.Span[next.._have]);
            record = _input.Span.Slice(next + RpcProtocol.RecordMarkBytes, length);
            next += RpcProtocol.RecordMarkBytes + length;
            slot = dispatcher.SlotOf(record);
            Call(connection, record, slot, ref paid);
        }

        // What settling takes is expected of all calls that are settled, not of this one.
        if (_lane.UnsettledCalls > 0)
        {
            Observe(slot, large, now);
            Flush(connection, ref paid);
        }
        else
        {
            Flush(connection, ref paid);
            Observe(slot, large, now);
        }

        connection.EndCall();
        PassKeptTurn();
    }

    private void KeepTurn(RpcConnection connection, bool more)
    {
        connection.HasMore = more;
        _keptTurns++;
        Volatile.Write(ref _kept, connection);
    }

    /// <summary>The worker, or the watch if the wait has turned out long: whoever takes the kept turn passes it.</summary>
    private bool PassKeptTurn()
    {
        if (Volatile.Read(ref _kept) is null || Interlocked.Exchange(ref _kept, null) is not { } connection)
            return false;
        connection.PassTurn(connection.HasMore);
        return true;
    }

    /// <summary>The watch's tick: a turn that was kept at the tick before already is kept no more.</summary>
    /// <returns>Whether somebody is to be woken for it.</returns>
    public bool PassOverdueTurn()
    {
        bool isKept = Volatile.Read(ref _kept) is not null;
        long turn = Volatile.Read(ref _keptTurns);
        bool isOverdue = isKept && turn == _turnSeenKept;
        _turnSeenKept = isKept ? turn : 0;
        return isOverdue && PassKeptTurn();
    }

    /// <summary>The end of those short calls that have come whole, from <paramref name="at"/> on.</summary>
    /// <param name="keepsTurn">Is set if the turn is to be kept for one of them.</param>
    private int Claim(RpcConnection connection, int at, ref bool keepsTurn)
    {
        for (int batch = 1; batch < MaxBatch; batch++)
        {
            int length = RpcRecordReader.WholeLength(_input.Span[at.._have]);
            if (length < 0)
                break;
            int slot = dispatcher.SlotOf(_input.Span.Slice(at + RpcProtocol.RecordMarkBytes, length));
            if (!policy.MayBatch(slot))
                break;
            keepsTurn |= policy.KeepsTurn(slot);
            at += RpcProtocol.RecordMarkBytes + length;
            connection.Calls++;
        }

        return at;
    }

    /// <summary>Tells the policy what a call took that began at <paramref name="began"/>; the time now.</summary>
    private long Observe(int slot, bool large, long began)
    {
        long now = server.Clock.GetTimestamp();
        policy.Observe(slot, large, now - began);
        return now;
    }

    /// <summary>Has the call carried out, its reply behind those that are there.</summary>
    private void Call(RpcConnection connection, ReadOnlySpan<byte> record, int slot, ref int paid)
    {
        // A call that has turned out long may again: nobody's reply waits for it.
        if (_replyBytes >= Limits.RpcBatchBytes || (_replyBytes > 0 && !(policy.MayBatch(slot) && _lane.MayJoin(slot, connection))))
            Flush(connection, ref paid);
        int at = ReplyStart + _replyBytes;
        RpcOutcome outcome = dispatcher.DispatchUnsettled(
            _lane, connection, record, Reply.Span.Slice(at + RpcProtocol.RecordMarkBytes, Limits.RpcMaxRecordBytes), out int length);
        server.CallHandled();
        if (_lane.LastFault is { } fault)
            connection.LastFault = fault;
        switch (outcome)
        {
            case RpcOutcome.ReplyOnceStable:
                policy.IsSettled(slot);
                goto case RpcOutcome.Reply;
            case RpcOutcome.Reply:
                BinaryPrimitives.WriteUInt32BigEndian(Reply.Span[at..], RpcProtocol.LastFragment | (uint)length);
                _replyBytes += RpcProtocol.RecordMarkBytes + length;
                break;
            case RpcOutcome.Hopeless:
                Flush(connection, ref paid);
                connection.Close("not RPC: a record that is no call");
                break;
        }
    }

    /// <summary>Sends the replies that were built, and gives back what of the budget was taken for them and not used.</summary>
    private void Flush(RpcConnection connection, ref int paid)
    {
        if (_lane.UnsettledCalls > 0 && !Settle())
        {
            connection.Close("what its calls did could not be made stable");
            _replyBytes = 0;
        }

        if (_replyBytes > 0 && connection.Output.Send(Reply, ReplyStart, _replyBytes, ref paid))
            _reply = null;
        _replyBytes = 0;
        GiveBack(connection, paid);
        paid = 0;
    }

    /// <summary>Waits until what the calls did whose replies are there is stable, having seen to it that others do not wait for that.</summary>
    private bool Settle()
    {
        server.BeforeSettling(this);
        long began = server.Clock.GetTimestamp();
        bool isStable = dispatcher.Settle(_lane);
        policy.Settled(server.Clock.GetTimestamp() - began);
        return isStable;
    }

    private void GiveBack(RpcConnection connection, int paid)
    {
        if (paid > 0)
            server.Budget.Give(connection, paid);
    }

    /// <summary>
    /// Takes the share of one call from the budget. If it must wait for it, everything from <paramref name="from"/> on is kept, the turn is the
    /// budget's, and the answer is false.
    /// </summary>
    private bool Admit(RpcConnection connection, int from)
    {
        if (server.Budget.TryTake(connection, Limits.RpcBufferBytes))
            return true;

        Remember(connection, from);
        if (server.Budget.TakeOrWait(connection, Limits.RpcBufferBytes))
            connection.Granted();
        else if (connection.Closed && server.Budget.Withdraw(connection))
            connection.EndTurn(); // whoever closed it before it waited did not see it wait
        return false;
    }

    /// <summary>Receives more. False if the turn is over: nothing has come, or nothing will.</summary>
    private bool Receive(RpcConnection connection)
    {
        while (true)
        {
            if (!connection.TakeEvent() && connection.Drained)
            {
                Remember(connection, _at);
                if (connection.TryIdle())
                    return false;
                _at = 0;
                _have = connection.TakeInput(_input.Span);
                continue;
            }

            Span<byte> direct = connection.Reader.Direct;
            if (direct.IsEmpty && _at > 0)
            {
                _input.Span[_at.._have].CopyTo(_input.Span);
                _have -= _at;
                _at = 0;
            }

            Span<byte> space = direct.IsEmpty ? _input.Span[_have..] : direct;
            int count = connection.Receive(space, server.Clock.GetTimestamp());
            if (count > 0)
            {
                if (direct.IsEmpty)
                    _have += count;
                else
                    connection.Reader.Received(count);
                return true;
            }

            if (count == 0)
            {
                connection.EndTurnAtEndOfInput();
                return false;
            }

            if (count != -LibC.EAGAIN)
            {
                connection.Close(count == -LibC.ECONNRESET ? "the client reset it" : $"receiving: {LibC.Describe(-count)}");
                connection.EndTurn();
                return false;
            }
        }
    }

    /// <summary>Leaves with the connection what was received and not used, before the turn goes.</summary>
    private void Remember(RpcConnection connection, int from)
    {
        bool begun = from < _have || connection.Reader.Midway;
        if (!begun)
            connection.RecordBeganAt = 0;
        else if (connection.RecordBeganAt == 0)
            connection.RecordBeganAt = server.Clock.GetTimestamp();
        connection.KeepInput(_input.Span[from.._have]);
    }
}
