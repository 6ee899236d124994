using Gateway.Nfs;
using Gateway.Nfs.Exports;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>The MOUNT protocol and the lists it gives.</summary>
public sealed class MountTests : IDisposable
{
    private const uint Mnt = 1, Dump = 2, Umnt = 3, UmntAll = 4, ExportList = 5;

    private readonly NfsExchange _nfs = new();

    public void Dispose() => _nfs.Dispose();

    [Fact]
    public void Mnt_gives_the_handle_of_the_root_and_the_flavor()
    {
        XdrView view = _nfs.Mount(Mnt, new Xdr().Text("/"));
        Assert.Equal(0u, view.U32());
        Assert.Equal(_nfs.Root, view.Opaque());
        Assert.Equal((1u, 1u), (view.U32(), view.U32()));
        view.End();
    }

    [Fact]
    public void Directories_below_an_export_can_be_mounted_and_the_nearest_export_decides()
    {
        InodeRecord a = _nfs.Fixture!.Make("a", 0x41C0), b = _nfs.Fixture.Make("b", 0x41C0, a.Inode), c = _nfs.Fixture.Make("c", 0x41C0, b.Inode);
        _nfs.Exports("/ 198.51.100.1(rw)", "/a *(rw)", "/a/b 192.0.2.0/24(ro)");
        Assert.Equal(_nfs.Handle(a, 2), Mount("/a/"));
        Assert.Equal(_nfs.Handle(b, 3), Mount("/a//b"));
        Assert.Equal(_nfs.Handle(c, 3), Mount("/a/b/c/"));
        _nfs.Connection = new FakeConnection(RpcPeer.From(0xC6336402, 900));
        Assert.Equal(_nfs.Handle(b, 2), Mount("/a/b")); // refused there, allowed above
        Refused("/", 13);
        _nfs.Connection = new FakeConnection(RpcPeer.From(0xC6336401, 900));
        Assert.Equal(_nfs.Root, Mount("/"));
        Assert.Equal(_nfs.Root, Mount(""));
    }

    [Theory]
    [InlineData("/missing", 2u)]
    [InlineData("/f", 20u)]
    [InlineData("/f/x", 20u)]
    [InlineData("/l", 20u)]
    [InlineData("/d/..", 22u)]
    [InlineData("relative", 2u)]
    public void Mnt_refuses(string path, uint status)
    {
        _nfs.Fixture!.Make("f");
        _nfs.Fixture.Make("d", 0x41ED);
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.Make(Caller.System, InodeId.Root, "l"u8, new NewInode { Mode = 0xA1FF, Target = "/d"u8 }, out _));
        Refused(path, status);
    }

    [Fact]
    public void Mnt_refuses_paths_that_are_too_long_ports_and_clients_and_exports_without_a_directory()
    {
        Refused("/" + new string('x', 1024), 63);
        _nfs.Exports("/ *(rw)", "/nowhere *(rw)");
        Refused("/nowhere", 2);
        _nfs.Connection = new FakeConnection(RpcPeer.From(0xC0000201, 1024));
        Refused("/", 13);
        _nfs.Exports("/ *(rw,insecure)");
        Assert.Equal(_nfs.Root, Mount("/"));
        _nfs.Exports("/other *(rw)");
        Refused("/", 2);
    }

    [Fact]
    public void Dump_lists_what_is_mounted()
    {
        _nfs.Fixture!.Make("d", 0x41ED);
        Mount("/");
        Mount("/d");
        Mount("/d");
        Assert.Equal([("192.0.2.7", "/"), ("192.0.2.7", "/d")], Mounts());
        NfsClientInfo client = Assert.Single(_nfs.Context.Clients.Describe());
        Assert.Equal(["/", "/d"], client.Mounts);
        _nfs.Mount(Umnt, new Xdr().Text("/")).End();
        Assert.Equal([("192.0.2.7", "/d")], Mounts());
        _nfs.Mount(UmntAll, new Xdr()).End();
        Assert.Empty(Mounts());
    }

    [Theory]
    [InlineData(1u)]
    [InlineData(3u)]
    public void Export_lists_paths_and_clients(uint version)
    {
        _nfs.Exports("/b 10.0.0.0/8(ro) host.example(rw)", "/a *(rw)");
        XdrView view = _nfs.Mount(ExportList, new Xdr(), version);
        Assert.Equal((true, "/a", true, "*", false), (view.Bool(), view.Text(), view.Bool(), view.Text(), view.Bool()));
        Assert.Equal((true, "/b", true, "10.0.0.0/8"), (view.Bool(), view.Text(), view.Bool(), view.Text()));
        Assert.Equal((true, "host.example", false, false), (view.Bool(), view.Text(), view.Bool(), view.Bool()));
        view.End();
    }

    [Fact]
    public void A_list_longer_than_a_reply_is_cut_at_an_entry()
    {
        _nfs.Exports([.. Enumerable.Range(0, 1100).Select(static i => $"/{i:D1000} *(rw)")]);
        XdrView view = _nfs.Mount(ExportList, new Xdr());
        int count = 0;
        while (view.Bool())
        {
            count++;
            view.Text();
            while (view.Bool())
                view.Text();
        }

        view.End();
        Assert.InRange(count, 900, 1099);
    }

    [Fact]
    public void Garbage_and_procedures_that_do_not_exist()
    {
        Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100005, 3, Mnt, [])));
        Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100005, 3, Dump, [0, 0, 0, 0])));
        Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100005, 3, Umnt, [0, 0])));
        Assert.Equal(3u, _nfs.AcceptStatus(_nfs.Message(100005, 3, 6, [])));
        Assert.Equal(3u, _nfs.AcceptStatus(_nfs.Message(100005, 1, Mnt, new Xdr().Text("/").Bytes))); // a handle of version 1 has 32 bytes
    }

    private byte[] Mount(string path)
    {
        XdrView view = _nfs.Mount(Mnt, new Xdr().Text(path));
        Assert.Equal(0u, view.U32());
        return view.Opaque();
    }

    private void Refused(string path, uint status)
    {
        XdrView view = _nfs.Mount(Mnt, new Xdr().Text(path));
        Assert.Equal(status, view.U32());
        view.End();
    }

    private List<(string, string)> Mounts()
    {
        XdrView view = _nfs.Mount(Dump, new Xdr());
        List<(string, string)> mounts = [];
        while (view.Bool())
            mounts.Add((view.Text(), view.Text()));
        view.End();
        return mounts;
    }
}
