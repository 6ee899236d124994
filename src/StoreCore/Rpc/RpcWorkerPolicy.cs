namespace StoreCore.Rpc;

/// <summary>
/// How the workers wait for calls, and when one more is woken. Pure: it is told what happened and asked what to do; all its figures are here.
/// <para>One worker, the leader, waits for all sockets; it polls for a while after each call before it sleeps, since waking a sleeping processor
/// costs more than any short handler. What it finds it handles itself, meanwhile nobody waits: for some microseconds that is the shortest way.
/// Before a call that is known to take long (fsync, cold data, a megabyte) another worker is woken and leads; before waiting for the disk for several
/// calls at once, only where others have something to do already or that wait is long.</para>
/// <para>Polling pays only where the next call comes soon and the processor is free: it is left off while calls come further apart than a poll takes, and
/// for some time after the poller was put off its processor (then no processor is idle, and waking is cheap).</para>
/// Members may be called by several threads at once; a lost update of an average does no harm.
/// </summary>
/// <param name="ticksPerSecond">Of the timestamps and durations that are passed in.</param>
/// <param name="processors">Of this machine.</param>
/// <param name="slots">Kinds of calls that are told apart.</param>
public sealed class RpcWorkerPolicy(long ticksPerSecond, int processors, int slots)
{
    /// <summary>How long the leader polls before it sleeps.</summary>
    public int PollMicroseconds { get; init; } = 200;

    /// <summary>Waking a sleeping leader takes about this long: what polling can save at most, and what a gap measured without polling contains.</summary>
    public int WakeMicroseconds { get; init; } = 100;

    /// <summary>Two asks of the poller further apart than this: something else ran on its processor.</summary>
    public int PutOffMicroseconds { get; init; } = 60;

    /// <summary>How long polling is left off then.</summary>
    public int PutOffPauseMilliseconds { get; init; } = 20;

    /// <summary>Calls expected to take longer than this have another worker woken before they start.</summary>
    public int LongMicroseconds { get; init; } = 250;

    /// <summary>
    /// Waits for the disk longer than this are not for others to share: others go on beside them. Well above one flush of a fast disk and the one before it that a
    /// worker may have to wait for, or workers that wait for one another would keep themselves apart.
    /// </summary>
    public int LongSettlingMicroseconds { get; init; } = 1000;

    /// <summary>Calls expected to take less than this may be handled one after the other before their replies are sent together.</summary>
    public int BatchMicroseconds { get; init; } = 30;

    /// <summary>A call that has run this long without any other progress while no worker waits gets one woken (the watch's tick).</summary>
    public int WatchMilliseconds { get; init; } = 1;

    /// <summary>Weight of the newest value in the averages: 1/8.</summary>
    private const int Shift = 3;

    /// <summary>The share of turns after which work was waiting, in 1/1024, above which other workers are woken, and below which they are not.</summary>
    private const int BacklogHigh = 768, BacklogLow = 512;

    // By kind of call, small and large records apart (a WRITE of a page and of a megabyte have little in common); the last two are for the unknown.
    // -1: none has come yet.
    private readonly long[] _expected = Unknown(2 * (slots + 1));
    private readonly bool[] _settled = new bool[slots + 1];
    private long _settling;
    private long _gap;
    private long _backlog;
    private volatile bool _crowded;
    private long _pausedUntil;

    /// <summary>Ticks to poll before sleeping; 0: sleep at once.</summary>
    /// <param name="busy">Workers that are handling calls. Where they and one client leave no processor free, the poller would take theirs.</param>
    public long PollTicks(long now, int busy)
    {
        if (now < Volatile.Read(ref _pausedUntil) || (busy > 0 && busy + 2 > processors))
            return 0;

        long poll = Ticks(PollMicroseconds);
        return Volatile.Read(ref _gap) <= poll + Ticks(WakeMicroseconds) ? poll : 0;
    }

    /// <summary>Whether another worker is to be woken before this call is handled by the last one that was there for new ones.</summary>
    /// <param name="slot">Its kind; -1: unknown.</param>
    /// <param name="busy">Workers that are handling calls, this one included.</param>
    public bool WakeBefore(int slot, bool large, int busy) =>
        Volatile.Read(ref _expected[Index(slot, large)]) > Ticks(LongMicroseconds) || (_crowded && busy < processors / 2);

    /// <summary>
    /// Whether the call is known to be short enough for others' replies to wait for it: those that wait for the disk together save each but one that
    /// wait, so that they may take as long.
    /// </summary>
    public bool MayBatch(int slot)
    {
        long limit = Ticks(BatchMicroseconds);
        if (_settled[Slot(slot)])
            limit = Math.Max(limit, Math.Min(Volatile.Read(ref _settling), Ticks(LongMicroseconds)));
        return Volatile.Read(ref _expected[Index(slot, large: false)]) is >= 0 and long expected && expected <= limit;
    }

    /// <summary>Calls of this kind end with a wait for the disk that several can share.</summary>
    public void IsSettled(int slot) => _settled[Slot(slot)] = true;

    /// <summary>Whether a connection's next calls are left unread while one of this kind is carried out and waits for the disk: the wait is short, and sharing the next saves more.</summary>
    public bool KeepsTurn(int slot) => _settled[Slot(slot)] && !SettlesLong && Volatile.Read(ref _expected[Index(slot, large: false)]) <= Ticks(LongMicroseconds);

    /// <summary>Such a wait took this long.</summary>
    public void Settled(long ticks) => Blend(ref _settling, ticks);

    /// <summary>Whether such a wait is long enough to have another worker woken before it even if nobody else has something to do.</summary>
    public bool SettlesLong => Volatile.Read(ref _settling) > Ticks(LongSettlingMicroseconds);

    /// <summary>The leader found something this long after it began to wait.</summary>
    public void Waited(long ticks)
    {
        // One pause of a client counts no more than a few polls that failed.
        Blend(ref _gap, Math.Min(ticks, 4 * Ticks(PollMicroseconds + WakeMicroseconds)));
    }

    /// <summary>A worker was done, and there was work waiting or not. Only with more than two processors does that call for more workers: one is the clients'.</summary>
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

    /// <summary>
    /// A call of this kind took this long. A shorter one counts for more than a longer one: what a call takes beyond its work is waiting for processors and locks, which more
    /// workers make longer, and then they would go on being woken.
    /// </summary>
    public void Observe(int slot, bool large, long ticks)
    {
        ref long expected = ref _expected[Index(slot, large)];
        long before = Volatile.Read(ref expected);
        if (before < 0)
            Volatile.Write(ref expected, ticks);
        else if (ticks < before)
            Volatile.Write(ref expected, before - ((before - ticks) >> 1));
        else
            Blend(ref expected, ticks);
    }

    private static long[] Unknown(int count)
    {
        long[] expected = new long[count];
        Array.Fill(expected, -1);
        return expected;
    }

    private int Slot(int slot) => (uint)slot < (uint)slots ? slot : slots;

    private int Index(int slot, bool large) => 2 * Slot(slot) + (large ? 1 : 0);

    private long Ticks(int microseconds) => microseconds * ticksPerSecond / 1_000_000;

    private static void Blend(ref long average, long value)
    {
        long old = Volatile.Read(ref average);
        Volatile.Write(ref average, old + ((value - old) >> Shift));
    }
}
