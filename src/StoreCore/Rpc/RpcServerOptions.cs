namespace StoreCore.Rpc;

/// <summary>What an administrator may set of a server; see the README for how the figures work together.</summary>
public sealed record RpcServerOptions
{
    /// <summary>Where to listen; port 0 takes a free one. "[::]" takes IPv6 only.</summary>
    public required IReadOnlyList<RpcPeer> Listen { get; init; }

    /// <summary>Connections at once; for a further one an idle one of the address that has the most is closed, or it is closed itself.</summary>
    public int MaxConnections { get; init; } = 4096;

    /// <summary>Connections at once of one address; for a further one another of its own that is idle for <see cref="OwnRoomTimeout"/> is closed, or it is closed itself.</summary>
    public int MaxConnectionsPerAddress { get; init; } = 1024;

    /// <summary>Calls that may be handled, and so block, at once: one thread each, with a buffer of <see cref="Limits.RpcBufferBytes"/> while it works.</summary>
    public int MaxWorkers { get; init; } = 64;

    /// <summary>Calls of one connection handled at once; beyond that, and where they are more than are left for the others, it is not read.</summary>
    public int MaxCallsPerConnection { get; init; } = 32;

    /// <summary>
    /// Memory in bytes for large calls and unread replies over all connections; with less than 256 MiB there are fewer workers. Calls that have come and cannot begin yet
    /// are counted with it but not refused: at most <see cref="Limits.RpcReceiveBytes"/> of a connection, beyond which it is not read.
    /// </summary>
    public long BudgetBytes { get; init; } = 256L << 20;

    /// <summary>A connection whose unread replies occupy more memory than this is not read until the client reads.</summary>
    public long MaxQueuedReplyBytes { get; init; } = 8L << 20;

    /// <summary>A connection whose first call has not come by then is closed.</summary>
    public TimeSpan FirstCallTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>A call must be whole this long after its first byte.</summary>
    public TimeSpan RecordTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>A client that reads nothing of what waits for it for this long is closed.</summary>
    public TimeSpan SendTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>The same two while others wait for memory: how long one may hold some without any progress. Its client will connect and ask again.</summary>
    public TimeSpan ShortageTimeout { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A connection without a call for this long is closed (a kernel client closes its own after 5 minutes).</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromHours(1);

    /// <summary>A connection without a call for this long gives way to a new one of the same address where there is no other place.</summary>
    public TimeSpan OwnRoomTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Workers that the budget bears: what all of them can leave behind is a quarter of it at most; 0: it is too small.</summary>
    internal int Workers => (int)Math.Min(MaxWorkers, BudgetBytes / 4 / Limits.RpcBufferBytes);

    /// <summary>Null if it all goes together, or what does not.</summary>
    internal string? Problem()
    {
        if (Listen.Count == 0)
            return "no address to listen on";
        if (MaxConnections < 1 || MaxConnectionsPerAddress < 1 || MaxCallsPerConnection < 1 || MaxQueuedReplyBytes < 1)
            return "a limit of connections, calls or unread replies is below 1";
        return Workers < 1 ? $"a budget of {BudgetBytes} bytes: at least {4 * Limits.RpcBufferBytes} are needed, and one worker" : null;
    }
}

/// <summary>A connection, for people.</summary>
/// <param name="ReceivedBytes">Since it began; as <paramref name="SentBytes"/> and <paramref name="Calls"/>.</param>
/// <param name="QueuedBytes">Of replies that the client has not read.</param>
/// <param name="Idle">Since the last whole call.</param>
/// <param name="LastFault">The last thing that went wrong with one of its calls.</param>
public sealed record RpcConnectionInfo(
    long Id, RpcPeer Peer, RpcPeer Local, DateTimeOffset Since, long ReceivedBytes, long SentBytes, long Calls, int CallsInProgress,
    long QueuedBytes, TimeSpan Idle, RpcFault? LastFault);

/// <summary>
/// The server in numbers, for people and probes. No progress of <see cref="Calls"/>.Completed while something is in flight or <see cref="Ready"/> is a
/// stuck server; a rising count means a busy one.
/// </summary>
/// <param name="Accepted">Connections since the start; <paramref name="Refused"/> those of them that were over a limit.</param>
/// <param name="Ready">Connections that have something to be read or handled and wait for a worker.</param>
/// <param name="WaitingForMemory">Connections that wait for the budget.</param>
public readonly record struct RpcServerState(
    RpcProgress Calls, int Connections, long Accepted, long Refused, int Ready, int WaitingForMemory, long BudgetUsedBytes, long BudgetBytes,
    int Workers, int BusyWorkers, long ReceivedBytes, long SentBytes);
