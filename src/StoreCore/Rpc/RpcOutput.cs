using StoreCore.Primitives;

namespace StoreCore.Rpc;

/// <summary>
/// The sending side of a connection. A reply goes to the socket from the buffer it was built in, by the thread that built it. What the socket does not
/// take waits: a large rest in its own buffer, which changes its owner, small ones copied together; whoever finds that the socket has room goes on.
/// One thread at a time sends, without a lock held; any number may bring replies meanwhile.
/// </summary>
internal sealed class RpcOutput(RpcConnection connection, int descriptor, RpcBudget budget, NativeBufferPool chunks, TimeProvider clock)
{
    private struct Piece
    {
        public NativeBuffer Buffer;
        public int Start;
        public int Length;
        public int ChargedBytes;
        public bool Chunk; // room behind what is there may be filled
    }

    private readonly Lock _lock = new();
    private Piece[] _pieces = new Piece[4]; // a ring
    private int _first;
    private int _count;
    private bool _sending;
    private bool _blocked; // the socket is full; EPOLLOUT will come
    private bool _again; // it came while somebody was sending
    private bool _ended;
    private long _queuedBytes;
    private long _heldBytes;
    private long _sentBytes;
    private long _progressAt;

    /// <summary>Bytes that wait for the client to read.</summary>
    public long QueuedBytes => Volatile.Read(ref _queuedBytes);

    /// <summary>The memory that they occupy: more, where a reply is smaller than its buffer.</summary>
    public long HeldBytes => Volatile.Read(ref _heldBytes);

    public long SentBytes => Volatile.Read(ref _sentBytes);

    /// <summary>When bytes last went out while others waited; meaningful while something is queued.</summary>
    public long ProgressAt => Volatile.Read(ref _progressAt);

    /// <summary>Sends, or queues, whole records.</summary>
    /// <param name="prepaidBytes">What the connection has taken of the budget for this already; less what went over to what is queued.</param>
    /// <returns>Whether the buffer was taken; otherwise it is the caller's to use again.</returns>
    public bool Send(NativeBuffer buffer, int start, int length, ref int prepaidBytes)
    {
        lock (_lock)
        {
            if (_ended)
                return false;
            if (_sending || _blocked || _count > 0)
                return Queue(buffer, start, length, ref prepaidBytes, front: false);
            _sending = true;
        }

        int errno = 0;
        while (length > 0)
        {
            int sent = LibC.Send(descriptor, buffer.Span.Slice(start, length));
            if (sent < 0)
            {
                if (sent == -LibC.EINTR)
                    continue;
                errno = -sent;
                break;
            }

            start += sent;
            length -= sent;
            Volatile.Write(ref _sentBytes, _sentBytes + sent);
        }

        if (errno is not 0 and not LibC.EAGAIN)
        {
            Fail(errno);
            return false;
        }

        bool taken = false;
        lock (_lock)
        {
            if (length > 0 && !_ended)
            {
                _progressAt = clock.GetTimestamp();
                taken = Queue(buffer, start, length, ref prepaidBytes, front: true);
            }

            if (_count == 0)
            {
                _sending = false;
                return taken;
            }
        }

        Drain();
        return taken;
    }

    /// <summary>The socket may have room again.</summary>
    public void Writable()
    {
        lock (_lock)
        {
            if (_sending)
            {
                _again = true;
                return;
            }

            if (!_blocked)
                return;
            _blocked = false;
            _sending = true;
        }

        Drain();
    }

    /// <summary>Gives back what waits: the connection is over and nobody uses it.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            _ended = true;
            while (_count > 0)
                RemoveFirst();
            Volatile.Write(ref _queuedBytes, 0);
        }
    }

    private void Drain()
    {
        while (true)
        {
            Piece piece;
            lock (_lock)
            {
                _again = false;
                if (_count == 0)
                {
                    _sending = false;
                    break;
                }

                piece = _pieces[_first];
            }

            int sent = LibC.Send(descriptor, piece.Buffer.Span.Slice(piece.Start, piece.Length));
            if (sent >= 0)
            {
                lock (_lock)
                {
                    _progressAt = clock.GetTimestamp();
                    Volatile.Write(ref _sentBytes, _sentBytes + sent);
                    Volatile.Write(ref _queuedBytes, _queuedBytes - sent);
                    ref Piece first = ref _pieces[_first];
                    first.Start += sent;
                    first.Length -= sent;
                    if (first.Length == 0)
                        RemoveFirst();
                }

                continue;
            }

            if (sent == -LibC.EINTR)
                continue;
            if (sent != -LibC.EAGAIN)
            {
                Fail(-sent);
                return;
            }

            lock (_lock)
            {
                if (_again)
                    continue;
                _sending = false;
                _blocked = true;
                break;
            }
        }

        connection.OutputShrank();
    }

    private void Fail(int errno)
    {
        lock (_lock)
        {
            _sending = false;
            _ended = true;
        }

        connection.Close(errno is LibC.EPIPE or LibC.ECONNRESET ? "the client reset it" : $"sending: {LibC.Describe(errno)}");
    }

    private bool Queue(NativeBuffer buffer, int start, int length, ref int prepaidBytes, bool front)
    {
        Volatile.Write(ref _queuedBytes, _queuedBytes + length);
        if (_count == 0 && !front)
            _progressAt = clock.GetTimestamp();

        if (length > chunks.SizeBytes)
        {
            if (prepaidBytes == 0)
                budget.Charge(connection, buffer.SizeBytes);
            int charged = prepaidBytes == 0 ? buffer.SizeBytes : prepaidBytes;
            prepaidBytes = 0;
            Add(new Piece { Buffer = buffer, Start = start, Length = length, ChargedBytes = charged }, front);
            return true;
        }

        ReadOnlySpan<byte> rest = buffer.Span.Slice(start, length);
        if (_count > 0 && !front)
        {
            ref Piece last = ref _pieces[(_first + _count - 1) % _pieces.Length];
            if (last.Chunk && last.Start + last.Length + length <= last.Buffer.SizeBytes)
            {
                rest.CopyTo(last.Buffer.Span[(last.Start + last.Length)..]);
                last.Length += length;
                return false;
            }
        }

        NativeBuffer chunk = chunks.Rent();
        if (prepaidBytes >= chunk.SizeBytes)
            prepaidBytes -= chunk.SizeBytes;
        else
            budget.Charge(connection, chunk.SizeBytes);
        rest.CopyTo(chunk.Span);
        Add(new Piece { Buffer = chunk, Length = length, ChargedBytes = chunk.SizeBytes, Chunk = true }, front);
        return false;
    }

    private void Add(Piece piece, bool front)
    {
        if (_count == _pieces.Length)
        {
            var larger = new Piece[2 * _count];
            for (int i = 0; i < _count; i++)
                larger[i] = _pieces[(_first + i) % _count];
            _pieces = larger;
            _first = 0;
        }

        int at = front ? (_first + _pieces.Length - 1) % _pieces.Length : (_first + _count) % _pieces.Length;
        if (front)
            _first = at;
        _pieces[at] = piece;
        _count++;
        Volatile.Write(ref _heldBytes, _heldBytes + piece.ChargedBytes);
    }

    private void RemoveFirst()
    {
        ref Piece first = ref _pieces[_first];
        first.Buffer.Dispose();
        Volatile.Write(ref _heldBytes, _heldBytes - first.ChargedBytes);
        budget.Give(connection, first.ChargedBytes);
        first = default;
        _first = (_first + 1) % _pieces.Length;
        _count--;
    }
}
