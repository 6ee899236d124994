using System.Buffers.Binary;
using System.Text;
using Gateway.Nfs.Exports;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Rpc;

namespace Gateway.Nfs.Nlm;

/// <summary>A client that is to be told when the server has restarted, so that it asks for its locks again.</summary>
/// <param name="Name">What it calls itself.</param>
/// <param name="Server">The address of ours by which it knows us.</param>
public sealed record NsmPeer(string Name, ClientAddress Address, ClientAddress Server);

/// <summary>Remembers over restarts who held locks, as statd does in /var/lib/nfs/sm. Called rarely; any thread; stable on return.</summary>
public interface INsmPeers
{
    /// <summary>Those who were added in earlier lives and not removed.</summary>
    IReadOnlyList<NsmPeer> Earlier { get; }

    /// <summary>The number of this life: odd, and two more than that of the last (X/Open XNFS, chapter 11).</summary>
    int State { get; }

    void Add(NsmPeer peer);

    void Remove(NsmPeer peer);
}

/// <summary>Forgets all with the process: after a restart no client is told, and none may reclaim.</summary>
public sealed class ForgetfulNsmPeers : INsmPeers
{
    public IReadOnlyList<NsmPeer> Earlier => [];

    public int State => 1;

    public void Add(NsmPeer peer)
    {
    }

    public void Remove(NsmPeer peer)
    {
    }
}

/// <summary>What the lock manager and the status monitor of one server share. Any thread.</summary>
internal sealed partial class NlmState : IDisposable
{
    private static readonly TimeSpan NotifyPause = TimeSpan.FromSeconds(5);

    private readonly byte[] _key = System.Security.Cryptography.RandomNumberGenerator.GetBytes(SipHash128.KeyBytes);
    private readonly INsmPeers _peers;
    private readonly ILogger _log;
    private readonly NlmGranter _granter;
    private readonly ManualResetEventSlim _disposed = new();
    private readonly HashSet<NsmPeer> _monitored = [];

    /// <param name="grace">How long clients of an earlier life may ask for their locks again, and nobody for others; none where there was no such client.</param>
    public NlmState(IVfs vfs, INlmCaller caller, INsmPeers peers, TimeSpan grace, TimeProvider clock, ILogger log)
    {
        (_peers, _log) = (peers, log);
        Grace = new NlmGrace(vfs, peers.Earlier, grace, clock, GraceEnded);
        _granter = new NlmGranter(vfs, caller, clock, log);
        Waits = new NlmWaits(vfs, _granter);
        Hosts = new NlmHosts(vfs) { Dropped = Drop };
        if (Grace.IsOver)
            return;
        LogGrace(peers.Earlier.Count, grace.TotalSeconds);
        new Thread(() => TellRestart(caller)) { IsBackground = true, Name = "nsm notify" }.Start();
    }

    public NlmHosts Hosts { get; }

    public NlmWaits Waits { get; }

    public NlmShares Shares { get; } = new();

    /// <summary>Clients that have a lock and were not told yet.</summary>
    public int GrantsPending => _granter.Count;

    public int NsmStateNumber => _peers.State;

    public NlmGrace Grace { get; }

    public void Dispose()
    {
        _disposed.Set();
        Grace.Dispose();
        _granter.Dispose();
    }

