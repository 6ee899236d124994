using Gateway.Nfs;
using Gateway.Tests.Fuse;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>Retransmissions get the first answer: within one life of the server to the byte, after a restart to the meaning.</summary>
public sealed class DuplicateRequestTests : IDisposable
{
    private readonly NfsExchange _nfs = new();

    public void Dispose() => _nfs.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_must_not_be_done_twice_is_answered_as_the_first_time(bool restarted)
    {
        InodeRecord file = _nfs.Fixture!.Make("f"), guarded = _nfs.Fixture.Make("g");
        _nfs.Fixture.Make("d", 0x41ED);
        _nfs.Fixture.Make("r");
        (uint, uint) ctime = ((uint)guarded.Changed.Seconds, guarded.Changed.Nanoseconds);
        Xdr At(string name) => new Xdr().Opaque(_nfs.Root).Text(name);
        (Nfs3Procedure Procedure, Xdr Arguments)[] calls =
        [
            (Nfs3Procedure.Create, At("guarded").U32(1).Sattr(mode: 0x1A4)),
            (Nfs3Procedure.Create, At("exclusive").U32(2).U64(7)),
            (Nfs3Procedure.MkDir, At("m").Sattr(mode: 0x1ED)),
            (Nfs3Procedure.Symlink, At("s").Sattr().Text("t")),
            (Nfs3Procedure.MkNod, At("p").U32(7).Sattr()),
            (Nfs3Procedure.Link, new Xdr().Opaque(_nfs.Handle(file)).Raw(At("l2").Bytes)),
            (Nfs3Procedure.SetAttr, new Xdr().Opaque(_nfs.Handle(guarded)).Sattr(mode: 0x180).U32(1).U32(ctime.Item1).U32(ctime.Item2)),
            (Nfs3Procedure.Rename, At("guarded").Raw(At("moved").Bytes)),
            (Nfs3Procedure.Remove, At("r")),
            (Nfs3Procedure.RmDir, At("d")),
        ];
        Assert.Equal(Nfs3OpTable.All.Where(static o => o.Once).Select(static o => o.Procedure).Order(), calls.Select(static c => c.Procedure).Distinct().Order());
        foreach ((Nfs3Procedure procedure, Xdr arguments) in calls)
        {
            _nfs.Fixture.Tick();
            byte[] message = _nfs.Message(100003, 3, (uint)procedure, arguments.Bytes);
            byte[] first = _nfs.Raw(message)!;
            if (restarted)
                _nfs.Start();
            _nfs.Connection = new FakeConnection(_nfs.Connection.Peer with { Port = 901 });
            byte[] second = _nfs.Raw(message)!;
            Assert.Equal(first[..28], second[..28]); // as far as the status
            Assert.Equal(new byte[4], first[24..28]);
            if (!restarted)
                Assert.Equal(first, second);
            else if (procedure is Nfs3Procedure.Create or Nfs3Procedure.MkDir or Nfs3Procedure.Symlink or Nfs3Procedure.MkNod)
                Assert.Equal(first[28..(28 + 56 + 88)], second[28..(28 + 56 + 88)]); // the same object

            // Another request with the same arguments is another request; only an exclusive creation is known by more than its xid.
            bool isExclusive = procedure == Nfs3Procedure.Create && arguments == calls[1].Arguments;
            Assert.Equal(isExclusive, _nfs.Success(_nfs.Message(100003, 3, (uint)procedure, arguments.Bytes)).U32() == 0);
        }
    }

    [Fact]
    public void What_was_made_and_removed_since_is_answered_without_a_handle()
    {
        byte[] message = _nfs.Message(100003, 3, (uint)Nfs3Procedure.MkDir, new Xdr().Opaque(_nfs.Root).Text("d").Sattr().Bytes);
        _nfs.Success(message);
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.RemoveDirectory(Caller.System, InodeId.Root, "d"u8));
        while (_nfs.Fixture!.Vfs.ReapStep(out _))
        {
        }

