using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

/// <summary>A program to test with: gives back what it was sent, or as many bytes as asked for, or misbehaves in the ways that a program can.</summary>
internal sealed class EchoProgram : IRpcProgram
{
    public const uint Number = 0x2000_0001;

    public const uint Echo = 1, Produce = 2, Consume = 3, WhoAsks = 4, Wait = 5, Throw = 6, OverflowResults = 7, IgnoreMalformed = 8, Answer = 9, Measure = 10, Promise = 11;

    private long _callsOfWait;

    /// <summary>What <see cref="Wait"/> waits for.</summary>
    public ManualResetEventSlim Gate { get; } = new(initialState: false);

    /// <summary>Calls of <see cref="Wait"/> that have come.</summary>
    public long Waiting => Interlocked.Read(ref _callsOfWait);

    /// <summary>By thread: calls of <see cref="Measure"/>, and those of them before which the thread had allocated something since the one before.</summary>
    public long[] Measured { get; } = new long[4096];

    public long[] Allocating { get; } = new long[4096];

    /// <summary>What <see cref="Settle"/> does.</summary>
    public Func<bool> Settling { get; set; } = static () => true;

    /// <summary>The calls of <see cref="Promise"/> that each settling was for.</summary>
    public List<int> Settled { get; } = [];

    private readonly long[] _allocated = new long[4096];

    public List<IRpcConnection> Closed { get; } = [];

    public uint Program => Number;

    public uint LowestVersion { get; init; } = 1;

    public uint HighestVersion { get; init; } = 2;

    public string Name => "echo";

    public int Procedures => 12;

    public string ProcedureName(uint procedure) => $"echo {procedure}";

    public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        switch (call.Procedure)
        {
            case Echo:
            case Wait:
                ReadOnlySpan<byte> data = arguments.Opaque(Limits.MaxTransferBytes);
                if (!arguments.AtEnd)
                    return RpcAcceptStatus.GarbageArguments;
                if (call.Procedure == Wait)
                {
                    Interlocked.Increment(ref _callsOfWait);
                    Gate.Wait();
                }

                results.Opaque(data);
                return RpcAcceptStatus.Success;
            case Produce:
                uint length = arguments.U32();
                if (!arguments.AtEnd || length > Limits.MaxTransferBytes)
                    return RpcAcceptStatus.GarbageArguments;
                Span<byte> place = results.Reserve((int)length);
                place.Fill((byte)length);
                results.Commit((int)length);
                return RpcAcceptStatus.Success;
            case Consume:
                ReadOnlySpan<byte> consumed = arguments.Opaque(Limits.MaxTransferBytes);
                if (!arguments.AtEnd)
                    return RpcAcceptStatus.GarbageArguments;
                unsafe
                {
                    fixed (byte* at = consumed)
                        results.U32((uint)((nuint)at % 4096)); // where it lies
                }

                results.U64(Sum(consumed));
                return RpcAcceptStatus.Success;
            case WhoAsks:
                results.U32((uint)call.Flavor);
                results.U32(call.Uid);
                results.U32(call.Gid);
                results.U32((uint)call.Groups.Length);
                foreach (uint group in call.Groups)
                    results.U32(group);
                results.U32(call.Peer.Port);
                return RpcAcceptStatus.Success;
            case Throw:
                results.U32(1);
                throw new InvalidDataException("a defect");
            case OverflowResults:
                results.Fixed(new byte[results.Free + 1]);
                return RpcAcceptStatus.Success;
            case IgnoreMalformed:
                arguments.U64();
                results.U32(1);
                return RpcAcceptStatus.Success;
            case Answer:
                results.U32(1);
                return (RpcAcceptStatus)arguments.I32();
            case Promise:
                results.U32(1);
                return arguments.AtEnd ? RpcAcceptStatus.SuccessOnceStable : RpcAcceptStatus.GarbageArguments;
            case Measure:
                return MeasureThread(ref arguments, ref results);
            default:
                return RpcAcceptStatus.ProcedureUnavailable;
        }
    }

    public bool Settle(IRpcConnection connection, int calls)
    {
        lock (Settled)
            Settled.Add(calls);
        return Settling();
    }

    public void ConnectionClosed(IRpcConnection connection)
    {
        lock (Closed)
            Closed.Add(connection);
    }

    internal static ulong Sum(ReadOnlySpan<byte> data)
    {
        ulong sum = 0;
        foreach (byte one in data)
            sum = (sum * 31) + one;
        return sum;
    }

    private RpcAcceptStatus MeasureThread(ref XdrReader arguments, ref XdrWriter results)
    {
        int thread = Environment.CurrentManagedThreadId;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        if (Measured[thread]++ > 0 && allocated != _allocated[thread])
            Allocating[thread]++;
        _allocated[thread] = allocated;
        results.Opaque(arguments.Opaque(Limits.MaxTransferBytes));
        return arguments.AtEnd ? RpcAcceptStatus.Success : RpcAcceptStatus.GarbageArguments;
    }
}

/// <summary>Remembers what was reported.</summary>
internal sealed class RecordedEvents : IRpcEvents
{
    private readonly Lock _lock = new();

    public List<Exception> Defects { get; } = [];

    public List<string> Faults { get; } = [];

    public List<(long Id, string Reason)> Closed { get; } = [];

    public int Opened { get; private set; }

    public void Defect(IRpcProgram program, uint version, uint procedure, Exception fault)
    {
        lock (_lock)
            Defects.Add(fault);
    }

    public void ConnectionOpened(IRpcConnection connection)
    {
        lock (_lock)
            Opened++;
    }

    public void ConnectionClosed(IRpcConnection connection, string reason)
    {
        lock (_lock)
            Closed.Add((connection.Id, reason));
    }

    public void ServerFault(string what, Exception? fault)
    {
        lock (_lock)
            Faults.Add(what);
    }

    public string? ReasonOf(long id)
    {
        lock (_lock)
            return Closed.Find(closed => closed.Id == id).Reason;
    }
}

/// <summary>A connection without a socket.</summary>
internal sealed class FakeConnection : IRpcConnection
{
    private object? _state;

    public long Id => 1;

    public RpcPeer Peer { get; } = RpcPeer.From(0xC0000201, 700);

    public RpcPeer Local { get; } = RpcPeer.From(0x7F000001, 2049);

    public object? State => _state;

    public object? SetState(object? state, object? expected)
    {
        object? before = Interlocked.CompareExchange(ref _state, state, expected);
        return before == expected ? state : before;
    }
}
