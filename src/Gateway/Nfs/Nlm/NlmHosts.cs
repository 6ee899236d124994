using System.Text;
using Gateway.Nfs.Exports;
using Gateway.Vfs;

namespace Gateway.Nfs.Nlm;

/// <summary>A client that locks: its name, where it calls from, and its session in the lock table, to which all its locks belong.</summary>
internal sealed class NlmHost(string name, ClientAddress address, int session)
{
    private int _state;

    public string Name { get; } = name;

    public ClientAddress Address { get; } = address;

    public int Session { get; } = session;

    /// <summary>Takes note of the client's NSM state, which its status monitor counts up at each start; true if it is another one than before: the client has rebooted.</summary>
    public bool HasRebooted(int state)
    {
        if (state == 0)
            return false; // a client whose status monitor has not told it yet
        int before = Interlocked.Exchange(ref _state, state);
        return before != 0 && before != state;
    }
}

/// <summary>
/// Clients by name and address. One host may call itself what it likes, but no other's locks can be reached from its address. Any thread.
/// </summary>
internal sealed class NlmHosts(IVfs vfs)
{
    /// <summary>Lock sessions of NLM clients are numbered from here; mounts count from 1.</summary>
    private const int FirstSession = 0x4000_0000;

    /// <summary>More clients than this get no locks; each costs some hundred bytes for as long as the server runs.</summary>
    private const int MaxHosts = 16384;

    private readonly Lock _gate = new();
    private readonly Dictionary<(string Name, ClientAddress Address), NlmHost> _hosts = [];
    private int _nextSession = FirstSession;

    /// <summary>Called when all locks of a host have been dropped.</summary>
    public Action<NlmHost>? Dropped { get; set; }

    public int Count
    {
        get
        {
            lock (_gate)
                return _hosts.Count;
        }
    }

    /// <summary>Null where there are too many.</summary>
    public NlmHost? Get(ReadOnlySpan<byte> name, ClientAddress address)
    {
        string text = Encoding.UTF8.GetString(name);
        lock (_gate)
        {
            if (_hosts.TryGetValue((text, address), out NlmHost? host))
                return host;
            if (_hosts.Count >= MaxHosts)
                return null;
            host = new NlmHost(text, address, _nextSession++);
            _hosts.Add((text, address), host);
            return host;
        }
    }

    /// <summary>Drops all locks, held and waited for, of hosts with this name, or at this address.</summary>
    public int Release(Func<NlmHost, bool> which)
    {
        NlmHost[] released;
        lock (_gate)
            released = [.. _hosts.Values.Where(which)];
        foreach (NlmHost host in released)
            Release(host);
        return released.Length;
    }

    public void Release(NlmHost host)
    {
        Dropped?.Invoke(host);
        vfs.ReleaseSession(host.Session);
    }
}
