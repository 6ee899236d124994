using System.Net;
using System.Security.Cryptography;
using Gateway.Admin.Contract;
using Gateway.Configuration;
using Gateway.Nfs;
using Gateway.Nfs.Exports;
using Microsoft.Extensions.Logging;
using StoreCore;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Daemon;

/// <summary>
/// The NFS server as the daemon runs it: started over the store and the exports, registered with rpcbind, and asked by the administrator about its clients.
/// Any thread may call any member.
/// </summary>
internal sealed class NfsService : IDisposable
{
    /// <summary>How long calls in progress may take when the daemon ends; their clients ask whoever serves next.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly NfsServer _server;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly RpcbindKeeper? _rpcbind;

    /// <exception cref="OperatingException">rpcbind is wanted and cannot be had.</exception>
    private NfsService(NfsServer server, RpcbindUse rpcbind, TimeProvider clock, ILogger log)
    {
        _server = server;
        _clock = clock;
        _log = log;
        if (rpcbind == RpcbindUse.No)
            return;

        _rpcbind = new RpcbindKeeper(server.Programs, server.Endpoints, log, out string? error);
        if (error is null)
            return;
        if (rpcbind == RpcbindUse.Yes)
        {
            _rpcbind.Dispose();
            throw new OperatingException(ExitCode.Unavailable, $"NFS: {error}; start rpcbind (package rpcbind)");
        }

        log.LogInformation("NFS is not registered with rpcbind: {Reason}. Clients name the ports themselves (port=, mountport=) and mount with nolock", error);
    }

    /// <summary>Where it listens, for people.</summary>
    public string Listen => string.Join(", ", _server.Endpoints);

    /// <exception cref="OperatingException">An address cannot be listened on, the store does not answer, or rpcbind is wanted and cannot be had.</exception>
    public static NfsService Start(
        StoreStack stack, ExportSet exports, IReadOnlyList<IPEndPoint> listen, RpcbindUse rpcbind, TimeSpan gracePeriod, long budgetBytes, TimeProvider clock,
        ILoggerFactory loggers)
    {
        ILogger log = loggers.CreateLogger<NfsServer>();
        byte[] candidate = RandomNumberGenerator.GetBytes(Limits.SecretBytes), secret = new byte[Limits.SecretBytes];
        FsStatus status = stack.Metadata.GetSecret(candidate, secret);
        if (status != FsStatus.Ok)
            throw new OperatingException(ExitCode.IoError, $"NFS: the store answers {status} when asked for the secret of file handles; look into the daemon's log");

        var options = new NfsServerOptions
        {
            FileSystemId = stack.Metadata.FileSystemId,
            Secret = secret,

            // Another one in each life: what a client has written and not committed may be gone with the one before.
            WriteVerifier = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))),
            NsmPeers = new LockClients(stack.Metadata, log),
            GracePeriod = gracePeriod,
            Rpc = new RpcServerOptions { Listen = [.. listen.Select(at => RpcPeer.From(at.Address, at.Port))], BudgetBytes = budgetBytes },
        };
        NfsServer server = NfsServer.Start(stack.Vfs, exports.Source, options, clock, log, out string? error)
            ?? throw new OperatingException(ExitCode.Busy, $"NFS: {error}; choose another with --nfs");
        try
        {
            return new NfsService(server, rpcbind, clock, log);
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    /// <summary>Stops listening, lets calls in progress end, closes the connections.</summary>
    public void Dispose()
    {
        _rpcbind?.Dispose();
        if (!_server.Stop(Patience))
            _log.LogWarning("NFS: calls in progress were cut off; their clients send them again");
    }

    public NfsInfo Describe(int exports)
    {
        RpcServerState state = _server.State;
        return new NfsInfo(Listen, _rpcbind?.State ?? "not used (nfs.rpcbind = no)", exports, _server.Clients().Count(client => client.Connections > 0), state.Connections, state.Calls.Completed);
    }

    public IReadOnlyList<OperationStat> Operations() =>
    [
        .. _server.Statistics.Procedures().Select(procedure => new OperationStat(
            $"{procedure.Program.ToUpperInvariant()} {procedure.Procedure}", procedure.Count, procedure.Failed, procedure.TotalMicroseconds,
            procedure.QuantileMicroseconds(0.5), procedure.QuantileMicroseconds(0.99), procedure.QuantileMicroseconds(1))),
    ];

    /// <summary>Calls that are being handled now.</summary>
    public IReadOnlyList<LiveOperation> Live() =>
    [
        .. _server.Statistics.Live().Select(call => new LiveOperation(
            $"NFS client {call.Connection.Peer}", $"{call.Program.Name.ToUpperInvariant()} {call.Name}", 0, 0, call.Age.TotalMilliseconds)),
    ];

    public IReadOnlyList<ClientInfo> Clients() => [.. _server.Clients().Select(Describe)];

    /// <exception cref="OperatingException">There is no such client.</exception>
    public EvictReport Evict(string text)
    {
        if (!ClientAddress.TryParse(text, out ClientAddress address))
            throw new OperatingException(ExitCode.Usage, $"client {text} is no address; gatewayctl clients shows them");
        if (!_server.Clients().Any(client => client.Address == address))
            throw new OperatingException(ExitCode.NoInput, $"there is no client {address}; gatewayctl clients shows them");
        int connections = _server.Evict(address);
        _log.LogInformation("NFS client {Address} evicted: {Connections} connections closed", address, connections);
        return new EvictReport(address.ToString(), connections);
    }

    private ClientInfo Describe(NfsClientInfo client)
    {
        double idle = client.LastCall == default ? -1 : Math.Max(0, (_clock.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalSeconds - client.LastCall.Seconds);
        return new ClientInfo(
            client.Address.ToString(), client.Connections, client.Mounts, client.Calls, client.Errors, client.ReadBytes, client.WrittenBytes, client.TotalMicroseconds, idle,
            client.LastError);
    }
}
