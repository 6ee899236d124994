namespace StoreCore.Rpc;

// The threads. One worker leads: it waits for all sockets. What it finds goes to the queue, from which it takes the first itself and leads no
// more; it comes back when it has handled it. Others are woken where the policy says so, else they are parked.
public sealed partial class RpcServer
{
    /// <summary>Events taken from epoll at once.</summary>
    internal const int EventsAtOnce = 64;

    private readonly object _gate = new(); // only parked workers wait on it
    private readonly AutoResetEvent _watchWake = new(false);
    private Thread? _watch;
    private RpcWorker[] _all = []; // changed under _gate
    private int _parkedWorkers; // under _gate, as the next
    private int _permits; // 0 or 1: a parked worker was woken and has not noticed
    private int _starting;
    private int _workers;
    private int _busy;
    private int _leader;
    private int _seekers; // workers that look for something to do
    private long _handled;
    private volatile bool _watchAsleep;

    /// <summary>A call of this kind is about to be handled: has somebody else look for others, if it may take long.</summary>
    internal void BeforeCall(int slot, bool large)
    {
        if ((Volatile.Read(ref _seekers) == 0 || Ready.Count > 0) && _policy.WakeBefore(slot, large, Volatile.Read(ref _busy)))
            WakeWorker();
        if (_watchAsleep)
            WakeWatch();
    }

    /// <summary>A worker is about to wait for the disk: others are woken if there is something for them, or if it takes long.</summary>
    internal void BeforeSettling(RpcWorker worker)
    {
        if (Volatile.Read(ref _seekers) > 0 && Ready.Count == 0)
            return;
        if (Ready.Count == 0 && Interlocked.CompareExchange(ref _leader, 1, 0) == 0)
        {
            Take(worker.Events, LibC.Wait(_epoll, worker.Events, 0));
            Volatile.Write(ref _leader, 0);
        }

        if (Ready.Count > 0 || _policy.SettlesLong)
            WakeWorker();
    }

    internal void CallHandled() => Interlocked.Increment(ref _handled);

    /// <summary>Queues a connection from wherever, and sees to it that somebody takes it.</summary>
    internal void EnqueueAndWake(RpcConnection connection)
    {
        Ready.Enqueue(connection);
        WakeWorker();
    }

    /// <summary>
    /// Has one more worker look for something to do: a parked one, or a new one if there may be more. Nothing where one that was woken has not looked yet:
    /// it will see what is there, and wake the next if that takes long.
    /// </summary>
    private void WakeWorker()
    {
        lock (_gate)
        {
            if (_stopped || _permits > 0 || _starting > 0)
                return;

            if (_parkedWorkers > 0)
            {
                _permits = 1;
                Monitor.Pulse(_gate);
                return;
            }

            if (_workers >= _maxWorkers)
                return;

            var thread = new Thread(Work) { IsBackground = true, Name = $"rpc worker {_workers + 1}" };
            _workers++;
            _starting++;
            try
            {
                thread.Start();
            }
            catch (Exception e) when (e is ThreadStartException or OutOfMemoryException)
            {
                _workers--;
                _starting--;
                _events.ServerFault("no further worker could be started", e);
            }
        }
    }

    private void WakeAll()
    {
        lock (_gate)
            Monitor.PulseAll(_gate);
        _watchWake.Set();
    }

    private void Work()
    {
        try
        {
            using var worker = new RpcWorker(this, _dispatcher, _policy);
            lock (_gate)
            {
                _starting--;
                _all = [.. _all, worker];
            }

            while (Seek(worker) is { } connection)
            {
                Interlocked.Increment(ref _busy);
                worker.Turn(connection);
                Interlocked.Decrement(ref _busy);
                _policy.Backlog(Ready.Count > 0);
            }
        }
        catch (Exception fault)
        {
            // A defect of ours, not of a program's: what the worker held is lost, and its connection stays as it is. Nobody may build on that.
            Environment.FailFast("a worker of the RPC server failed", fault);
        }

        lock (_gate)
            _workers--;
    }

    /// <summary>The next connection to be served; null: the server has stopped.</summary>
    private RpcConnection? Seek(RpcWorker worker)
    {
        Interlocked.Increment(ref _seekers);
        RpcConnection? found;
        while (true)
        {
            // Also where there is something to do already: those with much to do must not keep others from being noticed.
            bool leads = Interlocked.CompareExchange(ref _leader, 1, 0) == 0;
            if (leads)
            {
                Lead(worker.Events);
                Volatile.Write(ref _leader, 0);
            }

            found = Ready.TryDequeue();
            if (found is not null || _stopped)
                break;
            if (leads)
                continue;

            Interlocked.Decrement(ref _seekers);
            worker.Rest();
            WaitForPermit();
            Interlocked.Increment(ref _seekers);
        }

        Interlocked.Decrement(ref _seekers);
        return found;
    }

    private void WaitForPermit()
    {
        lock (_gate)
        {
            _parkedWorkers++;
            while (_permits == 0 && !_stopped)
                Monitor.Wait(_gate);
            if (_permits > 0)
                _permits--;
            _parkedWorkers--;
        }
    }

