namespace Gateway.Fuse;

/// <summary>Chooses what INIT turns on: of what the kernel offers, what we can keep. Each choice with its reason.</summary>
public static class FuseNegotiation
{
    /// <summary>
    /// Requests that may be in the kernel's background (read-ahead, write-back, asynchronous direct I/O) at once, and the number from which it
    /// calls the mount congested. The default of 12 leaves a queue of 16 and more readers half empty; each costs at most 1 MiB of page cache.
    /// </summary>
    public const ushort MaxBackground = 64;

    public const ushort Congestion = MaxBackground * 3 / 4;

    private const FuseInitFlags Always =
        FuseInitFlags.AsyncRead // read-ahead overlaps; our reads are independent
        | FuseInitFlags.AtomicOTrunc // one OPEN instead of OPEN and SETATTR
        | FuseInitFlags.ExportSupport // "." and ".." are resolved, so the mount can be exported again by handle
        | FuseInitFlags.BigWrites // requests above one page
        | FuseInitFlags.DontMask // a default ACL replaces the umask, and only we know whether there is one
        | FuseInitFlags.PosixLocks // one lock table for this mount, others and NFS
        | FuseInitFlags.FlockLocks
        | FuseInitFlags.ExplicitInvalData // changes made elsewhere are notified, so a changed mtime need not empty the page cache
        | FuseInitFlags.DoReadDirPlus // ls -l costs one request per buffer, not per name
        | FuseInitFlags.ReadDirPlusAuto // but ls alone does not pay for attributes
        | FuseInitFlags.AsyncDio // O_DIRECT requests overlap
        | FuseInitFlags.ParallelDirOps // the Vfs orders operations in one directory itself
        | FuseInitFlags.HandleKillPrivV2 // the kernel says when to drop setuid and setgid, and asks for no security.capability before each write
        | FuseInitFlags.PosixAcl // ACLs are stored as xattrs and enforced by the kernel (with default_permissions)
        | FuseInitFlags.AbortError // tells an abort from an unmount
        | FuseInitFlags.MaxPages // 1 MiB requests
        | FuseInitFlags.CacheSymlinks // a symlink's target never changes
        | FuseInitFlags.SetXattrExt // carries FUSE_SETXATTR_ACL_KILL_SGID
        | FuseInitFlags.InitExt // flags beyond 32 bits
        | FuseInitFlags.CreateSuppGroup // setgid directories: the group that matters comes along
        | FuseInitFlags.HasExpireOnly
        | FuseInitFlags.DirectIoAllowMmap; // mmap of files opened O_DIRECT stays possible

    // Left off: AUTO_INVAL_DATA (see EXPLICIT_INVAL_DATA), NO_OPEN and NO_OPENDIR (opens are counted, unlinked files are kept by them),
    // HANDLE_KILLPRIV (V2 replaces it; before 5.11 the kernel does that work itself), SPLICE_* (data is checksummed, so it must be touched),
    // SECURITY_CTX (no label is set at creation), NO_EXPORT_SUPPORT (we have it), ALLOW_IDMAP (ids are stored as the kernel sends them),
    // SUBMOUNTS, DAX and PASSTHROUGH (no files behind ours), OVER_IO_URING and REQUEST_TIMEOUT (not served yet).

    /// <summary>The flags to answer with.</summary>
    /// <param name="offered">What the kernel can do.</param>
    /// <param name="writeback">The mount is the only writer and asked for the kernel's write-back cache.</param>
    public static FuseInitFlags Choose(FuseInitFlags offered, bool writeback) =>
        offered & (writeback ? Always | FuseInitFlags.WritebackCache : Always);
}
