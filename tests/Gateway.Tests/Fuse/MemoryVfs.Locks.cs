using Gateway.Vfs;
using StoreCore.Primitives;

namespace Gateway.Tests.Fuse;

/// <summary>Locks, whole ones only: a lock is released as it was taken.</summary>
internal sealed partial class MemoryVfs
{
    private readonly object _lockGate = new();
    private readonly List<(ulong Inode, VfsLockSpace Space, VfsLock Lock)> _locks = [];
    private readonly List<(ulong Inode, VfsLockSpace Space, VfsLock Lock, IVfsLockWaiter Waiter)> _waiting = [];

    public FsStatus GetLock(InodeId inode, VfsLockSpace space, in VfsLock wanted, out VfsLock conflict)
    {
        lock (_lockGate)
            conflict = Conflict(inode, space, wanted) ?? default;
        return FsStatus.Ok;
    }

    public FsStatus SetLock(InodeId inode, VfsLockSpace space, in VfsLock wanted, IVfsLockWaiter? waiter, out bool pending, bool isReclaim = false)
    {
        pending = false;
        VfsLock lockWanted = wanted;
        List<IVfsLockWaiter> granted = [];
        lock (_lockGate)
        {
            if (Conflict(inode, space, wanted) is not null)
            {
                pending = waiter is { WaitsForOwners: true };
                if (waiter is not { WaitsForOwners: true })
                    return FsStatus.WouldBlock;
                _waiting.Add((inode.Value, space, wanted, waiter));
                return FsStatus.Ok;
            }

            _locks.RemoveAll(held => held.Inode == inode.Value && held.Space == space && held.Lock.Owner == lockWanted.Owner);
            if (wanted.Kind != VfsLockKind.Unlock)
                _locks.Add((inode.Value, space, wanted));
            Grant(granted);
        }

        granted.ForEach(static waiter => waiter.Complete(FsStatus.Ok));
        return FsStatus.Ok;
    }

    public bool CancelLock(InodeId inode, VfsLockSpace space, IVfsLockWaiter waiter)
    {
        lock (_lockGate)
            return _waiting.RemoveAll(entry => entry.Waiter == waiter) > 0;
    }

    public void ReleaseSession(int session)
    {
        List<IVfsLockWaiter> granted = [];
        lock (_lockGate)
        {
            _locks.RemoveAll(held => held.Lock.Owner.Session == session);
            Grant(granted);
        }

        granted.ForEach(static waiter => waiter.Complete(FsStatus.Ok));
    }

    public void BeginLockGrace()
    {
    }

    public void EndLockGrace()
    {
    }

    private FsStatus DropLocks(InodeId inode, VfsLockSpace space, VfsLockOwner owner)
    {
        lock (_lockGate)
        {
            if (_locks.Count == 0)
                return FsStatus.Ok;
        }

        return SetLock(inode, space, new VfsLock(VfsLockKind.Unlock, 0, ulong.MaxValue, owner, 0), null, out _);
    }

    private VfsLock? Conflict(InodeId inode, VfsLockSpace space, VfsLock wanted)
    {
        if (wanted.Kind == VfsLockKind.Unlock)
            return null;
        foreach (var held in _locks)
        {
            if (held.Inode == inode.Value && held.Space == space && held.Lock.Owner != wanted.Owner
                && held.Lock.Start <= wanted.End && wanted.Start <= held.Lock.End
                && (held.Lock.Kind == VfsLockKind.Exclusive || wanted.Kind == VfsLockKind.Exclusive))
            {
                return held.Lock;
            }
        }

        return null;
    }

    private void Grant(List<IVfsLockWaiter> granted)
    {
        for (int i = 0; i < _waiting.Count; i++)
        {
            var entry = _waiting[i];
            if (Conflict(new InodeId(entry.Inode), entry.Space, entry.Lock) is not null)
                continue;
            _locks.Add((entry.Inode, entry.Space, entry.Lock));
            granted.Add(entry.Waiter);
            _waiting.RemoveAt(i--);
        }
    }
}