    /// <summary>Waits for the sockets and queues what they have.</summary>
    private void Lead(byte[] events)
    {
        long began = Clock.GetTimestamp();
        int count = Ready.Count > 0 ? LibC.Wait(_epoll, events, 0) : Poll(events, began);
        if (count == 0 && Ready.Count == 0 && !_stopped)
            count = LibC.Wait(_epoll, events, -1);
        if (count > 0)
            _policy.Waited(Clock.GetTimestamp() - began);
        Take(events, count);
    }

    /// <summary>Queues what epoll has found.</summary>
    private void Take(byte[] events, int count)
    {
        if (count < 0)
        {
            if (count != -LibC.EINTR)
                throw new InvalidOperationException($"epoll_wait: {LibC.Describe(-count)}");
            return;
        }

        for (int i = 0; i < count; i++)
        {
            (uint what, ulong data) = LibC.EventAt(events, i);
            if (data == StopData)
                continue;
            if (data >= ListenerData)
                Accept(_listeners[(int)(uint)data]);
            else
                ByData(data)?.OnEvent(what);
        }
    }

    /// <summary>Asks again and again for as long as the policy allows; 0 where nothing came.</summary>
    private int Poll(byte[] events, long now)
    {
        long ticks = _policy.PollTicks(now, Volatile.Read(ref _busy));
        if (ticks == 0)
            return 0;

        long end = now + ticks;
        while (true)
        {
            int count = LibC.Wait(_epoll, events, 0);
            long before = now;
            now = Clock.GetTimestamp();
            if (count != 0 || now > end || Ready.Count > 0 || _policy.PutOff(now - before, now))
                return count;
            Thread.SpinWait(20);
        }
    }

    /// <summary>
    /// Sees to it that a handler which takes unexpectedly long does not keep others from being served: ticks while calls come. Twice a second, looks for
    /// connections that have overstayed.
    /// </summary>
    private void Watch()
    {
        const int QuietTicks = 100;
        var halfSecond = TimeSpan.FromMilliseconds(500);
        long before = -1;
        long swept = Clock.GetTimestamp();
        int quiet = 0;
        while (!_stopped)
        {
            if (quiet > QuietTicks)
            {
                _watchAsleep = true;
                if (!_stopped && _watchWake.WaitOne(halfSecond))
                    quiet = 0;
                _watchAsleep = false;
            }
            else
            {
                Thread.Sleep(_policy.WatchMilliseconds);
            }

            long handled = Volatile.Read(ref _handled);
            foreach (RpcWorker worker in _all)
            {
                if (worker.PassOverdueTurn())
                    WakeWorker();
            }

            bool nobodySeeks = Volatile.Read(ref _seekers) == 0 || Ready.Count > 0;
            if (nobodySeeks && handled == before)
                WakeWorker();
            quiet = handled != before || nobodySeeks ? 0 : quiet + 1;
            before = handled;

            long now = Clock.GetTimestamp();
            if (Clock.GetElapsedTime(swept, now) < halfSecond)
                continue;
            swept = now;
            ResumeListeners();
            foreach (RpcConnection? connection in _table)
            {
                if (connection is not null)
                    CloseIfOverdue(connection, now);
            }
        }
    }

    private void WakeWatch()
    {
        _watchAsleep = false;
        _watchWake.Set();
    }

    private void CloseIfOverdue(RpcConnection connection, long now)
    {
        bool Overdue(long since, TimeSpan limit) => Clock.GetElapsedTime(since, now) > limit;

        bool shortage = Budget.Waiting > 0;
        bool queued = connection.Output.QueuedBytes > 0;

        // While it is we who do not go on reading, a call that is not whole is not the client's fault.
        long recordBegan = connection.WantedBytes == 0 && connection.CallsInProgress == 0 && !queued ? connection.RecordBeganAt : 0;
        if (queued && Overdue(connection.Output.ProgressAt, shortage ? Options.ShortageTimeout : Options.SendTimeout))
            connection.Close("the client does not read its replies");
        else if (recordBegan != 0
            && (Overdue(recordBegan, Options.RecordTimeout) || (shortage && Overdue(connection.LastReceivedAt, Options.ShortageTimeout))))
            connection.Close("the client began a call and did not complete it");
        else if (connection.Calls == 0 && Overdue(connection.LastCallAt, Options.FirstCallTimeout))
            connection.Close("no call has come");
        else if (connection.CallsInProgress == 0 && Overdue(connection.LastCallAt, Options.IdleTimeout))
            connection.Close("idle");
    }

    /// <summary>Closes what has nothing in progress; true when nothing is left.</summary>
    private bool CloseQuiet()
    {
        foreach (RpcConnection? connection in _table)
        {
            if (connection is { Quiet: true })
                connection.Close("the server stops");
        }

        return Volatile.Read(ref _connections) == 0;
    }

    private bool Within(TimeSpan patience, Func<bool> condition)
    {
        long began = Clock.GetTimestamp();
        while (!condition())
        {
            if (Clock.GetElapsedTime(began) > patience)
                return false;
            Thread.Sleep(1);
        }

        return true;
    }
}
