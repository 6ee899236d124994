using System.Numerics;

namespace StoreCore.Rpc;

/// <summary>How calls can go wrong below the programs' own protocols; what is counted of each.</summary>
public enum RpcFault
{
    /// <summary>Not a call that could be answered; the connection is closed.</summary>
    NotACall,

    /// <summary>A reply to a call that we have not made.</summary>
    StrayReply,
    RpcMismatch,
    Authentication,
    ProgramUnavailable,
    ProgramMismatch,
    ProcedureUnavailable,
    GarbageArguments,
    SystemError,
    Dropped,

    /// <summary>A program threw or broke its contract (also counted as what was answered).</summary>
    Defect,
}

/// <summary>A call that has begun and not ended.</summary>
public readonly record struct RpcLiveCall(IRpcProgram Program, uint Procedure, uint Xid, IRpcConnection Connection, TimeSpan Age)
{
    public string Name => Program.ProcedureName(Procedure);
}

/// <summary>
/// What belongs to one thread that dispatches: its counters and the call it is at. One thread at a time dispatches on a lane; anyone may read it at any time, without a lock.
/// </summary>
public sealed class RpcLane
{
    /// <summary>Latency buckets: bucket 0 is below 1 µs, bucket n from 2^(n-1) to 2^n µs, the last open (above 4 s).</summary>
    public const int Buckets = 24;

    internal const int Faults = (int)RpcFault.Defect + 1;

    /// <summary>Calls at most whose replies wait together until what they did is stable.</summary>
    internal const int MaxUnsettled = 64;

    private readonly RpcDispatcher _dispatcher;
    private readonly long[] _counts;
    private readonly long[] _failed;
    private readonly long[] _ticks;
    private readonly long[] _bytesIn;
    private readonly long[] _bytesOut;
    private readonly long[] _histogram;
    private readonly long[] _faults = new long[Faults];
    private readonly double _microsecondsPerTick;
    private readonly Unsettled[] _unsettled = new Unsettled[MaxUnsettled];

    // The call in progress. _started is written last and cleared first, so that a reader that finds it unchanged saw one call.
    private long _started;
    private int _slot;
    private uint _xid;
    private IRpcConnection? _connection;
    private long _begun;
    private long _ended;
    private int _unsettledCalls;

    internal RpcLane(RpcDispatcher dispatcher, TimeProvider clock)
    {
        _dispatcher = dispatcher;
        Clock = clock;
        _microsecondsPerTick = 1e6 / clock.TimestampFrequency;
        int slots = dispatcher.Slots;
        _counts = new long[slots];
        _failed = new long[slots];
        _ticks = new long[slots];
        _bytesIn = new long[slots];
        _bytesOut = new long[slots];
        _histogram = new long[slots * Buckets];
    }

    internal TimeProvider Clock { get; }

    /// <summary>Room for the groups of the call in progress.</summary>
    internal uint[] Groups { get; } = new uint[RpcProtocol.MaxGroups];

    /// <summary>Records that were given to the dispatcher.</summary>
    internal long Begun => Volatile.Read(ref _begun);

    internal long Ended => Volatile.Read(ref _ended);

    /// <summary>The timestamp at which the call in progress began; 0: none.</summary>
    internal long Started => Volatile.Read(ref _started);

    internal long Count(int slot) => Volatile.Read(ref _counts[slot]);

    internal long Failed(int slot) => Volatile.Read(ref _failed[slot]);

    internal double Microseconds(int slot) => Volatile.Read(ref _ticks[slot]) * _microsecondsPerTick;

    internal long BytesIn(int slot) => Volatile.Read(ref _bytesIn[slot]);

    internal long BytesOut(int slot) => Volatile.Read(ref _bytesOut[slot]);

    internal long Bucket(int slot, int bucket) => Volatile.Read(ref _histogram[slot * Buckets + bucket]);

    internal long FaultCount(RpcFault fault) => Volatile.Read(ref _faults[(int)fault]);

    /// <summary>What went wrong with the last record; null: nothing.</summary>
    internal RpcFault? LastFault { get; private set; }

