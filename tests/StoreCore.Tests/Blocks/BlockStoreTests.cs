using Sim;
using StoreCore.Blocks;
using StoreCore.Primitives;
using static StoreCore.Tests.Blocks.BlockFixture;

namespace StoreCore.Tests.Blocks;

public sealed class BlockStoreTests
{
    private const int Chunk = Limits.ChunkSizeBytes;

    [Fact]
    public void A_tiny_file_costs_no_volume_write()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(3000);
        Assert.Equal(Chunk, fixture.Write(Block(1), 0, data));
        Assert.Equal(Chunk, fixture.Write(Block(2), 0, Bytes(Chunk)));
        Assert.Empty(fixture.Disk.List());
        fixture.Settle();
        Assert.Empty(fixture.Disk.List());
        Assert.Equal(data, fixture.Read(Block(1), 0, 3000));
        Assert.Equal(FsStatus.Ok, fixture.Store.Measure(new InodeId(1), out long allocated, out ulong end));
        Assert.Equal((Chunk, 3000UL), (allocated, end));
    }

    [Fact]
    public void A_large_write_goes_to_the_volume_in_one_piece()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(1 << 20);
        Assert.Equal(1 << 20, fixture.Write(Block(1), 0, data));
        Assert.Equal(2, fixture.Disk.Writes); // the volume's header and the data
        BlockExtent extent = Assert.Single(fixture.Describe(1, verify: true));
        Assert.Equal((BlockExtentKind.Volume, 1L << 20, 0), (extent.Kind, extent.LengthBytes, extent.BadChunks));
        Assert.Equal(data, fixture.Read(Block(1), 0, data.Length));
        Assert.Equal(0, fixture.Write(Block(1), 0, data));
    }

    [Fact]
    public void A_small_write_that_will_be_flushed_needs_no_flush_of_a_volume()
    {
        using var fixture = new BlockFixture();
        fixture.Write(Block(1), 0, Bytes(1 << 20));
        fixture.Sync();
        long syncs = fixture.Disk.Syncs;
        fixture.Write(Block(1), 5 * Chunk, Bytes(2 * Chunk, seed: 2), WriteHint.SyncSoon);
        fixture.Sync();
        Assert.Equal(syncs, fixture.Disk.Syncs);
        Assert.Equal([BlockExtentKind.Volume, BlockExtentKind.Inline, BlockExtentKind.Volume], fixture.Describe(1).Select(e => e.Kind));
    }

    [Fact]
    public void Cold_inline_chunks_and_scattered_ones_become_one_run()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(Limits.SegmentSizeBytes);
        fixture.Write(Block(1), 0, data);
        for (int chunk = 1; chunk < 32; chunk += 2)
        {
            byte[] one = Bytes(Chunk, seed: chunk);
            fixture.Write(Block(1), chunk * Chunk, one, chunk < 16 ? WriteHint.SyncSoon : WriteHint.Buffered);
            one.CopyTo(data, chunk * Chunk);
        }

        Assert.True(fixture.Describe(1).Count > 20);
        fixture.Settle();
        Assert.Single(fixture.Describe(1, verify: true));
        Assert.Equal(data, fixture.Read(Block(1), 0, data.Length));
        fixture.AssertClean();

        // Only what is in use takes space of the disk: 32 chunks and the volume's header.
        Assert.Equal(33 * Chunk, fixture.Disk.UsedBytes);
    }

    [Fact]
    public void Background_work_leaves_alone_what_is_hot()
    {
        using var fixture = new BlockFixture();
        fixture.Write(Block(1), 0, Bytes(Limits.SegmentSizeBytes));
        fixture.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(FsStatus.Ok, fixture.Store.RunMaintenance(1 << 20, out _));
        fixture.Write(Block(1), Chunk, Bytes(Chunk), WriteHint.SyncSoon);
        Assert.Equal(FsStatus.Ok, fixture.Store.RunMaintenance(1 << 20, out MaintenanceReport report));
        Assert.Equal(0, report.MovedBytes);
        Assert.Equal(3, fixture.Describe(1).Count);
    }

    [Fact]
    public void Seek_finds_data_and_holes_by_chunks()
    {
        using var fixture = new BlockFixture();
        fixture.Write(Block(1, 1), 8 * Chunk, Bytes(4 * Chunk));
        fixture.Write(Block(1, 3), 0, Bytes(1));
        ulong data = Limits.BlockSizeBytes + 8 * Chunk;
        ulong last = 3UL * Limits.BlockSizeBytes;
        Assert.Equal(data, fixture.Seek(1, 0, wantHole: false));
        Assert.Equal(data + 1, fixture.Seek(1, data + 1, wantHole: false));
        Assert.Equal(last, fixture.Seek(1, data + 4 * Chunk, wantHole: false));
        Assert.Equal(ulong.MaxValue, fixture.Seek(1, last + Chunk, wantHole: false));
        Assert.Equal(5UL, fixture.Seek(1, 5, wantHole: true));
        Assert.Equal(data + 4 * Chunk, fixture.Seek(1, data + 5, wantHole: true));
        Assert.Equal(last + Chunk, fixture.Seek(1, last, wantHole: true));
        Assert.Equal(ulong.MaxValue, fixture.Seek(2, 0, wantHole: false));
        Assert.Equal(77UL, fixture.Seek(2, 77, wantHole: true));

        // A run of data over the border of segments and blocks has no hole at the border.
        fixture.Write(Block(4), 0, new byte[Limits.BlockSizeBytes]);
        fixture.Write(Block(4, 1), 0, new byte[Chunk]);
        Assert.Equal((ulong)Limits.BlockSizeBytes + Chunk, fixture.Seek(4, 3, wantHole: true));
    }

    [Fact]
    public void Punch_and_truncate_zero_and_free()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(8 * Chunk);
        fixture.Write(Block(1), 0, data);
        Assert.Equal(FsStatus.Ok, fixture.Store.Punch(Block(1), Chunk / 2, 2 * Chunk, out long delta));
        Assert.Equal(-Chunk, delta);
        data.AsSpan(Chunk / 2, 2 * Chunk).Clear();
        Assert.Equal(data, fixture.Read(Block(1), 0, data.Length));
        Assert.Equal(FsStatus.Ok, fixture.Store.Truncate(new InodeId(1), 5 * Chunk + 7, out delta));
        Assert.Equal(-2 * Chunk, delta);
        data.AsSpan(5 * Chunk + 7).Clear();
        Assert.Equal(data, fixture.Read(Block(1), 0, data.Length));
        Assert.Equal(FsStatus.Ok, fixture.Store.Measure(new InodeId(1), out long allocated, out ulong end));
        Assert.Equal((5L * Chunk, 5UL * Chunk + 7), (allocated, end));
        Assert.Equal(FsStatus.Ok, fixture.Store.Truncate(new InodeId(1), 0, out delta));
        Assert.Equal(-5 * Chunk, delta);
        fixture.Settle();
        fixture.AssertClean();
        Assert.Equal(0, fixture.Store.Space.UsedBytes);
        Assert.Equal(Chunk, fixture.Disk.UsedBytes);
    }

    [Fact]
    public void Truncating_touches_only_blocks_that_exist()
    {
        using var fixture = new BlockFixture();
        uint far = uint.MaxValue - 1;
        fixture.Write(Block(1, far), 0, Bytes(9000));
        fixture.Write(Block(2), 0, Bytes(9000));
        long writes = fixture.Kv.Writes;
        Assert.Equal(FsStatus.Ok, fixture.Store.Truncate(new InodeId(1), 0, out long delta));
        Assert.Equal((-3 * Chunk, 1), (delta, fixture.Kv.Writes - writes));
        Assert.Equal(ulong.MaxValue, fixture.Seek(1, 0, wantHole: false));
        Assert.Equal(0UL, fixture.Seek(2, 0, wantHole: false));
    }

    [Fact]
    public void Everything_applied_survives_the_death_of_the_process()
    {
        using var fixture = new BlockFixture();
        byte[] large = Bytes(3 << 20), small = Bytes(5000, seed: 2);
        fixture.Write(Block(1), 0, large);
        fixture.Write(Block(1), 3 << 20, small, WriteHint.SyncSoon);
        fixture.Restart();
        Assert.Equal(large, fixture.Read(Block(1), 0, large.Length));
        Assert.Equal(small, fixture.Read(Block(1), 3 << 20, small.Length));
        fixture.AssertClean();
    }

    [Fact]
    public void A_crash_between_log_and_volume_brings_the_flushed_version_back()
    {
        // The log reaches the disk, the volume does not.
        var kv = new SimKvStore();
        var disk = new SimDisk();
        var options = new BlockStoreOptions { StoreId = StoreId, VolumeSizeBytes = 4 << 20, MapCacheBytes = 1 << 16 };
        byte[] old = Bytes(10 * Chunk), data = new byte[10 * Chunk];
        using (var store = BlockStore.Open(kv, disk, options, TimeProvider.System))
        {
            store.Write(Block(1), 0, old, WriteHint.Buffered, out _);
            store.Sync();
            store.Write(Block(1), 0, Bytes(12 * Chunk, seed: 2), WriteHint.Buffered, out _);
            kv.Sync();
        }

        // A disk whose random source always says no has written nothing back.
        using var next = BlockStore.Open(kv.Kill(), disk.Crash(new Nothing()), options, TimeProvider.System);
        Assert.Equal(FsStatus.Ok, next.Read(Block(1), 0, data));
        Assert.Equal(old, data);
        Assert.Equal(FsStatus.Ok, next.Measure(new InodeId(1), out long allocated, out ulong end));
        Assert.Equal((10L * Chunk, 10UL * Chunk), (allocated, end));
        Assert.Empty(next.Check().Problems);
    }

    [Fact]
    public void Inline_data_that_a_later_window_falls_back_to_outlives_the_earlier_flush()
    {
        var kv = new SimKvStore();
        var disk = new SimDisk();
        var options = new BlockStoreOptions { StoreId = StoreId, VolumeSizeBytes = 4 << 20, MapCacheBytes = 1 << 16 };
        byte[] first = Bytes(Chunk, seed: 1), second = Bytes(Chunk, seed: 2), third = Bytes(Chunk, seed: 3), fourth = Bytes(Chunk, seed: 4);
        Action whileFlushing = () => { };
        using (var store = BlockStore.Open(new InterruptibleKv(kv, () => whileFlushing()), disk, options, TimeProvider.System))
        {
            BlockId block = Block(1, 1);
            store.Write(block, 0, first, WriteHint.SyncSoon, out _);
            store.Sync();
            store.Write(block, 0, second, WriteHint.Buffered, out _);
            whileFlushing = () =>
            {
                whileFlushing = () => { };
                store.Write(block, 0, third, WriteHint.SyncSoon, out _);
                store.Write(block, 0, fourth, WriteHint.Buffered, out _);
            };
            store.Sync();
            kv.Sync();
        }

        using var next = BlockStore.Open(kv.Kill(), disk.Crash(new Nothing()), options, TimeProvider.System);
        byte[] found = new byte[Chunk];
        Assert.Equal(FsStatus.Ok, next.Read(Block(1, 1), 0, found));
        Assert.Equal(third, found);
        Assert.Empty(next.Check().Problems);
    }

    private sealed class Nothing : Random
    {
        public override int Next(int maxValue) => 0;

        public override double NextDouble() => 1;
    }
}
