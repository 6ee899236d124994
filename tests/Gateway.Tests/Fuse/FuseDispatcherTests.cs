using System.Buffers.Binary;
using Gateway.Fuse;
using Gateway.Vfs;
using StoreCore.Primitives;
using static Gateway.Tests.Fuse.FuseExchange;

namespace Gateway.Tests.Fuse;

/// <summary>Each operation as bytes: what the Vfs is asked, and what is answered.</summary>
public sealed class FuseDispatcherTests
{
    private const string Who = "1000:1001@7";

    // fuse_attr of FuseExchange.Sample, 88 bytes: ino, size, blocks, times, their nanoseconds, mode, nlink, uid, gid, rdev, blksize, flags.
    private const string SampleAttr =
        "4200000000000000" + "8813000000000000" + "1000000000000000" + "6400000000000000" + "38FFFFFFFFFFFFFF" + "2C01000000000000"
        + "01000000" + "02000000" + "03000000" + "A4810000" + "02000000" + "E8030000" + "E9030000" + "78563412" + "00100000" + "00000000";

    // fuse_entry_out before its fuse_attr: nodeid, generation, 10 s and 10 s.
    private const string SampleEntry =
        "4200000000000000" + "0300000000000000" + "0A00000000000000" + "0A00000000000000" + "00000000" + "00000000" + SampleAttr;

