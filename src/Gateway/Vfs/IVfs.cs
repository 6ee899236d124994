using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>What open(2) asked for that concerns the Vfs.</summary>
[Flags]
public enum VfsOpenFlags : uint
{
    None = 0,
    Read = 1,
    Write = 2,

    /// <summary>Cut to zero (O_TRUNC).</summary>
    Truncate = 4,

    /// <summary>Every write is to be stable before it is acknowledged (O_SYNC, O_DSYNC).</summary>
    Stable = 8,

    /// <summary>Fail if the name exists (O_EXCL); only with <see cref="IVfs.Create"/>.</summary>
    Exclusive = 0x10,

    /// <summary>Opened to be executed: refused where execution is not permitted to the caller.</summary>
    Execute = 0x20,
}

[Flags]
public enum VfsWriteFlags : uint
{
    None = 0,

    /// <summary>Stable before return.</summary>
    Stable = 1,

    /// <summary>Clear setuid and setgid (the writer is not privileged). Capabilities go with every write.</summary>
    KillPrivileges = 2,

    /// <summary>Write at the end of file, wherever it is now; the offset is ignored.</summary>
    Append = 4,

    /// <summary>The writer's kernel cache wrote back pages; times were set by that kernel and are not touched.</summary>
    FromCache = 8,
}

[Flags]
public enum VfsAllocateMode : uint
{
    None = 0,
    KeepSize = 1,
    PunchHole = 2,
    ZeroRange = 0x10,
}

[Flags]
public enum VfsAccess : uint
{
    None = 0,
    Execute = 1,
    Write = 2,
    Read = 4,
}

/// <summary>What statfs(2) answers, in bytes and inodes.</summary>
public readonly record struct VfsSpace(ulong TotalBytes, ulong FreeBytes, ulong AvailableBytes, ulong Inodes, ulong FreeInodes);

public enum VfsLockKind : byte
{
    Unlock,
    Shared,
    Exclusive,
}

/// <summary>Which table of locks: POSIX byte ranges (fcntl, NLM) or whole-file flock. They do not see each other, as on Linux.</summary>
public enum VfsLockSpace : byte
{
    Posix,
    Flock,
}

/// <summary>A lock: bytes <see cref="Start"/> to <see cref="End"/> inclusive (<see cref="ulong.MaxValue"/>: to the end of file).</summary>
public readonly record struct VfsLock(VfsLockKind Kind, ulong Start, ulong End, VfsLockOwner Owner, uint Pid);

/// <summary>Who holds a lock: the session (mount, NLM client) and its own number for the owner (files_struct or open file).</summary>
public readonly record struct VfsLockOwner(int Session, ulong Owner);

/// <summary>A blocked lock request; the Vfs calls it once, from any thread, when it is granted or has failed.</summary>
public interface IVfsLockWaiter
{
    /// <summary>False: waits only for the end of a grace period (<see cref="IVfs.BeginLockGrace"/>), not for other owners; then it is completed with what it finds.</summary>
    bool WaitsForOwners => true;

    void Complete(FsStatus status);
}

/// <summary>
/// Is told of every change that a kernel or client cache elsewhere may hold wrong now. Called after the change is visible, on the changing
/// thread: it must only queue. <paramref name="origin"/> is the session that made the change and knows already.
/// </summary>
public interface IVfsObserver
{
    /// <summary>Attributes changed, and data in the range where <paramref name="lengthBytes"/> is not 0 (-1: to the end).</summary>
    void InodeChanged(InodeId inode, long offset, long lengthBytes, int origin);

    /// <summary>The name in the directory leads elsewhere or nowhere now; <paramref name="child"/> is what was removed, or none.</summary>
    void EntryChanged(InodeId directory, ReadOnlySpan<byte> name, InodeId child, int origin);
}

/// <summary>
/// The one file system contract under both front ends (FUSE and NFS), which only translate. Any thread may call any member; calls block
/// until their answer is known, except a waiting <see cref="SetLock"/>. Names are bytes without '/' or zero; a name that is too long, empty, "." or ".."
/// where that is not meant is answered with its status, so front ends pass names on unchecked. No member throws for what a caller, disk or full store can cause.
/// Attributes returned are those after the operation; where the caller has a <see cref="Caller.Request"/>, it receives those of the directories or the object around the change. LOOKUP, GETATTR, READ and WRITE allocate no managed memory in steady state.
/// </summary>
public interface IVfs
{
    /// <summary>"." and ".." are resolved (FUSE_EXPORT_SUPPORT, NFS).</summary>
    FsStatus Lookup(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord attributes);

    FsStatus GetAttributes(InodeId inode, out InodeRecord attributes);

    /// <summary>
    /// By a handle that was given out long ago: <see cref="FsStatus.Stale"/> also where the number is another inode's now, and where the inode has lost its last name
    /// and nobody has it open, though it may not have been reaped yet.
    /// </summary>
    FsStatus GetAttributes(InodeId inode, uint generation, out InodeRecord attributes)
    {
        FsStatus status = GetAttributes(inode, out attributes);
        if (status != FsStatus.Ok || attributes.Generation == generation)
            return status;
        attributes = default;
        return FsStatus.Stale;
    }

    FsStatus SetAttributes(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord attributes);

    FsStatus Access(in Caller caller, InodeId inode, VfsAccess wanted, out VfsAccess granted);

    FsStatus ReadLink(in Caller caller, InodeId inode, Span<byte> target, out int lengthBytes);

    /// <summary>Makes directories, device nodes, FIFOs, sockets, symlinks and plain files without opening them.</summary>
    FsStatus Make(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, out InodeRecord attributes);

