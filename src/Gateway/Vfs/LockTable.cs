using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// Advisory locks of all front ends: POSIX byte ranges (split and merged as fcntl(2) has it) and whole-file flock, each with its queue of waiters
/// served in order, and a search for circles of waiters among POSIX locks; and the grace period in which POSIX locks of an earlier life may be reclaimed, and all who want others
/// wait. A state machine under one lock; waiters are completed outside it.
/// </summary>
internal sealed class LockTable
{
    private sealed record Waiting(VfsLock Wanted, IVfsLockWaiter Waiter);

    /// <summary>Asked during the grace period.</summary>
    private sealed record Held(InodeId Inode, VfsLock Wanted, IVfsLockWaiter Waiter);

    private sealed class FileLocks
    {
        public readonly List<VfsLock> Held = [];
        public readonly List<Waiting> Waiting = [];

        public bool Empty => Held.Count == 0 && Waiting.Count == 0;
    }

    private readonly Lock _gate = new();
    private readonly Dictionary<(InodeId Inode, VfsLockSpace Space), FileLocks> _files = [];

    /// <summary>Who waits for the end of the grace period, in the order of asking; null where there is none.</summary>
    private List<Held>? _grace;

    /// <summary>Locks held, over all files.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _files.Values.Sum(f => f.Held.Count);
        }
    }

    /// <summary>The first lock that stands against the wanted one.</summary>
    public bool FindConflict(InodeId inode, VfsLockSpace space, in VfsLock wanted, out VfsLock conflict)
    {
        lock (_gate)
        {
            conflict = default;
            return _files.TryGetValue((inode, space), out FileLocks? file) && Conflict(file, wanted, out conflict);
        }
    }

    public void BeginGrace()
    {
        lock (_gate)
            _grace ??= [];
    }

    public void EndGrace()
    {
        List<Held>? held;
        List<(IVfsLockWaiter Waiter, FsStatus Status)> answers = [];
        List<Waiting> granted = [];
        lock (_gate)
        {
            (held, _grace) = (_grace, null);
            foreach (Held one in held ?? [])
            {
                FsStatus status = SetNow(one.Inode, VfsLockSpace.Posix, one.Wanted, one.Waiter, out bool pending, granted);
                if (!pending)
                    answers.Add((one.Waiter, status));
            }
        }

        foreach ((IVfsLockWaiter waiter, FsStatus status) in answers)
            waiter.Complete(status);
        Complete(granted);
    }

    public FsStatus Set(InodeId inode, VfsLockSpace space, in VfsLock wanted, IVfsLockWaiter? waiter, out bool pending, bool isReclaim = false)
    {
        pending = false;
        if (wanted.Start > wanted.End)
            return FsStatus.Invalid;

        List<Waiting> granted = [];
        FsStatus status;
        lock (_gate)
        {
            if (_grace is not null && space == VfsLockSpace.Posix && wanted.Kind != VfsLockKind.Unlock && !isReclaim)
            {
                if (waiter is null)
                    return FsStatus.WouldBlock;
                _grace.Add(new Held(inode, wanted, waiter));
                pending = true;
                return FsStatus.Ok;
            }

            status = SetNow(inode, space, wanted, waiter, out pending, granted);
        }

        Complete(granted);
        return status;
    }

    /// <param name="granted">Receives the waiters that are to be completed when the lock is free again.</param>
    private FsStatus SetNow(InodeId inode, VfsLockSpace space, in VfsLock wanted, IVfsLockWaiter? waiter, out bool pending, List<Waiting> granted)
    {
        pending = false;
        (InodeId, VfsLockSpace) key = (inode, space);
        if (!_files.TryGetValue(key, out FileLocks? file))
        {
            if (wanted.Kind == VfsLockKind.Unlock)
                return FsStatus.Ok;
            _files[key] = file = new FileLocks();
        }

        if (wanted.Kind != VfsLockKind.Unlock && Conflict(file, wanted, out _))
        {
            if (waiter is null || !waiter.WaitsForOwners)
                return FsStatus.WouldBlock;
            if (space == VfsLockSpace.Posix && ClosesCircle(file, wanted))
                return FsStatus.Deadlock;

            // Changing an own flock gives up the old one first, as flock(2) does.
            if (space == VfsLockSpace.Flock)
            {
                Replace(file, wanted with { Kind = VfsLockKind.Unlock });
                GrantWaiters(file, granted);
            }

            file.Waiting.Add(new Waiting(wanted, waiter));
            pending = true;
            return FsStatus.Ok;
        }

        Replace(file, wanted);
        GrantWaiters(file, granted);
        if (file.Empty)
            _files.Remove(key);
        return FsStatus.Ok;
    }

    public bool Cancel(InodeId inode, VfsLockSpace space, IVfsLockWaiter waiter)
    {
        lock (_gate)
        {
            if (_grace?.RemoveAll(held => ReferenceEquals(held.Waiter, waiter)) > 0)
                return true;
            if (!_files.TryGetValue((inode, space), out FileLocks? file) || file.Waiting.RemoveAll(w => ReferenceEquals(w.Waiter, waiter)) == 0)
                return false;
            if (file.Empty)
                _files.Remove((inode, space));
            return true;
        }
    }

    /// <summary>A descriptor of the owner was closed: POSIX drops all its locks of the file.</summary>
    public void ReleaseOwner(InodeId inode, VfsLockSpace space, VfsLockOwner owner) =>
        Set(inode, space, new VfsLock(VfsLockKind.Unlock, 0, ulong.MaxValue, owner, 0), null, out _);

    /// <summary>A session is gone: drops its locks, and its waiters without completing them (nobody is there to be told).</summary>
    public void ReleaseSession(int session)
    {
        List<Waiting> granted = [];
        lock (_gate)
        {
            _grace?.RemoveAll(held => held.Wanted.Owner.Session == session);
            foreach (((InodeId, VfsLockSpace) key, FileLocks file) in _files.ToArray())
            {
                file.Waiting.RemoveAll(w => w.Wanted.Owner.Session == session);
                file.Held.RemoveAll(h => h.Owner.Session == session);
                GrantWaiters(file, granted);
                if (file.Empty)
                    _files.Remove(key);
            }
        }

        Complete(granted);
    }

    /// <summary>The inode is gone for good.</summary>
    public void Forget(InodeId inode)
    {
        lock (_gate)
        {
            _files.Remove((inode, VfsLockSpace.Posix));
            _files.Remove((inode, VfsLockSpace.Flock));
        }
    }

    private static void Complete(List<Waiting> granted)
    {
        foreach (Waiting waiting in granted)
            waiting.Waiter.Complete(FsStatus.Ok);
    }

    private static bool Overlaps(in VfsLock a, in VfsLock b) => a.Start <= b.End && b.Start <= a.End;

    private static bool Excludes(in VfsLock held, in VfsLock wanted) =>
        held.Owner != wanted.Owner && Overlaps(held, wanted) && (held.Kind == VfsLockKind.Exclusive || wanted.Kind == VfsLockKind.Exclusive);

    private static bool Conflict(FileLocks file, in VfsLock wanted, out VfsLock conflict)
    {
        foreach (VfsLock held in file.Held)
        {
            if (Excludes(held, wanted))
            {
                conflict = held;
                return true;
            }
        }

        conflict = default;
        return false;
    }

    /// <summary>Lays the lock over what the owner holds: cuts what overlaps, joins what touches and is of the same kind.</summary>
    private static void Replace(FileLocks file, VfsLock wanted)
    {
        for (int i = file.Held.Count - 1; i >= 0; i--)
        {
            VfsLock held = file.Held[i];
            if (held.Owner != wanted.Owner)
                continue;
            if (held.Kind == wanted.Kind && Touches(held, wanted))
            {
                wanted = wanted with { Start = Math.Min(held.Start, wanted.Start), End = Math.Max(held.End, wanted.End) };
                file.Held.RemoveAt(i);
            }
            else if (Overlaps(held, wanted))
            {
                file.Held.RemoveAt(i);
                if (held.Start < wanted.Start)
                    file.Held.Add(held with { End = wanted.Start - 1 });
                if (held.End > wanted.End)
                    file.Held.Add(held with { Start = wanted.End + 1 });
            }
        }

        if (wanted.Kind != VfsLockKind.Unlock)
            file.Held.Add(wanted);
    }

    private static bool Touches(in VfsLock a, in VfsLock b) =>
        Overlaps(a, b) || (a.End != ulong.MaxValue && a.End + 1 == b.Start) || (b.End != ulong.MaxValue && b.End + 1 == a.Start);

    private static void GrantWaiters(FileLocks file, List<Waiting> granted)
    {
        for (int i = 0; i < file.Waiting.Count;)
        {
            Waiting waiting = file.Waiting[i];
            if (Conflict(file, waiting.Wanted, out _))
            {
                i++;
                continue;
            }

            file.Waiting.RemoveAt(i);
            Replace(file, waiting.Wanted);
            granted.Add(waiting);
        }
    }

    /// <summary>Would the wanting owner wait for someone who, over any chain of waiters, waits for it?</summary>
    private bool ClosesCircle(FileLocks file, in VfsLock wanted)
    {
        var seen = new HashSet<VfsLockOwner>();
        var open = new Stack<VfsLockOwner>();
        Blockers(file, wanted, open);
        while (open.TryPop(out VfsLockOwner owner))
        {
            if (owner == wanted.Owner)
                return true;
            if (!seen.Add(owner))
                continue;
            foreach (((InodeId _, VfsLockSpace space), FileLocks other) in _files)
            {
                if (space != VfsLockSpace.Posix)
                    continue;
                foreach (Waiting waiting in other.Waiting)
                {
                    if (waiting.Wanted.Owner == owner)
                        Blockers(other, waiting.Wanted, open);
                }
            }
        }

        return false;
    }

    private static void Blockers(FileLocks file, in VfsLock wanted, Stack<VfsLockOwner> into)
    {
        foreach (VfsLock held in file.Held)
        {
            if (Excludes(held, wanted))
                into.Push(held.Owner);
        }
    }
}
