using Sim;
using StoreCore.Blocks;
using StoreCore.Primitives;

namespace StoreCore.Tests.Blocks;

/// <summary>A block store over simulated parts, and shorthands for what tests do with it.</summary>
internal sealed class BlockFixture : IDisposable
{
    public static readonly Guid StoreId = new(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);

    public BlockFixture(long capacityBytes = 1L << 30, BlockStoreOptions? options = null)
    {
        Options = options ?? new BlockStoreOptions
        {
            StoreId = StoreId,
            VolumeSizeBytes = 4 << 20,
            ReserveBytes = 1 << 20,
            MapCacheBytes = 1 << 16,
            LockStripes = 8,
        };
        Disk = new SimDisk(capacityBytes);
        Store = BlockStore.Open(Kv, Disk, Options, Clock);
    }

    public SimClock Clock { get; } = new();

    public SimKvStore Kv { get; private set; } = new();

    public SimDisk Disk { get; private set; }

    public BlockStoreOptions Options { get; set; }

    public BlockStore Store { get; private set; }

    public static BlockId Block(ulong inode, uint index = 0) => new(new InodeId(inode), index);

    public static byte[] Bytes(int count, int seed = 1)
    {
        byte[] data = new byte[count];
        new Random(seed).NextBytes(data);
        return data;
    }

    public long Write(BlockId block, int offset, ReadOnlySpan<byte> data, WriteHint hint = WriteHint.Buffered)
    {
        Assert.Equal(FsStatus.Ok, Store.Write(block, offset, data, hint, out long delta));
        return delta;
    }

    public byte[] Read(BlockId block, int offset, int count)
    {
        byte[] data = new byte[count];
        Assert.Equal(FsStatus.Ok, Store.Read(block, offset, data));
        return data;
    }

    public void Sync() => Assert.Equal(FsStatus.Ok, Store.Sync());

    public IReadOnlyList<BlockExtent> Describe(ulong inode, bool verify = false)
    {
        Assert.Equal(FsStatus.Ok, Store.Describe(new InodeId(inode), verify, out IReadOnlyList<BlockExtent> extents));
        return extents;
    }

    public ulong Seek(ulong inode, ulong offset, bool wantHole)
    {
        Assert.Equal(FsStatus.Ok, Store.Seek(new InodeId(inode), offset, wantHole, out bool found, out ulong position));
        return found ? position : ulong.MaxValue;
    }

    /// <summary>Runs background work until there is none left, with everything cold.</summary>
    public void Settle()
    {
        bool more = true;
        for (int i = 0; i < 100 && more; i++)
        {
            Clock.Advance(TimeSpan.FromMinutes(1));
            Assert.Equal(FsStatus.Ok, Store.RunMaintenance(1 << 20, out MaintenanceReport report));
            Sync();
            more = report.HasMore;
        }

        Assert.False(more);
    }

    public void AssertClean() => Assert.Empty(Store.Check().Problems);

    /// <summary>The process dies and is started again.</summary>
    public void Restart()
    {
        Store.Dispose();
        (Kv, Disk) = (Kv.Kill(), Disk.Kill());
        Store = BlockStore.Open(Kv, Disk, Options, Clock);
    }

    public void Dispose()
    {
        Store.Dispose();
        Assert.Equal(0, Kv.OpenViews);
    }
}
