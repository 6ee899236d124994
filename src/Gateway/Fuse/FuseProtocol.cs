namespace Gateway.Fuse;

/// <summary>Versions and sizes of the kernel's FUSE protocol (include/uapi/linux/fuse.h of Linux 6.18, minor version 45).</summary>
public static class FuseProtocol
{
    public const uint Major = 7;

    /// <summary>The newest minor version whose messages we know.</summary>
    public const uint Minor = 45;

    /// <summary>
    /// The oldest minor version we serve: Linux 5.4. Messages have had their present size since (INIT, SETXATTR and the extension headers
    /// apart, which have flags of their own).
    /// </summary>
    public const uint OldestMinor = 31;

    /// <summary>FUSE_ROOT_ID: the nodeid of the root of a mount, whatever inode that is here.</summary>
    public const ulong RootNode = 1;

    public const int InHeaderBytes = 40;
    public const int OutHeaderBytes = 16;
    public const int WriteInBytes = 40;

    /// <summary>Pages in one request: 256 pages of 4 KiB are <see cref="StoreCore.Limits.MaxTransferBytes"/>.</summary>
    public const ushort MaxPages = StoreCore.Limits.MaxTransferBytes / 4096;

    /// <summary>
    /// Bytes a read of the device must offer: header, fuse_write_in and the largest payload. The kernel refuses smaller ones with EINVAL.
    /// </summary>
    public const int MaxRequestBytes = InHeaderBytes + WriteInBytes + StoreCore.Limits.MaxTransferBytes;

    /// <summary>Bytes of the largest reply: header and a full READ.</summary>
    public const int MaxReplyBytes = OutHeaderBytes + StoreCore.Limits.MaxTransferBytes;

    /// <summary>What st_blksize tells and statfs counts in: one chunk of the store, one page of the kernel.</summary>
    public const uint BlockBytes = StoreCore.Limits.ChunkSizeBytes;
}

/// <summary>enum fuse_opcode.</summary>
public enum FuseOpcode : uint
{
    Lookup = 1,
    Forget = 2,
    GetAttr = 3,
    SetAttr = 4,
    ReadLink = 5,
    Symlink = 6,
    MkNod = 8,
    MkDir = 9,
    Unlink = 10,
    RmDir = 11,
    Rename = 12,
    Link = 13,
    Open = 14,
    Read = 15,
    Write = 16,
    StatFs = 17,
    Release = 18,
    FSync = 20,
    SetXattr = 21,
    GetXattr = 22,
    ListXattr = 23,
    RemoveXattr = 24,
    Flush = 25,
    Init = 26,
    OpenDir = 27,
    ReadDir = 28,
    ReleaseDir = 29,
    FSyncDir = 30,
    GetLk = 31,
    SetLk = 32,
    SetLkW = 33,
    Access = 34,
    Create = 35,
    Interrupt = 36,
    BMap = 37,
    Destroy = 38,
    IoCtl = 39,
    Poll = 40,
    NotifyReply = 41,
    BatchForget = 42,
    FAllocate = 43,
    ReadDirPlus = 44,
    Rename2 = 45,
    LSeek = 46,
    CopyFileRange = 47,
    SetupMapping = 48,
    RemoveMapping = 49,
    SyncFs = 50,
    TmpFile = 51,
    StatX = 52,
    CopyFileRange64 = 53,
}

/// <summary>enum fuse_notify_code: goes where a reply has its error.</summary>
public enum FuseNotifyCode
{
    InvalidateInode = 2,
    InvalidateEntry = 3,
    Delete = 6,
}

