using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class XattrTests
{
    private readonly MetadataFixture _fs = new();

    [Fact]
    public void Attributes_are_set_read_listed_and_removed()
    {
        InodeRecord file = _fs.Make("f");
        Timestamp now = _fs.Tick();
        Assert.Equal(FsStatus.Ok, Set(file.Inode, "user.b", [1, 2, 3]));
        Assert.Equal(FsStatus.Ok, Set(file.Inode, "trusted.a", []));
        Assert.Equal((now, InodeFlags.HasXattrs, file.Modified), (_fs.Get(file.Inode).Changed, _fs.Get(file.Inode).Flags, _fs.Get(file.Inode).Modified));
        Assert.Equal([1, 2, 3], Get(file.Inode, "user.b"));
        Assert.Equal([], Get(file.Inode, "trusted.a"));
        Assert.Equal(FsStatus.OutOfRange, _fs.Store.GetXattr(file.Inode, Name("user.b"), new byte[2], out _));
        Assert.Equal(FsStatus.NoData, _fs.Store.GetXattr(file.Inode, Name("user.x"), default, out _));

        byte[] list = new byte[64];
        Assert.Equal(FsStatus.Ok, _fs.Store.ListXattrs(file.Inode, list, out int length));
        Assert.Equal("trusted.a\0user.b\0", System.Text.Encoding.ASCII.GetString(list, 0, length));
        Assert.Equal(FsStatus.OutOfRange, _fs.Store.ListXattrs(file.Inode, list.AsSpan(0, length - 1), out _));
        Assert.Equal(FsStatus.Ok, _fs.Store.ListXattrs(file.Inode, list.AsSpan(0, length), out _));

        Assert.Equal(FsStatus.Exists, Set(file.Inode, "user.b", [], XattrSetFlags.Create));
        Assert.Equal(FsStatus.NoData, Set(file.Inode, "user.x", [], XattrSetFlags.Replace));
        Assert.Equal(FsStatus.Ok, Remove(file.Inode, "user.b"));
        Assert.Equal(FsStatus.NoData, Remove(file.Inode, "user.b"));
        Assert.Equal(InodeFlags.HasXattrs, _fs.Get(file.Inode).Flags);
        Assert.Equal(FsStatus.Ok, Remove(file.Inode, "trusted.a"));
        Assert.Equal(InodeFlags.None, _fs.Get(file.Inode).Flags);
    }

    [Fact]
    public void Limits_and_namespaces()
    {
        InodeRecord file = _fs.Make("f"), link = _fs.Make("l", SymlinkMode, target: "f");
        Assert.Equal(FsStatus.Ok, Set(file.Inode, "user.big", new byte[65536]));
        Assert.Equal(65536, Get(file.Inode, "user.big").Length);
        Assert.Equal(FsStatus.ArgumentTooLong, Set(file.Inode, "user.big", new byte[65537]));
        Assert.Equal(FsStatus.OutOfRange, Set(file.Inode, "user." + new string('n', 251), [1]));
        Assert.Equal(FsStatus.NotSupported, Set(file.Inode, "other.a", [1]));
        Assert.Equal(FsStatus.NotSupported, Set(file.Inode, "system.a", [1]));
        Assert.Equal(FsStatus.Invalid, Set(file.Inode, "user.", [1]));
        Assert.Equal(FsStatus.NotPermitted, Set(link.Inode, "user.a", [1]));
        Assert.Equal(FsStatus.NoData, _fs.Store.GetXattr(link.Inode, Name("user.a"), default, out _));
        Assert.Equal(FsStatus.Ok, Set(link.Inode, "trusted.a", [1]));
        Assert.Equal(FsStatus.NotPermitted, Set(_fs.Make("p", 0x11A4).Inode, "user.a", [1]));

        // 65536 bytes of names: 256 of 256 bytes each with their zero.
        InodeRecord many = _fs.Make("many");
        for (int i = 0; i < 256; i++)
            Assert.Equal(FsStatus.Ok, Set(many.Inode, "user." + new string('n', 247) + $"{i:D3}", [1]));
        Assert.Equal(FsStatus.NoSpace, Set(many.Inode, "user.a", [1]));
        byte[] list = new byte[65536];
        Assert.Equal(FsStatus.Ok, _fs.Store.ListXattrs(many.Inode, list, out int length));
        Assert.Equal(65536, length);
    }

    [Fact]
    public void Attributes_go_with_their_inode()
    {
        InodeRecord file = _fs.Make("f"), link = _fs.Make("l", SymlinkMode, target: "f");
        Set(file.Inode, "user.a", [1]);
        Set(link.Inode, "trusted.a", [1]);
        _fs.Unlink("f");
        _fs.Unlink("l");
        _fs.Store.Reap([file.Inode, link.Inode]);
        Assert.DoesNotContain(Dump(_fs.Kv, withLog: false), row => row.StartsWith("Xattrs", StringComparison.Ordinal));
    }

    [Fact]
    public void An_access_acl_and_the_mode_are_one()
    {
        InodeRecord file = _fs.Make("f");
        byte[] acl = Acl((1, 7, 0), (2, 6, 1000), (4, 4, 0), (0x10, 6, 0), (0x20, 0, 0));
        Assert.Equal(FsStatus.Ok, Set(file.Inode, "system.posix_acl_access", acl));
        Assert.Equal((0x81F0u, InodeFlags.HasXattrs | InodeFlags.HasAccessAcl), (_fs.Get(file.Inode).Mode, _fs.Get(file.Inode).Flags));
        _fs.SetMode(file.Inode, 0x124); // 0444: the group's bits go into the mask
        Assert.Equal(Acl((1, 4, 0), (2, 6, 1000), (4, 4, 0), (0x10, 4, 0), (0x20, 4, 0)), Get(file.Inode, "system.posix_acl_access"));

        Assert.Equal(FsStatus.Ok, Set(file.Inode, "system.posix_acl_access", Acl((1, 6, 0), (4, 4, 0), (0x20, 0, 0))));
        Assert.Equal((0x81A0u, InodeFlags.None), (_fs.Get(file.Inode).Mode, _fs.Get(file.Inode).Flags));
        Assert.Equal(FsStatus.Ok, Remove(file.Inode, "system.posix_acl_access"));
        Set(file.Inode, "system.posix_acl_access", acl);
        Assert.Equal(FsStatus.Ok, Remove(file.Inode, "system.posix_acl_access"));
        Assert.Equal((0x81F0u, InodeFlags.None), (_fs.Get(file.Inode).Mode, _fs.Get(file.Inode).Flags));
        Assert.Equal(FsStatus.AccessDenied, Set(file.Inode, "system.posix_acl_default", acl));
        Assert.Equal(FsStatus.NotSupported, Set(_fs.Make("l", SymlinkMode, target: "f").Inode, "system.posix_acl_access", acl));

        InodeRecord setgid = _fs.Make("g", 0x85ED);
        Assert.Equal(FsStatus.Ok, Set(setgid.Inode, "system.posix_acl_access", acl, XattrSetFlags.KillSetGid));
        Assert.Equal(0x81F0u, _fs.Get(setgid.Inode).Mode);
    }

    [Fact]
    public void Malformed_acls_are_refused()
    {
        InodeRecord file = _fs.Make("f");
        byte[][] bad =
        [
            [], [2, 0, 0], [.. Acl((1, 7, 0), (4, 4, 0), (0x20, 0, 0)), 1],
            Acl((1, 7, 0)), Acl((1, 7, 0), (4, 4, 0)), Acl((4, 4, 0), (1, 7, 0), (0x20, 0, 0)), Acl((1, 8, 0), (4, 4, 0), (0x20, 0, 0)),
            Acl((1, 7, 0), (1, 7, 0), (4, 4, 0), (0x20, 0, 0)), Acl((1, 7, 0), (2, 7, 5), (4, 4, 0), (0x20, 0, 0)),
            Acl((1, 7, 0), (2, 7, uint.MaxValue), (4, 4, 0), (0x10, 7, 0), (0x20, 0, 0)), Acl((1, 7, 0), (4, 4, 0), (0x40, 0, 0), (0x20, 0, 0)),
            Acl((1, 7, 0), (4, 4, 0), (0x20, 0, 0), (0x20, 0, 0)),
        ];
        foreach (byte[] acl in bad)
            Assert.Equal(FsStatus.Invalid, Set(file.Inode, "system.posix_acl_access", acl));
        byte[] version = Acl((1, 7, 0), (4, 4, 0), (0x20, 0, 0));
        version[0] = 3;
        Assert.Equal(FsStatus.NotSupported, Set(file.Inode, "system.posix_acl_access", version));
    }

    [Fact]
    public void Default_acls_are_inherited()
    {
        InodeRecord folder = _fs.Make("d", FolderMode);
        byte[] acl = Acl((1, 7, 0), (2, 7, 1000), (4, 5, 0), (0x10, 7, 0), (0x20, 5, 0));
        Assert.Equal(FsStatus.Ok, Set(folder.Inode, "system.posix_acl_default", acl));
        Assert.Equal(InodeFlags.HasXattrs | InodeFlags.HasDefaultAcl, _fs.Get(folder.Inode).Flags);

        Assert.Equal(FsStatus.Ok, _fs.TryMake("f", out InodeRecord file, 0x81B4, folder.Inode, umask: 0x3F)); // 0664, the umask does not count
        Assert.Equal((0x81B4u, InodeFlags.HasXattrs | InodeFlags.HasAccessAcl), (file.Mode, file.Flags));
        Assert.Equal(Acl((1, 6, 0), (2, 7, 1000), (4, 5, 0), (0x10, 6, 0), (0x20, 4, 0)), Get(file.Inode, "system.posix_acl_access"));

        InodeRecord below = _fs.Make("sub", 0x41F8, folder.Inode); // 0770
        Assert.Equal(acl, Get(below.Inode, "system.posix_acl_default"));
        Assert.Equal(Acl((1, 7, 0), (2, 7, 1000), (4, 5, 0), (0x10, 7, 0), (0x20, 0, 0)), Get(below.Inode, "system.posix_acl_access"));
        Assert.Equal(InodeFlags.None, _fs.Make("l", SymlinkMode, folder.Inode, target: "x").Flags);

        Set(folder.Inode, "system.posix_acl_default", Acl((1, 7, 0), (4, 5, 0), (0x20, 0, 0))); // says no more than a mode
        InodeRecord plain = _fs.Make("plain", 0x81FF, folder.Inode);
        Assert.Equal((0x81E8u, InodeFlags.None), (plain.Mode, plain.Flags));
        Assert.Equal(FsStatus.Ok, Set(folder.Inode, "system.posix_acl_default", [2, 0, 0, 0]));
        Assert.Equal(InodeFlags.None, _fs.Get(folder.Inode).Flags);
    }

    internal static byte[] Acl(params (ushort Tag, ushort Permissions, uint Id)[] entries)
    {
        byte[] acl = new byte[4 + 8 * entries.Length];
        var writer = new SpanWriter(acl);
        writer.U32Little(2);
        foreach ((ushort tag, ushort permissions, uint id) in entries)
        {
            writer.U16Little(tag);
            writer.U16Little(permissions);
            writer.U32Little(tag is 2 or 8 ? id : uint.MaxValue);
        }

        return acl;
    }

    private FsStatus Set(InodeId inode, string name, byte[] value, XattrSetFlags flags = XattrSetFlags.None) =>
        _fs.Store.SetXattr(Root, inode, Name(name), value, flags, out _);

    private FsStatus Remove(InodeId inode, string name) => _fs.Store.RemoveXattr(Root, inode, Name(name), out _);

    private byte[] Get(InodeId inode, string name)
    {
        Assert.Equal(FsStatus.Ok, _fs.Store.GetXattr(inode, Name(name), default, out int length));
        byte[] value = new byte[length];
        Assert.Equal(FsStatus.Ok, _fs.Store.GetXattr(inode, Name(name), value, out _));
        return value;
    }
}
