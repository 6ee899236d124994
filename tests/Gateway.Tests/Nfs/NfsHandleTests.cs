using Gateway.Nfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Nfs;

/// <summary>Handles: their bytes, their forgery, and that none leads out of its export.</summary>
public sealed class NfsHandleTests : IDisposable
{
    private readonly NfsExchange _nfs = new();

    public void Dispose() => _nfs.Dispose();

    [Fact]
    public void SipHash_agrees_with_the_reference_vectors()
    {
        byte[] key = [.. Enumerable.Range(0, 16).Select(static i => (byte)i)];
        Assert.Equal("A3817F04BA25A8E66DF67214C7550293", Hash([]));
        Assert.Equal("DA87C1D86B99AF44347659119B22FC45", Hash([0]));
        Assert.Equal(16 * 2, Hash([.. Enumerable.Range(0, 63).Select(static i => (byte)i)]).Length);

        string Hash(byte[] data)
        {
            byte[] bytes = new byte[16];
            System.Buffers.Binary.BinaryPrimitives.WriteUInt128LittleEndian(bytes, SipHash128.Compute(key, data));
            return Convert.ToHexString(bytes);
        }
    }

    [Fact]
    public void The_layout_of_a_handle_never_changes()
    {
        byte[] secret = [.. Enumerable.Range(0, 32).Select(static i => (byte)i)];
        var codec = new NfsHandleCodec(new Guid("00112233-4455-6677-8899-aabbccddeeff"), secret);
        byte[] bytes = new byte[48];
        codec.Write(new NfsFileHandle(0x01020304, new InodeId(0x1112131415161718), 0x21222324), bytes);
        Assert.Equal("0100000004030201", Convert.ToHexString(bytes[..8]));
        Assert.Equal("18171615141312112423222100000000", Convert.ToHexString(bytes[16..32]));

        // Handles live in clients for years: these bytes are a promise.
        Assert.Equal(Golden, Convert.ToHexString(bytes));
        Assert.True(codec.TryRead(bytes, out NfsFileHandle handle));
        Assert.Equal(new NfsFileHandle(0x01020304, new InodeId(0x1112131415161718), 0x21222324), handle);
    }

    private const string Golden =
        "0100000004030201A8FAED6ABBF35C1218171615141312112423222100000000"
        + "81743E3920AAF1A163319126E0EA2F53";