    public static TheoryData<string, FuseOpcode, byte[], string, string> Vectors => new()
    {
        { "lookup", FuseOpcode.Lookup, Z("name"), $"Lookup {Who} 5 'name'", SampleEntry },
        { "getattr", FuseOpcode.GetAttr, new byte[16], "GetAttributes 5", "0A00000000000000" + "00000000" + "00000000" + SampleAttr },
        {
            "setattr mode, size and times", FuseOpcode.SetAttr, SetAttr(1 | 8 | 16 | 32),
            $"SetAttributes {Who} 5 [Mode, Size, Accessed, Modified] mode 1A4 uid 8 gid 9 size 77 times 11.000000001 12.000000002 13.000000003 flags [None]",
            "0A00000000000000" + "00000000" + "00000000" + SampleAttr
        },
        {
            "setattr owner, now, kill", FuseOpcode.SetAttr, SetAttr(2 | 4 | 16 | 128 | 32 | 256 | 1024 | 2048),
            $"SetAttributes {Who} 5 [Uid, Gid, AccessedNow, ModifiedNow, Changed, KillPrivileges] mode 1A4 uid 8 gid 9 size 77 times 11.000000001 12.000000002 13.000000003 flags [None]",
            "0A00000000000000" + "00000000" + "00000000" + SampleAttr
        },
        { "symlink", FuseOpcode.Symlink, [.. Z("l"), .. Z("/to/it")], $"Make {Who} 5 'l' mode A1FF umask 0 device 0 target '/to/it'", SampleEntry },
        {
            "mknod", FuseOpcode.MkNod, [.. W32(0x61B6), .. W32(0x801), .. W32(0x12), .. W32(0), .. Z("b")],
            $"Make {Who} 5 'b' mode 61B6 umask 12 device 2049 target ''", SampleEntry
        },
        { "mkdir", FuseOpcode.MkDir, [.. W32(0x1FF), .. W32(0x12), .. Z("d")], $"Make {Who} 5 'd' mode 41FF umask 12 device 0 target ''", SampleEntry },
        { "unlink", FuseOpcode.Unlink, Z("f"), $"Unlink {Who} 5 'f'", "" },
        { "rmdir", FuseOpcode.RmDir, Z("d"), $"RemoveDirectory {Who} 5 'd'", "" },
        { "rename", FuseOpcode.Rename, [.. W64(6), .. Z("a"), .. Z("b")], $"Rename {Who} 5 'a' 6 'b' [None]", "" },
        { "rename2 noreplace", FuseOpcode.Rename2, [.. W64(6), .. W32(1), .. W32(0), .. Z("a"), .. Z("b")], $"Rename {Who} 5 'a' 6 'b' [NoReplace]", "" },
        { "rename2 exchange", FuseOpcode.Rename2, [.. W64(6), .. W32(2), .. W32(0), .. Z("a"), .. Z("b")], $"Rename {Who} 5 'a' 6 'b' [Exchange]", "" },
        { "link", FuseOpcode.Link, [.. W64(9), .. Z("n")], $"Link {Who} 9 5 'n'", SampleEntry },
        { "open read", FuseOpcode.Open, [.. W32(0), .. W32(0)], $"Open {Who} 5 [Read]", "0100000000000000" + "02000000" + "00000000" },
        {
            "open write, truncate, sync", FuseOpcode.Open, [.. W32(1 | 0x200 | 0x101000), .. W32(0)], $"Open {Who} 5 [Write, Truncate, Stable]",
            "0E00000000000000" + "02000000" + "00000000"
        },
        { "open to execute", FuseOpcode.Open, [.. W32(0x20), .. W32(0)], $"Open {Who} 5 [Read, Execute]", "2100000000000000" + "02000000" + "00000000" },
        {
            "create", FuseOpcode.Create, [.. W32(2 | 0x40 | 0x80), .. W32(0x81B6), .. W32(0x12), .. W32(0), .. Z("new")],
            $"Create {Who} 5 'new' mode 81B6 umask 12 device 0 target '' writing [Read, Write, Exclusive]",
            SampleEntry + "1300000000000000" + "02000000" + "00000000"
        },
        {
            "tmpfile", FuseOpcode.TmpFile, [.. W32(2), .. W32(0x8180), .. W32(0), .. W32(0), .. Z("/")],
            $"CreateUnlinked {Who} 5 mode 8180 umask 0 device 0 target '' writing [Read, Write]", SampleEntry + "0300000000000000" + "02000000" + "00000000"
        },
        { "read", FuseOpcode.Read, ReadIn(4096, 3), $"Read {Who} 5 4096 room 3", "616263" },
        {
            "read o_noatime", FuseOpcode.Read, [.. W64(1), .. W64(4096), .. W32(3), .. W32(0), .. W64(0), .. W32(0x40000), .. W32(0)],
            "Read 1000:1001 noatime@7 5 4096 room 3", "616263"
        },
        { "write", FuseOpcode.Write, WriteIn(10, 0, 1, "data"), $"Write {Who} 5 10 'data' [None]", "04000000" + "00000000" },
        { "write kill", FuseOpcode.Write, WriteIn(10, 4, 1, "data"), $"Write {Who} 5 10 'data' [KillPrivileges]", "04000000" + "00000000" },
        { "write o_dsync", FuseOpcode.Write, WriteIn(10, 0, 0x1001, "data"), $"Write {Who} 5 10 'data' [Stable]", "04000000" + "00000000" },
        { "write of a mapped page", FuseOpcode.Write, WriteIn(10, 1, 0, "data"), $"Write {Who} 5 10 'data' [None]", "04000000" + "00000000" },
        { "write o_append, o_direct", FuseOpcode.Write, WriteIn(10, 0, 0x401 | OpenFlag.Direct, "data"), $"Write {Who} 5 10 'data' [None]", "04000000" + "00000000" },
        {
            "statfs", FuseOpcode.StatFs, [], "StatFs",
            "E803000000000000" + "5802000000000000" + "F401000000000000" + "4600000000000000" + "3C00000000000000" + "00100000" + "FF000000" + "00100000"
            + "00000000" + "000000000000000000000000000000000000000000000000"
        },
        { "flush", FuseOpcode.Flush, [.. W64(1), .. W64(0), .. W64(0xABC)], "Flush 5 7/ABC", "" },
        { "fsync", FuseOpcode.FSync, [.. W64(1), .. W32(0), .. W32(0)], "Sync 5 all", "" },
        { "fdatasync", FuseOpcode.FSync, [.. W64(1), .. W32(1), .. W32(0)], "Sync 5 data", "" },
        { "fsyncdir", FuseOpcode.FSyncDir, [.. W64(1), .. W32(0), .. W32(0)], "Sync 5 all", "" },
        { "syncfs", FuseOpcode.SyncFs, W64(0), "SyncAll", "" },
        { "destroy", FuseOpcode.Destroy, [], "SyncAll", "" },
        {
            "setxattr", FuseOpcode.SetXattr, [.. W32(3), .. W32(1), .. W32(1), .. W32(0), .. Z("user.k"), .. "val"u8],
            $"SetXattr {Who} 5 'user.k' 'val' [Create] kill setgid", ""
        },
        { "getxattr", FuseOpcode.GetXattr, [.. W32(10), .. W32(0), .. Z("user.k")], "GetXattr 5 'user.k' room 10", "616263" },
        { "getxattr length", FuseOpcode.GetXattr, [.. W32(0), .. W32(0), .. Z("user.k")], "GetXattr 5 'user.k' room 0", "03000000" + "00000000" },
        { "listxattr", FuseOpcode.ListXattr, [.. W32(10), .. W32(0)], "ListXattrs 5 room 10", "616263" },
        { "removexattr", FuseOpcode.RemoveXattr, Z("user.k"), $"RemoveXattr {Who} 5 'user.k'", "" },
        { "readlink", FuseOpcode.ReadLink, [], "ReadLink 5 room 4095", "616263" },
        { "access", FuseOpcode.Access, [.. W32(4), .. W32(0)], "Access 1000:1001 untrusted@7 5 [Read]", "" },
        {
            "fallocate", FuseOpcode.FAllocate, [.. W64(1), .. W64(4096), .. W64(8192), .. W32(3), .. W32(0)],
            $"Allocate {Who} 5 [KeepSize, PunchHole] 4096 8192", ""
        },
        { "seek data", FuseOpcode.LSeek, [.. W64(1), .. W64(9), .. W32(3), .. W32(0)], "Seek 5 9 data", "0700000000000000" },
        { "seek hole", FuseOpcode.LSeek, [.. W64(1), .. W64(9), .. W32(4), .. W32(0)], "Seek 5 9 hole", "0700000000000000" },
        { "copy_file_range", FuseOpcode.CopyFileRange, CopyIn(1UL << 40), $"CopyRange {Who} 5 1 6 2 4294963200", "07000000" + "00000000" },
        { "copy_file_range_64", FuseOpcode.CopyFileRange64, CopyIn(1UL << 40), $"CopyRange {Who} 5 1 6 2 1099511627776", "0700000000000000" },
        { "getlk", FuseOpcode.GetLk, LkIn(1, 10, long.MaxValue, 0), "GetLock 5 Posix Exclusive 10-18446744073709551615 7/ABC pid 77", "0500000000000000" + "FFFFFFFFFFFFFF7F" + "00000000" + "63000000" },
        { "setlk", FuseOpcode.SetLk, LkIn(0, 10, 20, 0), "SetLock 5 Posix Shared 10-20 7/ABC pid 77", "" },
        { "setlk unlock flock", FuseOpcode.SetLk, LkIn(2, 0, long.MaxValue, 1), "SetLock 5 Flock Unlock 0-18446744073709551615 7/ABC pid 77", "" },
        { "setlkw granted", FuseOpcode.SetLkW, LkIn(1, 0, 0, 0), "SetLock 5 Posix Exclusive 0-0 7/ABC pid 77 waiting", "" },
        { "lsattr", FuseOpcode.IoCtl, IoctlIn(0x80086601, [], 4), "GetAttributes 5", "00000000" + "00000000" + "00000000" + "00000000" + "00000000" },
        {
            "chattr +i", FuseOpcode.IoCtl, IoctlIn(0x40086602, W32(0x10), 0),
            $"SetAttributes {Who} 5 [Flags] mode 0 uid 0 gid 0 size 0 times 0.000000000 0.000000000 0.000000000 flags [Immutable]",
            "00000000" + "00000000" + "00000000" + "00000000"
        },
        {
            "readdir", FuseOpcode.ReadDir, ReadIn(2, 4096), $"ReadDirectory {Who} 5 2 names",
            "6700000000000000" + "0300000000000000" + "03000000" + "08000000" + "6162630000000000"
        },
    };

