using Microsoft.Extensions.Logging;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>What happens on the RPC level, into the log: connections at debug, the rest so that it is seen.</summary>
internal sealed partial class NfsEvents(ILogger log) : IRpcEvents
{
    public void Defect(IRpcProgram program, uint version, uint procedure, Exception fault) =>
        LogDefect(fault, program.Name, version, program.ProcedureName(procedure));

    public void ConnectionOpened(IRpcConnection connection) => LogOpened(connection.Peer);

    public void ConnectionClosed(IRpcConnection connection, string reason) => LogClosed(connection.Peer, reason);

    public void ServerFault(string what, Exception? fault) => LogServer(fault, what);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Program} {Version} {Procedure} failed by a defect and was answered with SYSTEM_ERR")]
    private partial void LogDefect(Exception fault, string program, uint version, string procedure);

    [LoggerMessage(Level = LogLevel.Debug, Message = "client {Peer} connected")]
    private partial void LogOpened(RpcPeer peer);

    [LoggerMessage(Level = LogLevel.Debug, Message = "client {Peer} is gone: {Reason}")]
    private partial void LogClosed(RpcPeer peer, string reason);

    [LoggerMessage(Level = LogLevel.Error, Message = "NFS server: {What}")]
    private partial void LogServer(Exception? fault, string what);
}
