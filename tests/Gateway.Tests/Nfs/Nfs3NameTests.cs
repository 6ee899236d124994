using Gateway.Nfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Nfs;

/// <summary>LOOKUP and all that makes, removes and moves names, with what the RFC has them answer to what is wrong.</summary>
public sealed class Nfs3NameTests : IDisposable
{
    private const uint Unchecked = 0, Guarded = 1, Exclusive = 2;

    private readonly NfsExchange _nfs = new();

    public void Dispose() => _nfs.Dispose();

    [Fact]
    public void Lookup_gives_handle_and_attributes_of_both()
    {
        InodeRecord folder = _nfs.Fixture!.Make("d", 0x41ED), made = _nfs.Fixture.Make("f", parent: folder.Inode);
        XdrView view = _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(_nfs.Handle(folder)).Text("f"));
        Assert.Equal(_nfs.Handle(made), view.Opaque());
        Assert.Equal(made.Inode.Value, view.PostOp()!.FileId);
        Assert.Equal(folder.Inode.Value, view.PostOp()!.FileId);
        view.End();
    }

    [Theory]
    [InlineData("", Nfs3Status.Access)]
    [InlineData("a/b", Nfs3Status.Access)]
    [InlineData("a\0", Nfs3Status.Access)]
    [InlineData("missing", Nfs3Status.NoEntry)]
    public void Lookup_refuses(string name, Nfs3Status status)
    {
        XdrView view = _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(_nfs.Root).Text(name), status);
        Assert.Equal(1ul, view.PostOp()!.FileId);
        view.End();
    }

    [Fact]
    public void Lookup_of_long_names_and_in_what_is_no_directory()
    {
        _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(_nfs.Root).Text(new string('x', 255)), Nfs3Status.NoEntry);
        _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(_nfs.Root).Text(new string('x', 256)), Nfs3Status.NameTooLong);
        _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(_nfs.Root).Text(new string('x', 70_000)), Nfs3Status.NameTooLong);
        byte[] file = _nfs.Handle(_nfs.Fixture!.Make("f"));
        _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(file).Text("x"), Nfs3Status.NotDirectory);
        _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(file).Text("."), Nfs3Status.NotDirectory);
    }

    [Fact]
    public void Lookup_needs_search_permission_also_for_the_dots()
    {
        InodeRecord folder = _nfs.Fixture!.Make("d", 0x41C0);
        _nfs.Uid = 1000;
        foreach (string name in new[] { "x", ".", ".." })
            _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(_nfs.Handle(folder)).Text(name), Nfs3Status.Access);
    }

    [Fact]
    public void Create_makes_a_file_with_all_its_attributes_and_tells_of_the_directory()
    {
        _nfs.Fixture!.Tick();
        InodeRecord root = _nfs.Fixture.Get(InodeId.Root);
        (_nfs.Uid, _nfs.Gid) = (1000, 1001);
        _nfs.Vfs.SetAttributes(Caller.System, InodeId.Root, new AttributeChange { Mask = AttributeMask.Mode, Mode = 0x1FF }, out root);
        _nfs.Fixture.Tick();
        XdrView view = _nfs.Nfs(
            Nfs3Procedure.Create, new Xdr().Opaque(_nfs.Root).Text("ü").U32(Guarded).Sattr(mode: 0x9A4, uid: 1000, gid: 1001, size: 12, mtime: 1234));
        Assert.True(view.Bool());
        byte[] handle = view.Opaque();
        Fattr made = view.PostOp()!;
        Wcc wcc = view.Wcc();
        view.End();
        Assert.Equal((0x9A4u, 1000u, 1001u, 12ul, (1234u, 5u)), (made.Mode, made.Uid, made.Gid, made.Size, made.Mtime));
        Assert.Equal(made, _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(handle)).Fattr());
        Assert.Equal((root.SizeBytes, ((uint)root.Modified.Seconds, root.Modified.Nanoseconds), ((uint)root.Changed.Seconds, root.Changed.Nanoseconds)), wcc.Before);
        Assert.Equal(root.SizeBytes + 1, wcc.After!.Size);
        Assert.NotEqual(wcc.Before!.Value.Mtime, wcc.After.Mtime);
    }

    [Fact]
    public void Guarded_refuses_and_unchecked_takes_what_is_there()
    {
        InodeRecord there = _nfs.Fixture!.Make("f");
        _nfs.Vfs.Write(Caller.System, there.Inode, 0, new byte[10], default, out _);
        Wcc wcc = _nfs.Nfs(Nfs3Procedure.Create, new Xdr().Opaque(_nfs.Root).Text("f").U32(Guarded).Sattr(mode: 0x180), Nfs3Status.Exists).Wcc();
        Assert.Equal(wcc.Before!.Value.Mtime, wcc.After!.Mtime);

        XdrView view = _nfs.Nfs(Nfs3Procedure.Create, new Xdr().Opaque(_nfs.Root).Text("f").U32(Unchecked).Sattr(mode: 0x180));
        Assert.True(view.Bool());
        Assert.Equal(_nfs.Handle(there), view.Opaque());
        Assert.Equal((0x1A4u, 10ul), (view.PostOp() is { } a ? (a.Mode, a.Size) : default));

        view = _nfs.Nfs(Nfs3Procedure.Create, new Xdr().Opaque(_nfs.Root).Text("f").U32(Unchecked).Sattr(mode: 0x180, size: 0));
        view.Bool();
        view.Opaque();
        Assert.Equal((0x1A4u, 0ul), (view.PostOp() is { } b ? (b.Mode, b.Size) : default));

        _nfs.Fixture.Make("d", 0x41ED);
        _nfs.Nfs(Nfs3Procedure.Create, new Xdr().Opaque(_nfs.Root).Text("d").U32(Unchecked).Sattr(mode: 0x180), Nfs3Status.Exists);
        _nfs.Uid = 1000;
        _nfs.Nfs(Nfs3Procedure.Create, new Xdr().Opaque(_nfs.Root).Text("f").U32(Unchecked).Sattr(size: 0), Nfs3Status.Access);
    }

    [Fact]
    public void An_exclusive_creation_repeated_is_the_same_one_even_after_a_restart()
    {
        Xdr Arguments(ulong verifier) => new Xdr().Opaque(_nfs.Root).Text("f").U32(Exclusive).U64(verifier);
        XdrView view = _nfs.Nfs(Nfs3Procedure.Create, Arguments(0xFFFFFFFF_80000001));
        Assert.True(view.Bool());
        byte[] handle = view.Opaque();
        _nfs.Start();
        view = _nfs.Nfs(Nfs3Procedure.Create, Arguments(0xFFFFFFFF_80000001));
        Assert.True(view.Bool());
        Assert.Equal(handle, view.Opaque());
        _nfs.Nfs(Nfs3Procedure.Create, Arguments(0xFFFFFFFF_80000002), Nfs3Status.Exists);

        // The client sets the true times next; from then on the name is simply taken.
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(handle).Sattr(mode: 0x1A4, atime: -1, mtime: -1).U32(0));
        _nfs.Nfs(Nfs3Procedure.Create, Arguments(0xFFFFFFFF_80000001), Nfs3Status.Exists);
    }

    [Theory]
    [InlineData("", Nfs3Status.Access)]
    [InlineData("a/b", Nfs3Status.Access)]
    [InlineData(".", Nfs3Status.Exists)]
    [InlineData("..", Nfs3Status.Exists)]
    [InlineData("there", Nfs3Status.Exists)]
    public void What_makes_names_refuses(string name, Nfs3Status status)
    {
        _nfs.Fixture!.Make("there");
        Xdr At() => new Xdr().Opaque(_nfs.Root).Text(name);
        _nfs.Nfs(Nfs3Procedure.Create, At().U32(Guarded).Sattr(), status).Wcc();
        _nfs.Nfs(Nfs3Procedure.MkDir, At().Sattr(), status).Wcc();
        _nfs.Nfs(Nfs3Procedure.Symlink, At().Sattr().Text("target"), status).Wcc();
        _nfs.Nfs(Nfs3Procedure.MkNod, At().U32(7).Sattr(), status).Wcc();
        XdrView view = _nfs.Nfs(Nfs3Procedure.Link, new Xdr().Opaque(_nfs.Handle(_nfs.Fixture.Make("x"))).Raw(At().Bytes), status);
        Assert.NotNull(view.PostOp());
        Assert.NotNull(view.Wcc().After);
        view.End();
    }

    [Fact]
    public void Mkdir_symlink_and_mknod_make_their_kinds()
    {
        Fattr made = Made(_nfs.Nfs(Nfs3Procedure.MkDir, new Xdr().Opaque(_nfs.Root).Text("d").Sattr(mode: 0x1C0)), out Wcc wcc);
        Assert.Equal((2u, 0x1C0u, 2u), (made.Type, made.Mode, made.Links));
        Assert.Equal(3u, wcc.After!.Links);

        made = Made(_nfs.Nfs(Nfs3Procedure.Symlink, new Xdr().Opaque(_nfs.Root).Text("l").Sattr(mode: 0x1FF).Text("../far")), out _);
        Assert.Equal((5u, 6ul), (made.Type, made.Size));
        _nfs.Nfs(Nfs3Procedure.Symlink, new Xdr().Opaque(_nfs.Root).Text("m").Sattr().Text(new string('x', 4096)), Nfs3Status.NameTooLong);
        _nfs.Nfs(Nfs3Procedure.Symlink, new Xdr().Opaque(_nfs.Root).Text("m").Sattr().Text(""), Nfs3Status.Invalid);

        made = Made(_nfs.Nfs(Nfs3Procedure.MkNod, new Xdr().Opaque(_nfs.Root).Text("c").U32(4).Sattr(mode: 0x1B6).U32(0xFFF).U32(0xFFFFF)), out _);
        Assert.Equal((4u, 0xFFFu, 0xFFFFFu), (made.Type, made.Major, made.Minor));
        _nfs.Nfs(Nfs3Procedure.MkNod, new Xdr().Opaque(_nfs.Root).Text("e").U32(3).Sattr().U32(0x1000).U32(0), Nfs3Status.Invalid);
        foreach (uint type in new uint[] { 1, 2, 5 })
            _nfs.Nfs(Nfs3Procedure.MkNod, new Xdr().Opaque(_nfs.Root).Text("e").U32(type), Nfs3Status.BadType).Wcc();
        Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100003, 3, 11, new Xdr().Opaque(_nfs.Root).Text("e").U32(8).Bytes)));

        _nfs.Vfs.SetAttributes(Caller.System, InodeId.Root, new AttributeChange { Mask = AttributeMask.Mode, Mode = 0x1FF }, out _);
        _nfs.Uid = 1000;
        Assert.Equal(7u, Made(_nfs.Nfs(Nfs3Procedure.MkNod, new Xdr().Opaque(_nfs.Root).Text("p").U32(7).Sattr(mode: 0x1B6)), out _).Type);
        _nfs.Nfs(Nfs3Procedure.MkNod, new Xdr().Opaque(_nfs.Root).Text("b").U32(3).Sattr().U32(8).U32(1), Nfs3Status.NotOwner);
    }

    [Fact]
    public void Remove_and_rmdir_take_their_own_kinds_only()
    {
        InodeRecord folder = _nfs.Fixture!.Make("d", 0x41ED);
        _nfs.Fixture.Make("f");
        _nfs.Fixture.Make("x", parent: folder.Inode);
        _nfs.Nfs(Nfs3Procedure.Remove, new Xdr().Opaque(_nfs.Root).Text("d"), Nfs3Status.IsDirectory).Wcc();
        _nfs.Nfs(Nfs3Procedure.RmDir, new Xdr().Opaque(_nfs.Root).Text("f"), Nfs3Status.NotDirectory).Wcc();
        _nfs.Nfs(Nfs3Procedure.RmDir, new Xdr().Opaque(_nfs.Root).Text("d"), Nfs3Status.NotEmpty).Wcc();
        _nfs.Nfs(Nfs3Procedure.RmDir, new Xdr().Opaque(_nfs.Root).Text("."), Nfs3Status.Invalid).Wcc();
        _nfs.Nfs(Nfs3Procedure.RmDir, new Xdr().Opaque(_nfs.Root).Text(".."), Nfs3Status.Exists).Wcc();
        _nfs.Nfs(Nfs3Procedure.Remove, new Xdr().Opaque(_nfs.Root).Text(".."), Nfs3Status.Access).Wcc();
        _nfs.Nfs(Nfs3Procedure.Remove, new Xdr().Opaque(_nfs.Root).Text("nothing"), Nfs3Status.NoEntry).Wcc();
        _nfs.Nfs(Nfs3Procedure.Remove, new Xdr().Opaque(_nfs.Handle(folder)).Text("x")).Wcc();
        Wcc wcc = _nfs.Nfs(Nfs3Procedure.RmDir, new Xdr().Opaque(_nfs.Root).Text("d")).Wcc();
        Assert.Equal((2ul, 1ul), (wcc.Before!.Value.Size, wcc.After!.Size));
        _nfs.Nfs(Nfs3Procedure.Remove, new Xdr().Opaque(_nfs.Root).Text("f"));
        Assert.Equal(0ul, _nfs.Fixture.Get(InodeId.Root).SizeBytes);
    }

    [Fact]
    public void Rename_moves_and_replaces_and_tells_of_both_directories()
    {
        InodeRecord folder = _nfs.Fixture!.Make("d", 0x41ED), file = _nfs.Fixture.Make("f");
        _nfs.Fixture.Make("old", parent: folder.Inode);
        Xdr Move(string from, byte[] to, string name) => new Xdr().Opaque(_nfs.Root).Text(from).Opaque(to).Text(name);
        XdrView view = _nfs.Nfs(Nfs3Procedure.Rename, Move("f", _nfs.Handle(folder), "old"));
        Wcc from = view.Wcc(), into = view.Wcc();
        view.End();
        Assert.Equal((2ul, 1ul, 1ul, 1ul), (from.Before!.Value.Size, from.After!.Size, into.Before!.Value.Size, into.After!.Size));
        Assert.Equal(folder.Inode.Value, into.After.FileId);
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.Lookup(Caller.System, folder.Inode, "old"u8, out InodeRecord moved));
        Assert.Equal(file.Inode, moved.Inode);

        view = _nfs.Nfs(Nfs3Procedure.Rename, Move("f", _nfs.Root, "g"), Nfs3Status.NoEntry);
        Assert.NotNull(view.Wcc().After);
        Assert.NotNull(view.Wcc().After);
        view.End();
        _nfs.Fixture.Make("e", 0x41ED);
        _nfs.Nfs(Nfs3Procedure.Rename, Move("d", _nfs.Root, ".."), Nfs3Status.Invalid);
        _nfs.Nfs(Nfs3Procedure.Rename, Move(".", _nfs.Root, "z"), Nfs3Status.Invalid);
        _nfs.Nfs(Nfs3Procedure.Rename, Move("d", _nfs.Handle(folder), "sub"), Nfs3Status.Invalid);
        _nfs.Nfs(Nfs3Procedure.Rename, Move("e", _nfs.Root, "d"), Nfs3Status.NotEmpty);
        _nfs.Fixture.Make("g");
        _nfs.Nfs(Nfs3Procedure.Rename, Move("g", _nfs.Root, "d"), Nfs3Status.IsDirectory);
        _nfs.Nfs(Nfs3Procedure.Rename, Move("d", _nfs.Root, "g"), Nfs3Status.NotDirectory);
        _nfs.Nfs(Nfs3Procedure.Rename, Move("g", _nfs.Handle(moved), "x"), Nfs3Status.NotDirectory);
    }

    [Fact]
    public void Link_gives_another_name()
    {
        InodeRecord file = _nfs.Fixture!.Make("f"), folder = _nfs.Fixture.Make("d", 0x41ED);
        XdrView view = _nfs.Nfs(Nfs3Procedure.Link, new Xdr().Opaque(_nfs.Handle(file)).Opaque(_nfs.Root).Text("g"));
        Assert.Equal(2u, view.PostOp()!.Links);
        Wcc wcc = view.Wcc();
        view.End();
        Assert.Equal((2ul, 3ul), (wcc.Before!.Value.Size, wcc.After!.Size));
        _nfs.Nfs(Nfs3Procedure.Link, new Xdr().Opaque(_nfs.Handle(folder)).Opaque(_nfs.Root).Text("h"), Nfs3Status.NotOwner);
        _nfs.Nfs(Nfs3Procedure.Link, new Xdr().Opaque(_nfs.Handle(file)).Opaque(_nfs.Handle(file)).Text("h"), Nfs3Status.NotDirectory);
    }

    [Fact]
    public void Nothing_changes_under_a_read_only_export()
    {
        InodeRecord file = _nfs.Fixture!.Make("f");
        _nfs.Exports("/ *(ro,no_root_squash)");
        byte[] handle = _nfs.Handle(file);
        Xdr At(string name) => new Xdr().Opaque(_nfs.Root).Text(name);
        (Nfs3Procedure, Xdr)[] changes =
        [
            (Nfs3Procedure.SetAttr, new Xdr().Opaque(handle).Sattr(mode: 0).U32(0)),
            (Nfs3Procedure.Write, new Xdr().Opaque(handle).U64(0).U32(1).U32(0).Opaque([1])),
            (Nfs3Procedure.Create, At("x").U32(0).Sattr()),
            (Nfs3Procedure.MkDir, At("x").Sattr()),
            (Nfs3Procedure.Symlink, At("x").Sattr().Text("t")),
            (Nfs3Procedure.MkNod, At("x").U32(7).Sattr()),
            (Nfs3Procedure.Remove, At("f")),
            (Nfs3Procedure.RmDir, At("f")),
            (Nfs3Procedure.Rename, At("f").Raw(At("g").Bytes)),
            (Nfs3Procedure.Link, new Xdr().Opaque(handle).Raw(At("g").Bytes)),
        ];
        Assert.Equal(Nfs3OpTable.All.Where(static o => o.Changes).Select(static o => o.Procedure).Order(), changes.Select(static c => c.Item1).Order());
        foreach ((Nfs3Procedure procedure, Xdr arguments) in changes)
            _nfs.Nfs(procedure, arguments, Nfs3Status.ReadOnly);
        Assert.Equal(_nfs.Fixture.Get(file.Inode), file);
    }

    [Fact]
    public void Garbage_is_refused_for_every_procedure_wherever_it_is_cut_or_followed_by_more()
    {
        byte[] handle = _nfs.Handle(_nfs.Fixture!.Make("f"));
        Xdr At(string name) => new Xdr().Opaque(_nfs.Root).Text(name);
        byte[][] arguments =
        [
            [], new Xdr().Opaque(handle).Bytes, new Xdr().Opaque(handle).Sattr(mode: 1, size: 3, mtime: 3).U32(0).Bytes, At("f").Bytes,
            new Xdr().Opaque(handle).U32(63).Bytes, new Xdr().Opaque(handle).Bytes, new Xdr().Opaque(handle).U64(0).U32(1).Bytes,
            new Xdr().Opaque(handle).U64(0).U32(5).U32(0).Opaque([1, 2, 3, 4, 5]).Bytes, At("a").U32(2).U64(1).Bytes, At("b").Sattr().Bytes,
            At("c").Sattr().Text("t").Bytes, At("e").U32(3).Sattr().U32(1).U32(1).Bytes, At("f").Bytes, At("f").Bytes, At("f").Raw(At("g").Bytes).Bytes,
            new Xdr().Opaque(handle).Raw(At("g").Bytes).Bytes, new Xdr().Opaque(_nfs.Root).U64(0).U64(0).U32(1000).Bytes,
            new Xdr().Opaque(_nfs.Root).U64(0).U64(0).U32(1000).U32(1000).Bytes, new Xdr().Opaque(handle).Bytes, new Xdr().Opaque(handle).Bytes,
            new Xdr().Opaque(handle).Bytes, new Xdr().Opaque(handle).U64(0).U32(0).Bytes,
        ];
        Assert.Equal(Nfs3OpTable.Size, arguments.Length);
        for (uint procedure = 1; procedure < arguments.Length; procedure++)
        {
            byte[] whole = arguments[procedure];
            for (int length = 0; length < whole.Length; length += 4)
                Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100003, 3, procedure, whole[..length])));
            Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100003, 3, procedure, [.. whole, 0, 0, 0, 0])));
            Assert.Equal(0u, _nfs.AcceptStatus(_nfs.Message(100003, 3, procedure, whole)));
        }

        Assert.Equal(3u, _nfs.AcceptStatus(_nfs.Message(100003, 3, 22, [])));
        Assert.Equal(2u, _nfs.AcceptStatus(_nfs.Message(100003, 2, 1, [])));
    }

    private static Fattr Made(XdrView view, out Wcc directory)
    {
        Assert.True(view.Bool());
        Assert.Equal(48, view.Opaque().Length);
        Fattr made = view.PostOp()!;
        directory = view.Wcc();
        view.End();
        return made;
    }
}
