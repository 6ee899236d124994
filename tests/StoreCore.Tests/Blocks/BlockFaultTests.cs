using Sim;
using StoreCore.Blocks;
using StoreCore.Kv;
using StoreCore.Primitives;
using static StoreCore.Tests.Blocks.BlockFixture;

namespace StoreCore.Tests.Blocks;

public sealed class BlockFaultTests
{
    private const int Chunk = Limits.ChunkSizeBytes;

    [Fact]
    public void Rot_is_found_by_reads_and_scrub_and_healed_by_writing_anew()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(64 * Chunk);
        fixture.Write(Block(1), 0, data);
        fixture.Write(Block(2), 0, Bytes(10));
        BlockExtent extent = Assert.Single(fixture.Describe(1));
        fixture.Disk.Rot(new Random(1), extent.Volume, extent.VolumeOffset + 9 * Chunk, Chunk);
        fixture.Disk.Rot(new Random(2), extent.Volume, extent.VolumeOffset + 40 * Chunk, Chunk);

        Assert.Equal(FsStatus.IoError, fixture.Store.Read(Block(1), 0, new byte[64 * Chunk]));
        Assert.Equal(FsStatus.IoError, fixture.Store.Read(Block(1), 9 * Chunk + 5, new byte[1]));
        Assert.Equal(data[(10 * Chunk)..(40 * Chunk)], fixture.Read(Block(1), 10 * Chunk, 30 * Chunk));
        BlockFault fault = Assert.Single(fixture.Store.Faults.Remembered);
        Assert.Equal((Block(1), 9, extent.Volume, extent.VolumeOffset + 9 * Chunk), (fault.Block, fault.Chunk, fault.Volume, fault.Offset));
        Assert.Contains("checksum", fault.Reason, StringComparison.Ordinal);

        (long verified, long bad) = Scrub(fixture, budgetBytes: 1);
        Assert.Equal((65L * Chunk, 2L), (verified, bad));
        Assert.Equal([9, 40], fixture.Store.Faults.Remembered.Select(f => f.Chunk).Order());
        Assert.Equal(2, fixture.Describe(1, verify: true).Sum(e => e.BadChunks));

