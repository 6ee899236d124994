using StoreCore.Primitives;

namespace StoreCore.Rpc;

/// <summary>
/// How the workers wait for calls, and when one more is woken. Pure: it is told what happened and asked what to do; all its figures are here.
/// <para>One worker, the leader, waits for all sockets; it polls for a while after each call before it sleeps. What it finds it handles itself, meanwhile nobody
/// waits: for some microseconds that is the shortest way. Before a call that is known to take long (fsync, cold data, a megabyte) another worker is woken and
/// leads; before waiting for the disk for several calls at once, only where others have something to do already or that wait is long.</para>
/// Members may be called by several threads at once; a lost update of an average does no harm.
/// </summary>
/// <param name="ticksPerSecond">Of the timestamps and durations that are passed in.</param>
/// <param name="processors">Of this machine.</param>
/// <param name="slots">Kinds of calls that are told apart.</param>
public sealed class RpcWorkerPolicy(long ticksPerSecond, int processors, int slots) : PollingPolicy(ticksPerSecond, processors)
{
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

    // By kind of call, small and large records apart (a WRITE of a page and of a megabyte have little in common); the last two are for the unknown.
    // -1: none has come yet.
    private readonly long[] _expected = Unknown(2 * (slots + 1));
    private readonly bool[] _settled = new bool[slots + 1];
    private long _settling;

    /// <summary>Ticks to poll before sleeping; 0: sleep at once.</summary>
    /// <param name="busy">Workers that are handling calls. Where they and one client leave no processor free, the poller would take theirs.</param>
    public long PollTicks(long now, int busy) => busy > 0 && busy + 2 > Processors ? 0 : PollTicks(now);

    /// <summary>Whether another worker is to be woken before this call is handled by the last one that was there for new ones.</summary>
    /// <param name="slot">Its kind; -1: unknown.</param>
    /// <param name="busy">Workers that are handling calls, this one included.</param>
    public bool WakeBefore(int slot, bool large, int busy) =>
        Volatile.Read(ref _expected[Index(slot, large)]) > Ticks(LongMicroseconds) || (Crowded && busy < Processors / 2);

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
}