    [Theory]
    [MemberData(nameof(Vectors))]
    public void AnOperationIsTranslated(string name, FuseOpcode opcode, byte[] body, string call, string reply)
    {
        var exchange = new FuseExchange();
        exchange.Vfs.Bytes = "abc"u8.ToArray();
        exchange.Vfs.Number = 7;
        exchange.Vfs.Conflict = new VfsLock(VfsLockKind.Shared, 5, ulong.MaxValue, new VfsLockOwner(8, 1), 99);

        (int error, byte[] payload) = exchange.Send(opcode, 5, body);

        Assert.True(error == 0, $"{name}: errno {error}");
        Assert.Equal(call, Assert.Single(exchange.Vfs.Calls));
        Assert.Equal(reply, Convert.ToHexString(payload));
    }

    [Fact]
    public void ReadersOfNoatimeAndNodiratimeMountsLeaveAccessTimes()
    {
        var exchange = new FuseExchange(configure: options => options with { LeavesAccessTimes = true });
        exchange.Send(FuseOpcode.Read, 5, ReadIn(0, 1));
        exchange.Send(FuseOpcode.ReadDir, 5, ReadIn(0, 4096));
        Assert.Equal(["Read 1000:1001 noatime@7 5 0 room 1", $"ReadDirectory {Who} 5 0 names"], exchange.Vfs.Calls);

        exchange = new FuseExchange(configure: options => options with { LeavesDirectoryAccessTimes = true });
        exchange.Send(FuseOpcode.Read, 5, ReadIn(0, 1));
        exchange.Send(FuseOpcode.ReadDir, 5, ReadIn(0, 4096));
        Assert.Equal([$"Read {Who} 5 0 room 1", "ReadDirectory 1000:1001 noatime@7 5 0 names"], exchange.Vfs.Calls);
    }