        // A part of a bad chunk cannot be written, the whole can.
        Assert.Equal(FsStatus.IoError, fixture.Store.Write(Block(1), 9 * Chunk + 1, [1], WriteHint.Buffered, out _));
        fixture.Write(Block(1), 9 * Chunk, data.AsSpan(9 * Chunk, Chunk));
        Assert.Equal(FsStatus.Ok, fixture.Store.Punch(Block(1), 40 * Chunk, Chunk, out _));
        Assert.Equal((64L * Chunk, 0L), Scrub(fixture, budgetBytes: 1 << 20));
        fixture.AssertClean();
    }

    [Fact]
    public void A_failed_flush_stops_the_store_with_its_evidence()
    {
        using var fixture = new BlockFixture();
        string? told = null;
        fixture.Store.Stopped += reason => told = reason;
        fixture.Write(Block(1), 0, Bytes(1 << 20));
        fixture.Disk.Fail(SimDiskOperation.Sync);
        Assert.Equal(FsStatus.Stopped, fixture.Store.Sync());
        Assert.Equal(fixture.Store.StopReason, told);
        Assert.Contains("vol-00000001", told, StringComparison.Ordinal);
        Assert.Contains("errno 5", told, StringComparison.Ordinal);
        Assert.Equal(FsStatus.Stopped, fixture.Store.Sync());
        Assert.Equal(FsStatus.Stopped, fixture.Store.Read(Block(1), 0, new byte[1]));
        Assert.Equal(FsStatus.Stopped, fixture.Store.Write(Block(1), 0, [1], WriteHint.Buffered, out _));
        Assert.Equal(FsStatus.Stopped, fixture.Store.Punch(Block(1), 0, 1, out _));
        Assert.Equal(FsStatus.Stopped, fixture.Store.Truncate(new InodeId(1), 0, out _));
        Assert.Equal(FsStatus.Stopped, fixture.Store.Measure(new InodeId(1), out _, out _));
        Assert.Equal(FsStatus.Stopped, fixture.Store.Seek(new InodeId(1), 0, false, out _, out _));
        Assert.Equal(FsStatus.Stopped, fixture.Store.RunMaintenance(1, out _));
    }

    [Fact]
    public void A_failed_log_stops_the_store()
    {
        using var fixture = new BlockFixture();
        fixture.Kv.FailWrite();
        Assert.Equal(FsStatus.Stopped, fixture.Store.Write(Block(1), 0, [1], WriteHint.Buffered, out _));
        Assert.Contains("No space left", fixture.Store.StopReason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_full_disk_refuses_writes_keeps_data_and_serves_again_after_deletes()
    {
        using var fixture = new BlockFixture(capacityBytes: 24 << 20);
        byte[] data = Bytes(1 << 20);
        ulong inode = 0;
        while (fixture.Store.Write(Block(++inode), 0, data, WriteHint.Buffered, out _) == FsStatus.Ok)
            Assert.True(inode < 24);

        Assert.Equal(FsStatus.NoSpace, fixture.Store.Write(Block(inode), 0, data, WriteHint.Buffered, out _));
        Assert.True(fixture.Store.Space.AvailableBytes < data.Length + 2 * Chunk);
        Assert.True(fixture.Disk.Space.AvailableBytes >= 1 << 20, "the reserve was touched");
        for (ulong i = 1; i < inode; i++)
            Assert.Equal(data, fixture.Read(Block(i), 0, data.Length));

        // No time passes and nobody flushes: the next writer finds the freed space by itself.
        Assert.Equal(FsStatus.Ok, fixture.Store.Truncate(new InodeId(1), 0, out _));
        Assert.True(fixture.Store.Space.AvailableBytes >= data.Length);
        fixture.Write(Block(100), 0, data);
        Assert.Equal(FsStatus.NoSpace, fixture.Store.Write(Block(101), 0, data, WriteHint.Buffered, out _));
        fixture.AssertClean();
    }

    [Fact]
    public void A_disk_that_is_full_in_spite_of_the_reserve_harms_nothing()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(1 << 20);
        fixture.Write(Block(1), 0, data);
        fixture.Disk.Fail(SimDiskOperation.Write, errno: 28);
        Assert.Equal(FsStatus.NoSpace, fixture.Store.Write(Block(1), 0, Bytes(1 << 20, seed: 2), WriteHint.Buffered, out long delta));
        Assert.Equal(0, delta);
        Assert.Equal(data, fixture.Read(Block(1), 0, data.Length));
        fixture.Write(Block(2), 0, data);
        fixture.Settle();
        Assert.Equal((2L << 20) + Chunk, fixture.Disk.UsedBytes);
        fixture.AssertClean();
    }

    [Fact]
    public void A_write_error_is_told_and_the_place_is_not_used_again()
    {
        using var fixture = new BlockFixture();
        fixture.Write(Block(1), 0, Bytes(16 * Chunk));
        fixture.Disk.Fail(SimDiskOperation.Write);
        Assert.Equal(FsStatus.IoError, fixture.Store.Write(Block(2), 0, Bytes(16 * Chunk), WriteHint.Buffered, out _));
        fixture.Write(Block(3), 0, Bytes(16 * Chunk));
        Assert.Equal(33 * Chunk, fixture.Describe(3)[0].VolumeOffset);
        Assert.Contains("vol-00000001", Assert.Single(fixture.Store.Faults.Remembered).Volume, StringComparison.Ordinal);
    }

    [Fact]
    public void A_volume_cut_while_in_use_is_named()
    {
        using var fixture = new BlockFixture();
        fixture.Write(Block(1), 0, Bytes(1 << 20));
        fixture.Disk.Cut("vol-00000001", 64 * Chunk);
        Assert.Equal(FsStatus.IoError, fixture.Store.Read(Block(1), 0, new byte[1 << 20]));
        Assert.Contains("vol-00000001", fixture.Store.Faults.Remembered[0].ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_cut_volume_is_refused_at_open_and_repair_keeps_the_rest()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(1 << 20);
        fixture.Write(Block(1), 0, data);
        fixture.Sync();
        fixture.Disk.Cut("vol-00000001", 101 * Chunk);
        var refused = Assert.Throws<BlockStoreException>(fixture.Restart);
        Assert.Contains("vol-00000001 is refused: it is cut", refused.Message, StringComparison.Ordinal);

        using var repaired = BlockStore.Open(fixture.Kv, fixture.Disk, fixture.Options with { RepairVolumes = true }, fixture.Clock);
        byte[] kept = new byte[100 * Chunk];
        Assert.Equal(FsStatus.Ok, repaired.Read(Block(1), 0, kept));
        Assert.Equal(data[..kept.Length], kept);
        Assert.Equal(FsStatus.IoError, repaired.Read(Block(1), 100 * Chunk, new byte[Chunk]));
    }

    [Fact]
    public void A_lost_volume_is_given_up_by_repair_which_says_so_and_keeps_the_rest()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(4 << 20);
        fixture.Write(Block(1), 0, data);
        fixture.Sync();
        fixture.Disk.Lose("vol-00000001");
        Assert.Contains("vol-00000001 is missing", Assert.Throws<BlockStoreException>(fixture.Restart).Message, StringComparison.Ordinal);

        using var repaired = BlockStore.Open(fixture.Kv, fixture.Disk, fixture.Options with { RepairVolumes = true }, fixture.Clock);
        BlockProblem problem = Assert.Single(repaired.Repair().Problems);
        Assert.Equal(BlockProblemKind.DamagedVolume, problem.Kind);
        Assert.StartsWith("volume vol-00000001 was missing", problem.Description, StringComparison.Ordinal);

        int lost = 0;
        for (int chunk = 0; chunk < data.Length / Chunk; chunk++)
        {
            byte[] read = new byte[Chunk];
            if (repaired.Read(Block(1), chunk * Chunk, read) == FsStatus.IoError)
                lost++;
            else
                Assert.Equal(data[(chunk * Chunk)..((chunk + 1) * Chunk)], read);
        }

        Assert.InRange(lost, 1, data.Length / Chunk - 1); // the rest lay in the second volume
        Assert.Equal(FsStatus.Ok, repaired.Write(Block(1), 0, data, WriteHint.Buffered, out _));
        byte[] again = new byte[data.Length];
        Assert.Equal(FsStatus.Ok, repaired.Read(Block(1), 0, again));
        Assert.Equal(data, again);
    }

    [Fact]
    public void Missing_foreign_and_damaged_volumes_are_refused_by_name()
    {
        using var fixture = new BlockFixture();
        fixture.Write(Block(1), 0, Bytes(4 << 20));
        fixture.Sync();
        Assert.Equal(2, fixture.Disk.List().Count);
        fixture.Options = fixture.Options with { StoreId = Guid.Empty };
        Assert.Contains("vol-00000001 is refused: it belongs to store", Assert.Throws<BlockStoreException>(fixture.Restart).Message, StringComparison.Ordinal);
        fixture.Options = fixture.Options with { StoreId = StoreId };
        fixture.Disk.Rot(new Random(1), "vol-00000002", 0, VolumeHeader.SizeBytes);
        Assert.Contains("vol-00000002 is refused: its header is damaged", Reopen(fixture), StringComparison.Ordinal);
        fixture.Disk.Lose("vol-00000002");
        Assert.Contains("vol-00000002 is missing", Reopen(fixture), StringComparison.Ordinal);
    }

    [Fact]
    public void A_volume_that_was_never_finished_is_made_anew()
    {
        var disk = new SimDisk();
        disk.Open("vol-00000001", create: true).Write(0, Bytes(100));
        disk.Open("notes.txt", create: true).Dispose();
        using var store = BlockStore.Open(new SimKvStore(), disk, new BlockStoreOptions { StoreId = StoreId }, TimeProvider.System);
        Assert.Equal(FsStatus.Ok, store.Write(Block(1), 0, Bytes(8 * Chunk), WriteHint.Buffered, out _));
        Assert.Equal(["notes.txt", "vol-00000001"], disk.List().Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_repair_is_not_hidden_by_changes_that_came_before_it()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(16 * Chunk);
        fixture.Write(Block(1), 0, data);
        fixture.Sync();
        fixture.Restart();

        // Chunks 1 to 16 are inode 1's, and the table has 16 more as taken that nobody has.
        var batch = new KvBatch();
        byte[] bitmap = new byte[32];
        bitmap.AsSpan(0, 2).Fill(0xFF);
        bitmap[2] = 0x01;
        bitmap.AsSpan(30, 2).Fill(0xFF);
        batch.Put(KvTable.Space, [0, 0, 0, 1, 0, 0, 0, 0], bitmap);
        fixture.Kv.Write(batch);
        fixture.Restart();

        // In the same group: its change row has all of these as taken.
        fixture.Write(Block(2), 0, data);
        fixture.Sync();
        Assert.Equal(16, fixture.Store.Repair().ProblemCount);
        fixture.AssertClean();
        fixture.Restart();
        fixture.AssertClean();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(39)]
    [InlineData(40)]
    [InlineData(41)]
    public void A_damaged_change_row_of_the_space_table_is_a_finding(int lengthBytes)
    {
        using var fixture = new BlockFixture();
        fixture.Write(Block(1), 0, Bytes(16 * Chunk));
        var batch = new KvBatch();
        batch.Put(KvTable.Space, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], new byte[lengthBytes]);
        fixture.Kv.Write(batch);
        BlockProblem problem = Assert.Single(fixture.Store.Check().Problems);
        Assert.Equal((BlockProblemKind.DamagedRow, "space row 000000000000000000000002 is damaged"), (problem.Kind, problem.Description));
        Assert.Equal("a row of the space table is damaged: 000000000000000000000002", Reopen(fixture));
    }

    [Fact]
    public void Check_finds_every_disagreement_and_repair_mends_it()
    {
        using var fixture = new BlockFixture();
        byte[] data = Bytes(16 * Chunk);
        fixture.Write(Block(1), 0, data);
        fixture.Write(Block(2), 0, data);
        fixture.Write(Block(3), 0, Bytes(100));
        fixture.Write(Block(4), 0, Bytes(100));
        fixture.Sync();
        fixture.AssertClean();
        fixture.Restart(); // folds the space table's change rows: the row put below counts

        var batch = new KvBatch();
        Span<byte> key = stackalloc byte[SegmentKey.InlineSizeBytes];
        Span<byte> row = stackalloc byte[SegmentCodec.MaxSizeBytes];
        int length = fixture.Kv.Get(KvTable.Segments, new SegmentKey(1, 0, 0).Encode(key), row);

        // Inode 5 claims the chunks of inode 1; those of inode 2 are free in the table and one nobody has is taken; inline data without a row and the reverse.
        batch.Put(KvTable.Segments, new SegmentKey(5, 0, 0).Encode(key), row[..length]);
        byte[] bitmap = new byte[32];
        bitmap.AsSpan(0, 3).Fill(0xFF);
        bitmap[31] = 0x80;
        batch.Put(KvTable.Space, [0, 0, 0, 1, 0, 0, 0, 0], bitmap);
        batch.Put(KvTable.InlineData, new SegmentKey(9, 0, 0).EncodeInline(key, 3), [1]);
        batch.Delete(KvTable.InlineData, new SegmentKey(3, 0, 0).EncodeInline(key, 0));
        batch.Put(KvTable.Segments, new SegmentKey(6, 0, 0).Encode(key), [99]);
        fixture.Kv.Write(batch);
        fixture.Restart();

        BlockCheckReport report = fixture.Store.Check();
        Assert.Equal(
            new Dictionary<BlockProblemKind, int>
            {
                [BlockProblemKind.SharedChunk] = 16,
                [BlockProblemKind.ReferencedButFree] = 9,
                [BlockProblemKind.Leaked] = 1,
                [BlockProblemKind.OrphanInline] = 1,
                [BlockProblemKind.MissingInline] = 1,
                [BlockProblemKind.DamagedRow] = 1,
            },
            report.Problems.CountBy(p => p.Kind).ToDictionary());

        var usage = new List<InodeUsage>();
        Assert.Equal(report.ProblemCount, fixture.Store.Repair(usage.Add).ProblemCount);
        Assert.Equal([1UL, 2UL, 3UL, 4UL, 5UL, 6UL], usage.Select(u => u.Inode.Value));
        Assert.Equal(new InodeUsage(new InodeId(2), 16 * Chunk, 16 * Chunk), usage[1]);
        fixture.AssertClean();
        foreach (ulong inode in (ulong[])[1, 2, 5])
            Assert.Equal(data, fixture.Read(Block(inode), 0, data.Length));
        Assert.Equal(FsStatus.IoError, fixture.Store.Read(Block(3), 0, new byte[1]));
        Assert.Equal(Bytes(100), fixture.Read(Block(4), 0, 100));
        Assert.Equal(FsStatus.IoError, fixture.Store.Read(Block(6), 0, new byte[1]));
        fixture.Restart();
        fixture.Settle();
        fixture.AssertClean();
        Assert.Equal(data, fixture.Read(Block(5), 0, data.Length));
    }

    private static string Reopen(BlockFixture fixture) => Assert.Throws<BlockStoreException>(
        () => BlockStore.Open(fixture.Kv, fixture.Disk, fixture.Options, fixture.Clock)).Message;

    private static (long Verified, long Bad) Scrub(BlockFixture fixture, long budgetBytes)
    {
        (long verified, long bad) = (0, 0);
        ScrubCursor cursor = default;
        while (true)
        {
            Assert.Equal(FsStatus.Ok, fixture.Store.Scrub(cursor, budgetBytes, out ScrubStep step));
            verified += step.VerifiedBytes;
            bad += step.BadChunks;
            if (step.Done)
                return (verified, bad);
            Assert.NotEqual(cursor, step.Next);
            cursor = step.Next;
        }
    }
}
