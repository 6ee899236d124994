using Gateway.Nfs;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Nfs;

/// <summary>READ, WRITE, COMMIT, and what a client asks of the file system as a whole.</summary>
public sealed class Nfs3FileTests : IDisposable
{
    private const uint Unstable = 0, DataSync = 1, FileSync = 2;

    private readonly NfsExchange _nfs = new();

    public void Dispose() => _nfs.Dispose();

    [Theory]
    [InlineData(0ul, 10u, 10, false)]
    [InlineData(0ul, 100u, 100, true)]
    [InlineData(0ul, 1000u, 100, true)]
    [InlineData(90ul, 10u, 10, true)]
    [InlineData(95ul, 3u, 3, false)]
    [InlineData(100ul, 10u, 0, true)]
    [InlineData(200ul, 10u, 0, true)]
    [InlineData(ulong.MaxValue, 10u, 0, true)]
    [InlineData(0ul, 0u, 0, false)]
    public void Read_gives_data_length_and_end(ulong offset, uint count, int length, bool eof)
    {
        byte[] data = [.. Enumerable.Range(0, 100).Select(static i => (byte)i)];
        InodeRecord file = File(data);
        XdrView view = _nfs.Nfs(Nfs3Procedure.Read, new Xdr().Opaque(_nfs.Handle(file)).U64(offset).U32(count));
        Assert.Equal(100ul, view.PostOp()!.Size);
        Assert.Equal((uint)length, view.U32());
        Assert.Equal(eof, view.Bool());
        Assert.Equal(length == 0 ? [] : data[(int)offset..((int)offset + length)], view.Opaque());
        view.End();
    }

    [Fact]
    public void Read_gives_at_most_rtmax()
    {
        InodeRecord file = File(new byte[3 << 20]);
        XdrView view = _nfs.Nfs(Nfs3Procedure.Read, new Xdr().Opaque(_nfs.Handle(file)).U64(1).U32(uint.MaxValue));
        view.PostOp();
        Assert.Equal(1u << 20, view.U32());
        Assert.False(view.Bool());
        Assert.Equal(1 << 20, view.Opaque().Length);
        view.End();
    }

    [Fact]
    public void Read_and_write_want_a_file_and_permission()
    {
        byte[] pipe = _nfs.Handle(_nfs.Fixture!.Make("p", 0x11B6));
        foreach (byte[] handle in new[] { pipe, _nfs.Root })
        {
            Assert.NotNull(_nfs.Nfs(Nfs3Procedure.Read, new Xdr().Opaque(handle).U64(0).U32(1), Nfs3Status.Invalid).PostOp());
            Assert.NotNull(_nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(handle).U64(0).U32(1).U32(0).Opaque([1]), Nfs3Status.Invalid).Wcc().After);
            _nfs.Nfs(Nfs3Procedure.Commit, new Xdr().Opaque(handle).U64(0).U32(1), Nfs3Status.Invalid);
        }

