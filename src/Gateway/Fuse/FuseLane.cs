using System.Numerics;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Takes replies that are not ready when the handler returns. Any thread may call it.</summary>
public interface IFuseReplyChannel
{
    /// <summary>Sends a whole reply, header included. A request that the kernel has given up meanwhile is passed over.</summary>
    void Send(ReadOnlySpan<byte> reply);
}

/// <summary>
/// What belongs to one thread that dispatches: its counters, the operation it is at, its directory sink. One thread at a time
/// dispatches on a lane; anyone may read its counters and its operation at any time.
/// </summary>
public sealed class FuseLane
{
    /// <summary>Latency buckets: bucket 0 is below 1 µs, bucket n from 2^(n-1) to 2^n µs, the last open (above 4 s).</summary>
    public const int Buckets = 24;

    private readonly long[] _counts = new long[FuseOpTable.Size];
    private readonly long[] _errors = new long[FuseOpTable.Size];
    private readonly long[] _ticks = new long[FuseOpTable.Size];
    private readonly long[] _histogram = new long[FuseOpTable.Size * Buckets];
    private readonly double _microsecondsPerTick;

    // The operation in progress. _started is written last and cleared first, so that a reader that finds it unchanged saw one operation.
    private long _started;
    private FuseInHeader _header;
    private long _begun;
    private long _malformed;
    private long _faults;

    public FuseLane(IFuseReplyChannel channel, TimeProvider clock)
    {
        Channel = channel;
        Clock = clock;
        _microsecondsPerTick = 1e6 / clock.TimestampFrequency;
    }

    internal IFuseReplyChannel Channel { get; }

    internal TimeProvider Clock { get; }

    internal FuseDirectorySink Directory { get; } = new();

    internal long Begun => Volatile.Read(ref _begun);

    internal long Malformed => Volatile.Read(ref _malformed);

    internal long Faults => Volatile.Read(ref _faults);

    internal long Count(int opcode) => Volatile.Read(ref _counts[opcode]);

    internal long Errors(int opcode) => Volatile.Read(ref _errors[opcode]);

    internal double Microseconds(int opcode) => Volatile.Read(ref _ticks[opcode]) * _microsecondsPerTick;

    internal long Bucket(int opcode, int bucket) => Volatile.Read(ref _histogram[opcode * Buckets + bucket]);

    /// <summary>The timestamp at which the operation in progress began; 0: none.</summary>
    internal long Started => Volatile.Read(ref _started);

    internal long Begin(in FuseInHeader header)
    {
        long now = Clock.GetTimestamp();
        _header = header;
        _begun++;
        Volatile.Write(ref _started, now);
        return now;
    }

    /// <summary>Counts the operation that began at <paramref name="started"/> as done; returns its ticks.</summary>
    internal long End(FuseOpcode opcode, long started, bool failed)
    {
        long ticks = Clock.GetTimestamp() - started;
        Volatile.Write(ref _started, 0);
        if ((uint)opcode < FuseOpTable.Size)
            Tally((int)opcode, ticks, failed);
        else
            _malformed++;
        return ticks;
    }

    internal void CountMalformed() => _malformed++;

    internal void CountFault() => _faults++;

    internal FuseLiveOperation? Live()
    {
        long started = Started;
        if (started == 0)
            return null;

        FuseInHeader header = _header;
        Interlocked.MemoryBarrier();
        return Started == started
            ? new FuseLiveOperation(
                header.Opcode, new InodeId(header.Node), header.Uid, header.Pid, Clock.GetElapsedTime(started), Waiting: false)
            : null;
    }

    private void Tally(int opcode, long ticks, bool failed)
    {
        _counts[opcode]++;
        _ticks[opcode] += ticks;
        if (failed)
            _errors[opcode]++;
        uint microseconds = (uint)Math.Min(ticks * _microsecondsPerTick, uint.MaxValue);
        int bucket = Math.Min(32 - BitOperations.LeadingZeroCount(microseconds), Buckets - 1);
        _histogram[opcode * Buckets + bucket]++;
    }
}
