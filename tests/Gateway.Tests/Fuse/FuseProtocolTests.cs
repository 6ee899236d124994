using System.Runtime.CompilerServices;
using Gateway.Fuse;
using StoreCore.Primitives;
using static Gateway.Tests.Fuse.FuseExchange;

namespace Gateway.Tests.Fuse;

/// <summary>Layouts, errno values and INIT.</summary>
public sealed class FuseProtocolTests
{
    [Fact]
    public void StructuresHaveTheKernelsSizes()
    {
        Assert.Equal(40, Unsafe.SizeOf<FuseInHeader>());
        Assert.Equal(16, Unsafe.SizeOf<FuseOutHeader>());
        Assert.Equal(88, Unsafe.SizeOf<FuseAttr>());
        Assert.Equal(128, Unsafe.SizeOf<FuseEntryOut>());
        Assert.Equal(104, Unsafe.SizeOf<FuseAttrOut>());
        Assert.Equal(288, Unsafe.SizeOf<FuseStatXOut>());
        Assert.Equal(24, Unsafe.SizeOf<FuseStatXIn>());
        Assert.Equal(88, Unsafe.SizeOf<FuseSetAttrIn>());
        Assert.Equal(16, Unsafe.SizeOf<FuseMkNodIn>());
        Assert.Equal(8, Unsafe.SizeOf<FuseMkDirIn>());
        Assert.Equal(16, Unsafe.SizeOf<FuseRename2In>());
        Assert.Equal(8, Unsafe.SizeOf<FuseOpenIn>());
        Assert.Equal(16, Unsafe.SizeOf<FuseCreateIn>());
        Assert.Equal(16, Unsafe.SizeOf<FuseOpenOut>());
        Assert.Equal(24, Unsafe.SizeOf<FuseReleaseIn>());
        Assert.Equal(24, Unsafe.SizeOf<FuseFlushIn>());
        Assert.Equal(40, Unsafe.SizeOf<FuseReadIn>());
        Assert.Equal(FuseProtocol.WriteInBytes, Unsafe.SizeOf<FuseWriteIn>());
        Assert.Equal(80, Unsafe.SizeOf<FuseStatFsOut>());
        Assert.Equal(16, Unsafe.SizeOf<FuseFsyncIn>());
        Assert.Equal(16, Unsafe.SizeOf<FuseSetXattrIn>());
        Assert.Equal(48, Unsafe.SizeOf<FuseLkIn>());
        Assert.Equal(24, Unsafe.SizeOf<FuseFileLock>());
        Assert.Equal(64, Unsafe.SizeOf<FuseInitOut>());
        Assert.Equal(32, Unsafe.SizeOf<FuseIoctlIn>());
        Assert.Equal(16, Unsafe.SizeOf<FuseIoctlOut>());
        Assert.Equal(32, Unsafe.SizeOf<FuseFallocateIn>());
        Assert.Equal(24, Unsafe.SizeOf<FuseLseekIn>());
        Assert.Equal(56, Unsafe.SizeOf<FuseCopyFileRangeIn>());
        Assert.Equal(24, Unsafe.SizeOf<FuseDirent>());
        Assert.Equal(24, Unsafe.SizeOf<FuseNotifyInvalInodeOut>());
        Assert.Equal(16, Unsafe.SizeOf<FuseNotifyInvalEntryOut>());
        Assert.Equal(24, Unsafe.SizeOf<FuseNotifyDeleteOut>());
    }

    [Fact]
    public void EveryStatusHasAnErrnoOfItsOwn()
    {
        FsStatus[] all = Enum.GetValues<FsStatus>();
        int[] errnos = [.. all.Select(FuseErrno.From)];
        Assert.Equal(0, FuseErrno.From(FsStatus.Ok));
        Assert.Equal(all.Length, errnos.Distinct().Count());
        Assert.All(errnos, static errno => Assert.InRange(errno, 0, FuseErrno.Max));
    }

    [Fact]
    public void NothingIsServedBeforeInitAndInitOnlyOnce()
    {
        var exchange = new FuseExchange(initialised: false);
        Assert.Equal(FuseErrno.Io, exchange.Send(FuseOpcode.GetAttr, 1, new byte[16]).Error);
        exchange.Initialise();
        Assert.Equal(0, exchange.Send(FuseOpcode.GetAttr, 1, new byte[16]).Error);
        Assert.Equal(FuseErrno.Io, exchange.Send(FuseOpcode.Init, 0, W32(7), W32(45), W32(0), W32(0)).Error);
    }

