using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static Gateway.Tests.Vfs.VfsFixture;

namespace Gateway.Tests.Vfs;

/// <summary>What a change of data takes away: capabilities whoever makes it, set-id bits where the one who makes it is not privileged (FUSE_HANDLE_KILLPRIV_V2).</summary>
public sealed class PrivilegeTests : IDisposable
{
    private const uint Privileged = 0x8DED; // setuid, setgid, 0755

    private readonly VfsFixture _fs = new();

    public void Dispose() => _fs.Dispose();

    public static TheoryData<string> Changes => ["write", "append", "truncate", "open", "fallocate", "copy"];

    [Theory]
    [MemberData(nameof(Changes))]
    public void Capabilities_go_with_every_change_of_data_and_set_id_bits_stay_with_root(string change)
    {
        InodeRecord file = Make();
        Change(change, file.Inode);
        Assert.Equal(FsStatus.NoData, _fs.Vfs.GetXattr(Root, file.Inode, XattrNames.Capability, default, out _));
        Assert.Equal(FsStatus.Ok, _fs.Vfs.GetXattr(Root, file.Inode, "user.kept"u8, default, out _));
        Assert.Equal(Privileged, _fs.Get(file.Inode).Mode);
    }

    [Fact]
    public void Both_go_where_the_writer_is_not_privileged()
    {
        InodeRecord file = Make();
        Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Root, file.Inode, 0, [1], VfsWriteFlags.KillPrivileges, out _));
        Assert.Equal(FsStatus.NoData, _fs.Vfs.GetXattr(Root, file.Inode, XattrNames.Capability, default, out _));
        Assert.Equal(0x81EDu, _fs.Get(file.Inode).Mode);
    }

    [Fact]
    public void Where_there_is_nothing_to_take_away_a_write_changes_no_metadata()
    {
        InodeRecord file = _fs.Make("plain");
        Assert.Equal(FsStatus.Ok, _fs.Vfs.SetXattr(Root, file.Inode, "user.kept"u8, [1], XattrSetFlags.None, killSetgid: false));
        Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Root, file.Inode, 0, new byte[4096], VfsWriteFlags.None, out _));
        LogIndex before = _fs.Metadata.Applied;
        Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Root, file.Inode, 0, new byte[4096], VfsWriteFlags.KillPrivileges, out _));
        Assert.Equal(before, _fs.Metadata.Applied);
    }

    private InodeRecord Make()
    {
        InodeRecord file = _fs.Make("f", Privileged);
        foreach (string name in (string[])["security.capability", "user.kept"])
            Assert.Equal(FsStatus.Ok, _fs.Vfs.SetXattr(Root, file.Inode, System.Text.Encoding.UTF8.GetBytes(name), [1], XattrSetFlags.None, killSetgid: false));
        return file;
    }

    private void Change(string change, InodeId file)
    {
        FsStatus status = change switch
        {
            "write" => _fs.Vfs.Write(Root, file, 0, [1], VfsWriteFlags.None, out _),
            "append" => _fs.Vfs.Write(Root, file, 0, [1], VfsWriteFlags.Append, out _),
            "truncate" => _fs.Vfs.SetAttributes(Root, file, new AttributeChange { Mask = AttributeMask.Size, SizeBytes = 10 }, out _),
            "open" => _fs.Vfs.Open(Root, file, VfsOpenFlags.Write | VfsOpenFlags.Truncate, out _),
            "fallocate" => _fs.Vfs.Allocate(Root, file, VfsAllocateMode.None, 0, 10),
            _ => CopyInto(file),
        };
        Assert.Equal(FsStatus.Ok, status);
    }

    private FsStatus CopyInto(InodeId file)
    {
        InodeRecord source = _fs.Make("source");
        Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Root, source.Inode, 0, [1], VfsWriteFlags.None, out _));
        return _fs.Vfs.CopyRange(Root, source.Inode, 0, file, 0, 1, out _);
    }
}
