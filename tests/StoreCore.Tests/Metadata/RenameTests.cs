using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class RenameTests
{
    private readonly MetadataFixture _fs = new();

    [Fact]
    public void A_file_takes_a_new_name_and_everything_is_touched()
    {
        InodeRecord file = _fs.Make("a"), target = _fs.Make("d", FolderMode);
        Timestamp now = _fs.Tick();
        Assert.Equal(FsStatus.Ok, _fs.Rename("a", "b", newParent: target.Inode));
        Assert.False(_fs.Exists("a"));
        InodeRecord moved = _fs.Find("b", target.Inode);
        Assert.Equal((file.Inode, now, file.Modified, 1u), (moved.Inode, moved.Changed, moved.Modified, moved.Links));
        Assert.Equal((now, now), (_fs.Get(InodeId.Root).Modified, _fs.Get(target.Inode).Changed));
        Assert.Equal((1ul, 1ul), (_fs.Get(InodeId.Root).SizeBytes, _fs.Get(target.Inode).SizeBytes));
    }

    [Fact]
    public void The_displaced_file_loses_its_name()
    {
        InodeRecord file = _fs.Make("a"), other = _fs.Make("b");
        Assert.Equal(FsStatus.Ok, _fs.Store.Rename(Root, InodeId.Root, Name("a"), InodeId.Root, Name("b"), RenameFlags.None, out InodeRecord moved, out InodeRecord displaced));
        Assert.Equal((file.Inode, other.Inode, 0u), (moved.Inode, displaced.Inode, displaced.Links));
        Assert.Equal([(other.Inode, 0ul)], _fs.Pending(PendingKind.Unlinked));
        Assert.Equal(["b"], _fs.List(InodeId.Root));
        Assert.Equal(1ul, _fs.Get(InodeId.Root).SizeBytes);
    }

    [Fact]
    public void Two_names_of_one_inode_both_stay()
    {
        InodeRecord file = _fs.Make("a");
        _fs.Store.Link(Root, file.Inode, InodeId.Root, Name("b"), out _);
        LogIndex before = _fs.Store.Applied;
        Assert.Equal(FsStatus.Ok, _fs.Store.Rename(Root, InodeId.Root, Name("a"), InodeId.Root, Name("b"), RenameFlags.None, out _, out InodeRecord displaced));
        Assert.Equal(InodeId.None, displaced.Inode);
        Assert.Equal(FsStatus.Ok, _fs.Rename("a", "a"));
        Assert.Equal(before, _fs.Store.Applied);
        Assert.Equal(2, _fs.List(InodeId.Root).Count);
    }

    [Fact]
    public void Directories_move_with_their_parent_links()
    {
        InodeRecord a = _fs.Make("a", FolderMode), b = _fs.Make("b", FolderMode), sub = _fs.Make("sub", FolderMode, a.Inode);
        Assert.Equal(FsStatus.Ok, _fs.Rename("sub", "sub", parent: a.Inode, newParent: b.Inode));
        Assert.Equal((2u, 3u, b.Inode), (_fs.Get(a.Inode).Links, _fs.Get(b.Inode).Links, _fs.Get(sub.Inode).Parent));
        Assert.Equal(FsStatus.Ok, _fs.Rename("a", "sub", newParent: b.Inode)); // over an empty directory
        Assert.Equal((3u, 3u, 0u), (_fs.Get(InodeId.Root).Links, _fs.Get(b.Inode).Links, _fs.Get(sub.Inode).Links));
        Assert.Equal(b.Inode, _fs.Get(a.Inode).Parent);
    }

    [Fact]
    public void Kinds_must_match_and_a_directory_must_be_empty_to_be_displaced()
    {
        InodeRecord d = _fs.Make("d", FolderMode);
        _fs.Make("e", FolderMode);
        _fs.Make("f");
        _fs.Make("inner", parent: d.Inode);
        Assert.Equal(FsStatus.NotDirectory, _fs.Rename("e", "f"));
        Assert.Equal(FsStatus.IsDirectory, _fs.Rename("f", "e"));
        Assert.Equal(FsStatus.NotEmpty, _fs.Rename("e", "d"));
        Assert.Equal(FsStatus.NotFound, _fs.Rename("x", "d"));
        Assert.Equal(FsStatus.NameTooLong, _fs.Rename("f", new string('n', 256)));
    }

    [Fact]
    public void A_directory_does_not_move_below_itself()
    {
        InodeRecord a = _fs.Make("a", FolderMode), b = _fs.Make("b", FolderMode, a.Inode), c = _fs.Make("c", FolderMode, b.Inode);
        Assert.Equal(FsStatus.Invalid, _fs.Rename("a", "x", newParent: a.Inode));
        Assert.Equal(FsStatus.Invalid, _fs.Rename("a", "x", newParent: c.Inode));
        Assert.Equal(FsStatus.Invalid, _fs.Rename("c", "a", RenameFlags.Exchange, b.Inode));
        Assert.Equal(FsStatus.NotEmpty, _fs.Rename("c", "a", parent: b.Inode));
    }

    [Fact]
    public void NoReplace_and_bad_flags()
    {
        _fs.Make("a");
        _fs.Make("b");
        Assert.Equal(FsStatus.Exists, _fs.Rename("a", "b", RenameFlags.NoReplace));
        Assert.Equal(FsStatus.Exists, _fs.Rename("a", "a", RenameFlags.NoReplace));
        Assert.Equal(FsStatus.Ok, _fs.Rename("a", "c", RenameFlags.NoReplace));
        Assert.Equal(FsStatus.Invalid, _fs.Rename("c", "b", RenameFlags.NoReplace | RenameFlags.Exchange));
        Assert.Equal(FsStatus.Invalid, _fs.Rename("c", "b", (RenameFlags)4));
        Assert.Equal(FsStatus.NotFound, _fs.Rename("c", "x", RenameFlags.Exchange));
    }

    [Fact]
    public void Exchange_swaps_a_directory_and_a_file_across_parents()
    {
        InodeRecord a = _fs.Make("a", FolderMode), b = _fs.Make("b", FolderMode);
        InodeRecord sub = _fs.Make("sub", FolderMode, a.Inode), file = _fs.Make("file", parent: b.Inode);
        _fs.Make("inner", parent: sub.Inode);
        Timestamp now = _fs.Tick();
        Assert.Equal(FsStatus.Ok, _fs.Rename("sub", "file", RenameFlags.Exchange, a.Inode, b.Inode));
        Assert.Equal(file.Inode, _fs.Find("sub", a.Inode).Inode);
        Assert.Equal(sub.Inode, _fs.Find("file", b.Inode).Inode);
        Assert.Equal((2u, 3u, b.Inode), (_fs.Get(a.Inode).Links, _fs.Get(b.Inode).Links, _fs.Get(sub.Inode).Parent));
        Assert.Equal((now, now), (_fs.Get(sub.Inode).Changed, _fs.Get(file.Inode).Changed));
        Assert.Equal((1ul, 1ul), (_fs.Get(a.Inode).SizeBytes, _fs.Get(b.Inode).SizeBytes));
        Assert.Equal(FsStatus.Ok, _fs.Rename("a", "b", RenameFlags.Exchange)); // within one parent nothing is counted
        Assert.Equal((4u, a.Inode), (_fs.Get(InodeId.Root).Links, _fs.Find("b").Inode));
    }

    [Fact]
    public void A_listing_under_way_sees_a_replaced_name_once()
    {
        _fs.Make("a");
        _fs.Make("b");
        _fs.Make("c");
        var sink = new ListSink(1);
        _fs.Store.ReadDirectory(InodeId.Root, 0, false, sink);
        Assert.Equal("a", sink.Entries[0].Name);
        _fs.Rename("c", "a"); // "a" was listed already
        var rest = new ListSink();
        _fs.Store.ReadDirectory(InodeId.Root, sink.Cookie, false, rest);
        Assert.Equal(["b"], rest.Entries.Select(entry => entry.Name));
    }
}
