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

    private readonly RpcDispatcher _dispatcher;
    private readonly long[] _counts;
    private readonly long[] _failed;
    private readonly long[] _ticks;
    private readonly long[] _bytesIn;
    private readonly long[] _bytesOut;
    private readonly long[] _histogram;
    private readonly long[] _faults = new long[Faults];
    private readonly double _microsecondsPerTick;

    // The call in progress. _started is written last and cleared first, so that a reader that finds it unchanged saw one call.
    private long _started;
    private int _slot;
    private uint _xid;
    private IRpcConnection? _connection;
    private long _begun;
    private long _ended;

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
        long ticks = Clock.GetTimestamp() - started;
        Volatile.Write(ref _started, 0);
        _connection = null;
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
}
