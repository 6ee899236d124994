using Gateway.Vfs;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Locks: fuse_lk_in for all three.</summary>
public sealed partial class FuseDispatcher
{
    // fcntl.h
    private const uint ReadLock = 0;
    private const uint WriteLock = 1;
    private const uint NoLock = 2;

    /// <summary>GETLK. Answer: fuse_lk_out, the lock in the way or F_UNLCK.</summary>
    internal FsStatus GetLk(ref FuseRequest request, ref FuseReply reply)
    {
        FuseLkIn arguments = request.Read<FuseLkIn>();
        if (!TryDecode(arguments, out VfsLock wanted))
            return FsStatus.Invalid;

        FsStatus status = _vfs.GetLock(Inode(request), SpaceOf(arguments), wanted, out VfsLock conflict);
        if (status != FsStatus.Ok)
            return status;

        ref FuseFileLock answer = ref reply.Next<FuseFileLock>();
        answer.Type = conflict.Kind switch { VfsLockKind.Shared => ReadLock, VfsLockKind.Exclusive => WriteLock, _ => NoLock };
        answer.Start = Math.Min(conflict.Start, long.MaxValue);
        answer.End = Math.Min(conflict.End, long.MaxValue);
        answer.Pid = conflict.Pid;
        return FsStatus.Ok;
    }

    /// <summary>
    /// SETLK and SETLKW. The first waits for no other owner but gets EAGAIN; only where nobody can tell yet who has a lock (a grace period) it waits for that to end.
    /// What waits is answered later, and this thread goes on with other requests.
    /// </summary>
    internal FsStatus SetLk(FuseLane lane, ref FuseRequest request, ref FuseReply reply)
    {
        FuseLkIn arguments = request.Read<FuseLkIn>();
        if (!TryDecode(arguments, out VfsLock wanted))
            return FsStatus.Invalid;

        FsStatus status = _waits.SetLock(lane, request.Header, Inode(request), SpaceOf(arguments), wanted, out bool pending);
        reply.Deferred = pending;
        return status;
    }

    private static VfsLockSpace SpaceOf(in FuseLkIn arguments) =>
        (arguments.Flags & FuseFlag.LkFlock) != 0 ? VfsLockSpace.Flock : VfsLockSpace.Posix;

    private bool TryDecode(in FuseLkIn arguments, out VfsLock wanted)
    {
        VfsLockKind? kind = arguments.Lock.Type switch
        {
            ReadLock => VfsLockKind.Shared,
            WriteLock => VfsLockKind.Exclusive,
            NoLock => VfsLockKind.Unlock,
            _ => null,
        };
        // The kernel's largest offset means "to the end, however far that moves".
        ulong end = arguments.Lock.End >= long.MaxValue ? ulong.MaxValue : arguments.Lock.End;
        wanted = new VfsLock(kind ?? VfsLockKind.Unlock, arguments.Lock.Start, end, OwnerOf(arguments.Owner), arguments.Lock.Pid);
        return kind is not null && arguments.Lock.Start <= long.MaxValue && arguments.Lock.Start <= end;
    }
}