        InodeRecord file = _nfs.Fixture.Make("f", 0x8180);
        _nfs.Uid = 1000;
        _nfs.Nfs(Nfs3Procedure.Read, new Xdr().Opaque(_nfs.Handle(file)).U64(0).U32(1), Nfs3Status.Access);
        _nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(_nfs.Handle(file)).U64(0).U32(1).U32(0).Opaque([1]), Nfs3Status.Access);

        // The owner's open file would let it (§4.4), and who may execute may page in.
        _nfs.Vfs.SetAttributes(Caller.System, file.Inode, new AttributeChange { Mask = AttributeMask.Uid | AttributeMask.Mode, Uid = 1000 }, out _);
        _nfs.Nfs(Nfs3Procedure.Read, new Xdr().Opaque(_nfs.Handle(file)).U64(0).U32(1));
        _nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(_nfs.Handle(file)).U64(0).U32(1).U32(0).Opaque([1]));
        InodeRecord program = _nfs.Fixture.Make("x", 0x8049);
        _nfs.Nfs(Nfs3Procedure.Read, new Xdr().Opaque(_nfs.Handle(program)).U64(0).U32(1));
    }

    [Fact]
    public void Write_tells_both_sides_what_it_promises_and_the_verifier()
    {
        InodeRecord file = _nfs.Fixture!.Make("f");
        foreach (uint stable in new[] { Unstable, DataSync, FileSync })
        {
            InodeRecord before = _nfs.Fixture.Get(file.Inode);
            _nfs.Fixture.Tick();
            long syncs = _nfs.Fixture.Kv.Syncs;
            XdrView view = _nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(_nfs.Handle(file)).U64(before.SizeBytes).U32(5).U32(stable).Opaque("hello"u8));
            Wcc wcc = view.Wcc();
            Assert.Equal(before.SizeBytes, wcc.Before!.Value.Size);
            Assert.Equal(before.SizeBytes + 5, wcc.After!.Size);
            Assert.NotEqual(wcc.Before.Value.Mtime, wcc.After.Mtime);
            Assert.Equal((5u, stable, NfsExchange.Verifier), (view.U32(), view.U32(), view.U64()));
            view.End();
            Assert.Equal(stable != Unstable, _nfs.Fixture.Kv.Syncs > syncs);
        }
    }

    [Fact]
    public void Write_checks_its_lengths()
    {
        byte[] file = _nfs.Handle(_nfs.Fixture!.Make("f"));
        Assert.NotNull(_nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(file).U64(0).U32(4).U32(0).Opaque("hello"u8), Nfs3Status.Invalid).Wcc().After);
        _nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(file).U64(0).U32(6).U32(0).Opaque("hello"u8), Nfs3Status.Invalid);
        _nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(file).U64(ulong.MaxValue - 3).U32(5).U32(0).Opaque("hello"u8), Nfs3Status.FileTooBig);
        Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100003, 3, 7, new Xdr().Opaque(file).U64(0).U32(5).U32(3).Opaque("hello"u8).Bytes)));

        // More than wtmax is not refused: so much is written, and the client goes on behind it.
        XdrView view = _nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(file).U64(0).U32((1 << 20) + 4).U32(0).Opaque(new byte[(1 << 20) + 4]));
        view.Wcc();
        Assert.Equal(1u << 20, view.U32());
        view = _nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(file).U64(5).U32(0).U32(0).Opaque([]));
        view.Wcc();
        Assert.Equal(0u, view.U32());
    }

    [Fact]
    public void A_users_write_takes_set_id_bits_away_and_roots_does_not()
    {
        InodeRecord file = _nfs.Fixture!.Make("f", 0x8DFF);
        Xdr write = new Xdr().Opaque(_nfs.Handle(file)).U64(0).U32(1).U32(0).Opaque([1]);
        _nfs.Nfs(Nfs3Procedure.Write, write);
        Assert.Equal(0x8DFFu, _nfs.Fixture.Get(file.Inode).Mode);
        _nfs.Uid = 1000;
        _nfs.Nfs(Nfs3Procedure.Write, write);
        Assert.Equal(0x81FFu, _nfs.Fixture.Get(file.Inode).Mode);
    }

    [Fact]
    public void Commit_makes_all_of_a_file_stable()
    {
        InodeRecord file = _nfs.Fixture!.Make("f");
        _nfs.Nfs(Nfs3Procedure.Write, new Xdr().Opaque(_nfs.Handle(file)).U64(0).U32(5).U32(0).Opaque("hello"u8));
        Assert.Equal(FsStatus.Ok, _nfs.Fixture.Metadata.GetInode(file.Inode, out InodeRecord recorded));
        Assert.Equal(0ul, recorded.SizeBytes);
        long syncs = _nfs.Fixture.Kv.Syncs;
        XdrView view = _nfs.Nfs(Nfs3Procedure.Commit, new Xdr().Opaque(_nfs.Handle(file)).U64(0).U32(0));
        Assert.Equal(5ul, view.Wcc().After!.Size);
        Assert.Equal(NfsExchange.Verifier, view.U64());
        view.End();
        Assert.Equal(syncs + 1, _nfs.Fixture.Kv.Syncs);
        _nfs.Fixture.Metadata.GetInode(file.Inode, out recorded);
        Assert.Equal(5ul, recorded.SizeBytes);
    }

    [Fact]
    public void Changes_are_stable_before_the_answer_unless_the_export_says_async()
    {
        (Nfs3Procedure, Func<string, Xdr>)[] changes =
        [
            (Nfs3Procedure.MkDir, n => new Xdr().Opaque(_nfs.Root).Text("d" + n).Sattr()),
            (Nfs3Procedure.Create, n => new Xdr().Opaque(_nfs.Root).Text("f" + n).U32(1).Sattr()),
            (Nfs3Procedure.Symlink, n => new Xdr().Opaque(_nfs.Root).Text("l" + n).Sattr().Text("t")),
            (Nfs3Procedure.MkNod, n => new Xdr().Opaque(_nfs.Root).Text("p" + n).U32(7).Sattr()),
            (Nfs3Procedure.Rename, n => new Xdr().Opaque(_nfs.Root).Text("f" + n).Opaque(_nfs.Root).Text("g" + n)),
            (Nfs3Procedure.Remove, n => new Xdr().Opaque(_nfs.Root).Text("g" + n)),
            (Nfs3Procedure.RmDir, n => new Xdr().Opaque(_nfs.Root).Text("d" + n)),
            (Nfs3Procedure.SetAttr, _ => new Xdr().Opaque(_nfs.Root).Sattr(mode: 0x1FF).U32(0)),
        ];
        foreach (bool isAsync in new[] { false, true })
        {
            _nfs.Exports($"/ *(rw,no_root_squash,{(isAsync ? "async" : "sync")})");
            foreach ((Nfs3Procedure procedure, Func<string, Xdr> arguments) in changes)
            {
                long syncs = _nfs.Fixture!.Kv.Syncs;
                _nfs.Nfs(procedure, arguments(isAsync ? "a" : "s"));
                Assert.Equal(isAsync ? syncs : syncs + 1, _nfs.Fixture.Kv.Syncs);
            }
        }
    }

    [Fact]
    public void Fsinfo_fsstat_and_pathconf_tell_the_truth()
    {
        XdrView view = _nfs.Nfs(Nfs3Procedure.FsInfo, new Xdr().Opaque(_nfs.Root));
        Assert.NotNull(view.PostOp());
        Assert.Equal((1u << 20, 1u << 20, 4096u, 1u << 20, 1u << 20, 4096u), (view.U32(), view.U32(), view.U32(), view.U32(), view.U32(), view.U32()));
        Assert.InRange(view.U32(), 4096u, 1u << 20);
        Assert.Equal(StoreCore.Limits.MaxFileSizeBytes, view.U64());
        Assert.Equal((0u, 1u, 0x1Bu), (view.U32(), view.U32(), view.U32()));
        view.End();

        VfsSpace space = _nfs.Vfs.StatFs();
        view = _nfs.Nfs(Nfs3Procedure.FsStat, new Xdr().Opaque(_nfs.Root));
        Assert.NotNull(view.PostOp());
        Assert.Equal((space.TotalBytes, space.FreeBytes, space.AvailableBytes), (view.U64(), view.U64(), view.U64()));
        Assert.Equal((space.Inodes, space.FreeInodes, space.FreeInodes, 0u), (view.U64(), view.U64(), view.U64(), view.U32()));
        view.End();

        view = _nfs.Nfs(Nfs3Procedure.PathConf, new Xdr().Opaque(_nfs.Root));
        Assert.NotNull(view.PostOp());
        Assert.Equal((StoreCore.Limits.MaxLinks, 255u, true, true, false, true), (view.U32(), view.U32(), view.Bool(), view.Bool(), view.Bool(), view.Bool()));
        view.End();
        foreach (Nfs3Procedure procedure in new[] { Nfs3Procedure.FsInfo, Nfs3Procedure.FsStat, Nfs3Procedure.PathConf })
            Assert.Null(_nfs.Nfs(procedure, new Xdr().Opaque(new byte[48]), Nfs3Status.BadHandle).PostOp());
    }

    private InodeRecord File(byte[] data)
    {
        InodeRecord file = _nfs.Fixture!.Make("file");
        for (int at = 0; at < data.Length; at += 1 << 20)
            Assert.Equal(FsStatus.Ok, _nfs.Vfs.Write(Caller.System, file.Inode, (ulong)at, data.AsSpan(at, Math.Min(1 << 20, data.Length - at)), default, out _));
        return file;
    }
}
