using Sim;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

/// <summary>Answers of clients' requests, kept with the operations themselves.</summary>
public class RequestTests
{
    private readonly MetadataFixture _fs = new();
    private readonly ClientRequest _request = new();
    private ulong _ids;

    private Caller Client => new(0, 0, request: _request);

    [Fact]
    public void Each_change_is_found_by_its_request()
    {
        InodeRecord file = default;
        InodeRecord folder = _fs.Make("folder", FolderMode);
        Found(OpKind.Create, () => (_fs.Store.Create(Client, InodeId.Root, Name("a"), new NewInode { Mode = PlainMode }, out file), file.Inode));
        Found(OpKind.Link, () => (_fs.Store.Link(Client, file.Inode, InodeId.Root, Name("b"), out _), file.Inode));
        Found(OpKind.Rename, () => (_fs.Store.Rename(Client, InodeId.Root, Name("b"), folder.Inode, Name("c"), RenameFlags.None, out _, out _), file.Inode));
        Found(OpKind.Unlink, () => (_fs.Store.Unlink(Client, folder.Inode, Name("c"), out _), file.Inode));
        Found(OpKind.RemoveDirectory, () => (_fs.Store.RemoveDirectory(Client, InodeId.Root, Name("folder"), out _), folder.Inode));
        Found(OpKind.SetAttributes, () => (_fs.Store.SetAttributes(Client, file.Inode, new AttributeChange { Mask = AttributeMask.ModifiedNow }, out _), file.Inode));
        Found(OpKind.SetXattr, () => (_fs.Store.SetXattr(Client, file.Inode, Name("user.a"), [1], XattrSetFlags.None, out _), file.Inode));
        Found(OpKind.RemoveXattr, () => (_fs.Store.RemoveXattr(Client, file.Inode, Name("user.a"), out _), file.Inode));
        Assert.False(_fs.Store.TryFindRequest(new RequestId(9, 9), out _));
        Assert.False(_fs.Store.TryFindRequest(RequestId.None, out _));
        Assert.Empty(CheckTests.Check(_fs.Kv));

        void Found(OpKind kind, Func<(FsStatus Status, InodeId Inode)> change)
        {
            var id = new RequestId(7, ++_ids);
            _request.Begin(id);
            (FsStatus status, InodeId inode) = change();
            Assert.Equal(FsStatus.Ok, status);
            Assert.True(_fs.Store.TryFindRequest(id, out RequestAnswer answer));
            Assert.Equal(new RequestAnswer(kind, inode, _fs.Store.Applied), answer);
        }
    }

    [Fact]
    public void What_failed_or_changed_nothing_is_not_remembered()
    {
        _fs.Make("a");
        _request.Begin(new RequestId(1, 1));
        Assert.Equal(FsStatus.Exists, _fs.Store.Create(Client, InodeId.Root, Name("a"), new NewInode { Mode = PlainMode }, out _));
        Assert.Equal(FsStatus.Ok, _fs.Store.Rename(Client, InodeId.Root, Name("a"), InodeId.Root, Name("a"), RenameFlags.None, out _, out _));
        Assert.False(_fs.Store.TryFindRequest(_request.Id, out _));
        Assert.Equal(2ul, _fs.Store.Applied.Value);
    }

    [Fact]
    public void The_newest_generation_and_the_one_before_are_kept()
    {
        InodeRecord file = _fs.Make("a");
        const int generation = Limits.RequestsPerGeneration;
        for (int i = 1; i <= 3 * generation + 1; i++)
        {
            Touch(i);
            if (i == generation + 1)
                AssertKept(1, i);
        }

        AssertKept(2 * generation + 1, 3 * generation + 1);
        _fs.Reopen(_fs.Kv.Kill());
        AssertKept(2 * generation + 1, 3 * generation + 1);
        Touch(3 * generation + 2);
        AssertKept(2 * generation + 1, 3 * generation + 2);
        Assert.Empty(CheckTests.Check(_fs.Kv));
        Assert.Equal(generation + 2, Rows());

        void Touch(int i)
        {
            _request.Begin(new RequestId(0, (ulong)i));
            _fs.Store.SetAttributes(Client, file.Inode, new AttributeChange { Mask = AttributeMask.ModifiedNow }, out _);
        }

        void AssertKept(int first, int last)
        {
            Assert.False(_fs.Store.TryFindRequest(new RequestId(0, (ulong)first - 1), out _));
            Assert.True(_fs.Store.TryFindRequest(new RequestId(0, (ulong)first), out _));
            Assert.True(_fs.Store.TryFindRequest(new RequestId(0, (ulong)last), out RequestAnswer newest));
            Assert.Equal(_fs.Store.Applied, newest.Sequence);
        }

        int Rows()
        {
            int rows = 0;
            using IKvIterator at = _fs.Kv.Iterate(KvTable.Requests, default, default);
            while (at.Next())
                rows++;
            return rows;
        }
    }

