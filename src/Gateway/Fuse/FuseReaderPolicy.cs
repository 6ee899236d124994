namespace Gateway.Fuse;

/// <summary>
/// How many threads wait for requests, and how. Pure: it is told what happened and asked what to do; all its figures are here.
/// <para>Two ways of waiting. <em>Latency</em>: one reader polls the device for a while after each request before it sleeps, the others are
/// parked; waking an idle processor costs more than any short handler. <em>Bulk</em>: handlers take long (large transfers, cold reads, fsync), so
/// polling only takes the processor from the applications; several readers sleep in read(2), of which each request wakes one.</para>
/// Members may be called by several threads at once; a lost update of an average does no harm.
/// </summary>
public sealed class FuseReaderPolicy(long ticksPerSecond)
{
    /// <summary>Most threads of a session. Each has buffers for 1 MiB requests and replies, touched as far as they are used.</summary>
    public int MaxReaders { get; init; } = 16;

    /// <summary>Readers that wait in the device in bulk mode.</summary>
    public int BulkReaders { get; init; } = 2;

    /// <summary>How long the one reader polls before it sleeps.</summary>
    public int PollMicroseconds { get; init; } = 200;

    /// <summary>Handlers expected to take longer than this have another reader released before they start.</summary>
    public int LongMicroseconds { get; init; } = 250;

    /// <summary>Average handler time above which the mode is bulk, and below half of which it is latency again.</summary>
    public int BulkMicroseconds { get; init; } = 150;

    /// <summary>A handler that has run this long without any other progress while no reader waits gets one released (the watch's tick).</summary>
    public int WatchMilliseconds { get; init; } = 1;

    /// <summary>Weight of the newest value in the averages: 1/8.</summary>
    private const int Shift = 3;

    private readonly long[] _expected = new long[FuseOpTable.Size];
    private long _average;
    private volatile bool _bulk;

    /// <summary>Readers that should wait in the device now.</summary>
    public int Receivers => _bulk ? BulkReaders : 1;

    public bool Bulk => _bulk;

    /// <summary>Ticks to poll before sleeping; 0: sleep at once.</summary>
    public long PollTicks => _bulk ? 0 : Ticks(PollMicroseconds);

    /// <summary>Whether another reader is to be released before this operation is handled by the last one that waited.</summary>
    public bool ReleaseBefore(FuseOpcode opcode) =>
        _bulk || ((uint)opcode < FuseOpTable.Size && Volatile.Read(ref _expected[(int)opcode]) > Ticks(LongMicroseconds));

    /// <summary>An operation took this long.</summary>
    public void Observe(FuseOpcode opcode, long ticks)
    {
        if ((uint)opcode < FuseOpTable.Size)
            Blend(ref _expected[(int)opcode], ticks);
        Blend(ref _average, ticks);
        long average = Volatile.Read(ref _average);
        if (_bulk ? average < Ticks(BulkMicroseconds) / 2 : average > Ticks(BulkMicroseconds))
            _bulk = !_bulk;
    }

    private long Ticks(int microseconds) => microseconds * ticksPerSecond / 1_000_000;

    private static void Blend(ref long average, long value)
    {
        long old = Volatile.Read(ref average);
        Volatile.Write(ref average, old + ((value - old) >> Shift));
    }
}