    internal void CountFault(RpcFault fault)
    {
        LastFault = fault;
        _faults[(int)fault]++;
    }

    internal void BeginRecord()
    {
        LastFault = null;
        _begun++;
    }

    internal void EndRecord() => Volatile.Write(ref _ended, _ended + 1);

    internal long Begin(int slot, uint xid, IRpcConnection connection)
    {
        long now = Clock.GetTimestamp();
        _slot = slot;
        _xid = xid;
        _connection = connection;
        Volatile.Write(ref _started, now);
        return now;
    }

    internal void End(int slot, long started, bool failed, int bytesIn, int bytesOut)
    {
        Volatile.Write(ref _started, 0);
        _connection = null;
        Count(slot, Clock.GetTimestamp() - started, failed, bytesIn, bytesOut);
    }

    /// <summary>Calls that have been carried out and whose end is that what they did is stable.</summary>
    internal int UnsettledCalls => _unsettledCalls;

    /// <summary>Whether a call of this kind may join those that are unsettled: one program, one connection.</summary>
    internal bool MayJoin(int slot, IRpcConnection connection) =>
        _unsettledCalls == 0
        || (_unsettledCalls < MaxUnsettled && slot / RpcDispatcher.SlotsPerProgram == _unsettled[0].Slot / RpcDispatcher.SlotsPerProgram
            && ReferenceEquals(_unsettled[0].Connection, connection));

    /// <summary>The call in progress has been carried out, and is in progress until it is settled.</summary>
    internal void Unsettle(int slot, long started, uint xid, IRpcConnection connection, int bytesIn, int bytesOut)
    {
        if (!MayJoin(slot, connection))
            throw new InvalidOperationException("those before are to be settled first");
        Volatile.Write(ref _started, 0);
        _connection = null;
        _unsettled[_unsettledCalls++] = new Unsettled(slot, started, xid, connection, bytesIn, bytesOut);
    }

    /// <summary>The oldest unsettled call stands for all as the one in progress.</summary>
    internal (IRpcProgram Program, IRpcConnection Connection, int Calls) BeginSettling()
    {
        Unsettled oldest = _unsettled[0];
        _slot = oldest.Slot;
        _xid = oldest.Xid;
        _connection = oldest.Connection;
        Volatile.Write(ref _started, oldest.Started);
        return (_dispatcher.OfSlot(oldest.Slot).Program, oldest.Connection, _unsettledCalls);
    }

    internal void EndSettling(bool failed)
    {
        Volatile.Write(ref _started, 0);
        _connection = null;
        long now = Clock.GetTimestamp();
        foreach (Unsettled call in _unsettled.AsSpan(0, _unsettledCalls))
            Count(call.Slot, now - call.Started, failed, call.BytesIn, call.BytesOut);
        Volatile.Write(ref _ended, _ended + _unsettledCalls);
        _unsettled.AsSpan(0, _unsettledCalls).Clear();
        _unsettledCalls = 0;
    }

    private void Count(int slot, long ticks, bool failed, int bytesIn, int bytesOut)
    {
        _counts[slot]++;
        _ticks[slot] += ticks;
        _bytesIn[slot] += bytesIn;
        _bytesOut[slot] += bytesOut;
        if (failed)
            _failed[slot]++;
        uint microseconds = (uint)Math.Min(ticks * _microsecondsPerTick, uint.MaxValue);
        int bucket = Math.Min(32 - BitOperations.LeadingZeroCount(microseconds), Buckets - 1);
        _histogram[slot * Buckets + bucket]++;
    }

    internal RpcLiveCall? Live()
    {
        long started = Started;
        if (started == 0)
            return null;

        int slot = _slot;
        uint xid = _xid;
        IRpcConnection? connection = _connection;
        Interlocked.MemoryBarrier();
        if (Started != started || connection is null)
            return null;

        (IRpcProgram program, uint procedure) = _dispatcher.OfSlot(slot);
        return new RpcLiveCall(program, procedure, xid, connection, Clock.GetElapsedTime(started));
    }

    private readonly record struct Unsettled(int Slot, long Started, uint Xid, IRpcConnection Connection, int BytesIn, int BytesOut);
}