    [Fact]
    public void A_standby_that_applies_the_log_finds_the_same_answers()
    {
        for (int i = 0; i < 300; i++)
        {
            _request.Begin(i % 3 == 0 ? RequestId.None : new RequestId((ulong)i, 5));
            Assert.Equal(FsStatus.Ok, _fs.Store.Create(Client, InodeId.Root, Name($"f{i}"), new NewInode { Mode = PlainMode }, out _));
        }

        var standby = new SimKvStore();
        var batch = new KvBatch();
        MetadataState state = default;
        using (IKvIterator log = _fs.Kv.Iterate(KvTable.OpLog, default, default))
        {
            while (log.Next())
            {
                batch.Clear();
                MetadataCore.Apply(OpRecord.Parse(log.Value), ref state, batch);
                state.Save(batch);
                standby.Write(batch);
            }
        }

        Assert.Equal(Dump(_fs.Kv, withLog: true), Dump(standby, withLog: true));
        Assert.Equal(200ul, state.Requests);
        state.Requests++;
        byte[] record = new byte[4096];
        record = record[.._fs.Kv.Get(KvTable.OpLog, MetadataKeys.LogRecord(new byte[8], state.Sequence.Value), record)];
        state.Sequence = new LogIndex(state.Sequence.Value - 1);
        Assert.Contains("requests", Assert.Throws<MetadataException>(() => MetadataCore.Apply(OpRecord.Parse(record), ref state, batch)).Message);
    }

    /// <summary>The power fails at any moment, in the midst of operations and flushes too.</summary>
    [Fact]
    public void After_a_crash_operation_and_answer_are_both_there_or_neither_and_all_that_was_acknowledged()
    {
        for (int seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            var power = new SimPower();
            var kv = new SimKvStore(power);
            var clock = new SimClock();
            MetadataStore.Format(kv, Id, Timestamp.Now(clock));
            var options = new MetadataOptions { Clock = clock, CacheBytes = 1 << 16 };
            MetadataStore store = MetadataStore.Open(kv, options);
            int done = 0, acknowledged = 0;
            power.CutAfter(random.Next(1, 60));
            try
            {
                while (true)
                {
                    _request.Begin(new RequestId((ulong)seed, (ulong)done + 1));
                    Assert.Equal(FsStatus.Ok, store.Create(Client, InodeId.Root, Name($"f{done}"), new NewInode { Mode = FolderMode }, out _));
                    done++;
                    if (random.Next(3) == 0)
                    {
                        Assert.Equal(FsStatus.Ok, store.Sync());
                        acknowledged = done;
                    }
                }
            }
            catch (SimPowerCutException)
            {
                // The one under way may have taken place or not.
            }

            kv = random.Next(3) == 0 ? kv.Kill() : kv.Crash(random);
            power.Restore();
            store = MetadataStore.Open(kv, options);
            for (int i = 0; i <= done; i++)
            {
                bool isThere = store.Lookup(Root, InodeId.Root, Name($"f{i}"), out InodeRecord made) == FsStatus.Ok;
                bool isFound = store.TryFindRequest(new RequestId((ulong)seed, (ulong)i + 1), out RequestAnswer answer);
                Assert.True(isThere == isFound, $"seed {seed}: request {i} is {(isFound ? "" : "not ")}found, its directory is {(isThere ? "" : "not ")}there");
                Assert.True(isFound || i >= acknowledged, $"seed {seed}: request {i} was acknowledged and is lost");
                Assert.True(!isFound || (answer.Inode == made.Inode && answer.Kind == OpKind.Create), $"seed {seed}: request {i} has another answer");
            }
        }
    }

    [Fact]
    public void Remembering_allocates_nothing_in_steady_state()
    {
        using var directory = new TestDirectory();
        using RocksDbStore kv = RocksDbStore.Open(directory["kv"], new RocksDbOptions());
        MetadataStore.Format(kv, Id, default);
        MetadataStore store = MetadataStore.Open(kv, new MetadataOptions { CacheBytes = 1 << 20 });
        store.Create(Root, InodeId.Root, Name("file"), new NewInode { Mode = PlainMode }, out InodeRecord file);
        Caller client = Client;
        for (int i = 0; i < 200; i++)
            Change();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 500; i++)
            Change();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Change()
        {
            _request.Begin(new RequestId(3, ++_ids));
            store.TryFindRequest(_request.Id, out _);
            store.SetAttributes(client, file.Inode, new AttributeChange { Mask = AttributeMask.ModifiedNow }, out _);
            store.TryFindRequest(_request.Id, out _);
        }
    }
}
