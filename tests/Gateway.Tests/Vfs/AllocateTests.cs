using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static Gateway.Tests.Vfs.VfsFixture;

namespace Gateway.Tests.Vfs;

/// <summary>What fallocate(2) of plain space answers where space is short: no more than that the range fits now.</summary>
public sealed class AllocateTests : IDisposable
{
    private const ulong MiB = 1 << 20;

    private readonly VfsFixture _fs = new(capacityBytes: 64 << 20);

    public void Dispose() => _fs.Dispose();

    [Fact]
    public void A_range_that_fits_makes_the_file_grow()
    {
        InodeRecord file = _fs.Make("f");
        Assert.Equal(FsStatus.Ok, Allocate(file, VfsAllocateMode.None, 5, MiB));
        Assert.Equal((5 + MiB, 0L), (_fs.Get(file.Inode).SizeBytes, _fs.Get(file.Inode).AllocatedBytes));
        Assert.Equal(FsStatus.Ok, Allocate(file, VfsAllocateMode.KeepSize, MiB, MiB));
        Assert.Equal(5 + MiB, _fs.Get(file.Inode).SizeBytes);
    }

    [Theory]
    [InlineData(VfsAllocateMode.None)]
    [InlineData(VfsAllocateMode.KeepSize)]
    public void One_that_does_not_is_refused_at_once_and_what_has_space_already_is_not_counted(VfsAllocateMode mode)
    {
        InodeRecord file = _fs.Make("f");
        Assert.Equal(FsStatus.NoSpace, Allocate(file, mode, 0, 64 * MiB));
        Assert.Equal(0ul, _fs.Get(file.Inode).SizeBytes);

        // Data, a hole of 1 MiB, data: more than what is left in all.
        byte[] data = new byte[20 * MiB];
        Write(file, 0, data);
        Write(file, 21 * MiB, data);
        ulong left = _fs.Vfs.StatFs().AvailableBytes;
        Assert.InRange(left, MiB, 40 * MiB);
        Assert.Equal(FsStatus.Ok, Allocate(file, mode, 0, 41 * MiB));
        Assert.Equal(FsStatus.Ok, Allocate(file, mode, 0, 40 * MiB + left));
        Assert.Equal(FsStatus.NoSpace, Allocate(file, mode, 0, 41 * MiB + left));
    }

    private FsStatus Allocate(in InodeRecord file, VfsAllocateMode mode, ulong offset, ulong lengthBytes) =>
        _fs.Vfs.Allocate(Root, file.Inode, mode, offset, lengthBytes);

    private void Write(in InodeRecord file, ulong offset, ReadOnlySpan<byte> data) =>
        Assert.Equal(FsStatus.Ok, _fs.Vfs.Write(Root, file.Inode, offset, data, VfsWriteFlags.None, out _));
}
