using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Carries out one operation; called only with at least <see cref="FuseOperation.LeastBytes"/> of arguments.</summary>
internal delegate FsStatus FuseHandler(FuseDispatcher dispatcher, FuseLane lane, ref FuseRequest request, ref FuseReply reply);

/// <summary>Whether the kernel waits for an answer. An answer to one that has none would be taken for another request's.</summary>
internal enum FuseReplyKind
{
    Answered,
    None,
}

/// <summary>What the dispatcher knows of an operation before it looks at its arguments.</summary>
/// <param name="LeastBytes">Arguments shorter than this are answered with EINVAL.</param>
/// <param name="Changes">Refused with EROFS on a read-only mount. (The kernel refuses first; this covers its exceptions, like a bind mount's superblock.)</param>
internal sealed record FuseOperation(
    FuseOpcode Opcode, string Name, int LeastBytes, FuseReplyKind Reply, bool Changes, FuseHandler Handler);

/// <summary>All operations, by opcode. An opcode that is not here is answered with ENOSYS, after which the kernel does without it.</summary>
internal static class FuseOpTable
{
    /// <summary>One more than the largest opcode known.</summary>
    public const int Size = (int)FuseOpcode.CopyFileRange64 + 1;

    private static readonly FuseOperation?[] Table = Build();

    public static FuseOperation? Find(FuseOpcode opcode) => (uint)opcode < Size ? Table[(int)opcode] : null;

    /// <summary>The kernel's name of an opcode, for people.</summary>
    public static string NameOf(FuseOpcode opcode) => Find(opcode)?.Name ?? opcode.ToString().ToUpperInvariant();

    public static IEnumerable<FuseOperation> All => Table.Where(static operation => operation is not null)!;

