using Gateway.Nfs.Exports;
using Gateway.Nfs.Nlm;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>What a server needs to know that is not in its exports.</summary>
public sealed record NfsServerOptions
{
    /// <summary>The identity given to the file system at its creation.</summary>
    public required Guid FileSystemId { get; init; }

    /// <summary>The cluster's secret, at least 16 bytes: handles are authenticated by it.</summary>
    public required ReadOnlyMemory<byte> Secret { get; init; }

    /// <summary>
    /// The write verifier: another value in each life of the process that holds unstable data, and the same throughout one (RFC 1813 §3.3.7).
    /// </summary>
    public required ulong WriteVerifier { get; init; }

    public required RpcServerOptions Rpc { get; init; }

    /// <summary>Who is to be told of a restart; forgotten with the process by default.</summary>
    public INsmPeers NsmPeers { get; init; } = new ForgetfulNsmPeers();

    /// <summary>How long after a start only locks of before it are given, if there were any.</summary>
    public TimeSpan GracePeriod { get; init; } = TimeSpan.FromSeconds(45);
}

/// <summary>What the server counts beside the calls (<see cref="NfsServer.Statistics"/>).</summary>
/// <param name="RepeatedAnswers">Retransmissions that got their first answer from memory.</param>
/// <param name="DroppedDuplicates">Retransmissions passed over, since the first was in progress.</param>
/// <param name="LockWaits">Locks that clients wait for.</param>
/// <param name="LockGrants">Locks whose clients were not reached yet.</param>
/// <param name="LockClients">Clients that have locked something.</param>
public readonly record struct NfsServerCounters(long RepeatedAnswers, long DroppedDuplicates, int LockWaits, int LockGrants, int LockClients);

/// <summary>
/// The whole of the NFS front end: NFS 3, MOUNT, NFSACL, NLM 4 and NSM on one TCP port, and NSM on the UDP port of the same number, over a file system. Exports may change at any time
/// through their source. Any thread.
/// </summary>
public sealed class NfsServer : IDisposable
{
    private readonly NfsContext _context;
    private readonly NlmState _locks;
    private readonly RpcDispatcher _dispatcher;
    private readonly RpcServer _server;
    private readonly IReadOnlyList<RpcDatagramServer> _datagrams;

    private NfsServer(NfsContext context, NlmState locks, RpcDispatcher dispatcher, RpcServer server, IReadOnlyList<RpcDatagramServer> datagrams) =>
        (_context, _locks, _dispatcher, _server, _datagrams) = (context, locks, dispatcher, server, datagrams);

    /// <summary>Where it listens, with the ports that were chosen.</summary>
    public IReadOnlyList<RpcPeer> Endpoints => _server.Endpoints;

    /// <summary>Calls and latencies by procedure, calls in progress.</summary>
    public RpcStatistics Statistics => _dispatcher.Statistics;

    /// <summary>The programs, for registration with rpcbind.</summary>
    public IReadOnlyList<IRpcProgram> Programs => _dispatcher.Programs;

    public RpcServerState State => _server.State();

    public IReadOnlyList<RpcConnectionInfo> Connections => _server.Connections();

    public NfsServerCounters Counters =>
        new(_context.Replies.Repeated, _context.Replies.Dropped, _locks.Waits.Count, _locks.GrantsPending, _locks.Hosts.Count);

    /// <summary>Listens and serves until <see cref="Stop"/>.</summary>
    /// <param name="error">Why not, one line for people.</param>
    public static NfsServer? Start(
        IVfs vfs, ExportTableSource exports, NfsServerOptions options, TimeProvider clock, ILogger log, out string? error)
    {
        var context = new NfsContext
        {
            Vfs = vfs,
            Exports = exports,
            Handles = new NfsHandleCodec(options.FileSystemId, options.Secret.Span),
            WriteVerifier = options.WriteVerifier,
            RequestIds = new NfsRequestIds(options.Secret.Span),
            Clock = clock,
            Log = log,
        };
        var locks = new NlmState(vfs, new NlmCaller(), options.NsmPeers, options.GracePeriod, clock, log);
        var events = new NfsEvents(log);
        var dispatcher = new RpcDispatcher(ProgramsOf(context, locks), events, clock);
        RpcServer? server = RpcServer.Start(options.Rpc, dispatcher, events, clock, out error);
        List<RpcDatagramServer> datagrams = [];
        if (server is not null)
        {
            if (ServeDatagrams(server.Endpoints, dispatcher, events, datagrams, out error))
                return new NfsServer(context, locks, dispatcher, server, datagrams);
            datagrams.ForEach(static one => one.Dispose());
            server.Dispose();
        }

        locks.Dispose();
        return null;
    }

    /// <summary>Listens by UDP wherever it does by TCP.</summary>
    private static bool ServeDatagrams(
        IReadOnlyList<RpcPeer> endpoints, RpcDispatcher dispatcher, IRpcEvents events, List<RpcDatagramServer> servers, out string? error)
    {
        error = null;
        foreach (RpcPeer endpoint in endpoints)
        {
            if (RpcDatagramServer.Start(endpoint, dispatcher, events, out error) is not { } one)
                return false;
            servers.Add(one);
        }

        return true;
    }

    /// <summary>All clients that are connected, and the last ones that were.</summary>
    public IReadOnlyList<NfsClientInfo> Clients() => _context.Clients.Describe();

    /// <summary>Cuts a client's connections and drops its locks. Its handles stay good: what it may do is for the exports to say.</summary>
    /// <returns>Connections cut.</returns>
    public int Evict(ClientAddress client)
    {
        int count = _server.CloseConnections(connection => connection.Peer.Address == client.Bits, "evicted by the administrator", reset: true);
        _locks.Evict(client);
        _context.Clients.UnmountedAll(client);
        return count;
    }

    /// <summary>Stops accepting, lets calls in progress end for as long as <paramref name="patience"/>, closes all.</summary>
    /// <returns>Whether everything ended in order.</returns>
    public bool Stop(TimeSpan patience)
    {
        foreach (RpcDatagramServer server in _datagrams)
            server.Dispose();
        bool isInOrder = _server.Stop(patience);
        _locks.Dispose();
        return isInOrder;
    }

    public void Dispose() => Stop(TimeSpan.FromSeconds(5));

    internal static IRpcProgram[] ProgramsOf(NfsContext context, NlmState locks) =>
        [new Nfs3Program(context), new MountProgram(context), new NlmProgram(context, locks), new NsmProgram(context, locks), new NfsAclProgram(context)];
}
