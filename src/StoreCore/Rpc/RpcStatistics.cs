namespace StoreCore.Rpc;

/// <summary>What was counted of one procedure since the server began.</summary>
/// <param name="Failed">Calls answered by anything but success on the RPC level.</param>
/// <param name="Buckets">Calls by duration; see <see cref="RpcLane.Buckets"/>.</param>
public sealed record RpcProcedureStatistics(
    string Program, string Procedure, long Count, long Failed, double TotalMicroseconds, long BytesIn, long BytesOut, IReadOnlyList<long> Buckets)
{
    /// <summary>An upper bound of the given quantile (0 to 1) in microseconds, from the buckets.</summary>
    public double QuantileMicroseconds(double quantile)
    {
        long rank = (long)Math.Ceiling(Count * quantile);
        for (int i = 0; i < Buckets.Count; i++)
        {
            rank -= Buckets[i];
            if (rank <= 0)
                return 1L << i;
        }

        return 1L << (Buckets.Count - 1);
    }
}

/// <summary>
/// The progress of the calls in numbers: what a probe needs to tell busy from stuck. No progress of <see cref="Completed"/> while
/// <see cref="OldestInFlight"/> grows is a stuck server.
/// </summary>
public readonly record struct RpcProgress(long Accepted, long Completed, int InFlight, TimeSpan OldestInFlight);

/// <summary>Reads the counters of all lanes. Any thread, any time; the lanes are never stopped, so sums may be some calls apart.</summary>
public sealed class RpcStatistics
{
    private readonly RpcDispatcher _dispatcher;
    private readonly Lock _gate = new();
    private volatile RpcLane[] _lanes = [];

    internal RpcStatistics(RpcDispatcher dispatcher) => _dispatcher = dispatcher;

    internal void Add(RpcLane lane)
    {
        lock (_gate)
            _lanes = [.. _lanes, lane];
    }

    public RpcProgress Progress()
    {
        long accepted = 0, completed = 0;
        int inFlight = 0;
        TimeSpan oldest = TimeSpan.Zero;
        foreach (RpcLane lane in _lanes)
        {
            // Completed before accepted, so that a race shows one more in flight, never one less than none.
            completed += lane.Ended;
            accepted += lane.Begun;
            long started = lane.Started;
            if (started == 0)
                continue;
            inFlight++;
            TimeSpan age = lane.Clock.GetElapsedTime(started);
            oldest = age > oldest ? age : oldest;
        }

        return new RpcProgress(accepted, completed, inFlight, oldest);
    }

    /// <summary>How many calls went wrong in this way.</summary>
    public long Faults(RpcFault fault)
    {
        long count = 0;
        foreach (RpcLane lane in _lanes)
            count += lane.FaultCount(fault);
        return count;
    }

    /// <summary>Calls in progress, the oldest first.</summary>
    public IReadOnlyList<RpcLiveCall> Live()
    {
        var live = new List<RpcLiveCall>();
        foreach (RpcLane lane in _lanes)
        {
            if (lane.Live() is { } call)
                live.Add(call);
        }

        live.Sort(static (a, b) => b.Age.CompareTo(a.Age));
        return live;
    }

    /// <summary>Counts per procedure, those that never came left out.</summary>
    public IReadOnlyList<RpcProcedureStatistics> Procedures()
    {
        RpcLane[] lanes = _lanes;
        var all = new List<RpcProcedureStatistics>();
        for (int slot = 0; slot < _dispatcher.Slots; slot++)
        {
            long count = 0, failed = 0, bytesIn = 0, bytesOut = 0;
            double microseconds = 0;
            long[] buckets = new long[RpcLane.Buckets];
            foreach (RpcLane lane in lanes)
            {
                count += lane.Count(slot);
                failed += lane.Failed(slot);
                microseconds += lane.Microseconds(slot);
                bytesIn += lane.BytesIn(slot);
                bytesOut += lane.BytesOut(slot);
                for (int i = 0; i < buckets.Length; i++)
                    buckets[i] += lane.Bucket(slot, i);
            }

            if (count == 0)
                continue;
            (IRpcProgram program, uint procedure) = _dispatcher.OfSlot(slot);
            string name = procedure < (uint)program.Procedures ? program.ProcedureName(procedure) : "unknown";
            all.Add(new RpcProcedureStatistics(program.Name, name, count, failed, microseconds, bytesIn, bytesOut, buckets));
        }

        return all;
    }
}