    private static FuseOperation?[] Build()
    {
        var table = new FuseOperation?[Size];

        void Add(FuseOpcode opcode, string name, int leastBytes, FuseHandler handler, FuseReplyKind reply = FuseReplyKind.Answered, bool changes = false) =>
            table[(int)opcode] = new FuseOperation(opcode, name, leastBytes, reply, changes, handler);

        Add(FuseOpcode.Init, "INIT", 8, static (d, l, ref q, ref r) => d.Init(ref q, ref r));
        Add(FuseOpcode.Destroy, "DESTROY", 0, static (d, l, ref q, ref r) => d.Destroy());
        Add(FuseOpcode.Interrupt, "INTERRUPT", 8, static (d, l, ref q, ref r) => d.Interrupt(ref q), FuseReplyKind.None);
        Add(FuseOpcode.Forget, "FORGET", 8, static (d, l, ref q, ref r) => d.Forget(ref q), FuseReplyKind.None);
        Add(FuseOpcode.BatchForget, "BATCH_FORGET", 8, static (d, l, ref q, ref r) => d.BatchForget(ref q), FuseReplyKind.None);
        Add(FuseOpcode.NotifyReply, "NOTIFY_REPLY", 0, static (d, l, ref q, ref r) => FsStatus.Invalid, FuseReplyKind.None);

        Add(FuseOpcode.Lookup, "LOOKUP", 1, static (d, l, ref q, ref r) => d.Lookup(ref q, ref r));
        Add(FuseOpcode.GetAttr, "GETATTR", 16, static (d, l, ref q, ref r) => d.GetAttr(ref q, ref r));
        Add(FuseOpcode.StatX, "STATX", 24, static (d, l, ref q, ref r) => d.StatX(ref q, ref r));
        Add(FuseOpcode.SetAttr, "SETATTR", 88, static (d, l, ref q, ref r) => d.SetAttr(ref q, ref r), changes: true);
        Add(FuseOpcode.Access, "ACCESS", 8, static (d, l, ref q, ref r) => d.Access(ref q));
        Add(FuseOpcode.ReadLink, "READLINK", 0, static (d, l, ref q, ref r) => d.ReadLink(ref q, ref r));
        Add(FuseOpcode.StatFs, "STATFS", 0, static (d, l, ref q, ref r) => d.StatFs(ref r));

        Add(FuseOpcode.Symlink, "SYMLINK", 2, static (d, l, ref q, ref r) => d.Symlink(ref q, ref r), changes: true);
        Add(FuseOpcode.MkNod, "MKNOD", 17, static (d, l, ref q, ref r) => d.MkNod(ref q, ref r), changes: true);
        Add(FuseOpcode.MkDir, "MKDIR", 9, static (d, l, ref q, ref r) => d.MkDir(ref q, ref r), changes: true);
        Add(FuseOpcode.Unlink, "UNLINK", 1, static (d, l, ref q, ref r) => d.Unlink(ref q), changes: true);
        Add(FuseOpcode.RmDir, "RMDIR", 1, static (d, l, ref q, ref r) => d.RmDir(ref q), changes: true);
        Add(FuseOpcode.Rename, "RENAME", 10, static (d, l, ref q, ref r) => d.Rename(ref q), changes: true);
        Add(FuseOpcode.Rename2, "RENAME2", 18, static (d, l, ref q, ref r) => d.Rename2(ref q), changes: true);
        Add(FuseOpcode.Link, "LINK", 9, static (d, l, ref q, ref r) => d.Link(ref q, ref r), changes: true);

        Add(FuseOpcode.Open, "OPEN", 8, static (d, l, ref q, ref r) => d.Open(ref q, ref r));
        Add(FuseOpcode.Create, "CREATE", 17, static (d, l, ref q, ref r) => d.Create(ref q, ref r), changes: true);
        Add(FuseOpcode.TmpFile, "TMPFILE", 17, static (d, l, ref q, ref r) => d.TmpFile(ref q, ref r), changes: true);
        Add(FuseOpcode.Read, "READ", 40, static (d, l, ref q, ref r) => d.Read(ref q, ref r));
        Add(FuseOpcode.Write, "WRITE", 40, static (d, l, ref q, ref r) => d.Write(ref q, ref r), changes: true);
        Add(FuseOpcode.Flush, "FLUSH", 24, static (d, l, ref q, ref r) => d.Flush(ref q));
        Add(FuseOpcode.FSync, "FSYNC", 16, static (d, l, ref q, ref r) => d.FSync(ref q));
        Add(FuseOpcode.Release, "RELEASE", 24, static (d, l, ref q, ref r) => d.Release(ref q));
        Add(FuseOpcode.FAllocate, "FALLOCATE", 32, static (d, l, ref q, ref r) => d.FAllocate(ref q), changes: true);
        Add(FuseOpcode.LSeek, "LSEEK", 24, static (d, l, ref q, ref r) => d.LSeek(ref q, ref r));
        Add(FuseOpcode.CopyFileRange, "COPY_FILE_RANGE", 56, static (d, l, ref q, ref r) => d.CopyFileRange(ref q, ref r, false), changes: true);
        Add(FuseOpcode.CopyFileRange64, "COPY_FILE_RANGE_64", 56, static (d, l, ref q, ref r) => d.CopyFileRange(ref q, ref r, true), changes: true);
        Add(FuseOpcode.SyncFs, "SYNCFS", 8, static (d, l, ref q, ref r) => d.SyncFs());
        Add(FuseOpcode.IoCtl, "IOCTL", 32, static (d, l, ref q, ref r) => d.IoCtl(ref q, ref r));

        // Every file here is always ready: with ENOSYS the kernel answers poll(2) so by itself, and maps blocks (bmap) not at all.
        Add(FuseOpcode.Poll, "POLL", 0, static (d, l, ref q, ref r) => FsStatus.NotImplemented);
        Add(FuseOpcode.BMap, "BMAP", 0, static (d, l, ref q, ref r) => FsStatus.NotImplemented);

        Add(FuseOpcode.OpenDir, "OPENDIR", 8, static (d, l, ref q, ref r) => d.OpenDir(ref q, ref r));
        Add(FuseOpcode.ReadDir, "READDIR", 40, static (d, l, ref q, ref r) => d.ReadDir(l, ref q, ref r, false));
        Add(FuseOpcode.ReadDirPlus, "READDIRPLUS", 40, static (d, l, ref q, ref r) => d.ReadDir(l, ref q, ref r, true));
        Add(FuseOpcode.ReleaseDir, "RELEASEDIR", 24, static (d, l, ref q, ref r) => d.ReleaseDir(ref q));
        Add(FuseOpcode.FSyncDir, "FSYNCDIR", 16, static (d, l, ref q, ref r) => d.FSync(ref q));

        Add(FuseOpcode.SetXattr, "SETXATTR", 9, static (d, l, ref q, ref r) => d.SetXattr(ref q), changes: true);
        Add(FuseOpcode.GetXattr, "GETXATTR", 9, static (d, l, ref q, ref r) => d.GetXattr(ref q, ref r));
        Add(FuseOpcode.ListXattr, "LISTXATTR", 8, static (d, l, ref q, ref r) => d.ListXattr(ref q, ref r));
        Add(FuseOpcode.RemoveXattr, "REMOVEXATTR", 1, static (d, l, ref q, ref r) => d.RemoveXattr(ref q), changes: true);

        Add(FuseOpcode.GetLk, "GETLK", 48, static (d, l, ref q, ref r) => d.GetLk(ref q, ref r));
        Add(FuseOpcode.SetLk, "SETLK", 48, static (d, l, ref q, ref r) => d.SetLk(l, ref q, ref r));
        Add(FuseOpcode.SetLkW, "SETLKW", 48, static (d, l, ref q, ref r) => d.SetLk(l, ref q, ref r));
        return table;
    }
}
