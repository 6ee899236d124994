using StoreCore.Primitives;

namespace Gateway.Nfs.Nlm;

/// <summary>
/// DOS share reservations (SHARE, UNSHARE): what an opener wants to do (access) and forbids others (mode). They see each other only, as on other servers. Any thread.
/// </summary>
internal sealed class NlmShares
{
    /// <summary>Reservations of all clients together.</summary>
    private const int MaxShares = 65536;

    private readonly record struct Share(int Session, UInt128 Owner, uint Mode, uint Access);

    private readonly Lock _gate = new();
    private readonly Dictionary<InodeId, List<Share>> _shares = [];
    private int _count;

    /// <param name="mode">Denied to others: 1 reading, 2 writing.</param>
    /// <param name="access">Wanted: 1 reading, 2 writing.</param>
    public NlmStatus Add(InodeId inode, int session, UInt128 owner, uint mode, uint access)
    {
        lock (_gate)
        {
            if (!_shares.TryGetValue(inode, out List<Share>? shares))
                _shares[inode] = shares = [];
            int own = shares.FindIndex(share => share.Session == session && share.Owner == owner);
            for (int i = 0; i < shares.Count; i++)
            {
                if (i != own && ((shares[i].Mode & access) != 0 || (shares[i].Access & mode) != 0))
                    return NlmStatus.Denied;
            }

            if (own >= 0)
            {
                shares[own] = new Share(session, owner, mode, access);
                return NlmStatus.Granted;
            }

            if (_count == MaxShares)
                return NlmStatus.NoLocks;
            shares.Add(new Share(session, owner, mode, access));
            _count++;
            return NlmStatus.Granted;
        }
    }

    public void Remove(InodeId inode, int session, UInt128 owner) => RemoveWhere(inode, share => share.Session == session && share.Owner == owner);

    public void ReleaseSession(int session)
    {
        lock (_gate)
        {
            foreach (InodeId inode in _shares.Keys.ToArray())
                RemoveWhere(inode, share => share.Session == session);
        }
    }

    private void RemoveWhere(InodeId inode, Predicate<Share> which)
    {
        lock (_gate)
        {
            if (!_shares.TryGetValue(inode, out List<Share>? shares))
                return;
            _count -= shares.RemoveAll(which);
            if (shares.Count == 0)
                _shares.Remove(inode);
        }
    }
}
