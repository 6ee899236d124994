using System.Collections.Concurrent;
using Gateway.Nfs.Exports;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>A client as it is shown to people. Rates come of two such pictures.</summary>
/// <param name="Connections">Open ones.</param>
/// <param name="Mounts">Paths that it has mounted, as far as it said so (MNT without UMNT).</param>
/// <param name="TotalMicroseconds">From call to answer, over all calls.</param>
/// <param name="LastError">The last answer that was an error: "LOOKUP NoEntry"; empty for none.</param>
public sealed record NfsClientInfo(
    ClientAddress Address, int Connections, IReadOnlyList<string> Mounts, long Calls, long Errors, long ReadBytes, long WrittenBytes, double TotalMicroseconds,
    Timestamp LastCall, string LastError, Timestamp LastErrorAt);

/// <summary>Counters of one client address. Any thread.</summary>
internal sealed class NfsClient(ClientAddress address)
{
    private long _calls;
    private long _errors;
    private long _readBytes;
    private long _writtenBytes;
    private long _elapsedTicks;
    private long _lastCall;
    private long _lastErrorAt;
    private long _lastError;
    private int _connections;

    public ClientAddress Address { get; } = address;

    public int Connections => Volatile.Read(ref _connections);

    public long LastCallTicks => Volatile.Read(ref _lastCall);

    /// <param name="elapsed">Since the call came.</param>
    public void Count(Nfs3Procedure procedure, Nfs3Status status, TimeSpan elapsed, TimeProvider clock)
    {
        Interlocked.Increment(ref _calls);
        Interlocked.Add(ref _elapsedTicks, elapsed.Ticks);
        long now = clock.GetUtcNow().UtcTicks;
        Volatile.Write(ref _lastCall, now);
        if (status == Nfs3Status.Ok)
            return;

        Interlocked.Increment(ref _errors);
        Volatile.Write(ref _lastErrorAt, now);
        Volatile.Write(ref _lastError, ((long)procedure << 32) | (uint)status);
    }

    /// <param name="elapsed">That calls took to become stable, all together, beside what was counted when they had been carried out.</param>
    public void CountSettling(TimeSpan elapsed) => Interlocked.Add(ref _elapsedTicks, elapsed.Ticks);

    public void CountRead(int bytes) => Interlocked.Add(ref _readBytes, bytes);

    public void CountWritten(int bytes) => Interlocked.Add(ref _writtenBytes, bytes);

    public void Opened() => Interlocked.Increment(ref _connections);

    public void Closed() => Interlocked.Decrement(ref _connections);

    public NfsClientInfo Describe(IReadOnlyList<string> mounts)
    {
        long error = Volatile.Read(ref _lastError);
        string text = error == 0 ? "" : $"{Nfs3OpTable.NameOf((uint)(error >> 32))} {(Nfs3Status)(uint)error}";
        return new NfsClientInfo(
            Address, Connections, mounts, Volatile.Read(ref _calls), Volatile.Read(ref _errors), Volatile.Read(ref _readBytes), Volatile.Read(ref _writtenBytes),
            (double)Volatile.Read(ref _elapsedTicks) / TimeSpan.TicksPerMicrosecond, TimeOf(Volatile.Read(ref _lastCall)), text, TimeOf(Volatile.Read(ref _lastErrorAt)));
    }

    private static Timestamp TimeOf(long utcTicks) => utcTicks == 0 ? default : Timestamp.From(new DateTimeOffset(utcTicks, TimeSpan.Zero));
}

/// <summary>
/// All clients by address, and what they have mounted. A client is kept while it is connected, and as one of the last ones for a while after it has gone; mounts are
/// only what MNT and UMNT said, of no consequence for what a client may do.
/// </summary>
internal sealed class NfsClients
{
    /// <summary>Clients without a connection that are remembered; the longest idle are forgotten first.</summary>
    private const int MaxIdle = 1024;

    /// <summary>Mounts remembered per client, and so what DUMP can be made to hold.</summary>
    private const int MaxMountsPerClient = 64;

    private readonly ConcurrentDictionary<ClientAddress, NfsClient> _clients = new();
    private readonly ConcurrentDictionary<ClientAddress, List<string>> _mounts = new();
    private readonly Lock _gate = new();

    /// <summary>The client of a connection; kept as the connection's state, so that finding it costs nothing.</summary>
    public NfsClient Of(IRpcConnection connection) => connection.State as NfsClient ?? Enter(connection);

    public void ConnectionClosed(IRpcConnection connection)
    {
        if (connection.State is not NfsClient client || !ReferenceEquals(connection.SetState(null, client), null))
            return;
        lock (_gate)
        {
            client.Closed();
            if (_clients.Count > MaxIdle)
                ForgetIdle();
        }
    }

    public void Mounted(ClientAddress client, string path)
    {
        lock (_gate)
        {
            List<string> paths = _mounts.GetOrAdd(client, static _ => []);
            if (paths.Contains(path))
                return;
            if (paths.Count == MaxMountsPerClient)
                paths.RemoveAt(0);
            paths.Add(path);
        }
    }

    public void Unmounted(ClientAddress client, string path)
    {
        lock (_gate)
        {
            if (_mounts.TryGetValue(client, out List<string>? paths) && paths.Remove(path) && paths.Count == 0)
                _mounts.TryRemove(client, out _);
        }
    }

    public void UnmountedAll(ClientAddress client)
    {
        lock (_gate)
            _mounts.TryRemove(client, out _);
    }

    /// <summary>What DUMP lists.</summary>
    public IReadOnlyList<(ClientAddress Client, string Path)> Mounts()
    {
        lock (_gate)
            return [.. _mounts.SelectMany(static entry => entry.Value.Select(path => (entry.Key, path)))];
    }

    public IReadOnlyList<NfsClientInfo> Describe()
    {
        lock (_gate)
            return [.. _clients.Values.Select(client => client.Describe(_mounts.TryGetValue(client.Address, out List<string>? paths) ? [.. paths] : []))];
    }

    private NfsClient Enter(IRpcConnection connection)
    {
        lock (_gate)
        {
            if (connection.State is NfsClient known)
                return known;
            NfsClient client = _clients.GetOrAdd(new ClientAddress(connection.Peer.Address), static address => new NfsClient(address));
            if (!ReferenceEquals(connection.SetState(client, null), client))
                throw new InvalidOperationException("the connection's state belongs to another program");
            client.Opened();
            return client;
        }
    }

    private void ForgetIdle()
    {
        foreach (NfsClient idle in _clients.Values.Where(static c => c.Connections == 0).OrderBy(static c => c.LastCallTicks).Take(MaxIdle / 4))
        {
            _clients.TryRemove(idle.Address, out _);
            _mounts.TryRemove(idle.Address, out _);
        }
    }
}
