using StoreCore.Blocks;
using StoreCore.Disk;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Tests.Blocks;

/// <summary>On the real engine and disk: threads against each other, and what a read or write allocates.</summary>
public sealed class BlockConcurrencyTests : IDisposable
{
    private const int Chunk = Limits.ChunkSizeBytes;

    private readonly TestDirectory _directory = new();
    private readonly RocksDbStore _kv;
    private readonly PosixDisk _disk;
    private readonly BlockStore _store;

    public BlockConcurrencyTests()
    {
        _kv = RocksDbStore.Open(_directory["kv"], new RocksDbOptions { MemoryBudgetBytes = 32 << 20 });
        _disk = new PosixDisk(_directory["volumes"]);
        var options = new BlockStoreOptions
        {
            StoreId = BlockFixture.StoreId,
            VolumeSizeBytes = 64 << 20,
            MapCacheBytes = 1 << 20,
            LockStripes = 16,
            ColdAfter = TimeSpan.FromMilliseconds(5),
            DefragmentRuns = 3,
            SpaceFoldRows = 5,
            SpaceFoldStepGroups = 2,
        };
        _store = BlockStore.Open(_kv, _disk, options, TimeProvider.System);
    }

    public void Dispose()
    {
        _store.Dispose();
        _disk.Dispose();
        _kv.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void Operations_on_a_block_are_atomic_and_nothing_is_lost()
    {
        // Every write fills a whole region with one letter, so a reader must never see two.
        const int Regions = 8, RegionBytes = 5 * Chunk, Writers = 3;
        using var end = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        byte[,] last = new byte[Writers, Regions];
        var threads = new List<Thread>();
        var failures = new System.Collections.Concurrent.ConcurrentQueue<Exception>();
        void Start(Action<int, Random> body, int id) => threads.Add(new Thread(() =>
        {
            try
            {
                var random = new Random(id);
                while (!end.IsCancellationRequested)
                    body(id, random);
            }
            catch (Exception e)
            {
                failures.Enqueue(e);
                end.Cancel();
            }
        }));

        for (int writer = 0; writer < Writers; writer++)
        {
            Start(
                (id, random) =>
                {
                    int region = random.Next(Regions);
                    byte letter = (byte)random.Next(256);
                    byte[] data = new byte[RegionBytes];
                    data.AsSpan().Fill(letter);
                    var hint = (WriteHint)random.Next(2);
                    if (random.Next(8) == 0)
                    {
                        letter = 0;
                        Expect(_store.Punch(Block(id), region * RegionBytes + 100, RegionBytes, out _));
                    }
                    else
                    {
                        Expect(_store.Write(Block(id), region * RegionBytes + 100, data, hint, out _));
                    }

                    last[id, region] = letter;
                },
                writer);
        }

        Start(
            (_, random) =>
            {
                byte[] data = new byte[RegionBytes];
                Expect(_store.Read(Block(random.Next(Writers)), random.Next(Regions) * RegionBytes + 100, data));
                Assert.False(data.AsSpan().ContainsAnyExcept(data[0]));
            },
            100);
        Start((_, _) => Expect(_store.Sync()), 101);
        Start((_, _) => Expect(_store.RunMaintenance(1 << 20, out MaintenanceReport _)), 102);
        Start((_, _) => Assert.Empty(_store.Check().Problems), 103);
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Assert.Empty(failures);

        byte[] found = new byte[RegionBytes];
        for (int writer = 0; writer < Writers; writer++)
        {
            for (int region = 0; region < Regions; region++)
            {
                Expect(_store.Read(Block(writer), region * RegionBytes + 100, found));
                Assert.Equal(-1, found.AsSpan().IndexOfAnyExcept(last[writer, region]));
            }
        }

        Assert.Equal(0, _store.Faults.Count);
    }

    [Fact]
    public void Reads_and_writes_allocate_nothing()
    {
        byte[] large = BlockFixture.Bytes(1 << 20), small = BlockFixture.Bytes(Chunk);
        void Round(int i)
        {
            Expect(_store.Write(Block(1), i % 4 << 20, large, WriteHint.Buffered, out _));
            Expect(_store.Write(Block(1), i * 37 % 1000 * Chunk, small, WriteHint.Buffered, out _));
            Expect(_store.Write(Block(1), i * 41 % 1000 * Chunk + 100, small, WriteHint.SyncSoon, out _));
            Expect(_store.Read(Block(1), i % 4 << 20, large));
            Expect(_store.Read(Block(1), i * 41 % 1000 * Chunk + 77, small));
        }

        // Both sync windows have to have grown to the size of the work between two flushes.
        for (int i = 0; i < 80; i++)
        {
            if (i % 20 == 0)
                Expect(_store.Sync());
            Round(i);
        }

        Expect(_store.Sync());

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++)
            Round(i);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Space_of_deleted_tiny_files_comes_back()
    {
        byte[] data = BlockFixture.Bytes(Chunk);
        for (ulong i = 1; i <= 2000; i++)
            Expect(_store.Write(new BlockId(new InodeId(i), 0), 0, data, WriteHint.Buffered, out _));
        long full = _kv.Usage.DiskBytes;
        for (ulong i = 1; i <= 2000; i++)
            Expect(_store.Truncate(new InodeId(i), 0, out _));
        Assert.True(_kv.Reclaim(KvTable.InlineData, long.MaxValue));
        Assert.True(_kv.Usage.DiskBytes < full / 2, $"{_kv.Usage.DiskBytes} of {full} bytes are left");
        Assert.False(_kv.Reclaim(KvTable.InlineData, -1));
        Assert.Empty(_store.Check().Problems);
    }

    [Fact]
    public void The_maintenance_thread_works_pauses_and_ends()
    {
        Expect(_store.Write(Block(1), 0, BlockFixture.Bytes(Limits.SegmentSizeBytes), WriteHint.Buffered, out _));
        Expect(_store.Write(Block(1), 4 * Chunk, BlockFixture.Bytes(Chunk), WriteHint.SyncSoon, out _));
        using var thread = new BlockMaintenanceThread(_store, TimeProvider.System, TimeSpan.FromMilliseconds(1), 1 << 30);
        Assert.True(SpinWait.SpinUntil(IsSettled, TimeSpan.FromSeconds(20)));
        thread.Paused = true;
        Assert.Null(thread.Failure);

        bool IsSettled()
        {
            Expect(_store.Describe(new InodeId(1), verify: false, out IReadOnlyList<BlockExtent> extents));
            return extents.All(extent => extent.Kind == BlockExtentKind.Volume);
        }
    }

    private static BlockId Block(int index) => new(new InodeId(1), (uint)index);

    // Assert.Equal allocates.
    private static void Expect(FsStatus status) => Assert.True(status == FsStatus.Ok);
}