        _nfs.Start();
        XdrView view = _nfs.Success(message);
        Assert.Equal((0u, false), (view.U32(), view.Bool()));
        Assert.Null(view.PostOp());
        Assert.NotNull(view.Wcc().After);
        view.End();
        Assert.Equal(0ul, _nfs.Fixture.Get(InodeId.Root).SizeBytes);
    }

    [Fact]
    public void The_same_xid_of_another_client_or_with_other_arguments_is_another_request()
    {
        byte[] At(string name) => _nfs.Message(100003, 3, (uint)Nfs3Procedure.MkDir, new Xdr().Opaque(_nfs.Root).Text(name).Sattr().Bytes, xid: 5);
        Assert.Equal(0u, _nfs.Success(At("a")).U32());
        Assert.Equal(0u, _nfs.Success(At("b")).U32());
        Assert.Equal(0u, _nfs.Success(At("a")).U32());
        _nfs.Connection = new FakeConnection(RpcPeer.From(0xC0000208, 900));
        Assert.Equal((uint)Nfs3Status.Exists, _nfs.Success(At("a")).U32());
    }

    [Fact]
    public void A_duplicate_of_a_call_in_progress_is_dropped()
    {
        var vfs = new MemoryVfs();
        using var nfs = new NfsExchange(vfs);
        byte[] message = nfs.Message(100003, 3, (uint)Nfs3Procedure.MkDir, new Xdr().Opaque(nfs.Root).Text("d").Sattr().Bytes);
        RpcOutcome duplicate = RpcOutcome.Reply;
        vfs.BeforeMake = () => duplicate = nfs.Dispatcher.Dispatch(nfs.Dispatcher.NewLane(), nfs.Connection, message, new byte[4096], out _);
        Assert.Equal(0u, nfs.Success(message).U32());
        Assert.Equal(RpcOutcome.None, duplicate);
        Assert.Equal(0u, nfs.Success(message).U32());
        Assert.Equal((1L, 1L), (nfs.Context.Replies.Dropped, nfs.Context.Replies.Repeated));
    }

    [Fact]
    public void A_duplicate_of_a_call_that_was_carried_out_and_is_not_stable_yet_waits_as_well()
    {
        var vfs = new MemoryVfs();
        using var nfs = new NfsExchange(vfs);
        byte[] message = nfs.Message(100003, 3, (uint)Nfs3Procedure.MkDir, new Xdr().Opaque(nfs.Root).Text("d").Sattr().Bytes);
        int syncs = 0;
        vfs.BeforeSync = () =>
        {
            if (++syncs == 1)
                Assert.Equal(RpcOutcome.Reply, nfs.Dispatcher.Dispatch(nfs.Dispatcher.NewLane(), nfs.Connection, message, new byte[4096], out _));
        };
        Assert.Equal(0u, nfs.Success(message).U32());
        Assert.Equal(2, syncs);
    }

    [Fact]
    public void The_cache_is_bounded_and_forgets_the_oldest()
    {
        var cache = new NfsReplyCache();
        var pending = new RequestId(1, 0);
        Assert.Equal(ReplyLookup.New, cache.Begin(pending, out _));
        for (ulong i = 1; i <= 2 * NfsReplyCache.Capacity; i++)
        {
            Assert.Equal(ReplyLookup.New, cache.Begin(new RequestId(0, i), out _));
            cache.End(new RequestId(0, i), BitConverter.GetBytes(i));
        }

        Assert.Equal(ReplyLookup.InProgress, cache.Begin(pending, out _));
        Assert.Equal(ReplyLookup.New, cache.Begin(new RequestId(0, 1), out _));
        Assert.Equal(ReplyLookup.Answered, cache.Begin(new RequestId(0, 2 * NfsReplyCache.Capacity), out ReadOnlySpan<byte> answer));
        Assert.Equal(2ul * NfsReplyCache.Capacity, BitConverter.ToUInt64(answer));
    }
}
