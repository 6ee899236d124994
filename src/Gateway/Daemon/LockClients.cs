using Gateway.Admin.Contract;
using Gateway.Nfs.Exports;
using Gateway.Nfs.Nlm;
using Microsoft.Extensions.Logging;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>
/// Keeps in the metadata which NFS clients hold locks, so that whoever serves next can tell them to ask for these again. Any thread.
/// </summary>
internal sealed class LockClients : INsmPeers
{
    private readonly IMetadata _metadata;
    private readonly ILogger _log;
    private readonly Lock _gate = new();
    private readonly Dictionary<NsmPeer, uint> _ids = [];
    private uint _last;

    /// <exception cref="OperatingException">The store does not answer.</exception>
    public LockClients(IMetadata metadata, ILogger log)
    {
        _metadata = metadata;
        _log = log;
        FsStatus status = metadata.BeginLockService(out int life, out IReadOnlyList<LockClient> earlier);
        if (status != FsStatus.Ok)
            throw new OperatingException(ExitCode.IoError, $"NFS: the store answers {status} when asked who held locks; look into the daemon's log");
        State = life;
        foreach (LockClient client in earlier)
        {
            _ids[PeerOf(client)] = client.Id;
            _last = Math.Max(_last, client.Id);
        }

        Earlier = [.. _ids.Keys];
    }

    public IReadOnlyList<NsmPeer> Earlier { get; }

    public int State { get; }

    public void Add(NsmPeer peer)
    {
        lock (_gate)
        {
            if (_ids.ContainsKey(peer))
                return;
            FsStatus status = _metadata.PutLockClient(new LockClient(++_last, peer.Name, peer.Address.Bits, peer.Server.Bits));
            if (status == FsStatus.Ok)
                _ids.Add(peer, _last);
            else
                _log.LogError("client {Name} at {Address} holds locks and will not be told of a restart: the store answers {Status}", peer.Name, peer.Address, status);
        }
    }

    public void Remove(NsmPeer peer)
    {
        lock (_gate)
        {
            if (!_ids.Remove(peer, out uint id))
                return;
            FsStatus status = _metadata.RemoveLockClient(id);
            if (status != FsStatus.Ok)
                _log.LogError("client {Name} at {Address} holds no locks any more and will be told of a restart all the same: the store answers {Status}", peer.Name, peer.Address, status);
        }
    }

    private static NsmPeer PeerOf(LockClient client) => new(client.Name, new ClientAddress(client.Address), new ClientAddress(client.Server));
}
