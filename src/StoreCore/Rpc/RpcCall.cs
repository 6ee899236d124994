namespace StoreCore.Rpc;

/// <summary>
/// One call, as its program sees it: who asks for what. The arguments are in the reader beside it. Lives no longer than the call.
/// </summary>
public readonly ref struct RpcCall
{
    /// <summary>The client's number of the call; a retransmission has the same.</summary>
    public required uint Xid { get; init; }

    public required uint Program { get; init; }

    public required uint Version { get; init; }

    public required uint Procedure { get; init; }

    /// <summary>The flavor of the credential: <see cref="RpcAuthFlavor.None"/> or <see cref="RpcAuthFlavor.Sys"/> so far.</summary>
    public required RpcAuthFlavor Flavor { get; init; }

    /// <summary>Meaningless (<see cref="RpcIdentity.Nobody"/>) for <see cref="RpcAuthFlavor.None"/>, as are the groups.</summary>
    public required uint Uid { get; init; }

    public required uint Gid { get; init; }

    /// <summary>Supplementary groups, at most <see cref="RpcProtocol.MaxGroups"/>, as sent: in any order, perhaps with repetitions.</summary>
    public required ReadOnlySpan<uint> Groups { get; init; }

    /// <summary>The client's address and port; a port below 1024 is what "secure" exports ask for.</summary>
    public required RpcPeer Peer { get; init; }

    public required IRpcConnection Connection { get; init; }
}