    [Theory]
    [MemberData(nameof(Vectors))]
    public void AFailureIsAnswered(string name, FuseOpcode opcode, byte[] body, string call, string reply)
    {
        _ = (call, reply);
        if (opcode == FuseOpcode.StatFs)
            return; // has no way to fail

        var exchange = new FuseExchange();
        exchange.Vfs.Status = FsStatus.Stale;
        (int error, byte[] payload) = exchange.Send(opcode, 5, body);
        Assert.True(error == FuseErrno.Stale, $"{name}: errno {error}");
        Assert.Empty(payload);
    }

    [Theory]
    [MemberData(nameof(Vectors))]
    public void AShortenedRequestIsInvalid(string name, FuseOpcode opcode, byte[] body, string call, string reply)
    {
        _ = (call, reply);
        int least = FuseOpTable.Find(opcode)!.LeastBytes;
        for (int length = 0; length < least; length++)
        {
            var exchange = new FuseExchange();
            (int error, _) = exchange.Send(opcode, 5, body[..length]);
            Assert.True(error == FuseErrno.Invalid, $"{name} cut to {length}: errno {error}");
            Assert.Empty(exchange.Vfs.Calls);
        }
    }

    [Fact]
    public void ReadDirPlusCarriesAttributesButCountsNoLookupOfDots()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.Bytes = ".,..,abc"u8.ToArray();
        (int error, byte[] payload) = exchange.Send(FuseOpcode.ReadDirPlus, 5, ReadIn(0, 4096));
        Assert.Equal(0, error);
        Assert.Equal(3 * 160, payload.Length);
        Assert.Equal(0UL, BinaryPrimitives.ReadUInt64LittleEndian(payload));
        Assert.Equal(0UL, BinaryPrimitives.ReadUInt64LittleEndian(payload.AsSpan(160)));
        Assert.Equal(103UL, BinaryPrimitives.ReadUInt64LittleEndian(payload.AsSpan(320)));
        Assert.Equal("6700000000000000" + "0300000000000000" + "03000000" + "08000000" + "6162630000000000", Convert.ToHexString(payload[448..]));
    }

    [Fact]
    public void ReadDirStopsWhereTheRoomEnds()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.Bytes = "aaaaaaaa,bbbbbbbb,c"u8.ToArray();
        (_, byte[] payload) = exchange.Send(FuseOpcode.ReadDir, 5, ReadIn(0, 32 + 31));
        Assert.Equal(32, payload.Length);
    }

    [Fact]
    public void AMissingNameIsRememberedAsAnEntryWithoutNode()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.Status = FsStatus.NotFound;
        (int error, byte[] payload) = exchange.Send(FuseOpcode.Lookup, 5, Z("none"));
        Assert.Equal(0, error);
        Assert.Equal("0000000000000000" + "0000000000000000" + "0A00000000000000" + new string('0', 208), Convert.ToHexString(payload));

        var uncached = new FuseExchange(configure: options => options with { NegativeTimeout = TimeSpan.Zero });
        uncached.Vfs.Status = FsStatus.NotFound;
        Assert.Equal(FuseErrno.NoEntry, uncached.Send(FuseOpcode.Lookup, 5, Z("none")).Error);
    }

    [Fact]
    public void NodeOneIsTheSubdirectoryOfTheMount()
    {
        var exchange = new FuseExchange(configure: options => options with { Root = new InodeId(0x42) });
        exchange.Send(FuseOpcode.GetAttr, 1, new byte[16]);
        (_, byte[] payload) = exchange.Send(FuseOpcode.Lookup, 9, Z(".."));
        exchange.Send(FuseOpcode.Lookup, 1, Z(".."));
        Assert.Equal(1UL, BinaryPrimitives.ReadUInt64LittleEndian(payload));
        Assert.Equal(["GetAttributes 66", $"Lookup {Who} 9 '..'", $"Lookup {Who} 66 '.'"], exchange.Vfs.Calls);

        // The root of the whole tree would have nodeid 1 too: it is not handed out.
        exchange.Vfs.Record.Inode = InodeId.Root;
        Assert.Equal(FuseErrno.Stale, exchange.Send(FuseOpcode.Lookup, 9, Z("x")).Error);
    }

    [Fact]
    public void SupplementaryGroupsComeWithWhatIsMade()
    {
        var exchange = new FuseExchange();
        byte[] groups = [.. W32(20), .. W32(32), .. W32(2), .. W32(500), .. W32(600), .. W32(0)];
        byte[] body = [.. W32(0x1FF), .. W32(0), .. Z("d")];
        Assert.NotNull(exchange.Raw(Request(FuseOpcode.MkDir, 5, body, groups)));
        Assert.Equal("Make 1000:1001+500+600@7 5 'd' mode 41FF umask 0 device 0 target ''", Assert.Single(exchange.Vfs.Calls));
    }

    [Theory]
    [InlineData("1400000020000000FFFFFFFF0000000000000000")] // more groups than bytes
    [InlineData("0700000020000000")] // shorter than its own header
    [InlineData("4000000020000000")] // longer than what is there
    [InlineData("0800000020000000")] // no count
    public void MalformedExtensionsAreInvalid(string hex)
    {
        var exchange = new FuseExchange();
        byte[] extension = Convert.FromHexString(hex.PadRight((hex.Length + 15) / 16 * 16, '0'));
        byte[] reply = exchange.Raw(Request(FuseOpcode.MkDir, 5, [.. W32(0x1FF), .. W32(0), .. Z("d")], extension))!;
        Assert.Equal(-FuseErrno.Invalid, BinaryPrimitives.ReadInt32LittleEndian(reply.AsSpan(4)));
        Assert.Empty(exchange.Vfs.Calls);
    }

    [Fact]
    public void WhatCannotBeAnsweredIsNotAnswered()
    {
        var exchange = new FuseExchange();
        Assert.Null(exchange.Raw([]));
        Assert.Null(exchange.Raw(new byte[39]));
        Assert.Null(exchange.Raw(Request(FuseOpcode.GetAttr, 1, new byte[16], unique: 0)));
        Assert.Null(exchange.Raw(Request(FuseOpcode.Forget, 5, W64(1))));
        Assert.Null(exchange.Raw(Request(FuseOpcode.Forget, 5, [])));
        Assert.Null(exchange.Raw(Request(FuseOpcode.BatchForget, 5, [.. W32(1000), .. W32(0)])));
        Assert.Null(exchange.Raw(Request(FuseOpcode.Interrupt, 0, [])));
        Assert.Empty(exchange.Vfs.Calls);
        Assert.Equal(3, exchange.Statistics.Progress().Malformed);
    }

    [Theory]
    [InlineData((FuseOpcode)7)]
    [InlineData((FuseOpcode)54)]
    [InlineData((FuseOpcode)4096)]
    [InlineData((FuseOpcode)uint.MaxValue)]
    [InlineData(FuseOpcode.Poll)]
    [InlineData(FuseOpcode.BMap)]
    [InlineData(FuseOpcode.SetupMapping)]
    public void UnknownOperationsAreNotImplemented(FuseOpcode opcode) =>
        Assert.Equal(FuseErrno.NoSys, new FuseExchange().Send(opcode, 5, new byte[64]).Error);

    [Fact]
    public void BadArgumentsAreRefused()
    {
        var cases = new (FuseOpcode Opcode, byte[] Body, int Errno)[]
        {
            (FuseOpcode.Lookup, "no zero"u8.ToArray(), FuseErrno.Invalid),
            (FuseOpcode.Lookup, Z("a/b"), FuseErrno.Invalid),
            (FuseOpcode.Rename2, [.. W64(6), .. W32(4), .. W32(0), .. Z("a"), .. Z("b")], FuseErrno.Invalid), // RENAME_WHITEOUT
            (FuseOpcode.Rename2, [.. W64(6), .. W32(3), .. W32(0), .. Z("a"), .. Z("b")], FuseErrno.Invalid),
            (FuseOpcode.Rename, [.. W64(6), .. Z("only one name")], FuseErrno.Invalid),
            (FuseOpcode.MkNod, [.. W32(0x41FF), .. W32(0), .. W32(0), .. W32(0), .. Z("d")], FuseErrno.Invalid),
            (FuseOpcode.Write, WriteIn(0, 0, 0, "data")[..42], FuseErrno.Invalid),
            (FuseOpcode.Write, WriteIn(ulong.MaxValue, 0, 0, "data"), FuseErrno.Invalid),
            (FuseOpcode.Read, ReadIn(1UL << 63, 4096), FuseErrno.Invalid),
            (FuseOpcode.FAllocate, [.. W64(1), .. W64(0), .. W64(1), .. W32(8), .. W32(0)], FuseErrno.NotSupported), // collapse
            (FuseOpcode.FAllocate, [.. W64(1), .. W64(0), .. W64(1), .. W32(0x20), .. W32(0)], FuseErrno.NotSupported), // insert
            (FuseOpcode.LSeek, [.. W64(1), .. W64(0), .. W32(0), .. W32(0)], FuseErrno.Invalid),
            (FuseOpcode.CopyFileRange, [.. CopyIn(1)[..48], .. W64(1)], FuseErrno.Invalid),
            (FuseOpcode.SetLk, LkIn(3, 0, 0, 0), FuseErrno.Invalid),
            (FuseOpcode.SetLk, LkIn(1, 10, 9, 0), FuseErrno.Invalid),
            (FuseOpcode.SetXattr, [.. W32(100), .. W32(0), .. W32(0), .. W32(0), .. Z("user.k"), .. "val"u8], FuseErrno.Invalid),
            (FuseOpcode.SetXattr, [.. W32(3), .. W32(4), .. W32(0), .. W32(0), .. Z("user.k"), .. "val"u8], FuseErrno.Invalid),
            (FuseOpcode.IoCtl, IoctlIn(0x5401, [], 64), FuseErrno.NotTty),
            (FuseOpcode.IoCtl, IoctlIn(0x40086602, W32(1), 0), FuseErrno.NotSupported), // FS_SECRM_FL
            (FuseOpcode.IoCtl, IoctlIn(0x40086602, [], 0), FuseErrno.Invalid),
            (FuseOpcode.IoCtl, IoctlIn(0x80086601, [], uint.MaxValue), FuseErrno.Invalid),
            (FuseOpcode.SetAttr, [.. SetAttr(16)[..56], .. W32(1_000_000_000), .. new byte[28]], FuseErrno.Invalid),
            (FuseOpcode.Release, new byte[24], FuseErrno.BadFile),
            (FuseOpcode.ReleaseDir, new byte[24], FuseErrno.BadFile),
        };
        foreach ((FuseOpcode opcode, byte[] body, int errno) in cases)
        {
            var exchange = new FuseExchange();
            (int error, _) = exchange.Send(opcode, 5, body);
            Assert.True(errno == error, $"{opcode} {Convert.ToHexString(body)}: errno {error} instead of {errno}");
            Assert.Empty(exchange.Vfs.Calls);
        }
    }

    [Fact]
    public void ALengthThatIsNotTheRequestsIsInvalid()
    {
        var exchange = new FuseExchange();
        byte[] request = Request(FuseOpcode.GetAttr, 1, new byte[16]);
        request[0]++;
        Assert.Equal(-FuseErrno.Invalid, BinaryPrimitives.ReadInt32LittleEndian(exchange.Raw(request).AsSpan(4)));
        request[0]--;
        request[36] = 3; // 24 bytes of extensions in 16 of arguments
        Assert.Equal(-FuseErrno.Invalid, BinaryPrimitives.ReadInt32LittleEndian(exchange.Raw(request).AsSpan(4)));
    }

    [Fact]
    public void AReadOnlyMountRefusesWhatChanges()
    {
        var exchange = new FuseExchange(configure: static options => options with { ReadOnly = true });
        foreach (FuseOperation operation in FuseOpTable.All.Where(static operation => operation.Changes))
            Assert.Equal(FuseErrno.ReadOnly, exchange.Send(operation.Opcode, 5, new byte[128]).Error);
        Assert.Equal(FuseErrno.ReadOnly, exchange.Send(FuseOpcode.Open, 5, W32(1), W32(0)).Error);
        Assert.Equal(FuseErrno.ReadOnly, exchange.Send(FuseOpcode.Open, 5, W32(0x200), W32(0)).Error);
        Assert.Equal(FuseErrno.ReadOnly, exchange.Send(FuseOpcode.IoCtl, 5, IoctlIn(0x40086602, W32(0x10), 0)).Error);
        Assert.Empty(exchange.Vfs.Calls);
        Assert.Equal(0, exchange.Send(FuseOpcode.Open, 5, W32(0), W32(0)).Error);
    }

    [Fact]
    public void ADefectIsAnsweredAndCounted()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.Throws = new InvalidOperationException("defect");
        Assert.Equal(FuseErrno.Io, exchange.Send(FuseOpcode.Lookup, 5, Z("a")).Error);
        Assert.Equal(FuseErrno.Io, exchange.Send(FuseOpcode.ReadDir, 5, ReadIn(0, 4096)).Error);
        Assert.Equal(FuseErrno.Io, exchange.Send(FuseOpcode.SetLkW, 5, LkIn(1, 0, 0, 0)).Error);
        Assert.Equal(3, exchange.Statistics.Progress().Faults);
        exchange.Vfs.Throws = null;
        Assert.Equal(0, exchange.Send(FuseOpcode.SetLkW, 5, LkIn(1, 0, 0, 0)).Error);
    }

    internal static byte[] SetAttr(uint valid) =>
    [
        .. W32(valid), .. W32(0), .. W64(1), .. W64(77), .. W64(0), .. W64(11), .. W64(12), .. W64(13), .. W32(1), .. W32(2), .. W32(3),
        .. W32(0x81A4), .. W32(0), .. W32(8), .. W32(9), .. W32(0),
    ];

    internal static byte[] ReadIn(ulong offset, uint size) =>
        [.. W64(1), .. W64(offset), .. W32(size), .. W32(0), .. W64(0), .. W32(0), .. W32(0)];

    internal static byte[] WriteIn(ulong offset, uint writeFlags, uint flags, string data) =>
    [
        .. W64(1), .. W64(offset), .. W32((uint)data.Length), .. W32(writeFlags), .. W64(0), .. W32(flags), .. W32(0),
        .. System.Text.Encoding.Latin1.GetBytes(data),
    ];

    internal static byte[] LkIn(uint type, ulong start, ulong end, uint flags) =>
        [.. W64(1), .. W64(0xABC), .. W64(start), .. W64(end), .. W32(type), .. W32(77), .. W32(flags), .. W32(0)];

    private static byte[] CopyIn(ulong length) =>
        [.. W64(1), .. W64(1), .. W64(6), .. W64(1), .. W64(2), .. W64(length), .. W64(0)];

    private static byte[] IoctlIn(uint command, byte[] input, uint outSize) =>
        [.. W64(1), .. W32(0), .. W32(command), .. W64(0), .. W32((uint)input.Length), .. W32(outSize), .. input];
}
