using Gateway.Nfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Nfs;

/// <summary>Who a client's users are for the file system, by what they own afterwards and what they may.</summary>
public sealed class SquashTests : IDisposable
{
    private readonly NfsExchange _nfs = new();

    public SquashTests() =>
        _nfs.Vfs.SetAttributes(Caller.System, InodeId.Root, new AttributeChange { Mask = AttributeMask.Mode, Mode = 0x1FF }, out _);

    public void Dispose() => _nfs.Dispose();

    [Theory]
    [InlineData("", 0u, 0u, 65534u, 65534u)]
    [InlineData("", 0u, 50u, 65534u, 50u)]
    [InlineData("", 1000u, 0u, 1000u, 65534u)]
    [InlineData("", 1000u, 1001u, 1000u, 1001u)]
    [InlineData(",anonuid=7,anongid=8", 0u, 0u, 7u, 8u)]
    [InlineData(",no_root_squash", 0u, 0u, 0u, 0u)]
    [InlineData(",no_root_squash,anonuid=7", 1000u, 0u, 1000u, 0u)]
    [InlineData(",all_squash", 1000u, 1001u, 65534u, 65534u)]
    [InlineData(",all_squash,anonuid=7,anongid=8", 1000u, 1001u, 7u, 8u)]
    public void Owners(string options, uint uid, uint gid, uint ownerUid, uint ownerGid)
    {
        _nfs.Exports($"/ *(rw{options})");
        (_nfs.Uid, _nfs.Gid) = (uid, gid);
        Assert.Equal((ownerUid, ownerGid), Make());
    }

    [Fact]
    public void A_call_without_credential_is_anonymous_whatever_the_export_says()
    {
        _nfs.Exports("/ *(rw,no_root_squash,anonuid=7,anongid=8)");
        _nfs.WithoutCredential = true;
        Assert.Equal((7u, 8u), Make());
    }

    [Fact]
    public void Group_zero_is_squashed_among_the_supplementary_ones_too()
    {
        InodeRecord file = _nfs.Fixture!.Make("f", 0x8020);
        (_nfs.Uid, _nfs.Gid) = (1000, 1000);
        _nfs.Groups = [5, 0, 6];
        Xdr read = new Xdr().Opaque(_nfs.Handle(file)).U64(0).U32(1);
        _nfs.Exports("/ *(rw,no_root_squash)");
        _nfs.Nfs(Nfs3Procedure.Read, read);
        _nfs.Exports("/ *(rw)");
        _nfs.Nfs(Nfs3Procedure.Read, read, Nfs3Status.Access);
        _nfs.Vfs.SetAttributes(Caller.System, file.Inode, new AttributeChange { Mask = AttributeMask.Gid, Gid = 6 }, out _);
        _nfs.Nfs(Nfs3Procedure.Read, read);
        _nfs.Exports("/ *(rw,all_squash)");
        _nfs.Nfs(Nfs3Procedure.Read, read, Nfs3Status.Access);
    }

    private (uint, uint) Make()
    {
        XdrView view = _nfs.Nfs(Nfs3Procedure.MkDir, new Xdr().Opaque(_nfs.Root).Text("x").Sattr());
        view.Bool();
        view.Opaque();
        Fattr made = view.PostOp()!;
        return (made.Uid, made.Gid);
    }
}
