namespace StoreCore.Rpc;

/// <summary>Somebody who may have to wait for memory of a <see cref="RpcBudget"/>.</summary>
internal interface IRpcBudgetWaiter
{
    /// <summary>Bytes of the budget that it holds; the budget's to change.</summary>
    long HeldBytes { get; set; }

    /// <summary>What it waits for; 0: it does not wait. The budget's to change.</summary>
    int WantedBytes { get; set; }

    /// <summary>What it waited for is now held. Called with no lock held.</summary>
    void Granted();
}

/// <summary>
/// The memory for what is in flight over all connections: large calls while they are received and handled, replies that wait for their clients.
/// <para>Fair by a dynamic threshold: whoever holds something gets more only as long as it then holds no more than is free. One alone may have half;
/// n greedy ones get an n+1st part each and leave as much free for the others, of whom each that holds nothing gets what it needs. Those who wait are
/// served in their order, except that one who holds too much is passed over.</para>
/// <para>Most replies are gone at once and never charged. So while there is plenty, calls of those who hold nothing begin without having taken anything; each is
/// reckoned with the most that it can leave behind (<see cref="Plenty"/>). In the last quarter each takes its share first.</para>
/// Any thread.
/// </summary>
internal sealed class RpcBudget(long totalBytes)
{
    private readonly Lock _lock = new();
    private readonly List<IRpcBudgetWaiter> _waiters = [];
    private long _used;

    public long TotalBytes => totalBytes;

    public long UsedBytes => Volatile.Read(ref _used);

    /// <summary>Whether a quarter stays free though the calls in progress leave up to <paramref name="unpaidBytes"/> behind that were not taken.</summary>
    public bool Plenty(long unpaidBytes) => UsedBytes + unpaidBytes <= totalBytes - totalBytes / 4;

    public int Waiting
    {
        get
        {
            lock (_lock)
                return _waiters.Count;
        }
    }

    /// <summary>Takes <paramref name="bytes"/> for <paramref name="who"/> if it may have them now.</summary>
    public bool TryTake(IRpcBudgetWaiter who, int bytes)
    {
        lock (_lock)
        {
            if (!Allowed(who, bytes))
                return false;
            Add(who, bytes);
            return true;
        }
    }

    /// <summary>
    /// As <see cref="TryTake"/>, but one that may not have them now waits: then <see cref="IRpcBudgetWaiter.Granted"/> follows, perhaps before this returns.
    /// </summary>
    public bool TakeOrWait(IRpcBudgetWaiter who, int bytes)
    {
        lock (_lock)
        {
            if (Allowed(who, bytes))
            {
                Add(who, bytes);
                return true;
            }

            who.WantedBytes = bytes;
            _waiters.Add(who);
            return false;
        }
    }

    /// <summary>Takes what is in use already.</summary>
    public void Charge(IRpcBudgetWaiter who, int bytes)
    {
        lock (_lock)
            Add(who, bytes);
    }

    /// <summary>Gives back what was taken or charged, and grants what others wait for.</summary>
    public void Give(IRpcBudgetWaiter who, long bytes)
    {
        IRpcBudgetWaiter? next;
        lock (_lock)
        {
            if (bytes > who.HeldBytes)
                throw new InvalidOperationException($"{bytes} bytes given back of {who.HeldBytes}");
            Add(who, -bytes);
            next = GrantOne();
        }

        while (next is not null)
        {
            next.Granted();
            lock (_lock)
                next = GrantOne();
        }
    }

    /// <summary>It waits no longer, because it has ended. False if it was granted meanwhile, or did not wait.</summary>
    public bool Withdraw(IRpcBudgetWaiter who)
    {
        lock (_lock)
        {
            who.WantedBytes = 0;
            return _waiters.Remove(who);
        }
    }

    private IRpcBudgetWaiter? GrantOne()
    {
        for (int i = 0; i < _waiters.Count; i++)
        {
            IRpcBudgetWaiter waiter = _waiters[i];
            if (!Allowed(waiter, waiter.WantedBytes))
                continue;

            _waiters.RemoveAt(i);
            Add(waiter, waiter.WantedBytes);
            waiter.WantedBytes = 0;
            return waiter;
        }

        return null;
    }

    private bool Allowed(IRpcBudgetWaiter who, long bytes)
    {
        long free = totalBytes - _used;
        return bytes <= free && (who.HeldBytes == 0 || who.HeldBytes + bytes <= free);
    }

    private void Add(IRpcBudgetWaiter who, long bytes)
    {
        _used += bytes;
        who.HeldBytes += bytes;
    }
}
