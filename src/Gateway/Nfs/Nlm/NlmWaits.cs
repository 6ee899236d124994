using Gateway.Vfs;
using StoreCore.Primitives;

namespace Gateway.Nfs.Nlm;

/// <summary>
/// Locks that clients wait for. The lock table completes a wait from any thread; the client is then called back by <see cref="NlmGranter"/>. A client asks
/// again every half minute as long as it waits: that finds its wait here and adds none.
/// </summary>
internal sealed class NlmWaits(IVfs vfs, NlmGranter granter)
{
    /// <summary>Waits of all clients together; beyond it a lock that would wait is refused for want of room.</summary>
    private const int MaxWaits = 65536;

    private readonly Lock _gate = new();
    private readonly Dictionary<(InodeId Inode, VfsLock Wanted), Wait> _waits = [];

    public int Count
    {
        get
        {
            lock (_gate)
                return _waits.Count;
        }
    }

    /// <summary>Asks for the lock, and waits for it where somebody stands in the way.</summary>
    public NlmStatus Lock(NlmGrant grant)
    {
        var wait = new Wait(this, grant);
        lock (_gate)
        {
            if (_waits.Count >= MaxWaits)
                return NlmStatus.NoLocks;
            if (!_waits.TryAdd((grant.Inode, grant.Lock), wait))
                return NlmStatus.Blocked;
        }

        FsStatus status = FsStatus.IoError;
        bool isPending = false;
        try
        {
            status = vfs.SetLock(grant.Inode, VfsLockSpace.Posix, grant.Lock, wait, out isPending);
        }
        finally
        {
            if (!isPending)
                Remove(wait);
        }

        if (!isPending)
            return NlmProgram.StatusOf(status);
        if (!wait.IsCancelled)
            return NlmStatus.Blocked;

        // A CANCEL has overtaken the registration and could not withdraw it.
        TakeBack(wait);
        return NlmStatus.Denied;
    }

    /// <summary>Withdraws a wait; false where there is none.</summary>
    public bool Cancel(InodeId inode, in VfsLock wanted)
    {
        Wait? wait;
        lock (_gate)
        {
            if (!_waits.Remove((inode, wanted), out wait))
                return false;
        }

        TakeBack(wait);
        return true;
    }

    /// <summary>Withdraws all waits of an owner that an unlock covers.</summary>
    public void CancelOverlapping(InodeId inode, in VfsLock range)
    {
        VfsLock unlocked = range;
        Withdraw(wait => wait.Grant.Inode == inode && wait.Grant.Lock.Owner == unlocked.Owner
            && wait.Grant.Lock.Start <= unlocked.End && unlocked.Start <= wait.Grant.Lock.End);
        granter.Forget(grant => grant.Inode == inode && grant.Lock.Owner == unlocked.Owner
            && grant.Lock.Start <= unlocked.End && unlocked.Start <= grant.Lock.End);
    }

    /// <summary>A client's session ends.</summary>
    public void CancelSession(int session)
    {
        Withdraw(wait => wait.Grant.Lock.Owner.Session == session);
        granter.Forget(grant => grant.Lock.Owner.Session == session);
    }

    private void Withdraw(Func<Wait, bool> which)
    {
        Wait[] gone;
        lock (_gate)
        {
            if (_waits.Count == 0)
                return;
            gone = [.. _waits.Values.Where(which)];
            foreach (Wait wait in gone)
                _waits.Remove((wait.Grant.Inode, wait.Grant.Lock));
        }

        foreach (Wait wait in gone)
            TakeBack(wait);
    }

    /// <summary>Ends a wait that is in no list any more: where it was granted this very moment, nobody would be told, so the lock is given back.</summary>
    private void TakeBack(Wait wait)
    {
        wait.IsCancelled = true;
        if (!vfs.CancelLock(wait.Grant.Inode, VfsLockSpace.Posix, wait))
            vfs.SetLock(wait.Grant.Inode, VfsLockSpace.Posix, wait.Grant.Lock with { Kind = VfsLockKind.Unlock }, null, out _);
    }

    private bool Remove(Wait wait)
    {
        lock (_gate)
        {
            (InodeId, VfsLock) key = (wait.Grant.Inode, wait.Grant.Lock);
            return _waits.TryGetValue(key, out Wait? there) && ReferenceEquals(there, wait) && _waits.Remove(key);
        }
    }

    private sealed class Wait(NlmWaits owner, NlmGrant grant) : IVfsLockWaiter
    {
        private volatile bool _isCancelled;

        public NlmGrant Grant => grant;

        public bool IsCancelled
        {
            get => _isCancelled;
            set => _isCancelled = value;
        }

        /// <summary>A wait that failed is not told: the client asks again by itself and learns it then.</summary>
        public void Complete(FsStatus status)
        {
            if (owner.Remove(this) && status == FsStatus.Ok)
                owner.Granter.Enqueue(grant);
        }
    }

    private NlmGranter Granter => granter;
}
