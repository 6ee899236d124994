using Gateway.Nfs.Exports;
using Gateway.Vfs;

namespace Gateway.Nfs.Nlm;

/// <summary>
/// The time after a start in which clients that had locks before it get them back, and nobody gets others: neither NFS clients nor, through
/// <see cref="IVfs.BeginLockGrace"/>, programs on a mount. It ends when its time is up, or as soon as none of these clients can have a lock any more: each has rebooted or was
/// dropped by an administrator. There is none where no client had locks. Any thread.
/// </summary>
/// <remarks>That a client has got back all it had cannot be known: NLM has no word for it, and Linux asks for new locks while it reclaims the old ones.</remarks>
internal sealed class NlmGrace : IDisposable
{
    private readonly IVfs _vfs;
    private readonly Action _ended;
    private readonly Lock _gate = new();
    private readonly HashSet<(string Name, ClientAddress Address)> _expected;
    private readonly ITimer? _timer;
    private volatile bool _isOver;

    /// <param name="ended">Called once, when it is over; not where it never was.</param>
    public NlmGrace(IVfs vfs, IEnumerable<NsmPeer> earlier, TimeSpan length, TimeProvider clock, Action ended)
    {
        (_vfs, _ended) = (vfs, ended);
        _expected = [.. earlier.Select(static peer => (peer.Name, peer.Address))];
        _isOver = _expected.Count == 0 || length <= TimeSpan.Zero;
        if (_isOver)
            return;
        vfs.BeginLockGrace();
        _timer = clock.CreateTimer(_ => End(), null, length, Timeout.InfiniteTimeSpan);
    }

    public bool IsOver => _isOver;

    /// <summary>Whether the client may still have locks of before the start, or might have had when the time was up.</summary>
    public bool Expects(NsmPeer peer)
    {
        lock (_gate)
            return _expected.Contains((peer.Name, peer.Address));
    }

    /// <summary>The client has no locks of before the start any more.</summary>
    public void Lost(string name, ClientAddress address)
    {
        if (_isOver)
            return;
        lock (_gate)
        {
            _expected.Remove((name, address));
            if (_expected.Count > 0)
                return;
        }

        End();
    }

    /// <summary>The server stops: whoever waits is served as if it were over.</summary>
    public void Dispose() => End();

    private void End()
    {
        lock (_gate)
        {
            if (_isOver)
                return;
            _isOver = true;
        }

        _timer?.Dispose();
        _vfs.EndLockGrace();
        _ended();
    }
}
