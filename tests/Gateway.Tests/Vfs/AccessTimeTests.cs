using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static Gateway.Tests.Vfs.VfsFixture;

namespace Gateway.Tests.Vfs;

/// <summary>Access times are kept as relatime has it (mount(8)): renewed by the first read after a change, and once a day.</summary>
public sealed class AccessTimeTests : IDisposable
{
    private readonly VfsFixture _fs = new();

    public void Dispose() => _fs.Dispose();

    [Theory]
    [InlineData(FolderMode)]
    [InlineData(PlainMode)]
    public void Reading_renews_what_is_older_than_the_last_change_or_than_a_day(uint mode)
    {
        InodeRecord made = Make(mode);
        Timestamp first = _fs.Tick();
        Read(made, Root);
        InodeRecord read = _fs.Get(made.Inode);
        Assert.Equal((first, made.Modified, made.Changed), (read.Accessed, read.Modified, read.Changed));

        _fs.Tick();
        Read(made, Root);
        Assert.Equal(first, _fs.Get(made.Inode).Accessed);

        Timestamp changed = _fs.Tick();
        SetMode(made);
        Timestamp second = _fs.Tick();
        Read(made, Root);
        Assert.Equal((second, changed), (_fs.Get(made.Inode).Accessed, _fs.Get(made.Inode).Changed));

        _fs.Clock.Advance(TimeSpan.FromHours(24));
        Timestamp third = _fs.Tick();
        Read(made, Root);
        Assert.Equal(third, _fs.Get(made.Inode).Accessed);
    }

    [Theory]
    [InlineData(FolderMode)]
    [InlineData(PlainMode)]
    public void It_stays_where_the_reader_or_the_inode_wants_it_so(uint mode)
    {
        InodeRecord made = Make(mode);
        _fs.Tick();
        Read(made, new Caller(0, 0, trusted: true, leavesAccessTime: true));
        Assert.Equal(made.Accessed, _fs.Get(made.Inode).Accessed);

        var noAccessTime = new AttributeChange { Mask = AttributeMask.Flags, Flags = InodeFlags.NoAccessTime };
        Assert.Equal(FsStatus.Ok, _fs.Vfs.SetAttributes(Root, made.Inode, noAccessTime, out _));
        Read(made, Root);
        Assert.Equal(made.Accessed, _fs.Get(made.Inode).Accessed);
    }

    private InodeRecord Make(uint mode)
    {
        InodeRecord made = _fs.Make("made", mode);
        if (!made.IsDirectory)
            Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Root, made.Inode, 0, [1], VfsWriteFlags.None, out _));
        return _fs.Get(made.Inode);
    }

    private void Read(in InodeRecord inode, in Caller caller) => Assert.Equal(
        FsStatus.Ok,
        inode.IsDirectory
            ? _fs.Vfs.ReadDirectory(caller, inode.Inode, 0, withAttributes: false, new Everything())
            : _fs.Vfs.Read(caller, inode.Inode, 0, new byte[1], out _));

    private void SetMode(in InodeRecord inode) => Assert.Equal(
        FsStatus.Ok, _fs.Vfs.SetAttributes(Root, inode.Inode, new AttributeChange { Mask = AttributeMask.Mode, Mode = inode.Mode & 0xFFF }, out _));

    private sealed class Everything : IDirectorySink
    {
        public bool Add(ulong cookie, InodeId inode, InodeKind kind, ReadOnlySpan<byte> name, in InodeRecord attributes) => true;
    }
}
