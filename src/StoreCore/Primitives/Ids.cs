namespace StoreCore.Primitives;

/// <summary>
/// The identity of a file system object: 64 bits, given once and never given again. It is the FUSE nodeid, the object
/// part of an NFS file handle and the block key alike, the same on every node and after every restart.
/// </summary>
public readonly record struct InodeId(ulong Value) : IComparable<InodeId>
{
    /// <summary>No inode: what a lookup that found nothing carries.</summary>
    public static readonly InodeId None = new(0);

    /// <summary>The root directory; FUSE fixes it to 1 (FUSE_ROOT_ID).</summary>
    public static readonly InodeId Root = new(1);

    public int CompareTo(InodeId other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>One block of a file: block <see cref="Index"/> holds the bytes from <c>Index * Limits.BlockSizeBytes</c> on.</summary>
public readonly record struct BlockId(InodeId Inode, uint Index)
{
    public override string ToString() => $"{Inode}.{Index}";
}

/// <summary>The reign of one metadata server: raised by each promotion, so that an older server's words are refused.</summary>
public readonly record struct Term(ulong Value) : IComparable<Term>
{
    public int CompareTo(Term other) => Value.CompareTo(other.Value);
}

/// <summary>The place of an operation in the metadata op log, counted from 1; 0 means before the first.</summary>
public readonly record struct LogIndex(ulong Value);

/// <summary>A point in time as the file system stores it: seconds since 1970 (may be negative) and nanoseconds below 10^9.</summary>
public readonly record struct Timestamp(long Seconds, uint Nanoseconds) : IComparable<Timestamp>
{
    private const long TicksPerSecond = TimeSpan.TicksPerSecond;

    public static Timestamp From(DateTimeOffset time)
    {
        long ticks = time.UtcTicks - DateTimeOffset.UnixEpoch.UtcTicks;
        long seconds = Math.DivRem(ticks, TicksPerSecond, out long rest);
        if (rest < 0)
        {
            seconds--;
            rest += TicksPerSecond;
        }

        return new Timestamp(seconds, (uint)rest * 100);
    }

    /// <summary>The time that <paramref name="clock"/> shows now.</summary>
    public static Timestamp Now(TimeProvider clock) => From(clock.GetUtcNow());

    public int CompareTo(Timestamp other) =>
        Seconds != other.Seconds ? Seconds.CompareTo(other.Seconds) : Nanoseconds.CompareTo(other.Nanoseconds);
}
