using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class PermissionTests
{
    private const AccessKinds R = AccessKinds.Read, W = AccessKinds.Write, X = AccessKinds.Execute, None = AccessKinds.None;

    private static readonly Caller Owner = new(1000, 100), Member = new(1001, 100), Supplementary = new(1002, 5, [7, 100]), Other = new(1003, 5);
    private static readonly Caller Superuser = new(0, 0), TrustedUser = new(1003, 5, trusted: true);

    /// <summary>Octal mode, caller, and what it grants on an inode of 1000:100.</summary>
    public static TheoryData<string, string, AccessKinds> Modes => new()
    {
        { "0700", "owner", R | W | X }, { "0700", "member", None }, { "0700", "other", None },
        { "0070", "owner", None }, { "0070", "member", R | W | X }, { "0070", "supplementary", R | W | X }, { "0070", "other", None },
        { "0007", "owner", None }, { "0007", "member", None }, { "0007", "other", R | W | X },
        { "0421", "owner", R }, { "0421", "member", W }, { "0421", "other", X },
        { "0000", "superuser", R | W }, { "0010", "superuser", R | W | X }, { "0001", "superuser", R | W | X },
        { "7000", "other", None }, { "0644", "other", R }, { "0644", "owner", R | W },
    };

    [Theory]
    [MemberData(nameof(Modes))]
    public void Modes_grant(string mode, string who, AccessKinds granted)
    {
        var inode = new InodeRecord { Mode = 0x8000 | Convert.ToUInt32(mode, 8), Uid = 1000, Gid = 100 };
        foreach (AccessKinds wanted in new[] { None, R, W, X, R | W, R | X, W | X, R | W | X })
        {
            Assert.Equal((wanted & ~granted) == 0, Permissions.Allows(inode, default, Who(who), wanted));
            Assert.True(Permissions.Allows(inode, default, TrustedUser, wanted));
        }

        Assert.Equal(granted, Permissions.Granted(inode, default, Who(who)));
    }

    [Fact]
    public void Root_searches_any_directory() =>
        Assert.True(Permissions.Allows(new InodeRecord { Mode = 0x4000, Uid = 5 }, default, Superuser, R | W | X));

    /// <summary>ACL entries of an inode of 1000:100 (u user, g group, m mask), the owner's bits of its mode, caller, grant.</summary>
    public static TheoryData<string, uint, string, AccessKinds> Acls => new()
    {
        { "u::7 u:1003:6 g::0 m::7 o::0", 0, "other", R | W },
        { "u::7 u:1003:6 g::0 m::4 o::7", 0, "other", R }, // a named user is masked, and others do not count for it
        { "u::7 u:1003:0 g::7 m::7 o::7", 0, "other", None },
        { "u::4 u:1000:7 g::7 m::7 o::7", 4, "owner", R }, // the owner's entry is the mode's, unmasked
        { "u::7 g::6 m::4 o::7", 0, "member", R },
        { "u::7 g::0 g:7:6 m::6 o::7", 0, "supplementary", R | W }, // of several groups one that grants is enough
        { "u::7 g::0 g:8:6 m::6 o::7", 0, "supplementary", None },
        { "u::7 g::7 g:8:6 m::0 o::5", 0, "other", R | X }, // others are not masked
        { "u::7 g::0 g:5:0 m::7 o::7", 0, "other", None }, // in a group that refuses, others do not count
        { "u::0 g::0 m::0 o::0", 0, "superuser", R | W },
    };

    [Theory]
    [MemberData(nameof(Acls))]
    public void Acls_grant(string entries, uint ownerBits, string who, AccessKinds granted)
    {
        byte[] acl = Parse(entries);
        Assert.Equal(FsStatus.Ok, PosixAcl.Validate(acl));
        var inode = new InodeRecord { Mode = 0x8000 | (ownerBits << 6), Uid = 1000, Gid = 100 };
        Assert.Equal(granted, Permissions.Granted(inode, acl, Who(who)));
    }

    [Fact]
    public void Two_groups_do_not_add_up()
    {
        byte[] acl = Parse("u::7 g::4 g:7:2 m::7 o::0");
        var inode = new InodeRecord { Mode = 0x8000, Uid = 1000, Gid = 100 };
        Assert.True(Permissions.Allows(inode, acl, Supplementary, R));
        Assert.True(Permissions.Allows(inode, acl, Supplementary, W));
        Assert.False(Permissions.Allows(inode, acl, Supplementary, R | W));
    }

    [Fact]
    public void Directories_are_searched_and_written_with_permission_only()
    {
        var fs = new MetadataFixture();
        InodeRecord mine = fs.Make("mine", 0x41ED), closed = fs.Make("closed", 0x41C0), readable = fs.Make("readable", 0x41E4);
        fs.Store.SetAttributes(Root, mine.Inode, new AttributeChange { Mask = AttributeMask.Uid, Uid = 1000 }, out _);
        fs.Make("f", parent: closed.Inode);
        Assert.Equal(FsStatus.AccessDenied, fs.Store.Lookup(User, closed.Inode, Name("f"), out _));
        Assert.Equal(FsStatus.AccessDenied, fs.Store.Lookup(User, readable.Inode, Name("f"), out _));
        Assert.Equal(FsStatus.AccessDenied, fs.TryMake("x", out _, parent: closed.Inode, caller: User));
        Assert.Equal(FsStatus.AccessDenied, fs.TryMake("x", out _, caller: User));
        Assert.Equal(FsStatus.Ok, fs.TryMake("x", out InodeRecord file, parent: mine.Inode, caller: Owner));
        Assert.Equal((1000u, 100u), (file.Uid, file.Gid));
        Assert.Equal(FsStatus.AccessDenied, fs.Unlink("x", mine.Inode, Other));
        Assert.Equal(FsStatus.AccessDenied, fs.Rename("x", "y", RenameFlags.None, mine.Inode, mine.Inode, Other));
        Assert.Equal(FsStatus.AccessDenied, fs.Store.Link(Owner, file.Inode, InodeId.Root, Name("x"), out _));
        Assert.Equal(FsStatus.AccessDenied, fs.Store.CreateUnlinked(Owner, InodeId.Root, new NewInode { Mode = PlainMode }, out _));
        Assert.Equal(FsStatus.Exists, fs.TryMake("closed", out _, caller: User)); // that a name exists is said before the refusal
        Assert.Equal(FsStatus.Ok, fs.Store.Access(Other, file.Inode, 7, out uint granted));
        Assert.Equal(4u, granted);
    }

    [Fact]
    public void A_sticky_directory_keeps_the_entries_of_others()
    {
        var fs = new MetadataFixture();
        InodeRecord shared = fs.Make("shared", 0x43FF);
        fs.Make("a", parent: shared.Inode, caller: Owner);
        fs.Make("b", parent: shared.Inode, caller: Other);
        Assert.Equal(FsStatus.NotPermitted, fs.Unlink("a", shared.Inode, Other));
        Assert.Equal(FsStatus.NotPermitted, fs.Rename("a", "c", RenameFlags.None, shared.Inode, shared.Inode, Other));
        Assert.Equal(FsStatus.NotPermitted, fs.Rename("b", "a", RenameFlags.None, shared.Inode, shared.Inode, Other));
        Assert.Equal(FsStatus.NotPermitted, fs.Rename("b", "a", RenameFlags.Exchange, shared.Inode, shared.Inode, Other));
        Assert.Equal(FsStatus.Ok, fs.Unlink("a", shared.Inode, Owner));
        Assert.Equal(FsStatus.Ok, fs.Unlink("b", shared.Inode, Superuser));
    }

    [Fact]
    public void A_directory_that_changes_its_parent_must_be_writable_itself()
    {
        var fs = new MetadataFixture();
        InodeRecord from = fs.Make("from", 0x41FF), to = fs.Make("to", 0x41FF);
        InodeRecord moved = fs.Make("d", 0x41ED, from.Inode, Owner);
        Assert.Equal(FsStatus.AccessDenied, fs.Rename("d", "d", RenameFlags.None, from.Inode, to.Inode, Other));
        Assert.Equal(FsStatus.Ok, fs.Rename("d", "e", RenameFlags.None, from.Inode, from.Inode, Other));
        Assert.Equal(FsStatus.Ok, fs.Rename("e", "d", RenameFlags.None, from.Inode, to.Inode, Owner));
        Assert.Equal(to.Inode, fs.Get(moved.Inode).Parent);
    }

    [Fact]
    public void Attributes_are_changed_by_their_owner()
    {
        var fs = new MetadataFixture();
        InodeRecord shared = fs.Make("shared", 0x41FF);
        InodeRecord file = fs.Make("f", 0x81B0, shared.Inode, Owner); // 0660 of 1000:100
        Assert.Equal(FsStatus.NotPermitted, fs.SetMode(file.Inode, 0x1FF, Member));
        Assert.Equal(FsStatus.Ok, fs.SetMode(file.Inode, 0x1B0, Owner));
        Assert.Equal(FsStatus.NotPermitted, Change(Owner, new AttributeChange { Mask = AttributeMask.Uid, Uid = 1 }));
        Assert.Equal(FsStatus.Ok, Change(Owner, new AttributeChange { Mask = AttributeMask.Uid, Uid = 1000 }));
        Assert.Equal(FsStatus.NotPermitted, Change(Owner, new AttributeChange { Mask = AttributeMask.Gid, Gid = 7 }));
        Assert.Equal(FsStatus.Ok, Change(new Caller(1000, 5, [100]), new AttributeChange { Mask = AttributeMask.Gid, Gid = 5 }));
        Assert.Equal(FsStatus.Ok, Change(Owner, new AttributeChange { Mask = AttributeMask.Gid, Gid = 100 }));
        Assert.Equal(FsStatus.NotPermitted, Change(Member, new AttributeChange { Mask = AttributeMask.Gid, Gid = 100 }));
        Assert.Equal(FsStatus.Ok, Change(Member, new AttributeChange { Mask = AttributeMask.ModifiedNow }));
        Assert.Equal(FsStatus.AccessDenied, Change(Other, new AttributeChange { Mask = AttributeMask.ModifiedNow }));
        Assert.Equal(FsStatus.NotPermitted, Change(Member, new AttributeChange { Mask = AttributeMask.Modified }));
        Assert.Equal(FsStatus.Ok, Change(Member, new AttributeChange { Mask = AttributeMask.Size }));
        Assert.Equal(FsStatus.AccessDenied, Change(Other, new AttributeChange { Mask = AttributeMask.Size }));
        Assert.Equal(FsStatus.NotPermitted, Change(Owner, new AttributeChange { Mask = AttributeMask.Flags, Flags = InodeFlags.Immutable }));
        Assert.Equal(FsStatus.Ok, Change(Owner, new AttributeChange { Mask = AttributeMask.Flags, Flags = InodeFlags.NoDump }));

        // chmod g+s by one who is not in the group leaves it out
        Change(Superuser, new AttributeChange { Mask = AttributeMask.Gid, Gid = 55 });
        Assert.Equal(FsStatus.Ok, fs.SetMode(file.Inode, 0x5ED, Owner));
        Assert.Equal(0x81EDu, fs.Get(file.Inode).Mode);

        FsStatus Change(Caller caller, AttributeChange change) => fs.Store.SetAttributes(caller, file.Inode, change, out _);
    }

    [Fact]
    public void Extended_attributes_have_their_own_rules()
    {
        var fs = new MetadataFixture();
        InodeRecord shared = fs.Make("shared", 0x43FF), file = fs.Make("f", 0x81A4, shared.Inode, Owner);
        byte[] acl = Parse("u::7 g::4 o::0");
        Assert.Equal(FsStatus.Ok, Set(Owner, file.Inode, "user.a", [1]));
        Assert.Equal(FsStatus.AccessDenied, Set(Other, file.Inode, "user.a", [1]));
        Assert.Equal(FsStatus.NotPermitted, Set(Owner, file.Inode, "trusted.a", [1]));
        Assert.Equal(FsStatus.NotPermitted, Set(Owner, file.Inode, "security.a", [1]));
        Assert.Equal(FsStatus.Ok, Set(Superuser, file.Inode, "trusted.a", [1]));
        Assert.Equal(FsStatus.NotPermitted, Set(Other, file.Inode, "system.posix_acl_access", acl));
        Assert.Equal(FsStatus.Ok, Set(Owner, file.Inode, "system.posix_acl_access", acl));
        Assert.Equal(FsStatus.NotPermitted, Set(Owner, shared.Inode, "user.a", [1])); // sticky
        Assert.True(XattrNames.IsVisible(Name("user.a"), 5));
        Assert.False(XattrNames.IsVisible(Name("trusted.a"), 5));
        Assert.True(XattrNames.IsVisible(Name("trusted.a"), 0));

        FsStatus Set(Caller caller, InodeId inode, string name, byte[] value) =>
            fs.Store.SetXattr(caller, inode, Name(name), value, XattrSetFlags.None, out _);
    }

    private static Caller Who(string name) => name switch
    {
        "owner" => Owner,
        "member" => Member,
        "supplementary" => Supplementary,
        "superuser" => Superuser,
        _ => Other,
    };

    /// <summary>Entries as "u:ID:BITS" with the letters u, g, m, o.</summary>
    private static byte[] Parse(string entries) => XattrTests.Acl([.. entries.Split(' ').Select(entry =>
    {
        string[] parts = entry.Split(':');
        bool isNamed = parts[1].Length > 0;
        ushort tag = parts[0] switch
        {
            "u" => (ushort)(isNamed ? 2 : 1),
            "g" => (ushort)(isNamed ? 8 : 4),
            "m" => 0x10,
            _ => 0x20,
        };
        return (tag, ushort.Parse(parts[2]), isNamed ? uint.Parse(parts[1]) : 0);
    })]);
}