/// <summary>The flags of INIT; bits 32 to 63 travel in flags2.</summary>
[Flags]
public enum FuseInitFlags : ulong
{
    None = 0,
    AsyncRead = 1UL << 0,
    PosixLocks = 1UL << 1,
    AtomicOTrunc = 1UL << 3,
    ExportSupport = 1UL << 4,
    BigWrites = 1UL << 5,
    DontMask = 1UL << 6,
    SpliceWrite = 1UL << 7,
    SpliceMove = 1UL << 8,
    SpliceRead = 1UL << 9,
    FlockLocks = 1UL << 10,
    HasIoctlDir = 1UL << 11,
    AutoInvalData = 1UL << 12,
    DoReadDirPlus = 1UL << 13,
    ReadDirPlusAuto = 1UL << 14,
    AsyncDio = 1UL << 15,
    WritebackCache = 1UL << 16,
    NoOpenSupport = 1UL << 17,
    ParallelDirOps = 1UL << 18,
    HandleKillPriv = 1UL << 19,
    PosixAcl = 1UL << 20,
    AbortError = 1UL << 21,
    MaxPages = 1UL << 22,
    CacheSymlinks = 1UL << 23,
    NoOpenDirSupport = 1UL << 24,
    ExplicitInvalData = 1UL << 25,
    MapAlignment = 1UL << 26,
    Submounts = 1UL << 27,
    HandleKillPrivV2 = 1UL << 28,
    SetXattrExt = 1UL << 29,
    InitExt = 1UL << 30,
    SecurityCtx = 1UL << 32,
    HasInodeDax = 1UL << 33,
    CreateSuppGroup = 1UL << 34,
    HasExpireOnly = 1UL << 35,
    DirectIoAllowMmap = 1UL << 36,
    Passthrough = 1UL << 37,
    NoExportSupport = 1UL << 38,
    HasResend = 1UL << 39,
    AllowIdmap = 1UL << 40,
    OverIoUring = 1UL << 41,
    RequestTimeout = 1UL << 42,
}

/// <summary>FATTR_: which fields of a SETATTR count.</summary>
[Flags]
internal enum FuseSetAttrValid : uint
{
    Mode = 1 << 0,
    Uid = 1 << 1,
    Gid = 1 << 2,
    Size = 1 << 3,
    Accessed = 1 << 4,
    Modified = 1 << 5,
    Handle = 1 << 6,
    AccessedNow = 1 << 7,
    ModifiedNow = 1 << 8,
    LockOwner = 1 << 9,
    Changed = 1 << 10,
    KillSuidGid = 1 << 11,
}

/// <summary>FOPEN_: what the reply of OPEN tells the kernel.</summary>
[Flags]
internal enum FuseOpenReply : uint
{
    None = 0,
    DirectIo = 1 << 0,
    KeepCache = 1 << 1,
    NonSeekable = 1 << 2,
    CacheDir = 1 << 3,
    Stream = 1 << 4,
    NoFlush = 1 << 5,
    ParallelDirectWrites = 1 << 6,
}

/// <summary>Small flag fields of several requests.</summary>
internal static class FuseFlag
{
    public const uint OpenKillSuidGid = 1; // FUSE_OPEN_KILL_SUIDGID
    public const uint WriteCache = 1; // FUSE_WRITE_CACHE
    public const uint WriteKillSuidGid = 4; // FUSE_WRITE_KILL_SUIDGID
    public const uint ReleaseFlockUnlock = 2; // FUSE_RELEASE_FLOCK_UNLOCK
    public const uint LkFlock = 1; // FUSE_LK_FLOCK
    public const uint FsyncDataOnly = 1; // FUSE_FSYNC_FDATASYNC
    public const uint SetXattrAclKillSgid = 1; // FUSE_SETXATTR_ACL_KILL_SGID
    public const uint ExtensionGroups = 32; // FUSE_EXT_GROUPS
}

/// <summary>open(2) flags as the kernel passes them on (asm-generic/fcntl.h; O_DIRECT is another bit on ARM).</summary>
internal static class OpenFlag
{
    public const uint AccessMode = 3;
    public const uint WriteOnly = 1;
    public const uint ReadWrite = 2;
    public const uint Exec = 0x20; // __FMODE_EXEC
    public const uint Exclusive = 0x80;
    public const uint Truncate = 0x200;
    public const uint Append = 0x400;
    public const uint DSync = 0x1000;
    public const uint NoAccessTime = 0x40000;

    public static readonly uint Direct =
        System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture is System.Runtime.InteropServices.Architecture.Arm64
            ? 0x10000u
            : 0x4000u;
}
