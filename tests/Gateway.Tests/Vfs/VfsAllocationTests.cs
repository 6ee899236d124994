using Gateway.Tests.Fuse;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Vfs;

/// <summary>LOOKUP, GETATTR, READ and WRITE through the whole of the Vfs, down to RocksDB and the volumes, cost no managed memory.</summary>
[Collection(AloneCollection.Name)]
public sealed class VfsAllocationTests
{
    private const int FileBytes = 1 << 20, PageBytes = 4096;

    /// <param name="trusted">As a mount asks, for a kernel that has checked; else as NFS does, where everything is checked here.</param>
    /// <param name="opened">The file is open the while.</param>
    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, false)]
    public void Hot_operations_allocate_nothing(bool trusted, bool opened)
    {
        using var fixture = new StoreFixture();
        FileSystemVfs vfs = fixture.Vfs;
        InodeRecord file = fixture.Make("file", FileBytes, mode: 0x81B6);
        byte[] page = new byte[PageBytes], many = new byte[16 * PageBytes];
        ClientRequest? request = trusted ? null : new ClientRequest();
        Caller Who() => trusted ? new Caller(0, 0, trusted: true) : new Caller(1000, 1000, request: request);
        if (opened)
            Assert.Equal(FsStatus.Ok, vfs.Open(Caller.System, file.Inode, VfsOpenFlags.Read | VfsOpenFlags.Write, out _));

        Check(vfs, "LOOKUP", _ => vfs.Lookup(Who(), InodeId.Root, "file"u8, out InodeRecord _));
        Check(vfs, "LOOKUP of nothing", _ => vfs.Lookup(Who(), InodeId.Root, "none"u8, out InodeRecord _) == FsStatus.NotFound ? FsStatus.Ok : FsStatus.IoError);
        Check(vfs, "GETATTR", _ => vfs.GetAttributes(file.Inode, out InodeRecord _));
        Check(vfs, "GETATTR by handle", _ => vfs.GetAttributes(file.Inode, file.Generation, out InodeRecord _));
        Check(vfs, "READ of a page", i => vfs.Read(Who(), file.Inode, At(i, page), page, out _));
        Check(vfs, "READ of many", i => vfs.Read(Who(), file.Inode, At(i, many), many, out _));
        Check(vfs, "WRITE of a page", i => Write(i, page));
        Check(vfs, "WRITE of many", i => Write(i, many));
        Check(vfs, "READ of what was just written", i => vfs.Read(Who(), file.Inode, At(i, page), page, out _));
        if (opened)
            vfs.Release(file.Inode, VfsOpenFlags.Read | VfsOpenFlags.Write);

        FsStatus Write(int i, byte[] data)
        {
            request?.Begin(default);
            return vfs.Write(Who(), file.Inode, At(i, data), data, trusted ? VfsWriteFlags.None : VfsWriteFlags.KillPrivileges, out _);
        }
    }

    private static ulong At(int i, byte[] data) => (ulong)((long)i * data.Length % FileBytes);

    /// <summary>By all threads together: the store's own, too.</summary>
    private static void Check(FileSystemVfs vfs, string name, Func<int, FsStatus> operation)
    {
        const int count = 2000;
        const long constantBytes = 4096;

        // The first ones fill pools and caches. What the runtime itself allocates now and then is in one run and not in another.
        long least = long.MaxValue;
        for (int run = 0; run < 5 && least > constantBytes; run++)
        {
            // Nothing is left to be recorded, as some time after the last write: what keeps the file in memory must not be that.
            operation(0);
            Assert.Equal(FsStatus.Ok, vfs.SyncAll());
            long before = GC.GetTotalAllocatedBytes(precise: true);
            for (int i = 0; i < count; i++)
            {
                FsStatus status = operation(i);
                if (status != FsStatus.Ok)
                    throw new InvalidOperationException($"{name} answered {status}");
            }

            least = Math.Min(least, GC.GetTotalAllocatedBytes(precise: true) - before);
        }

        Assert.True(least <= constantBytes, $"{name}: {least} bytes in {count} calls");
    }
}
