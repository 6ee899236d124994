using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

/// <summary>What goes along with the changes of a stateless client: attributes around them, and its own ways to create and to change.</summary>
public class ClientRequestTests
{
    private readonly MetadataFixture _fs = new();
    private readonly ClientRequest _request = new();

    private Caller Client => new(0, 0, request: _request);

    [Fact]
    public void Each_change_of_names_tells_of_its_directory_right_before_and_after()
    {
        InodeRecord home = _fs.Make("home", FolderMode), other = _fs.Make("other", FolderMode);
        InodeRecord file = default;
        Around(() => _fs.Store.Create(Client, home.Inode, Name("a"), new NewInode { Mode = PlainMode }, out file));
        Around(() => _fs.Store.Create(Client, home.Inode, Name("d"), new NewInode { Mode = FolderMode }, out _));
        Around(() => _fs.Store.Link(Client, file.Inode, home.Inode, Name("b"), out _));
        Around(() => _fs.Store.Unlink(Client, home.Inode, Name("b"), out _));
        Around(() => _fs.Store.RemoveDirectory(Client, home.Inode, Name("d"), out _));
        Around(() => _fs.Store.Rename(Client, home.Inode, Name("a"), home.Inode, Name("c"), RenameFlags.None, out _, out _));
        Assert.Equal(_request.Directory, _request.NewDirectory);

        InodeRecord before = _fs.Get(other.Inode);
        Around(() => _fs.Store.Rename(Client, home.Inode, Name("c"), other.Inode, Name("c"), RenameFlags.None, out _, out _));
        Assert.Equal(before, _request.NewDirectory.Before);
        Assert.Equal(_fs.Get(other.Inode), _request.NewDirectory.After);

        void Around(Func<FsStatus> change)
        {
            InodeRecord was = _fs.Get(home.Inode);
            Timestamp now = _fs.Tick();
            _request.Begin();
            Assert.Equal(FsStatus.Ok, change());
            Assert.Equal(was, _request.Directory.Before);
            Assert.Equal(_fs.Get(home.Inode), _request.Directory.After);
            Assert.Equal(now, _request.Directory.After.Modified);
            Assert.False(_request.Object.IsKnown);
        }
    }

    [Fact]
    public void A_change_that_fails_tells_of_the_directory_as_it_is()
    {
        _fs.Make("a");
        _fs.Tick();
        Failed(FsStatus.Exists, _fs.Store.Create(Client, InodeId.Root, Name("a"), new NewInode { Mode = PlainMode }, out _));
        Failed(FsStatus.NotFound, _fs.Store.Unlink(Client, InodeId.Root, Name("b"), out _));
        Failed(FsStatus.NotFound, _fs.Store.Rename(Client, InodeId.Root, Name("b"), InodeId.Root, Name("a"), RenameFlags.None, out _, out _));
        Assert.Equal(FsStatus.Stale, _fs.Store.Unlink(Client, new InodeId(999), Name("b"), out _));
        Assert.False(_request.Directory.IsKnown);

        void Failed(FsStatus expected, FsStatus status)
        {
            Assert.Equal(expected, status);
            Assert.Equal(_fs.Get(InodeId.Root), _request.Directory.Before);
            Assert.Equal(_request.Directory.Before, _request.Directory.After);
            _request.Begin();
        }
    }

    [Fact]
    public void A_change_of_attributes_tells_of_the_object_and_heeds_its_guard()
    {
        InodeRecord file = _fs.Make("a");
        _fs.Tick();
        var change = new AttributeChange { Mask = AttributeMask.Mode | AttributeMask.Guard, Mode = 0x180, Guard = file.Changed };
        Assert.Equal(FsStatus.Ok, _fs.Store.SetAttributes(Client, file.Inode, change, out InodeRecord after));
        Assert.Equal(file, _request.Object.Before);
        Assert.Equal(after, _request.Object.After);

        _request.Begin();
        Assert.Equal(FsStatus.OutOfSync, _fs.Store.SetAttributes(Client, file.Inode, change, out _));
        Assert.Equal(after, _request.Object.Before);
        Assert.Equal(after, _fs.Get(file.Inode));
        change = new AttributeChange { Mask = AttributeMask.Guard, Guard = after.Changed };
        Assert.Equal(FsStatus.Ok, _fs.Store.SetAttributes(Client, file.Inode, change, out _));
        Assert.Equal(after, _fs.Get(file.Inode));
    }