    /// <summary>What tells owners of one client apart.</summary>
    public UInt128 HashOwner(ReadOnlySpan<byte> owner, uint svid)
    {
        Span<byte> bytes = stackalloc byte[NlmLock.MaxStringBytes + sizeof(uint)];
        owner.CopyTo(bytes);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[owner.Length..], svid);
        return SipHash128.Compute(_key, bytes[..(owner.Length + sizeof(uint))]);
    }

    /// <summary>The client holds locks: it is to be told of a restart.</summary>
    public void Monitor(NlmHost host, RpcPeer local)
    {
        var peer = new NsmPeer(host.Name, host.Address, new ClientAddress(local.Address));
        lock (_monitored)
        {
            if (!_monitored.Add(peer))
                return;
            _peers.Add(peer);
        }
    }

    /// <summary>
    /// A client says that it has rebooted. Its word counts for its own address; from another one only if it comes from a privileged port, as status monitors'
    /// do, for a client may come back with another address. A datagram's sender is not proven: there the name must be that of a client at its address.
    /// </summary>
    public void ClientRebooted(ReadOnlySpan<byte> name, RpcPeer from, bool isDatagram)
    {
        string text = Encoding.UTF8.GetString(name);
        var address = new ClientAddress(from.Address);
        bool isTrusted = !isDatagram && from.Port < ExportTable.FirstUnprivilegedPort;
        if (Release((client, at) => client == text && (isTrusted || at == address)) > 0)
            LogRebooted(text, address);
    }

    /// <summary>An administrator drops a client's locks.</summary>
    public void Evict(ClientAddress address) => Release((_, at) => at == address);

    /// <summary>Drops the locks of clients, and waits no more for those that had some before the start.</summary>
    /// <returns>How many clients there were.</returns>
    private int Release(Func<string, ClientAddress, bool> which)
    {
        int count = Hosts.Release(host => which(host.Name, host.Address));
        foreach (NsmPeer peer in _peers.Earlier.Where(peer => which(peer.Name, peer.Address)))
        {
            if (ForgetUnlessMonitored(peer))
                count++;
            Grace.Lost(peer.Name, peer.Address);
        }

        return count;
    }

    /// <summary>A client of an earlier life that holds nothing in this one is not to be told of the next start.</summary>
    private bool ForgetUnlessMonitored(NsmPeer peer)
    {
        lock (_monitored)
        {
            if (_monitored.Contains(peer))
                return false;
            _peers.Remove(peer);
            return true;
        }
    }

    /// <summary>Who has not asked for its locks by now has lost them.</summary>
    private void GraceEnded()
    {
        LogGraceOver();
        if (_disposed.IsSet)
            return; // not over but cut off: the next start waits for them again
        foreach (NsmPeer peer in _peers.Earlier)
            ForgetUnlessMonitored(peer);
    }

    /// <summary>Tells the clients of an earlier life that their locks are gone, so that they ask for them again; over and over until the time for that is over.</summary>
    private void TellRestart(INlmCaller caller)
    {
        List<NsmPeer> left = [.. _peers.Earlier];
        while (left.Count > 0 && !Grace.IsOver && !_disposed.IsSet)
        {
            left.RemoveAll(peer => !Grace.Expects(peer) || caller.Restarted(peer.Address, peer.Server, _peers.State));
            _disposed.Wait(NotifyPause);
        }

        foreach (NsmPeer peer in left.Where(Grace.Expects))
            LogNotTold(peer.Name, peer.Address);
    }

    private void Drop(NlmHost host)
    {
        Waits.CancelSession(host.Session);
        Shares.ReleaseSession(host.Session);
        lock (_monitored)
        {
            foreach (NsmPeer peer in _monitored.Where(peer => peer.Name == host.Name && peer.Address == host.Address).ToArray())
            {
                _monitored.Remove(peer);
                _peers.Remove(peer);
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "{Count} NFS clients may have held locks before this start: they are told to ask for them again; other POSIX locks wait until they have, {Seconds} s at most")]
    private partial void LogGrace(int count, double seconds);

    [LoggerMessage(Level = LogLevel.Information, Message = "locks are given to everybody again")]
    private partial void LogGraceOver();

    [LoggerMessage(Level = LogLevel.Information, Message = "client {Name} has rebooted (told by {Address}): its locks are dropped")]
    private partial void LogRebooted(string name, ClientAddress address);

    [LoggerMessage(Level = LogLevel.Warning, Message = "client {Name} ({Address}) held locks before this start and could not be told of it: it goes on as if it held them")]
    private partial void LogNotTold(string name, ClientAddress address);
}
