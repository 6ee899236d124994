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
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly NlmGranter _granter;
    private readonly ManualResetEventSlim _disposed = new();
    private readonly HashSet<NsmPeer> _monitored = [];
    private readonly long _started;
    private readonly TimeSpan _grace;

    /// <param name="grace">How long clients of an earlier life may ask for their locks again, and nobody for others; none where there was no such client.</param>
    public NlmState(IVfs vfs, INlmCaller caller, INsmPeers peers, TimeSpan grace, TimeProvider clock, ILogger log)
    {
        (_peers, _clock, _log) = (peers, clock, log);
        _started = clock.GetTimestamp();
        _grace = peers.Earlier.Count > 0 ? grace : TimeSpan.Zero;
        _granter = new NlmGranter(vfs, caller, clock, log);
        Waits = new NlmWaits(vfs, _granter);
        Hosts = new NlmHosts(vfs) { Dropped = Drop };
        if (IsInGrace)
            new Thread(() => TellRestart(caller)) { IsBackground = true, Name = "nsm notify" }.Start();
    }

    public NlmHosts Hosts { get; }

    public NlmWaits Waits { get; }

    public NlmShares Shares { get; } = new();

    /// <summary>Clients that have a lock and were not told yet.</summary>
    public int GrantsPending => _granter.Count;

    public int NsmStateNumber => _peers.State;

    public bool IsInGrace => _grace > TimeSpan.Zero && _clock.GetElapsedTime(_started) < _grace;

    public void Dispose()
    {
        _disposed.Set();
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
    /// do, for a client may come back with another address.
    /// </summary>
    public void ClientRebooted(ReadOnlySpan<byte> name, RpcPeer from)
    {
        string text = Encoding.UTF8.GetString(name);
        var address = new ClientAddress(from.Address);
        bool isTrusted = from.Port < ExportTable.FirstUnprivilegedPort;
        int count = Hosts.Release(host => host.Name == text && (isTrusted || host.Address == address));
        if (count > 0)
            LogRebooted(text, address);
    }

    /// <summary>An administrator drops a client's locks.</summary>
    public int Evict(ClientAddress address) => Hosts.Release(host => host.Address == address);

    /// <summary>Tells the clients of an earlier life that their locks are gone, so that they ask for them again; over and over until the time for that is over.</summary>
    private void TellRestart(INlmCaller caller)
    {
        List<NsmPeer> left = [.. _peers.Earlier];
        while (left.Count > 0 && IsInGrace && !_disposed.IsSet)
        {
            left.RemoveAll(peer => caller.Restarted(peer.Address, peer.Server, _peers.State));
            _disposed.Wait(NotifyPause);
        }

        foreach (NsmPeer peer in left)
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

    [LoggerMessage(Level = LogLevel.Information, Message = "client {Name} has rebooted (told by {Address}): its locks are dropped")]
    private partial void LogRebooted(string name, ClientAddress address);

    [LoggerMessage(Level = LogLevel.Warning, Message = "client {Name} ({Address}) held locks before this start and could not be told of it: it goes on as if it held them")]
    private partial void LogNotTold(string name, ClientAddress address);
}
