using Sim;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class StoreTests
{
    private readonly MetadataFixture _fs = new();

    [Fact]
    public void A_store_that_cannot_be_used_is_refused_with_one_line()
    {
        Assert.Contains("format it first", Refusal(new SimKvStore()));
        Assert.Throws<MetadataException>(() => MetadataStore.Format(_fs.Kv, Id, default));

        _fs.Make("a");
        ulong last = _fs.Store.Applied.Value;
        Assert.Contains("version 2", Refusal(Changed(KvTable.System, MetadataKeys.Superblock.ToArray(), row => row[8] = 2)));
        Assert.Contains("checksum", Refusal(Changed(KvTable.System, MetadataKeys.Superblock.ToArray(), row => row[40] ^= 1)));
        Assert.Contains("without its mark", Refusal(Changed(KvTable.System, MetadataKeys.Superblock.ToArray(), row => row[0] ^= 1)));
        Assert.Contains("checksum", Refusal(Changed(KvTable.OpLog, LogKey(last), row => row[^1] ^= 1)));
        Assert.Contains("does not hold record", Refusal(Changed(KvTable.OpLog, LogKey(last), null)));
        Assert.Contains("goes on after", Refusal(Put(KvTable.OpLog, LogKey(last + 1), [1])));
    }

    [Fact]
    public void A_failed_write_stops_everything_and_changes_nothing_in_memory()
    {
        InodeRecord file = _fs.Make("a");
        _fs.Kv.FailWrite();
        Assert.Equal(FsStatus.Stopped, _fs.TryMake("b", out InodeRecord none));
        Assert.Equal(InodeId.None, none.Inode);
        Assert.Equal(FsStatus.Stopped, _fs.Store.GetInode(file.Inode, out _));
        Assert.Equal(FsStatus.Stopped, _fs.Store.Lookup(Root, InodeId.Root, Name("a"), out _));
        Assert.Equal(FsStatus.Stopped, _fs.SetMode(file.Inode, 0));
        Assert.Equal(FsStatus.Stopped, _fs.Store.Reap([file.Inode]));
        Assert.Equal(FsStatus.Stopped, _fs.Store.Sync());
        Assert.Contains("No space left", _fs.Store.Failure!.Message);
        Assert.Equal(2ul, _fs.Store.InodeCounts.Used);
    }

    [Fact]
    public void A_failed_flush_stops_everything()
    {
        _fs.Make("a");
        _fs.Kv.FailSync();
        Assert.Equal(FsStatus.Stopped, _fs.Store.Sync());
        Assert.Equal(FsStatus.Stopped, _fs.TryMake("b", out _));
    }

    [Fact]
    public void The_op_log_applied_to_an_empty_store_gives_the_same_state()
    {
        var model = new RandomOperations(_fs, new Random(11));
        for (int i = 0; i < 3000; i++)
            model.Step();

        var copy = new SimKvStore();
        var batch = new KvBatch();
        MetadataState state = default;
        ulong next = 1;
        using (IKvIterator log = _fs.Kv.Iterate(KvTable.OpLog, default, default))
        {
            while (log.Next())
            {
                OpRecord record = OpRecord.Parse(log.Value);
                Assert.Equal(next++, record.Sequence.Value);
                batch.Clear();
                MetadataCore.Apply(record, ref state, batch);
                state.Save(batch);
                copy.Write(batch);
            }
        }

        Assert.True(next > 1000);
        Assert.Equal(Dump(_fs.Kv, withLog: true), Dump(copy, withLog: true));
    }

    [Fact]
    public void Records_out_of_order_or_of_an_older_term_are_not_applied()
    {
        _fs.Make("a");
        byte[] record = new byte[4096];
        int length = _fs.Kv.Get(KvTable.OpLog, LogKey(2), record);
        MetadataState state = default;
        Assert.Throws<MetadataException>(() => Apply(1));
        state.Sequence = new LogIndex(1);
        state.Term = new Term(2);
        Assert.Throws<MetadataException>(() => Apply(1));
        state.Term = new Term(1);
        Apply(1);
        Assert.Throws<MetadataException>(() => Apply(2)); // cut short

        void Apply(int cut) => MetadataCore.Apply(OpRecord.Parse(record.AsSpan(0, cut == 1 ? length : length - 1)), ref state, new KvBatch());
    }

    [Fact]
    public void Damaged_records_are_refused_whatever_is_damaged()
    {
        _fs.Make("a");
        byte[] record = new byte[4096];
        record = record[.._fs.Kv.Get(KvTable.OpLog, LogKey(2), record)];
        var random = new Random(5);
        for (int i = 0; i < 2000; i++)
        {
            byte[] damaged = [.. record];
            damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            Assert.Throws<MetadataException>(() => OpRecord.Parse(damaged[..(i % 2 == 0 ? damaged.Length : random.Next(damaged.Length))]).Kind);
        }
    }

    [Fact]
    public void The_op_log_stays_bounded()
    {
        // Attributes of 64 KiB fill segments fast.
        InodeRecord file = _fs.Make("a");
        byte[] value = new byte[65536];
        int perSegment = Limits.OpLogSegmentBytes / value.Length, sets = perSegment * (Limits.OpLogSegments + 4);
        for (int i = 0; i < sets; i++)
            _fs.Store.SetXattr(Root, file.Inode, Name("user.a"), value, XattrSetFlags.None, out _);

        int kept = 0;
        using (IKvIterator log = _fs.Kv.Iterate(KvTable.OpLog, default, default))
        {
            while (log.Next())
                kept++;
        }

        Assert.InRange(kept, perSegment * (Limits.OpLogSegments - 1), perSegment * Limits.OpLogSegments + 1);
        _fs.Reopen(_fs.Kv.Kill());
        Assert.Equal((ulong)sets + 2, _fs.Store.Applied.Value);
        Assert.Empty(CheckTests.Check(_fs.Kv));
    }

    [Fact]
    public void Neither_reads_nor_changes_allocate_in_steady_state()
    {
        using var directory = new TestDirectory();
        using RocksDbStore kv = RocksDbStore.Open(directory["kv"], new RocksDbOptions());
        MetadataStore.Format(kv, Id, default);
        MetadataStore store = MetadataStore.Open(kv, new MetadataOptions { CacheBytes = 1 << 20 });
        byte[] name = Name("file"), other = Name("other");
        store.Create(Root, InodeId.Root, name, new NewInode { Mode = PlainMode }, out InodeRecord file);

        Assert.Equal(0, Allocated(() => store.GetInode(file.Inode, out _)));
        Assert.Equal(0, Allocated(() => store.Lookup(Root, InodeId.Root, name, out _)));
        Assert.Equal(0, Allocated(() => store.Lookup(User, InodeId.Root, name, out _)));
        Assert.Equal(0, Allocated(() => store.Lookup(User, InodeId.Root, other, out _)));
        Assert.Equal(0, Allocated(() => store.SetAttributes(Root, file.Inode, new AttributeChange { Mask = AttributeMask.ModifiedNow }, out _)));
        Assert.Equal(0, Allocated(() =>
        {
            store.Create(Root, InodeId.Root, other, new NewInode { Mode = PlainMode }, out InodeRecord made);
            var update = new SizeUpdate { Inode = made.Inode, SizeBytes = 1 };
            store.RecordSizes(new ReadOnlySpan<SizeUpdate>(in update));
            store.Unlink(Root, InodeId.Root, other, out _);
            store.Reap(new ReadOnlySpan<InodeId>(in made.Inode));
            store.PurgeDone(new ReadOnlySpan<InodeId>(in made.Inode));
        }));

        static long Allocated(Action action)
        {
            for (int i = 0; i < 200; i++)
                action();
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 500; i++)
                action();
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Fact]
    public void A_small_cache_gives_the_same_answers()
    {
        var fs = new MetadataFixture(cacheBytes: 0);
        var inodes = new List<InodeRecord>();
        for (int i = 0; i < 2500; i++)
            inodes.Add(fs.Make($"f{i}"));
        for (int round = 0; round < 3; round++)
        {
            foreach (InodeRecord inode in inodes)
                Assert.Equal(inode, fs.Get(inode.Inode));
        }
    }

    private static byte[] LogKey(ulong sequence) => MetadataKeys.LogRecord(new byte[8], sequence).ToArray();

    private static string Refusal(SimKvStore kv)
    {
        string message = Assert.Throws<MetadataException>(() => MetadataStore.Open(kv, new MetadataOptions())).Message;
        Assert.DoesNotContain('\n', message);
        return message;
    }

    private SimKvStore Put(KvTable table, byte[] key, byte[] value)
    {
        SimKvStore kv = Copy();
        var batch = new KvBatch();
        batch.Put(table, key, value);
        kv.Write(batch);
        return kv;
    }

    private SimKvStore Changed(KvTable table, byte[] key, Action<byte[]>? change)
    {
        SimKvStore kv = Copy();
        byte[] row = new byte[kv.Get(table, key, default)];
        kv.Get(table, key, row);
        var batch = new KvBatch();
        if (change is null)
        {
            batch.Delete(table, key);
        }
        else
        {
            change(row);
            batch.Put(table, key, row);
        }

        kv.Write(batch);
        return kv;
    }

    private SimKvStore Copy()
    {
        string name = Guid.NewGuid().ToString();
        _fs.Kv.Checkpoint(name);
        return _fs.Kv.OpenCheckpoint(name);
    }
}
