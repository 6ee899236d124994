namespace Gateway.Fuse;

/// <summary>
/// How many threads wait for requests, and how. Pure: it is told what happened and asked what to do; all its figures are here.
/// <para>Two ways of waiting. <em>Latency</em>: one reader polls the device for a while after each request before it sleeps, the others are
/// parked; waking an idle processor costs more than any short handler. <em>Bulk</em>: handlers take long (cold reads, fsync), so polling
/// only takes the processor from the applications; several readers sleep in read(2), of which each request wakes one.</para>
/// <para>Polling pays only where the next request comes soon and the processor is free: it is left off after large transfers, while the
/// applications take longer than a poll between their requests, and for some time after the poller was put off its processor (then no
/// processor is idle, and waking is cheap). And it is left off while handlers are shorter than a switch of threads: a reader that sleeps is then
/// woken on the application's own processor, which is not idle, and no processor has to be woken for either direction.</para>
/// <para>Where requests always wait already when a reader comes back, one reader is too few: on machines with more than two processors
/// up to half of them read (with two, the second is the applications').</para>
/// Members may be called by several threads at once; a lost update of an average does no harm.
/// </summary>
/// <param name="ticksPerSecond">Of the timestamps and durations that are passed in.</param>
/// <param name="processors">Of this machine.</param>
public sealed class FuseReaderPolicy(long ticksPerSecond, int processors)
{
    /// <summary>Most threads of a session. Each has buffers for 1 MiB requests and replies, touched as far as they are used.</summary>
    public int MaxReaders { get; init; } = 16;

    /// <summary>Readers that wait in the device in bulk mode.</summary>
    public int BulkReaders { get; init; } = 2;

    /// <summary>How long the one reader polls before it sleeps.</summary>
    public int PollMicroseconds { get; init; } = 200;

    /// <summary>
    /// Average handler time below which the reader sleeps at once. Measured, two processors, in turn with and without: uncached stat (lookups of 4 µs) 1.4 times as fast; writes and
    /// creations (20 to 30 µs) gain by polling.
    /// </summary>
    public int ShortMicroseconds { get; init; } = 8;

    /// <summary>Waking a sleeping reader takes about this long: what polling can save at most, and what a gap measured without polling contains.</summary>
    public int WakeMicroseconds { get; init; } = 100;

    /// <summary>Two asks of the poller further apart than this: something else ran on its processor.</summary>
    public int PutOffMicroseconds { get; init; } = 60;

    /// <summary>How long polling is left off then.</summary>
    public int PutOffPauseMilliseconds { get; init; } = 20;

    /// <summary>Transfers from this size on are paced by copying, not by waking.</summary>
    public int LargeBytes { get; init; } = 128 * 1024;

    /// <summary>Handlers expected to take longer than this have another reader released before they start.</summary>
    public int LongMicroseconds { get; init; } = 250;

    /// <summary>Average handler time above which the mode is bulk, and below half of which it is latency again.</summary>
    public int BulkMicroseconds { get; init; } = 150;

    /// <summary>A handler that has run this long without any other progress while no reader waits gets one released (the watch's tick).</summary>
    public int WatchMilliseconds { get; init; } = 5;

    /// <summary>A request that comes sooner than this after the reader asked was waiting already.</summary>
    public int BacklogMicroseconds { get; init; } = 3;

    /// <summary>Weight of the newest value in the averages: 1/8.</summary>
    private const int Shift = 3;

    /// <summary>The share of requests found waiting, in 1/1024, above which more readers come, and below which they go.</summary>
    private const int BacklogHigh = 768, BacklogLow = 512;

    private readonly long[] _expected = new long[FuseOpTable.Size];
    private long _average;
    private long _gap;
    private long _backlog;
    private volatile bool _crowded;
    private long _pausedUntil;
    private volatile bool _large;
    private volatile bool _bulk;

    /// <summary>Readers that should wait in the device now.</summary>
    public int Receivers => _bulk ? BulkReaders : _crowded ? Math.Max(1, Math.Min(processors / 2, MaxReaders)) : 1;

    public bool Bulk => _bulk;

    /// <summary>Ticks to poll before sleeping; 0: sleep at once.</summary>
    public long PollTicks(long now)
    {
        if (_bulk || _large || Volatile.Read(ref _average) < Ticks(ShortMicroseconds) || now < Volatile.Read(ref _pausedUntil))
            return 0;

        long poll = Ticks(PollMicroseconds);
        return Volatile.Read(ref _gap) <= poll + Ticks(WakeMicroseconds) ? poll : 0;
    }

    /// <summary>Whether another reader is to be released before this operation is handled by the last one that waited.</summary>
    public bool ReleaseBefore(FuseOpcode opcode) =>
        _bulk || _crowded || ((uint)opcode < FuseOpTable.Size && Volatile.Read(ref _expected[(int)opcode]) > Ticks(LongMicroseconds));

    /// <summary>A request came this long after the reader began to wait for it.</summary>
    public void Waited(long ticks)
    {
        // One pause of an application counts no more than a few polls that failed.
        Blend(ref _gap, Math.Min(ticks, 4 * Ticks(PollMicroseconds + WakeMicroseconds)));
        if (processors <= 2)
            return;

        Blend(ref _backlog, ticks <= Ticks(BacklogMicroseconds) ? 1024 : 0);
        long backlog = Volatile.Read(ref _backlog);
        if (_crowded ? backlog < BacklogLow : backlog > BacklogHigh)
            _crowded = !_crowded;
    }

    /// <summary>The poller asked at two moments this far apart, without a request between them. True if it had better sleep.</summary>
    public bool PutOff(long ticksApart, long now)
    {
        if (ticksApart <= Ticks(PutOffMicroseconds))
            return false;

        Volatile.Write(ref _pausedUntil, now + PutOffPauseMilliseconds * ticksPerSecond / 1000);
        return true;
    }

    /// <summary>An operation that moved this many bytes took this long.</summary>
    public void Observe(FuseOpcode opcode, int bytes, long ticks)
    {
        _large = bytes >= LargeBytes;
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
