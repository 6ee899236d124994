using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>
/// How many threads wait for requests, and how. Pure: it is told what happened and asked what to do; all its figures are here.
/// <para>Two ways of waiting. <em>Latency</em>: one reader polls the device for a while after each request before it sleeps, the others are
/// parked. <em>Bulk</em>: handlers take long (cold reads, fsync), so polling only takes the processor from the applications; several readers
/// sleep in read(2), of which each request wakes one.</para>
/// <para>Beyond the general rule polling is left off after large transfers, and while handlers are shorter than a switch of threads: a reader that sleeps is then
/// woken on the application's own processor, which is not idle, and no processor has to be woken for either direction.</para>
/// <para>Where requests always wait already when a reader comes back, one reader is too few: on machines with more than two processors
/// up to half of them read (with two, the second is the applications').</para>
/// Members may be called by several threads at once; a lost update of an average does no harm.
/// </summary>
/// <param name="ticksPerSecond">Of the timestamps and durations that are passed in.</param>
/// <param name="processors">Of this machine.</param>
public sealed class FuseReaderPolicy(long ticksPerSecond, int processors) : PollingPolicy(ticksPerSecond, processors)
{
    /// <summary>Most threads of a session. Each has buffers for 1 MiB requests and replies, touched as far as they are used.</summary>
    public int MaxReaders { get; init; } = 16;

    /// <summary>Readers that wait in the device in bulk mode.</summary>
    public int BulkReaders { get; init; } = 2;

    /// <summary>
    /// Average handler time below which the reader sleeps at once. Measured, two processors, in turn with and without: uncached stat (lookups of 4 µs) 1.4 times as fast; writes and
    /// creations (20 to 30 µs) gain by polling.
    /// </summary>
    public int ShortMicroseconds { get; init; } = 8;

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

    private readonly long[] _expected = new long[FuseOpTable.Size];
    private long _average;
    private volatile bool _large;
    private volatile bool _bulk;

    /// <summary>Readers that should wait in the device now.</summary>
    public int Receivers => _bulk ? BulkReaders : Crowded ? Math.Max(1, Math.Min(Processors / 2, MaxReaders)) : 1;

    public bool Bulk => _bulk;

    /// <inheritdoc/>
    public override long PollTicks(long now) =>
        _bulk || _large || Volatile.Read(ref _average) < Ticks(ShortMicroseconds) ? 0 : base.PollTicks(now);

    /// <summary>Whether another reader is to be released before this operation is handled by the last one that waited.</summary>
    public bool ReleaseBefore(FuseOpcode opcode) =>
        _bulk || Crowded || ((uint)opcode < FuseOpTable.Size && Volatile.Read(ref _expected[(int)opcode]) > Ticks(LongMicroseconds));

    /// <summary>A request came this long after the reader began to wait for it.</summary>
    public override void Waited(long ticks)
    {
        base.Waited(ticks);
        Backlog(waiting: ticks <= Ticks(BacklogMicroseconds));
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
}
