using System.Runtime.InteropServices;
using Gateway.Vfs;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>
/// Lock requests that wait (SETLKW, and SETLK in a grace period). They hold no thread: the Vfs completes them through <see cref="IVfsLockWaiter"/>, an INTERRUPT withdraws
/// them. Any thread. An INTERRUPT can be read by one thread before another has begun the request that it names; such names are kept in a short
/// ring and found when that request comes to wait. (Requests' names are never given twice, so old ones do no harm.)
/// </summary>
internal sealed class FuseLockWaits(IVfs vfs)
{
    /// <summary>More interrupts than this between the reading of a request and its wait would lose one; the caller then waits on, as without a signal.</summary>
    private const int EarlyInterrupts = 256;

    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, Wait> _waits = [];
    private readonly ulong[] _early = new ulong[EarlyInterrupts];
    private int _nextEarly;

    public int Count
    {
        get
        {
            lock (_gate)
                return _waits.Count;
        }
    }

    public FsStatus SetLock(FuseLane lane, in FuseInHeader header, InodeId inode, VfsLockSpace space, in VfsLock wanted, out bool pending)
    {
        pending = false;
        var wait = new Wait(this, lane, header, inode, space);
        lock (_gate)
        {
            if (_early.AsSpan().Contains(header.Unique))
                return FsStatus.Interrupted;
            if (!_waits.TryAdd(header.Unique, wait))
                return FsStatus.Invalid; // The kernel never has two requests of one name.
        }

        FsStatus status;
        try
        {
            status = vfs.SetLock(inode, space, wanted, wait, out pending);
        }
        catch
        {
            Remove(wait);
            throw;
        }

        if (!pending)
        {
            Remove(wait);
            return status;
        }

        wait.Registered();
        return FsStatus.Ok;
    }

    /// <summary>INTERRUPT of the request with this name. Others than waiting locks run to their end, which a signal may wait for.</summary>
    public void Interrupt(ulong unique)
    {
        Wait? wait;
        lock (_gate)
        {
            if (!_waits.TryGetValue(unique, out wait))
            {
                _early[_nextEarly] = unique;
                _nextEarly = (_nextEarly + 1) % EarlyInterrupts;
                return;
            }
        }

        wait.Interrupt();
    }

    /// <summary>Nobody is there to be answered any more.</summary>
    public void CancelAll()
    {
        Wait[] all;
        lock (_gate)
        {
            all = [.. _waits.Values];
            _waits.Clear();
        }

        foreach (Wait wait in all)
            wait.Withdraw();
    }

    public void AddLive(List<FuseLiveOperation> live)
    {
        lock (_gate)
        {
            // The others are still on their way in, and shown by the thread that brings them.
            foreach (Wait wait in _waits.Values.Where(static wait => wait.IsRegistered))
                live.Add(wait.Describe());
        }
    }

    private void Remove(Wait wait)
    {
        lock (_gate)
        {
            if (_waits.TryGetValue(wait.Unique, out Wait? there) && there == wait)
                _waits.Remove(wait.Unique);
        }
    }

    private sealed class Wait(FuseLockWaits owner, FuseLane lane, in FuseInHeader header, InodeId inode, VfsLockSpace space) : IVfsLockWaiter
    {
        private readonly FuseInHeader _header = header;
        private readonly long _started = lane.Clock.GetTimestamp();
        private int _registered;
        private int _interrupted;

        public bool WaitsForOwners => _header.Opcode == FuseOpcode.SetLkW;

        public bool IsRegistered => Volatile.Read(ref _registered) == 1;

        public ulong Unique => _header.Unique;

        public FuseLiveOperation Describe() =>
            new(_header.Opcode, inode, _header.Uid, _header.Pid, lane.Clock.GetElapsedTime(_started), Waiting: true);

        public void Complete(FsStatus status)
        {
            owner.Remove(this);
            var answer = new FuseOutHeader
            {
                Length = FuseProtocol.OutHeaderBytes,
                Error = -FuseErrno.From(status),
                Unique = Unique,
            };
            lane.Channel.Send(MemoryMarshal.AsBytes(new ReadOnlySpan<FuseOutHeader>(in answer)));
        }

        /// <summary>The Vfs holds the waiter now: an interrupt that came before could not withdraw it.</summary>
        public void Registered()
        {
            Interlocked.Exchange(ref _registered, 1);
            if (Volatile.Read(ref _interrupted) == 1)
                Cancel();
        }

        public void Interrupt()
        {
            Interlocked.Exchange(ref _interrupted, 1);
            if (IsRegistered)
                Cancel();
        }

        public void Withdraw() => owner.Vfs.CancelLock(inode, space, this);

        private void Cancel()
        {
            if (owner.Vfs.CancelLock(inode, space, this))
                Complete(FsStatus.Interrupted);
        }
    }

    private IVfs Vfs => vfs;
}
