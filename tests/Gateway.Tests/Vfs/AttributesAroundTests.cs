using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static Gateway.Tests.Vfs.VfsFixture;

namespace Gateway.Tests.Vfs;

/// <summary>What a stateless client is told around its changes is true also of files whose size and times the metadata does not know yet.</summary>
public sealed class AttributesAroundTests : IDisposable
{
    private readonly VfsFixture _fs = new();
    private readonly ClientRequest _request = new();

    private Caller Client => new(0, 0, request: _request);

    public void Dispose() => _fs.Dispose();

    [Fact]
    public void Writes_tell_of_the_file_before_and_after()
    {
        InodeRecord file = _fs.Make("f");
        InodeRecord before = _fs.Get(file.Inode);
        for (int i = 0; i < 3; i++)
        {
            Timestamp now = _fs.Tick();
            _request.Begin();
            Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Client, file.Inode, (ulong)i * 100, new byte[100], VfsWriteFlags.None, out _));
            Assert.Equal((before.SizeBytes, before.Modified, before.Changed), Weak(_request.Object.Before));
            Assert.Equal(((ulong)(i + 1) * 100, now, now), Weak(_request.Object.After));
            before = _fs.Get(file.Inode);
            Assert.Equal(before, _request.Object.After);
        }

        Assert.Equal(0ul, Recorded(file.Inode).SizeBytes);
    }

    [Fact]
    public void Changes_of_attributes_tell_of_sizes_and_times_that_are_not_recorded_yet()
    {
        InodeRecord file = Dirty();
        Timestamp now = _fs.Tick();
        Assert.Equal(FsStatus.Ok, _fs.Vfs.SetAttributes(Client, file.Inode, new AttributeChange { Mask = AttributeMask.Mode, Mode = 0x180 }, out InodeRecord after));
        Assert.Equal(file, _request.Object.Before);
        Assert.Equal(after, _request.Object.After);
        Assert.Equal((file.SizeBytes, file.Modified, now), Weak(after));

        now = _fs.Tick();
        _request.Begin();
        Assert.Equal(FsStatus.Ok, _fs.Vfs.SetAttributes(Client, file.Inode, new AttributeChange { Mask = AttributeMask.Size, SizeBytes = 10 }, out InodeRecord cut));
        Assert.Equal(Weak(after), Weak(_request.Object.Before));
        Assert.Equal((10ul, now, now), Weak(_request.Object.After));
        Assert.Equal(cut, _request.Object.After);
        Assert.Equal(_fs.Get(file.Inode), _request.Object.After);
    }

    [Fact]
    public void The_guard_is_compared_with_the_true_change_time()
    {
        InodeRecord file = Dirty();
        Assert.NotEqual(Recorded(file.Inode).Changed, file.Changed);
        var change = new AttributeChange { Mask = AttributeMask.Mode | AttributeMask.Guard, Mode = 0x180, Guard = Recorded(file.Inode).Changed };
        Assert.Equal(FsStatus.OutOfSync, _fs.Vfs.SetAttributes(Client, file.Inode, change, out _));
        Assert.Equal(file, _request.Object.Before);
        Assert.Equal(file, _request.Object.After);
        Assert.Equal(file, _fs.Get(file.Inode));

        change.Guard = file.Changed;
        _fs.Tick();
        Assert.Equal(FsStatus.Ok, _fs.Vfs.SetAttributes(Client, file.Inode, change, out InodeRecord after));
        Assert.Equal(0x8180u, after.Mode);
        Assert.Equal(FsStatus.OutOfSync, _fs.Vfs.SetAttributes(Client, file.Inode, change, out _));
    }

    [Fact]
    public void A_handle_of_another_life_of_the_number_is_stale()
    {
        InodeRecord file = _fs.Make("f");
        IVfs vfs = _fs.Vfs;
        Assert.Equal(FsStatus.Ok, vfs.GetAttributes(file.Inode, file.Generation, out InodeRecord found));
        Assert.Equal(file, found);
        Assert.Equal(FsStatus.Stale, vfs.GetAttributes(file.Inode, file.Generation + 1, out found));
        Assert.Equal(default, found);
        Assert.Equal(FsStatus.Stale, vfs.GetAttributes(new InodeId(999), file.Generation, out _));
    }

    [Fact]
    public void Names_become_stable_without_a_flush_of_the_volumes()
    {
        InodeRecord file = _fs.Make("f");
        Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Root, file.Inode, 0, new byte[1 << 20], VfsWriteFlags.None, out _));
        long syncs = _fs.Kv.Syncs;
        Assert.Equal(FsStatus.Ok, _fs.Vfs.SyncNames());
        Assert.Equal(syncs + 1, _fs.Kv.Syncs);
        Assert.Equal(0ul, Recorded(file.Inode).SizeBytes);
    }

    private static (ulong Size, Timestamp Modified, Timestamp Changed) Weak(in InodeRecord record) => (record.SizeBytes, record.Modified, record.Changed);

    private InodeRecord Recorded(InodeId inode)
    {
        Assert.Equal(FsStatus.Ok, _fs.Metadata.GetInode(inode, out InodeRecord record));
        return record;
    }

    /// <summary>A file with data that the metadata does not know of.</summary>
    private InodeRecord Dirty()
    {
        InodeRecord file = _fs.Make("f");
        _fs.Tick();
        Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Root, file.Inode, 0, new byte[100], VfsWriteFlags.None, out _));
        return _fs.Get(file.Inode);
    }
}