    [Fact]
    public void An_exclusive_creation_knows_its_own_repetition_also_after_a_crash()
    {
        var spec = new NewInode { Mode = PlainMode, Verifier = 0xFEDCBA98_00000007 };
        Assert.Equal(FsStatus.Ok, _fs.Store.Create(Client, InodeId.Root, Name("x"), spec, out InodeRecord made));
        Assert.Equal(new Timestamp(0xFEDCBA98, 0), made.Accessed);
        Assert.Equal(new Timestamp(7, 0), made.Modified);
        ulong applied = _fs.Store.Applied.Value;
        Assert.Equal(FsStatus.Ok, _fs.Store.Sync());
        _fs.Reopen(_fs.Kv.Crash(new Random(1)));

        Assert.Equal(FsStatus.Ok, _fs.Store.Create(Client, InodeId.Root, Name("x"), spec, out InodeRecord again));
        Assert.Equal(made, again);
        Assert.Equal(applied, _fs.Store.Applied.Value);
        Assert.Equal(FsStatus.Exists, _fs.Store.Create(Client, InodeId.Root, Name("x"), new NewInode { Mode = PlainMode, Verifier = 7 }, out _));
        Assert.Equal(FsStatus.Exists, _fs.Store.Create(Client, InodeId.Root, Name("x"), new NewInode { Mode = PlainMode }, out _));

        // Its creator sets the true times; from then on the name is taken like any other.
        _fs.Store.SetAttributes(Client, made.Inode, new AttributeChange { Mask = AttributeMask.AccessedNow | AttributeMask.ModifiedNow }, out _);
        Assert.Equal(FsStatus.Exists, _fs.Store.Create(Client, InodeId.Root, Name("x"), spec, out _));
    }

    [Fact]
    public void A_new_inode_has_its_first_attributes_as_far_as_its_creator_may_give_them()
    {
        _fs.SetMode(InodeId.Root, 0x1FF);
        const AttributeMask all = AttributeMask.Uid | AttributeMask.Gid | AttributeMask.Size | AttributeMask.Accessed | AttributeMask.Modified;
        var wanted = new AttributeChange { Mask = all, Uid = 7, Gid = 200, SizeBytes = 5, Accessed = new(1, 2), Modified = new(-3, 4) };
        InodeRecord file = Make(User, "mine", PlainMode, wanted);
        Assert.Equal((User.Uid, 200u, 5ul), (file.Uid, file.Gid, file.SizeBytes));
        Assert.Equal((new Timestamp(1, 2), new Timestamp(-3, 4)), (file.Accessed, file.Modified));
        wanted.Gid = 8;
        Assert.Equal(User.Gid, Make(User, "group", PlainMode, wanted).Gid);
        InodeRecord given = Make(Client, "given", FolderMode, wanted);
        Assert.Equal((7u, 8u, 0ul), (given.Uid, given.Gid, given.SizeBytes));
        wanted.Modified = new(0, 1_000_000_000);
        Assert.Equal(FsStatus.Invalid, _fs.Store.Create(Client, InodeId.Root, Name("bad"), new NewInode { Mode = PlainMode, Attributes = wanted }, out _));
        Assert.False(_fs.Exists("bad"));
        Assert.Empty(CheckTests.Check(_fs.Kv));

        InodeRecord Make(Caller caller, string name, uint mode, AttributeChange attributes)
        {
            Assert.Equal(FsStatus.Ok, _fs.Store.Create(caller, InodeId.Root, Name(name), new NewInode { Mode = mode, Attributes = attributes }, out InodeRecord made));
            Assert.Equal(made, _fs.Get(made.Inode));
            return made;
        }
    }
}
