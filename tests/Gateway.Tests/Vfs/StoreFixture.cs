using Gateway.Daemon;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Vfs;

/// <summary>The product's Vfs over the real stores, in a directory of its own.</summary>
internal sealed class StoreFixture : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("gateway-store").FullName;
    private readonly DataDirectory _data;
    private readonly StoreStack _stack;

    public StoreFixture()
    {
        _data = DataDirectory.Open(Path.Combine(_root, "data"));
        _stack = StoreStack.Open(_data, new MemoryPlan(256 << 20), TimeProvider.System);
        Assert.Equal(FsStatus.Ok, Vfs.Recover(out _));
    }

    public FileSystemVfs Vfs => _stack.Vfs;

    /// <summary>A file with so many bytes, all of it recorded and on the disk.</summary>
    public InodeRecord Make(string name, int bytes, uint mode = 0x81A4)
    {
        Assert.Equal(FsStatus.Ok, Vfs.Make(Caller.System, InodeId.Root, System.Text.Encoding.UTF8.GetBytes(name), new NewInode { Mode = mode }, out InodeRecord made));
        Assert.Equal(FsStatus.Ok, Vfs.Write(Caller.System, made.Inode, 0, new byte[bytes], VfsWriteFlags.None, out _));
        Assert.Equal(FsStatus.Ok, Vfs.SyncAll());
        return made;
    }

    public void Dispose()
    {
        _stack.Dispose();
        _data.Dispose();
        Directory.Delete(_root, recursive: true);
    }
}