    [Fact]
    public void Any_altered_bit_is_refused()
    {
        byte[] handle = _nfs.Root;
        for (int bit = 0; bit < handle.Length * 8; bit++)
        {
            byte[] forged = [.. handle];
            forged[bit / 8] ^= (byte)(1 << (bit % 8));
            _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(forged), Nfs3Status.BadHandle).End();
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(47)]
    [InlineData(49)]
    [InlineData(64)]
    public void Handles_of_another_length_are_refused(int length) =>
        _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(new byte[length]), Nfs3Status.BadHandle).End();

    [Fact]
    public void A_handle_beyond_64_bytes_is_garbage() =>
        Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100003, 3, 1, new Xdr().Opaque(new byte[65]).Bytes)));

    [Fact]
    public void Handles_of_another_cluster_or_file_system_are_refused()
    {
        InodeRecord root = _nfs.Fixture!.Get(InodeId.Root);
        byte[] bytes = new byte[48];
        new NfsHandleCodec(new Guid("4b0d2f5e-8f4a-4f6b-a6c9-0c9d6a0e1f22"), new byte[32]).Write(new NfsFileHandle(1, root.Inode, root.Generation), bytes);
        _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(bytes), Nfs3Status.BadHandle);
        byte[] secret = [.. Enumerable.Range(1, 32).Select(static i => (byte)i)];
        new NfsHandleCodec(Guid.Empty, secret).Write(new NfsFileHandle(1, root.Inode, root.Generation), bytes);
        _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(bytes), Nfs3Status.BadHandle);
    }

    [Fact]
    public void What_is_gone_is_stale()
    {
        InodeRecord made = _nfs.Fixture!.Make("f");
        byte[] handle = _nfs.Handle(made), other = new byte[48];
        _nfs.Handles.Write(new NfsFileHandle(1, made.Inode, made.Generation + 1), other);
        _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(other), Nfs3Status.Stale);
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.Unlink(Caller.System, InodeId.Root, "f"u8));
        while (_nfs.Fixture.Vfs.ReapStep(out FsStatus status))
            Assert.Equal(FsStatus.Ok, status);
        _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(handle), Nfs3Status.Stale);
        _nfs.Nfs(Nfs3Procedure.Read, new Xdr().Opaque(handle).U64(0).U32(1), Nfs3Status.Stale);
    }

    [Fact]
    public void An_export_that_is_gone_is_stale_and_one_that_is_refused_is_ACCES()
    {
        byte[] handle = _nfs.Root;
        _nfs.Exports("/ 198.51.100.0/24(rw)");
        _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(handle), Nfs3Status.Access).End();
        _nfs.Exports();
        _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(handle), Nfs3Status.Stale).End();
    }

    [Fact]
    public void The_root_of_an_export_is_the_end_of_the_way_up()
    {
        InodeRecord a = _nfs.Fixture!.Make("a", 0x41ED), b = _nfs.Fixture.Make("b", 0x41ED, a.Inode), c = _nfs.Fixture.Make("c", 0x41ED, b.Inode);
        _nfs.Exports("/ *(rw)", "/a/b *(rw)");
        byte[] root = _nfs.Handle(b, 2), below = _nfs.Handle(c, 2);
        Assert.Equal(root, Lookup(root, ".."));
        Assert.Equal(root, Lookup(root, "."));
        Assert.Equal(root, Lookup(below, ".."));
        Assert.Equal(_nfs.Handle(a, 1), Lookup(_nfs.Handle(b, 1), ".."));

        XdrView list = _nfs.Nfs(Nfs3Procedure.ReadDir, new Xdr().Opaque(root).U64(0).U64(0).U32(4096));
        list.PostOp();
        list.U64();
        Assert.True(list.Bool());
        Assert.Equal((b.Inode.Value, ".", 1ul, true), (list.U64(), list.Text(), list.U64(), list.Bool()));
        Assert.Equal((b.Inode.Value, "..", 2ul), (list.U64(), list.Text(), list.U64()));
    }

    [Fact]
    public void A_directory_moved_out_of_its_export_has_no_way_up()
    {
        InodeRecord a = _nfs.Fixture!.Make("a", 0x41ED), b = _nfs.Fixture.Make("b", 0x41ED, a.Inode);
        InodeRecord deep = _nfs.Fixture.Make("deep", 0x41ED, b.Inode);
        _nfs.Exports("/ *(rw)", "/a *(rw)");
        byte[] handle = _nfs.Handle(deep, 2);
        Assert.Equal(_nfs.Handle(b, 2), Lookup(handle, ".."));
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.Rename(Caller.System, b.Inode, "deep"u8, InodeId.Root, "out"u8, RenameFlags.None));
        _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(handle).Text(".."), Nfs3Status.Access);
    }

    [Fact]
    public void Names_cannot_be_moved_or_linked_from_export_to_export()
    {
        InodeRecord a = _nfs.Fixture!.Make("a", 0x41ED), file = _nfs.Fixture.Make("f");
        _nfs.Exports("/ *(rw,no_root_squash)", "/a *(rw,no_root_squash)");
        XdrView view = _nfs.Nfs(Nfs3Procedure.Rename, new Xdr().Opaque(_nfs.Root).Text("f").Opaque(_nfs.Handle(a, 2)).Text("f"), Nfs3Status.CrossDevice);
        Assert.NotNull(view.Wcc().After);
        Assert.NotNull(view.Wcc().After);
        view.End();
        _nfs.Nfs(Nfs3Procedure.Link, new Xdr().Opaque(_nfs.Handle(file)).Opaque(_nfs.Handle(a, 2)).Text("f"), Nfs3Status.CrossDevice);
    }

    private byte[] Lookup(byte[] directory, string name) => _nfs.Nfs(Nfs3Procedure.Lookup, new Xdr().Opaque(directory).Text(name)).Opaque();
}
