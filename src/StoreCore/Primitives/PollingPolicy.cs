namespace StoreCore.Primitives;

/// <summary>
/// What all policies of threads that wait for requests share: how long one polls before it sleeps, and whether one is too few. Pure: it is told what happened and asked what to do.
/// <para>Waking a sleeping processor costs more than any short handler. But polling pays only where the next request comes soon and the processor is free: it is left off while requests come
/// further apart than a poll takes, and for some time after the poller was put off its processor (then no processor is idle, and waking is cheap).</para>
/// Members may be called by several threads at once; a lost update of an average does no harm.
/// </summary>
/// <param name="ticksPerSecond">Of the timestamps and durations that are passed in.</param>
/// <param name="processors">Of this machine.</param>
public abstract class PollingPolicy(long ticksPerSecond, int processors)
{
    /// <summary>How long one polls before it sleeps.</summary>
    public int PollMicroseconds { get; init; } = 200;

    /// <summary>Waking a sleeper takes about this long: what polling can save at most, and what a gap measured without polling contains.</summary>
    public int WakeMicroseconds { get; init; } = 100;

    /// <summary>Two asks of the poller further apart than this: something else ran on its processor.</summary>
    public int PutOffMicroseconds { get; init; } = 60;

    /// <summary>How long polling is left off then.</summary>
    public int PutOffPauseMilliseconds { get; init; } = 20;

    /// <summary>Weight of the newest value in the averages: 1/8.</summary>
    private const int Shift = 3;

    /// <summary>The share of requests that were waiting already, in 1/1024, above which one is too few, and below which it is enough again.</summary>
    private const int BacklogHigh = 768, BacklogLow = 512;

    private long _gap;
    private long _backlog;
    private volatile bool _crowded;
    private long _pausedUntil;

    /// <summary>Requests always wait already when somebody is free. Only with more than two processors: one is the applications' or clients'.</summary>
    protected bool Crowded => _crowded;

    protected int Processors => processors;

    /// <summary>Ticks to poll before sleeping; 0: sleep at once.</summary>
    public virtual long PollTicks(long now)
    {
        if (now < Volatile.Read(ref _pausedUntil))
            return 0;

        long poll = Ticks(PollMicroseconds);
        return Volatile.Read(ref _gap) <= poll + Ticks(WakeMicroseconds) ? poll : 0;
    }

    /// <summary>Something came this long after the wait for it began. One pause of who asks counts no more than a few polls that failed.</summary>
    public virtual void Waited(long ticks) => Blend(ref _gap, Math.Min(ticks, 4 * Ticks(PollMicroseconds + WakeMicroseconds)));

    /// <summary>Somebody was done, and there was work waiting or not.</summary>
    public void Backlog(bool waiting)
    {
        if (processors <= 2)
            return;

        Blend(ref _backlog, waiting ? 1024 : 0);
        long backlog = Volatile.Read(ref _backlog);
        if (_crowded ? backlog < BacklogLow : backlog > BacklogHigh)
            _crowded = !_crowded;
    }

    /// <summary>The poller asked at two moments this far apart, without anything between them. True if it had better sleep.</summary>
    public bool PutOff(long ticksApart, long now)
    {
        if (ticksApart <= Ticks(PutOffMicroseconds))
            return false;

        Volatile.Write(ref _pausedUntil, now + PutOffPauseMilliseconds * ticksPerSecond / 1000);
        return true;
    }

    protected long Ticks(int microseconds) => microseconds * ticksPerSecond / 1_000_000;

    protected static void Blend(ref long average, long value)
    {
        long old = Volatile.Read(ref average);
        Volatile.Write(ref average, old + ((value - old) >> Shift));
    }
}
