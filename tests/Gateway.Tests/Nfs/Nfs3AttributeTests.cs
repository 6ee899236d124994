using Gateway.Nfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Nfs;

public sealed class Nfs3AttributeTests : IDisposable
{
    private readonly NfsExchange _nfs = new();

    public void Dispose() => _nfs.Dispose();

    [Fact]
    public void Every_status_has_its_nfsstat3()
    {
        foreach (FsStatus status in Enum.GetValues<FsStatus>())
        {
            Nfs3Status mapped = Nfs3StatusMap.From(status);
            Assert.True(Enum.IsDefined(mapped));
            Assert.Equal(status == FsStatus.Ok, mapped == Nfs3Status.Ok);
        }
    }

    [Fact]
    public void Attributes_stand_on_the_wire_as_fattr3()
    {
        InodeRecord made = _nfs.Fixture!.Make("f", 0x89A4);
        _nfs.Vfs.SetAttributes(
            new Caller(0, 0, trusted: true), made.Inode,
            new AttributeChange
            {
                Mask = AttributeMask.Uid | AttributeMask.Gid | AttributeMask.Size | AttributeMask.Accessed | AttributeMask.Modified,
                Uid = 1000,
                Gid = 1001,
                SizeBytes = 5_000_000_000,
                Accessed = new Timestamp(-5, 7),
                Modified = new Timestamp(4_294_967_300, 9),
            },
            out InodeRecord record);
        XdrView view = _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(_nfs.Handle(made)));
        Fattr attributes = view.Fattr();
        view.End();
        Assert.Equal(
            new Fattr(1, 0x1A4, 1, 1000, 1001, 5_000_000_000, 0, 0, 0, _nfs.Handles.FileSystem, made.Inode.Value, (0, 0), (uint.MaxValue, 0),
                ((uint)record.Changed.Seconds, record.Changed.Nanoseconds)),
            attributes);
    }

    [Theory]
    [InlineData(0x41ED, 2)]
    [InlineData(0x61A4, 3)]
    [InlineData(0x21A4, 4)]
    [InlineData(0xC1A4, 6)]
    [InlineData(0x11A4, 7)]
    public void Kinds_and_devices(uint mode, uint type)
    {
        var spec = new NewInode { Mode = mode, Device = 0x12345678 };
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.Make(Caller.System, InodeId.Root, "x"u8, spec, out InodeRecord made));
        Fattr attributes = _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(_nfs.Handle(made))).Fattr();
        Assert.Equal(type, attributes.Type);
        if (type is 3 or 4)
            Assert.Equal((0x456u, 0x12378u), (attributes.Major, attributes.Minor));
    }

    [Fact]
    public void Setattr_sets_what_it_names_and_tells_both_sides()
    {
        InodeRecord made = _nfs.Fixture!.Make("f");
        _nfs.Fixture.Tick();
        XdrView view = _nfs.Nfs(
            Nfs3Procedure.SetAttr, new Xdr().Opaque(_nfs.Handle(made)).Sattr(mode: 0xF1FF, uid: 5, gid: 6, size: 100, atime: 77, mtime: 4_000_000_000).U32(0));
        Wcc wcc = view.Wcc();
        view.End();
        Assert.Equal(0ul, wcc.Before!.Value.Size);
        Assert.Equal(((uint)made.Changed.Seconds, made.Changed.Nanoseconds), wcc.Before.Value.Ctime);
        Fattr after = wcc.After!;
        Assert.Equal((0x1FFu, 5u, 6u, 100ul), (after.Mode, after.Uid, after.Gid, after.Size));
        Assert.Equal(((77u, 5u), (4_000_000_000u, 5u)), (after.Atime, after.Mtime));
        Assert.Equal(after, _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(_nfs.Handle(made))).Fattr());
    }

    [Fact]
    public void The_guard_lets_only_the_last_seen_state_be_changed()
    {
        InodeRecord made = _nfs.Fixture!.Make("f");
        _nfs.Fixture.Tick();
        byte[] handle = _nfs.Handle(made);
        (uint seconds, uint nanoseconds) = ((uint)made.Changed.Seconds, made.Changed.Nanoseconds);
        Wcc wcc = _nfs.Nfs(
            Nfs3Procedure.SetAttr, new Xdr().Opaque(handle).Sattr(mode: 0x180).U32(1).U32(seconds).U32(nanoseconds + 1), Nfs3Status.NotSync).Wcc();
        Assert.Equal(0x1A4u, wcc.After!.Mode);
        Assert.NotNull(wcc.Before);
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(handle).Sattr(mode: 0x180).U32(1).U32(seconds).U32(nanoseconds));
        Assert.Equal(0x8180u, _nfs.Fixture.Get(made.Inode).Mode);
    }

    [Fact]
    public void Setattr_refuses_what_cannot_be()
    {
        InodeRecord made = _nfs.Fixture!.Make("f");
        byte[] file = _nfs.Handle(made), folder = _nfs.Handle(_nfs.Fixture.Make("d", 0x41ED));
        byte[] fifo = _nfs.Handle(_nfs.Fixture.Make("p", 0x11A4));
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(folder).Sattr(size: 0).U32(0), Nfs3Status.IsDirectory).Wcc();
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(fifo).Sattr(size: 0).U32(0), Nfs3Status.Invalid).Wcc();
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(file).Sattr(size: ulong.MaxValue).U32(0), Nfs3Status.FileTooBig).Wcc();
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(file).Sattr(uid: uint.MaxValue).U32(0), Nfs3Status.Invalid).Wcc();
        byte[] nanoseconds = new Xdr().Opaque(file).U32(0).U32(0).U32(0).U32(0).U32(2).U32(1).U32(1_000_000_000).U32(0).U32(0).Bytes;
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Raw(nanoseconds), Nfs3Status.Invalid).Wcc();

        _nfs.Uid = 1000;
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(file).Sattr(mode: 0x1FF).U32(0), Nfs3Status.NotOwner).Wcc();
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(file).Sattr(size: 0).U32(0), Nfs3Status.Access).Wcc();
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(file).Sattr(atime: -1).U32(0), Nfs3Status.Access).Wcc();
        _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(file).Sattr(atime: 5).U32(0), Nfs3Status.NotOwner).Wcc();
    }

    [Fact]
    public void A_users_truncation_takes_set_id_bits_away()
    {
        InodeRecord made = _nfs.Fixture!.Make("f", 0x8DFF);
        _nfs.Uid = 1000;
        Fattr after = _nfs.Nfs(Nfs3Procedure.SetAttr, new Xdr().Opaque(_nfs.Handle(made)).Sattr(size: 5).U32(0)).Wcc().After!;
        Assert.Equal((0x1FFu, 5ul), (after.Mode, after.Size));
    }

    [Theory]
    [InlineData(0x81ED, 0u, 0x3Fu, 0x2Du)] // root: read, modify, extend, execute
    [InlineData(0x81A4, 0u, 0x3Fu, 0x0Du)] // nobody may execute
    [InlineData(0x81ED, 1000u, 0x3Fu, 0x21u)]
    [InlineData(0x81ED, 1000u, 0x1u, 0x1u)] // only what was asked for
    [InlineData(0x8180, 1000u, 0x3Fu, 0x0u)]
    [InlineData(0x41FF, 1000u, 0x3Fu, 0x1Fu)] // read, lookup, modify, extend, delete
    [InlineData(0x41B6, 1000u, 0x3Fu, 0x01u)] // without search nothing can be changed
    [InlineData(0x41ED, 1000u, 0x3Fu, 0x03u)]
    public void Access_is_the_servers_view(uint mode, uint uid, uint wanted, uint granted)
    {
        InodeRecord made = _nfs.Fixture!.Make("x", mode);
        (_nfs.Uid, _nfs.Gid) = (uid, uid);
        XdrView view = _nfs.Nfs(Nfs3Procedure.Access, new Xdr().Opaque(_nfs.Handle(made)).U32(wanted));
        Assert.Equal(made.Inode.Value, view.PostOp()!.FileId);
        Assert.Equal(granted, view.U32());
        view.End();
    }

    [Fact]
    public void Access_counts_supplementary_groups_and_read_only_exports()
    {
        InodeRecord made = _nfs.Fixture!.Make("x", 0x81B0);
        _nfs.Vfs.SetAttributes(Caller.System, made.Inode, new AttributeChange { Mask = AttributeMask.Gid, Gid = 77 }, out _);
        (_nfs.Uid, _nfs.Gid) = (1000, 1000);
        byte[] handle = _nfs.Handle(made);
        uint Granted()
        {
            XdrView view = _nfs.Nfs(Nfs3Procedure.Access, new Xdr().Opaque(handle).U32(0x3F));
            view.PostOp();
            return view.U32();
        }

        Assert.Equal(0u, Granted());
        _nfs.Groups = [5, 77];
        Assert.Equal(0x0Du, Granted());
        _nfs.Exports("/ *(ro,no_root_squash)");
        Assert.Equal(0x01u, Granted());
    }

    [Fact]
    public void Readlink_gives_the_bytes_of_the_target()
    {
        byte[] target = [.. "dir/\xFF"u8, 0xC3, 0x28];
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.Make(Caller.System, InodeId.Root, "l"u8, new NewInode { Mode = 0xA1FF, Target = target }, out InodeRecord link));
        XdrView view = _nfs.Nfs(Nfs3Procedure.ReadLink, new Xdr().Opaque(_nfs.Handle(link)));
        Assert.Equal(5u, view.PostOp()!.Type);
        Assert.Equal(target, view.Opaque());
        view.End();
        Assert.NotNull(_nfs.Nfs(Nfs3Procedure.ReadLink, new Xdr().Opaque(_nfs.Root), Nfs3Status.Invalid).PostOp());
    }
}
