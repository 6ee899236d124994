using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class AttributeTests
{
    private readonly MetadataFixture _fs = new();

    [Fact]
    public void Times_are_set_as_asked_and_the_change_time_always()
    {
        InodeRecord file = _fs.Make("f");
        Timestamp now = _fs.Tick();
        var change = new AttributeChange { Mask = AttributeMask.Accessed | AttributeMask.Modified, Accessed = new(-5, 999_999_999), Modified = new(1L << 40, 1) };
        Assert.Equal(FsStatus.Ok, _fs.Store.SetAttributes(Root, file.Inode, change, out InodeRecord record));
        Assert.Equal((change.Accessed, change.Modified, now, file.Born), (record.Accessed, record.Modified, record.Changed, record.Born));
        Assert.Equal(record, _fs.Get(file.Inode));
        _fs.Reopen(_fs.Kv.Kill());
        Assert.Equal(record, _fs.Get(file.Inode));

        now = _fs.Tick();
        _fs.Store.SetAttributes(Root, file.Inode, new AttributeChange { Mask = AttributeMask.AccessedNow }, out record);
        Assert.Equal((now, change.Modified), (record.Accessed, record.Modified));
        _fs.Store.SetAttributes(Root, file.Inode, new AttributeChange { Mask = AttributeMask.Changed, Changed = new(7, 7) }, out record);
        Assert.Equal(new Timestamp(7, 7), record.Changed);
        change.Accessed = new(0, 1_000_000_000);
        Assert.Equal(FsStatus.Invalid, _fs.Store.SetAttributes(Root, file.Inode, change, out _));
        Assert.Equal(FsStatus.Ok, _fs.Store.SetAttributes(Root, file.Inode, default, out InodeRecord same));
        Assert.Equal(record, same);
    }

    [Fact]
    public void Cutting_a_file_is_noted_until_it_is_done()
    {
        InodeRecord file = _fs.Make("f");
        Timestamp now = _fs.Tick();
        Assert.Equal(FsStatus.Ok, _fs.SetSize(file.Inode, 1000));
        Assert.Equal((1000ul, now), (_fs.Get(file.Inode).SizeBytes, _fs.Get(file.Inode).Modified));
        Assert.Empty(_fs.Pending(PendingKind.Truncating));
        _fs.SetSize(file.Inode, 300);
        _fs.SetSize(file.Inode, 700); // growing again does not make the cut shallower
        Assert.Equal([(file.Inode, 300ul)], _fs.Pending(PendingKind.Truncating));
        _fs.SetSize(file.Inode, 500);
        Assert.Equal([(file.Inode, 300ul)], _fs.Pending(PendingKind.Truncating));
        Assert.Equal(FsStatus.Ok, _fs.Store.TruncateDone(file.Inode, 4096));
        Assert.Empty(_fs.Pending(PendingKind.Truncating));
        Assert.Equal((500ul, 4096L, InodeFlags.None), (_fs.Get(file.Inode).SizeBytes, _fs.Get(file.Inode).AllocatedBytes, _fs.Get(file.Inode).Flags));

        Assert.Equal(FsStatus.IsDirectory, _fs.SetSize(InodeId.Root, 0));
        Assert.Equal(FsStatus.Invalid, _fs.SetSize(_fs.Make("s", SymlinkMode, target: "t").Inode, 0));
        Assert.Equal(FsStatus.TooLarge, _fs.SetSize(file.Inode, Limits.MaxFileSizeBytes + 1));
        Assert.Equal(FsStatus.Stale, _fs.SetSize(new InodeId(99), 0));
    }

    [Fact]
    public void A_file_whose_size_is_not_recorded_is_listed_until_the_last_update()
    {
        InodeRecord file = _fs.Make("f");
        Assert.Equal(FsStatus.Ok, _fs.Store.BeginExtending(file.Inode));
        Assert.Equal(FsStatus.Ok, _fs.Store.BeginExtending(file.Inode));
        Assert.Equal([(file.Inode, 0ul)], _fs.Pending(PendingKind.SizeUnrecorded));
        _fs.SetSize(file.Inode, 10); // there may be blocks behind any size
        Assert.Single(_fs.Pending(PendingKind.Truncating));
        _fs.Store.TruncateDone(file.Inode, 0);

        var update = new SizeUpdate { Inode = file.Inode, SizeBytes = 50, AllocatedBytes = 4096, Modified = new(5, 0), Changed = new(5, 0) };
        InodeRecord directory = _fs.Get(InodeId.Root);
        Assert.Equal(FsStatus.Ok, _fs.Store.RecordSizes([update, new SizeUpdate { Inode = new InodeId(999) }, new SizeUpdate { Inode = InodeId.Root, SizeBytes = 99 }]));
        Assert.Equal(directory, _fs.Get(InodeId.Root));
        Assert.Single(_fs.Pending(PendingKind.SizeUnrecorded));
        Timestamp changed = _fs.Get(file.Inode).Changed;
        Assert.True(changed.CompareTo(update.Changed) > 0); // the change time does not go back
        update.Final = true;
        update.Changed = new(changed.Seconds + 1, 0);
        Assert.Equal(FsStatus.Ok, _fs.Store.RecordSizes([new SizeUpdate { Inode = file.Inode, SizeBytes = 1 }, update]));
        Assert.Empty(_fs.Pending(PendingKind.SizeUnrecorded));
        InodeRecord record = _fs.Get(file.Inode);
        Assert.Equal((50ul, 4096L, update.Modified, update.Changed, InodeFlags.None), (record.SizeBytes, record.AllocatedBytes, record.Modified, record.Changed, record.Flags));
        Assert.Equal(FsStatus.Invalid, _fs.Store.BeginExtending(InodeId.Root));
    }

    [Fact]
    public void A_change_of_owner_takes_privileges_away()
    {
        InodeRecord file = _fs.Make("f", 0x8DED); // setuid, setgid, 0755
        Set("user.keep");
        Set("security.capability");
        _fs.Store.SetAttributes(Root, file.Inode, new AttributeChange { Mask = AttributeMask.Uid, Uid = 5 }, out InodeRecord record);
        Assert.Equal((0x81EDu, 5u, InodeFlags.HasXattrs), (record.Mode, record.Uid, record.Flags));
        Assert.Equal(FsStatus.NoData, _fs.Store.GetXattr(file.Inode, XattrNames.Capability, default, out _));

        InodeRecord locking = _fs.Make("l", 0x85A4); // setgid without group execution is mandatory locking
        _fs.Store.SetAttributes(Root, locking.Inode, new AttributeChange { Mask = AttributeMask.KillPrivileges }, out record);
        Assert.Equal(0x85A4u, record.Mode);
        LogIndex before = _fs.Store.Applied;
        _fs.Store.SetAttributes(Root, locking.Inode, new AttributeChange { Mask = AttributeMask.KillPrivileges }, out _);
        Assert.Equal(before, _fs.Store.Applied);

        void Set(string name) => Assert.Equal(FsStatus.Ok, _fs.Store.SetXattr(Root, file.Inode, Name(name), [1], XattrSetFlags.None, out _));
    }

    [Fact]
    public void Immutable_and_append_only_inodes_refuse()
    {
        InodeRecord fixedFile = _fs.Make("fixed"), log = _fs.Make("log"), folder = _fs.Make("d", FolderMode);
        _fs.Make("in", parent: folder.Inode);
        SetFlags(fixedFile.Inode, InodeFlags.Immutable);
        SetFlags(log.Inode, InodeFlags.AppendOnly);
        foreach (string name in new[] { "fixed", "log" })
        {
            InodeId inode = _fs.Find(name).Inode;
            Assert.Equal(FsStatus.NotPermitted, _fs.Unlink(name));
            Assert.Equal(FsStatus.NotPermitted, _fs.Rename(name, "x"));
            Assert.Equal(FsStatus.NotPermitted, _fs.SetMode(inode, 0));
            Assert.Equal(FsStatus.NotPermitted, _fs.SetSize(inode, 0));
            Assert.Equal(FsStatus.NotPermitted, _fs.Store.Link(Root, inode, InodeId.Root, Name("x"), out _));
            Assert.Equal(FsStatus.NotPermitted, _fs.Store.SetXattr(Root, inode, Name("user.a"), [1], XattrSetFlags.None, out _));
        }

        var touch = new AttributeChange { Mask = AttributeMask.ModifiedNow };
        Assert.Equal(FsStatus.NotPermitted, _fs.Store.SetAttributes(Root, fixedFile.Inode, touch, out _));
        Assert.Equal(FsStatus.Ok, _fs.Store.SetAttributes(Root, log.Inode, touch, out _));

        SetFlags(folder.Inode, InodeFlags.AppendOnly);
        Assert.Equal(FsStatus.Ok, _fs.TryMake("more", out _, parent: folder.Inode));
        Assert.Equal(FsStatus.NotPermitted, _fs.Unlink("in", folder.Inode));
        SetFlags(folder.Inode, InodeFlags.Immutable);
        Assert.Equal(FsStatus.NotPermitted, _fs.TryMake("evenmore", out _, parent: folder.Inode));
        SetFlags(fixedFile.Inode, InodeFlags.None);
        Assert.Equal(FsStatus.Ok, _fs.Unlink("fixed"));
        Assert.Equal(FsStatus.NotSupported, _fs.Store.SetAttributes(Root, log.Inode, new AttributeChange { Mask = AttributeMask.Flags, Flags = InodeFlags.HasXattrs }, out _));

        void SetFlags(InodeId inode, InodeFlags flags) =>
            Assert.Equal(FsStatus.Ok, _fs.Store.SetAttributes(Root, inode, new AttributeChange { Mask = AttributeMask.Flags, Flags = flags }, out _));
    }
}