    /// <summary>Opens a file, making it if it is not there. <paramref name="created"/> tells which. Balanced by <see cref="Release"/>.</summary>
    FsStatus Create(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, VfsOpenFlags flags, out InodeRecord attributes, out bool created);

    /// <summary>A nameless open file (O_TMPFILE). Balanced by <see cref="Release"/>.</summary>
    FsStatus CreateUnlinked(in Caller caller, InodeId directory, in NewInode spec, VfsOpenFlags flags, out InodeRecord attributes);

    FsStatus Link(in Caller caller, InodeId inode, InodeId newParent, ReadOnlySpan<byte> newName, out InodeRecord attributes);

    FsStatus Unlink(in Caller caller, InodeId parent, ReadOnlySpan<byte> name);

    FsStatus RemoveDirectory(in Caller caller, InodeId parent, ReadOnlySpan<byte> name);

    FsStatus Rename(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, InodeId newParent, ReadOnlySpan<byte> newName, RenameFlags flags);

    /// <summary>Counts an open of the inode: while there is one, an unlinked inode is kept. Balanced by <see cref="Release"/> with the same flags.</summary>
    FsStatus Open(in Caller caller, InodeId inode, VfsOpenFlags flags, out InodeRecord attributes);

    void Release(InodeId inode, VfsOpenFlags flags);

    /// <summary>Reads up to the end of file.</summary>
    FsStatus Read(in Caller caller, InodeId inode, ulong offset, Span<byte> destination, out int readBytes);

    FsStatus Write(
        in Caller caller, InodeId inode, ulong offset, ReadOnlySpan<byte> data, VfsWriteFlags flags, out int writtenBytes);

    /// <summary>A descriptor was closed: drops the owner's POSIX locks; reports an error of earlier writes if there is one to report.</summary>
    FsStatus Flush(InodeId inode, VfsLockOwner owner);

    /// <summary>fsync: data, size and all that is needed to find it are stable on return.</summary>
    FsStatus Sync(InodeId inode, bool dataOnly);

    /// <summary>Whether a client's request has been carried out already (<see cref="IMetadata.TryFindRequest"/>); <see cref="SyncNames"/> before it is answered so.</summary>
    bool TryFindRequest(RequestId id, out RequestAnswer answer);

    /// <summary>
    /// All changes of names and attributes applied before this call are stable on return, one flush for all who wait: what an NFS reply to them promises. Data and sizes that
    /// writes have left behind stay as they are (<see cref="Sync"/>).
    /// </summary>
    FsStatus SyncNames();

    /// <summary>syncfs.</summary>
    FsStatus SyncAll();

    /// <summary>Entries after <paramref name="cookie"/> with "." and ".." first (cookies 1 and 2).</summary>
    FsStatus ReadDirectory(in Caller caller, InodeId directory, ulong cookie, bool withAttributes, IDirectorySink sink);

    FsStatus GetXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, Span<byte> value, out int lengthBytes);

    FsStatus ListXattrs(in Caller caller, InodeId inode, Span<byte> names, out int lengthBytes);

    /// <param name="killSetgid">The caller is neither in the group nor privileged: an access ACL takes setgid away (FUSE_SETXATTR_ACL_KILL_SGID).</param>
    FsStatus SetXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, XattrSetFlags flags, bool killSetgid);

    FsStatus RemoveXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name);

    /// <summary>fallocate(2). Plain space is not set aside: <see cref="FsStatus.NoSpace"/> where the range would not fit now, else the file grows.</summary>
    FsStatus Allocate(in Caller caller, InodeId inode, VfsAllocateMode mode, ulong offset, ulong lengthBytes);

    /// <summary>SEEK_DATA, SEEK_HOLE. <see cref="FsStatus.NoSuchAddress"/> past the end of file.</summary>
    FsStatus Seek(InodeId inode, ulong offset, bool wantHole, out ulong position);

    FsStatus CopyRange(
        in Caller caller, InodeId source, ulong sourceOffset, InodeId target, ulong targetOffset, ulong lengthBytes, out ulong copiedBytes);

    VfsSpace StatFs();

    /// <summary>The lock that would conflict; <see cref="VfsLockKind.Unlock"/> where there is none.</summary>
    FsStatus GetLock(InodeId inode, VfsLockSpace space, in VfsLock wanted, out VfsLock conflict);

    /// <summary>
    /// Sets or clears a lock. Where it conflicts: without a waiter <see cref="FsStatus.WouldBlock"/>; with one, <paramref name="pending"/> is true and the waiter
    /// is completed later, or <see cref="FsStatus.Deadlock"/>.
    /// </summary>
    /// <param name="isReclaim">The owner had this lock before the file system was started: a grace period is for it.</param>
    FsStatus SetLock(InodeId inode, VfsLockSpace space, in VfsLock wanted, IVfsLockWaiter? waiter, out bool pending, bool isReclaim = false);

    /// <summary>
    /// From now until <see cref="EndLockGrace"/> POSIX locks are given only to those who reclaim them. All others wait as if somebody stood in their way (and get
    /// <see cref="FsStatus.WouldBlock"/> without a waiter); nobody is told of a conflict that may turn out to be none.
    /// </summary>
    void BeginLockGrace();

    /// <summary>Those who have waited are served in the order in which they came.</summary>
    void EndLockGrace();

    /// <summary>Withdraws a waiter; true if it was still waiting (then it is not completed any more).</summary>
    bool CancelLock(InodeId inode, VfsLockSpace space, IVfsLockWaiter waiter);

    /// <summary>Drops all locks of a session that is gone.</summary>
    void ReleaseSession(int session);

    void Subscribe(IVfsObserver observer);

    void Unsubscribe(IVfsObserver observer);
}
