using Gateway.Nfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Nfs;

/// <summary>POSIX ACLs over NFSACL version 3, as Linux clients ask for them.</summary>
public sealed class NfsAclTests : IDisposable
{
    private const uint GetAcl = 1, SetAcl = 2;

    private readonly NfsExchange _nfs = new();

    public void Dispose() => _nfs.Dispose();

    [Fact]
    public void A_mode_is_told_as_an_ACL_of_four_entries()
    {
        InodeRecord file = _nfs.Fixture!.Make("f", 0x81E5);
        XdrView view = Call(GetAcl, new Xdr().Opaque(_nfs.Handle(file)).U32(15));
        Assert.Equal(file.Inode.Value, view.PostOp()!.FileId);
        Assert.Equal((15u, 4u), (view.U32(), view.U32()));
        Assert.Equal([(1u, 0u, 7u), (4u, 0u, 4u), (16u, 0u, 4u), (32u, 0u, 5u)], Entries(view));
        Assert.Equal((0u, 0u), (view.U32(), view.U32()));
        view.End();
    }

    [Fact]
    public void What_was_set_is_told_and_holds()
    {
        InodeRecord folder = _nfs.Fixture!.Make("d", 0x41ED);
        byte[] handle = _nfs.Handle(folder);
        Xdr acl = new Xdr().U32(5).U32(5).U32(1).U32(0).U32(7).U32(4).U32(0).U32(0).U32(32).U32(0).U32(0).U32(16).U32(0).U32(7).U32(2).U32(1000).U32(5);
        Xdr inherited = new Xdr().U32(4).U32(4).U32(0x1001).U32(0).U32(7).U32(0x1004).U32(0).U32(5).U32(0x1010).U32(0).U32(5).U32(0x1020).U32(0).U32(0);
        XdrView view = Call(SetAcl, new Xdr().Opaque(handle).U32(5).Raw(acl.Bytes).Raw(inherited.Bytes));
        Assert.Equal(0x1F8u, view.PostOp()!.Mode);
        view.End();

        view = Call(GetAcl, new Xdr().Opaque(handle).U32(5));
        view.PostOp();
        Assert.Equal((5u, 5u), (view.U32(), view.U32()));
        Assert.Equal([(1u, 0u, 7u), (2u, 1000u, 5u), (4u, 0u, 0u), (16u, 0u, 7u), (32u, 0u, 0u)], Entries(view));
        Assert.Equal(3u, view.U32());
        Assert.Equal([(0x1001u, 0u, 7u), (0x1004u, 0u, 5u), (0x1020u, 0u, 0u)], Entries(view));
        view.End();

        // ACCESS sees it: user 1000 may list, others may not.
        foreach ((uint uid, uint granted) in new[] { (1000u, 3u), (1001u, 0u) })
        {
            (_nfs.Uid, _nfs.Gid) = (uid, uid);
            view = _nfs.Nfs(Nfs3Procedure.Access, new Xdr().Opaque(handle).U32(3));
            view.PostOp();
            Assert.Equal(granted, view.U32());
        }

        // Only the owner sets it; the caller is not.
        Call(SetAcl, new Xdr().Opaque(handle).U32(1).U32(0).U32(0).U32(0).U32(0), Nfs3Status.NotOwner);
        _nfs.Uid = 0;
        Call(SetAcl, new Xdr().Opaque(handle).U32(5).U32(0).U32(0).U32(0).U32(0));
        view = Call(GetAcl, new Xdr().Opaque(handle).U32(10));
        view.PostOp();
        Assert.Equal((10u, 4u, 0u, 0u, 0u), (view.U32(), view.U32(), view.U32(), view.U32(), view.U32()));
        view.End();
    }

    [Fact]
    public void What_cannot_be_is_refused()
    {
        byte[] file = _nfs.Handle(_nfs.Fixture!.Make("f"));
        Call(GetAcl, new Xdr().Opaque(file).U32(16), Nfs3Status.Invalid);
        Call(GetAcl, new Xdr().Opaque(new byte[48]).U32(1), Nfs3Status.BadHandle);
        Xdr none = new Xdr().U32(0).U32(0);
        byte[] Message(Xdr acl) => _nfs.Message(100227, 3, SetAcl, new Xdr().Opaque(file).U32(1).Raw(acl.Bytes).Raw(none.Bytes).Bytes);
        Assert.Equal(4u, _nfs.AcceptStatus(Message(new Xdr().U32(1).U32(1).U32(3).U32(0).U32(0))));
        Assert.Equal(4u, _nfs.AcceptStatus(Message(new Xdr().U32(1).U32(1).U32(1).U32(0).U32(8))));
        Assert.Equal(4u, _nfs.AcceptStatus(Message(new Xdr().U32(1025).U32(1025))));
        Assert.Equal(4u, _nfs.AcceptStatus(Message(new Xdr().U32(uint.MaxValue).U32(uint.MaxValue))));
        Call(SetAcl, new Xdr().Opaque(file).U32(1).U32(1).U32(1).U32(1).U32(0).U32(7).Raw(none.Bytes), Nfs3Status.Invalid); // no group, no others
        _nfs.Exports("/ *(ro,no_root_squash)");
        Call(SetAcl, new Xdr().Opaque(file).U32(1).Raw(none.Bytes).Raw(none.Bytes), Nfs3Status.ReadOnly);
    }

    private XdrView Call(uint procedure, Xdr arguments, Nfs3Status expected = Nfs3Status.Ok)
    {
        XdrView view = _nfs.Success(_nfs.Message(100227, 3, procedure, arguments.Bytes));
        Assert.Equal(expected, (Nfs3Status)view.U32());
        return view;
    }

    private static List<(uint, uint, uint)> Entries(XdrView view)
    {
        List<(uint, uint, uint)> entries = [];
        for (uint count = view.U32(); count > 0; count--)
            entries.Add((view.U32(), view.U32(), view.U32()));
        return entries;
    }
}
