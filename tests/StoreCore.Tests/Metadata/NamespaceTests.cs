using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class NamespaceTests
{
    private readonly MetadataFixture _fs = new();

    [Fact]
    public void A_new_file_system_has_a_root_and_nothing_else()
    {
        InodeRecord root = _fs.Get(InodeId.Root);
        Assert.Equal(0x41EDu, root.Mode);
        Assert.Equal(2u, root.Links);
        Assert.Equal(InodeId.Root, root.Parent);
        Assert.Empty(_fs.List(InodeId.Root));
        Assert.Equal(Id, _fs.Store.FileSystemId);
        Assert.Equal(1ul, _fs.Store.InodeCounts.Used);
        Assert.Equal(new LogIndex(1), _fs.Store.Applied);
    }

    [Fact]
    public void Create_fills_the_record_and_touches_the_directory()
    {
        Timestamp now = _fs.Tick();
        InodeRecord file = _fs.Make("a");
        Assert.Equal((1u, now, now, now, now), (file.Links, file.Accessed, file.Modified, file.Changed, file.Born));
        Assert.Equal(file, _fs.Find("a"));
        InodeRecord root = _fs.Get(InodeId.Root);
        Assert.Equal((1ul, 2u, now, now), (root.SizeBytes, root.Links, root.Modified, root.Changed));
        Assert.NotEqual(now, root.Accessed);

        InodeRecord directory = _fs.Make("d", FolderMode);
        Assert.Equal((2u, InodeId.Root), (directory.Links, directory.Parent));
        Assert.Equal((2ul, 3u), (_fs.Get(InodeId.Root).SizeBytes, _fs.Get(InodeId.Root).Links));
        Assert.Equal(FsStatus.Exists, _fs.TryMake("a", out _));
        Assert.Equal(FsStatus.NotDirectory, _fs.TryMake("x", out _, parent: file.Inode));
        Assert.Equal(FsStatus.Stale, _fs.TryMake("x", out _, parent: new InodeId(999)));
    }

    [Fact]
    public void Names_are_checked()
    {
        Assert.Equal(FsStatus.NameTooLong, _fs.TryMake(new string('n', 256), out _));
        Assert.Equal(FsStatus.NameTooLong, _fs.Store.Lookup(Root, InodeId.Root, Name(new string('n', 256)), out _));
        foreach (string bad in new[] { "", ".", "..", "a/b", "a\0b" })
            Assert.Equal(FsStatus.Invalid, _fs.TryMake(bad, out _));
        _fs.Make(new string('n', 255));
        Assert.True(_fs.Exists(new string('n', 255)));
    }

    [Fact]
    public void Every_kind_can_be_made()
    {
        Assert.Equal("to/here", ReadLink(_fs.Make("link", SymlinkMode, target: "to/here").Inode));
        Assert.Equal(7ul, _fs.Find("link").SizeBytes);
        Assert.Equal(FsStatus.Invalid, _fs.TryMake("empty", out _, SymlinkMode));
        Assert.Equal(FsStatus.NameTooLong, _fs.TryMake("long", out _, SymlinkMode, target: new string('t', 4096)));
        Assert.Equal(new string('t', 4095), ReadLink(_fs.Make("long", SymlinkMode, target: new string('t', 4095)).Inode));

        Assert.Equal(FsStatus.Ok, _fs.Store.Create(Root, InodeId.Root, Name("dev"), new NewInode { Mode = 0x2180, Device = 0x12345678 }, out InodeRecord device));
        Assert.Equal(0x12345678u, _fs.Get(device.Inode).Device);
        foreach (uint kind in new uint[] { 1, 6, 12 })
            Assert.Equal((InodeKind)kind, _fs.Make($"kind{kind}", (kind << 12) | 0x1A4).Kind);
        foreach (uint kind in new uint[] { 0, 3, 5, 15 })
            Assert.Equal(FsStatus.Invalid, _fs.TryMake("bad", out _, (kind << 12) | 0x1A4));
    }

    [Fact]
    public void An_unlinked_file_stays_until_it_is_reaped_and_its_number_never_returns()
    {
        InodeRecord file = _fs.Make("a");
        Timestamp now = _fs.Tick();
        Assert.Equal(FsStatus.Ok, _fs.Store.Unlink(Root, InodeId.Root, Name("a"), out InodeRecord removed));
        Assert.Equal((0u, now), (removed.Links, removed.Changed));
        Assert.False(_fs.Exists("a"));
        Assert.Equal(removed, _fs.Get(file.Inode));
        Assert.Equal([(file.Inode, 0ul)], _fs.Pending(PendingKind.Unlinked));

        Assert.Equal(FsStatus.Ok, _fs.Store.Reap([file.Inode, file.Inode]));
        Assert.Equal(FsStatus.Stale, _fs.Store.GetInode(file.Inode, out _));
        Assert.Empty(_fs.Pending(PendingKind.Unlinked));
        Assert.Empty(_fs.Pending(PendingKind.Purging));
        Assert.Equal(1ul, _fs.Store.InodeCounts.Used);
        _fs.Reopen(_fs.Kv.Kill());
        Assert.True(_fs.Make("a").Inode.Value > file.Inode.Value);
    }

    [Fact]
    public void Reaping_leaves_what_may_have_blocks_to_purge_and_passes_over_what_has_links()
    {
        InodeRecord kept = _fs.Make("kept"), filled = _fs.Make("filled"), open = _fs.Make("open"), cut = _fs.Make("cut");
        _fs.Store.RecordSizes([new SizeUpdate { Inode = filled.Inode, SizeBytes = 5, Final = true }, new SizeUpdate { Inode = cut.Inode, SizeBytes = 9, Final = true }]);
        _fs.Store.BeginExtending(open.Inode);
        _fs.SetSize(cut.Inode, 0);
        foreach (string name in new[] { "filled", "open", "cut" })
            Assert.Equal(FsStatus.Ok, _fs.Unlink(name));
        Assert.Equal(FsStatus.Ok, _fs.Store.Reap([kept.Inode, filled.Inode, open.Inode, cut.Inode, new InodeId(777)]));
        Assert.Equal([(filled.Inode, 0ul), (open.Inode, 0ul), (cut.Inode, 0ul)], _fs.Pending(PendingKind.Purging));
        Assert.Empty(_fs.Pending(PendingKind.SizeUnrecorded));
        Assert.Empty(_fs.Pending(PendingKind.Truncating));
        Assert.True(_fs.Exists("kept"));
        Assert.Equal(FsStatus.Ok, _fs.Store.PurgeDone([open.Inode]));
        Assert.Equal(2, _fs.Pending(PendingKind.Purging).Length);
    }

    [Fact]
    public void Directories_are_removed_only_when_empty()
    {
        InodeRecord directory = _fs.Make("d", FolderMode);
        _fs.Make("f", parent: directory.Inode);
        Assert.Equal(FsStatus.NotEmpty, _fs.RemoveDirectory("d"));
        Assert.Equal(FsStatus.IsDirectory, _fs.Unlink("d"));
        Assert.Equal(FsStatus.NotDirectory, _fs.RemoveDirectory("f", directory.Inode));
        Assert.Equal(FsStatus.NotFound, _fs.RemoveDirectory("x"));
        _fs.Unlink("f", directory.Inode);
        Assert.Equal(FsStatus.Ok, _fs.RemoveDirectory("d"));
        Assert.Equal((0ul, 2u), (_fs.Get(InodeId.Root).SizeBytes, _fs.Get(InodeId.Root).Links));
        Assert.Equal(0u, _fs.Get(directory.Inode).Links);
        Assert.Equal(FsStatus.NotFound, _fs.TryMake("x", out _, parent: directory.Inode));
    }

    [Fact]
    public void Hard_links_count_and_the_last_one_counts_most()
    {
        InodeRecord file = _fs.Make("a");
        Timestamp now = _fs.Tick();
        Assert.Equal(FsStatus.Ok, _fs.Store.Link(Root, file.Inode, InodeId.Root, Name("b"), out InodeRecord linked));
        Assert.Equal((2u, now, file.Modified), (linked.Links, linked.Changed, linked.Modified));
        Assert.Equal(FsStatus.Exists, _fs.Store.Link(Root, file.Inode, InodeId.Root, Name("b"), out _));
        Assert.Equal(FsStatus.NotPermitted, _fs.Store.Link(Root, _fs.Make("d", FolderMode).Inode, InodeId.Root, Name("e"), out _));
        _fs.Unlink("a");
        Assert.Empty(_fs.Pending(PendingKind.Unlinked));
        _fs.Unlink("b");
        Assert.Single(_fs.Pending(PendingKind.Unlinked));
        Assert.Equal(FsStatus.Stale, _fs.Store.Link(Root, new InodeId(999), InodeId.Root, Name("z"), out _));
    }

    [Fact]
    public void A_nameless_file_gets_a_name_or_is_reaped()
    {
        Assert.Equal(FsStatus.Ok, _fs.Store.CreateUnlinked(Root, InodeId.Root, new NewInode { Mode = PlainMode, ForWriting = true }, out InodeRecord temporary));
        Assert.Equal((0u, InodeFlags.SizeUnrecorded), (temporary.Links, temporary.Flags));
        Assert.Single(_fs.Pending(PendingKind.Unlinked));
        Assert.Equal(FsStatus.Ok, _fs.Store.Link(Root, temporary.Inode, InodeId.Root, Name("t"), out temporary));
        Assert.Equal(1u, temporary.Links);
        Assert.Empty(_fs.Pending(PendingKind.Unlinked));
        Assert.Single(_fs.Pending(PendingKind.SizeUnrecorded));
        Assert.Equal(FsStatus.Invalid, _fs.Store.CreateUnlinked(Root, InodeId.Root, new NewInode { Mode = FolderMode }, out _));
    }

    [Fact]
    public void Setgid_directories_hand_their_group_on()
    {
        InodeRecord shared = _fs.Make("shared", 0x45FF);
        _fs.Store.SetAttributes(Root, shared.Inode, new AttributeChange { Mask = AttributeMask.Gid, Gid = 77 }, out _);
        Assert.Equal(0x45FFu, _fs.Get(shared.Inode).Mode); // a chown does not take setgid from a directory
        Assert.Equal(77u, _fs.Make("f", parent: shared.Inode, caller: User).Gid);
        InodeRecord below = _fs.Make("d", FolderMode, shared.Inode, User);
        Assert.Equal((77u, 0x45EDu), (below.Gid, below.Mode));
        Assert.Equal(0x81EDu, _fs.Make("g", 0x85ED, shared.Inode, User).Mode); // no setgid program for a group that one is not in
        Assert.Equal(100u, _fs.Make("own", caller: Root).Gid + 100);
    }

    [Fact]
    public void The_umask_counts_where_there_is_no_default_acl()
    {
        Assert.Equal(FsStatus.Ok, _fs.TryMake("f", out InodeRecord file, 0x81FF, umask: 0x12));
        Assert.Equal(0x81EDu, file.Mode);
    }

    [Fact]
    public void Links_are_limited()
    {
        InodeRecord file = _fs.Make("a");
        // A million links would take long: begin just below the limit.
        var batch = new StoreCore.Kv.KvBatch();
        file.Links = Limits.MaxLinks - 1;
        Span<byte> key = stackalloc byte[8], row = stackalloc byte[InodeRow.MaxBytes];
        batch.Put(StoreCore.Kv.KvTable.Inodes, MetadataKeys.Inode(key, file.Inode), InodeRow.Encode(row, file));
        _fs.Kv.Write(batch);
        _fs.Reopen(_fs.Kv.Kill());
        Assert.Equal(FsStatus.Ok, _fs.Store.Link(Root, file.Inode, InodeId.Root, Name("b"), out _));
        Assert.Equal(FsStatus.TooManyLinks, _fs.Store.Link(Root, file.Inode, InodeId.Root, Name("c"), out _));
    }

    private string ReadLink(InodeId inode)
    {
        byte[] target = new byte[Limits.MaxSymlinkBytes];
        Assert.Equal(FsStatus.Ok, _fs.Store.ReadLink(inode, target, out int length));
        Assert.Equal(FsStatus.OutOfRange, _fs.Store.ReadLink(inode, target.AsSpan(0, length - 1), out _));
        return System.Text.Encoding.UTF8.GetString(target, 0, length);
    }
}
