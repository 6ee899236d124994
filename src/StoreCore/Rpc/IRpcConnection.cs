namespace StoreCore.Rpc;

/// <summary>What a program sees of the connection that a call came over.</summary>
public interface IRpcConnection
{
    /// <summary>Counted from 1 in the order of connecting, never used twice by one server.</summary>
    long Id { get; }

    /// <summary>The client's end.</summary>
    RpcPeer Peer { get; }

    /// <summary>Our end: which of our addresses the client came to.</summary>
    RpcPeer Local { get; }

    /// <summary>The call came in one datagram: there is no connection, and nothing shows that <see cref="Peer"/> has sent it.</summary>
    bool IsDatagram => false;

    /// <summary>
    /// State that a program keeps with the connection; null at first, dropped with it. Calls of one connection run on several threads at once:
    /// whoever sets it does so with <see cref="SetState"/>, and its content looks after its own locking.
    /// </summary>
    object? State { get; }

    /// <summary>Sets <see cref="State"/> if it is still <paramref name="expected"/>; returns what is there now.</summary>
    object? SetState(object? state, object? expected);
}