    [Fact]
    public void InitAnswersWithWhatBothCan()
    {
        var exchange = new FuseExchange(initialised: false);
        string? reason = "not asked";
        exchange.Dispatcher.InitDone = told => reason = told;
        (int error, byte[] payload) = exchange.Send(
            FuseOpcode.Init, 0, W32(7), W32(45), W32(131072), W32(uint.MaxValue), W32(uint.MaxValue), new byte[44]);
        Assert.Equal(0, error);
        Assert.Null(reason);
        FuseInitFlags flags = exchange.Dispatcher.Negotiated;
        Assert.Equal(
            Convert.ToHexString(
            [
                .. W32(7), .. W32(45), .. W32(131072), .. W32((uint)flags), .. W16(64), .. W16(48), .. W32(1 << 20), .. W32(1), .. W16(256), .. W16(0),
                .. W32((uint)((ulong)flags >> 32)), .. new byte[28],
            ]),
            Convert.ToHexString(payload));
        Assert.Equal(
            FuseInitFlags.None,
            flags & (FuseInitFlags.WritebackCache | FuseInitFlags.AutoInvalData | FuseInitFlags.NoOpenSupport | FuseInitFlags.SecurityCtx
                | FuseInitFlags.AllowIdmap | FuseInitFlags.NoExportSupport | FuseInitFlags.OverIoUring));
        Assert.Equal(FuseInitFlags.None, (FuseInitFlags)(1UL << 31) & flags);
    }

    [Fact]
    public void AnOldKernelGetsWhatItKnows()
    {
        // Linux 5.4: 7.31, 16 bytes of fuse_init_in, no second flags.
        var exchange = new FuseExchange(initialised: false);
        const FuseInitFlags Offered = (FuseInitFlags)0x03FFFFFF;
        (int error, byte[] payload) = exchange.Send(FuseOpcode.Init, 0, W32(7), W32(31), W32(131072), W32((uint)Offered));
        Assert.Equal(0, error);
        Assert.Equal(64, payload.Length);
        Assert.Equal(31u, exchange.Dispatcher.NegotiatedMinor);
        Assert.Equal(FuseInitFlags.None, exchange.Dispatcher.Negotiated & ~Offered);

        // Its SETXATTR is 8 bytes shorter.
        exchange.Send(FuseOpcode.SetXattr, 5, W32(3), W32(0), Z("user.k"), "val"u8.ToArray());
        Assert.EndsWith("'user.k' 'val' [None]", Assert.Single(exchange.Vfs.Calls), StringComparison.Ordinal);
    }

    [Fact]
    public void WritebackIsOnlyOnWhereAskedFor()
    {
        var exchange = new FuseExchange(configure: static options => options with { Writeback = true });
        Assert.True(exchange.Dispatcher.Negotiated.HasFlag(FuseInitFlags.WritebackCache));
        exchange.Send(FuseOpcode.Write, 5, FuseDispatcherTests.WriteIn(0, 1, 0, "page"));
        Assert.EndsWith("[FromCache]", Assert.Single(exchange.Vfs.Calls), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(7, 30)]
    [InlineData(6, 45)]
    public void ATooOldKernelIsRefused(uint major, uint minor)
    {
        var exchange = new FuseExchange(initialised: false);
        string? reason = null;
        exchange.Dispatcher.InitDone = told => reason = told;
        (int error, byte[] payload) = exchange.Send(FuseOpcode.Init, 0, W32(major), W32(minor), W32(0), W32(0));
        Assert.Equal(FuseErrno.Protocol, error);
        Assert.Empty(payload);
        Assert.Contains($"{major}.{minor}", reason, StringComparison.Ordinal);
    }

    [Fact]
    public void ANewerMajorVersionIsAnsweredWithOurs()
    {
        var exchange = new FuseExchange(initialised: false);
        (int error, byte[] payload) = exchange.Send(FuseOpcode.Init, 0, W32(8), W32(0));
        Assert.Equal(0, error);
        Assert.Equal("07000000", Convert.ToHexString(payload[..4]));
        Assert.Equal(FuseErrno.Io, exchange.Send(FuseOpcode.GetAttr, 1, new byte[16]).Error);
        exchange.Initialise();
    }

    [Fact]
    public void NotificationsAreLaidOutAsTheKernelReadsThem()
    {
        byte[] buffer = new byte[512];
        int length = FuseNotification.Write(buffer, FuseNotifyCode.InvalidateInode, new FuseNotifyInvalInodeOut { Node = 5, Offset = -1 }, []);
        Assert.Equal("28000000" + "02000000" + "0000000000000000" + "0500000000000000" + "FFFFFFFFFFFFFFFF" + "0000000000000000", Convert.ToHexString(buffer[..length]));
        length = FuseNotification.Write(buffer, FuseNotifyCode.InvalidateEntry, new FuseNotifyInvalEntryOut { Parent = 5, NameLength = 2 }, "ab"u8);
        Assert.Equal("23000000" + "03000000" + "0000000000000000" + "0500000000000000" + "02000000" + "00000000" + "616200", Convert.ToHexString(buffer[..length]));
        length = FuseNotification.Write(buffer, FuseNotifyCode.Delete, new FuseNotifyDeleteOut { Parent = 5, Child = 6, NameLength = 2 }, "ab"u8);
        Assert.Equal(
            "2B000000" + "06000000" + "0000000000000000" + "0500000000000000" + "0600000000000000" + "02000000" + "00000000" + "616200",
            Convert.ToHexString(buffer[..length]));
    }
}
