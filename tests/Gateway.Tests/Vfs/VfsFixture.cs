using Gateway.Vfs;
using Sim;
using StoreCore.Blocks;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Vfs;

/// <summary>The product's Vfs over simulated stores and clock.</summary>
internal sealed class VfsFixture : IDisposable
{
    public const uint PlainMode = 0x81A4, FolderMode = 0x41ED;

    public static readonly Caller Root = new(0, 0, trusted: true);

    private readonly BlockStore _blocks;

    public VfsFixture(long capacityBytes = long.MaxValue)
    {
        Disk = new SimDisk(capacityBytes);
        var id = new Guid("4b0d2f5e-8f4a-4f6b-a6c9-0c9d6a0e1f22");
        MetadataStore.Format(Kv, id, Timestamp.Now(Clock));
        Metadata = MetadataStore.Open(Kv, new MetadataOptions { Clock = Clock, CacheBytes = 1 << 20 });
        _blocks = BlockStore.Open(Kv, Disk, new BlockStoreOptions { StoreId = id, VolumeSizeBytes = 8 << 20 }, Clock);
        Vfs = new FileSystemVfs(Metadata, _blocks, Clock);
    }

    public SimClock Clock { get; } = new();

    public SimKvStore Kv { get; } = new();

    public SimDisk Disk { get; }

    public MetadataStore Metadata { get; }

    public FileSystemVfs Vfs { get; }

    public InodeRecord Make(string name, uint mode = PlainMode, InodeId? parent = null)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(name);
        Assert.Equal(FsStatus.Ok, Vfs.Make(Root, parent ?? InodeId.Root, bytes, new NewInode { Mode = mode }, out InodeRecord made));
        return made;
    }

    public InodeRecord Get(InodeId inode)
    {
        Assert.Equal(FsStatus.Ok, Vfs.GetAttributes(inode, out InodeRecord record));
        return record;
    }

    public Timestamp Tick()
    {
        Clock.Advance(TimeSpan.FromMilliseconds(1));
        return Timestamp.Now(Clock);
    }

    public void Dispose() => _blocks.Dispose();
}
