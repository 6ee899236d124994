using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>An operation that has begun and not ended. <see cref="Inode"/> is the nodeid: 1 is the root of the mount.</summary>
public readonly record struct FuseLiveOperation(FuseOpcode Opcode, InodeId Inode, uint Uid, uint Pid, TimeSpan Age, bool Waiting)
{
    /// <summary>The kernel's name of the operation.</summary>
    public string Name => FuseOpTable.NameOf(Opcode);
}

/// <summary>What was counted of one operation since the session began.</summary>
/// <param name="Buckets">Operations by duration; see <see cref="FuseLane.Buckets"/>.</param>
public sealed record FuseOperationStatistics(
    FuseOpcode Opcode, string Name, long Count, long Errors, double TotalMicroseconds, IReadOnlyList<long> Buckets)
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
/// A session's progress in numbers: what a probe needs to tell busy from stuck. <see cref="Accepted"/> − <see cref="Completed"/> is what
/// is in flight; no progress of <see cref="Completed"/> while <see cref="OldestInFlight"/> grows is a stuck session.
/// </summary>
public readonly record struct FuseProgress(long Accepted, long Completed, int InFlight, int WaitingLocks, TimeSpan OldestInFlight, long Malformed, long Faults);

/// <summary>Reads the counters of all lanes of a session. Any thread, any time; the lanes are never stopped, so sums may be some operations apart.</summary>
public sealed class FuseStatistics
{
    private readonly Lock _gate = new();
    private volatile FuseLane[] _lanes = [];

    /// <summary>Where waiting locks are asked for; they occupy no lane.</summary>
    internal FuseLockWaits? LockWaits { get; set; }

    internal void Add(FuseLane lane)
    {
        lock (_gate)
            _lanes = [.. _lanes, lane];
    }

    public FuseProgress Progress()
    {
        long accepted = 0, completed = 0, malformed = 0, faults = 0;
        int inFlight = 0;
        TimeSpan oldest = TimeSpan.Zero;
        foreach (FuseLane lane in _lanes)
        {
            // Completed before accepted, so that a race shows one more in flight, never one less than none.
            for (int opcode = 0; opcode < FuseOpTable.Size; opcode++)
                completed += lane.Count(opcode);
            malformed += lane.Malformed;
            faults += lane.Faults;
            long started = lane.Started;
            accepted += lane.Begun;
            if (started == 0)
                continue;
            inFlight++;
            TimeSpan age = lane.Clock.GetElapsedTime(started);
            oldest = age > oldest ? age : oldest;
        }

        return new FuseProgress(accepted, completed + malformed, inFlight, LockWaits?.Count ?? 0, oldest, malformed, faults);
    }

    /// <summary>Operations in progress, the oldest first; waiting locks last.</summary>
    public IReadOnlyList<FuseLiveOperation> Live()
    {
        var live = new List<FuseLiveOperation>();
        foreach (FuseLane lane in _lanes)
        {
            if (lane.Live() is { } operation)
                live.Add(operation);
        }

        live.Sort(static (a, b) => b.Age.CompareTo(a.Age));
        LockWaits?.AddLive(live);
        return live;
    }

    /// <summary>Counts per operation, those that never came left out.</summary>
    public IReadOnlyList<FuseOperationStatistics> Operations()
    {
        var all = new List<FuseOperationStatistics>();
        foreach (FuseOperation operation in FuseOpTable.All)
        {
            int opcode = (int)operation.Opcode;
            long count = 0, errors = 0;
            double microseconds = 0;
            long[] buckets = new long[FuseLane.Buckets];
            foreach (FuseLane lane in _lanes)
            {
                count += lane.Count(opcode);
                errors += lane.Errors(opcode);
                microseconds += lane.Microseconds(opcode);
                for (int i = 0; i < buckets.Length; i++)
                    buckets[i] += lane.Bucket(opcode, i);
            }

            if (count > 0)
                all.Add(new FuseOperationStatistics(operation.Opcode, operation.Name, count, errors, microseconds, buckets));
        }

        return all;
    }
}
