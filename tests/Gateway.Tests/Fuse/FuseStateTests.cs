using System.Buffers.Binary;
using Gateway.Fuse;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static Gateway.Tests.Fuse.FuseExchange;

namespace Gateway.Tests.Fuse;

/// <summary>What outlives one request: opens, waiting locks, appends, statistics, and that the hot paths allocate nothing.</summary>
public sealed class FuseStateTests
{
    [Fact]
    public void OpensAreReleasedOnceAndTheRestAtTheEnd()
    {
        var exchange = new FuseExchange();
        exchange.Send(FuseOpcode.Open, 5, W32(2), W32(0));
        exchange.Send(FuseOpcode.Open, 5, W32(2), W32(0));
        exchange.Send(FuseOpcode.Open, 5, W32(0), W32(0));
        byte[] release = [.. W64(3), .. W32(2), .. W32(0), .. W64(0)];
        exchange.Vfs.Calls.Clear();
        Assert.Equal(0, exchange.Send(FuseOpcode.Release, 5, release).Error);
        Assert.Equal(["Release 5 [Read, Write]"], exchange.Vfs.Calls);

        exchange.Vfs.Calls.Clear();
        exchange.Dispatcher.Close();
        Assert.Equal(["Release 5 [Read, Write]", "Release 5 [Read]", "ReleaseSession 7"], exchange.Vfs.Calls);
        Assert.Equal(FuseErrno.BadFile, exchange.Send(FuseOpcode.Release, 5, release).Error);
    }

    [Fact]
    public void ADirectoryIsOpenedAsOne()
    {
        var exchange = new FuseExchange();
        Assert.Equal(FuseErrno.NotDirectory, exchange.Send(FuseOpcode.OpenDir, 5, W32(0), W32(0)).Error);
        Assert.Equal("Release 5 [Read]", exchange.Vfs.Calls[^1]);
        exchange.Vfs.Record.Mode = 0x41ED;
        (int error, byte[] payload) = exchange.Send(FuseOpcode.OpenDir, 5, W32(0), W32(0));
        Assert.Equal(0, error);
        Assert.Equal("0100000000000000" + "0A000000" + "00000000", Convert.ToHexString(payload));
        Assert.Equal(0, exchange.Send(FuseOpcode.ReleaseDir, 5, W64(1), new byte[16]).Error);
    }

    [Fact]
    public void AFlockIsDroppedWithItsOpen()
    {
        var exchange = new FuseExchange();
        exchange.Send(FuseOpcode.Open, 5, W32(0), W32(0));
        exchange.Send(FuseOpcode.Release, 5, W64(1), W32(0), W32(2), W64(0xABC));
        Assert.Equal(
            ["SetLock 5 Flock Unlock 0-18446744073709551615 7/ABC pid 77", "Release 5 [Read]"], exchange.Vfs.Calls[1..]);
    }

    [Fact]
    public void AnUnprivilegedTruncatingOpenTakesSetIdBitsAway()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.Record.Mode = 0x89A4;
        Assert.Equal(0, exchange.Send(FuseOpcode.Open, 5, W32(0x201), W32(1)).Error);
        Assert.StartsWith("SetAttributes 1000:1001@7 66 [KillPrivileges]", exchange.Vfs.Calls[1], StringComparison.Ordinal);
    }

    [Fact]
    public void WhatWasAppendedElsewhereThanTheKernelThinksIsForgotten()
    {
        var exchange = new FuseExchange();
        var notifier = new Notifier();
        exchange.Dispatcher.Notifier = notifier;
        exchange.Vfs.Record.SizeBytes = 14;
        exchange.Send(FuseOpcode.Write, 5, FuseDispatcherTests.WriteIn(10, 0, 0x401, "data"));
        Assert.Empty(notifier.Invalidated);
        exchange.Vfs.Record.SizeBytes = 100;
        exchange.Send(FuseOpcode.Write, 5, FuseDispatcherTests.WriteIn(14, 0, 0x401, "data"));
        Assert.Equal([new InodeId(5)], notifier.Invalidated);
        Assert.Contains("Write 1000:1001@7 5 14 'data' [Append]", exchange.Vfs.Calls);
    }

    [Fact]
    public void AWaitingLockIsAnsweredWhenItIsGranted()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.LocksWait = true;
        Assert.Null(exchange.Raw(Request(FuseOpcode.SetLkW, 5, FuseDispatcherTests.LkIn(1, 0, 9, 0))));
        Assert.Equal(1, exchange.Statistics.Progress().WaitingLocks);
        Assert.True(Assert.Single(exchange.Statistics.Live()).Waiting);
        exchange.Vfs.Waiter!.Complete(FsStatus.Ok);
        Assert.Equal("10000000" + "00000000" + "F0DEBC9A78563412", Convert.ToHexString(Assert.Single(exchange.LateReplies)));
        Assert.Equal(0, exchange.Statistics.Progress().WaitingLocks);
    }

    [Fact]
    public void AnInterruptWithdrawsAWaitingLock()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.LocksWait = true;
        exchange.Raw(Request(FuseOpcode.SetLkW, 5, FuseDispatcherTests.LkIn(1, 0, 9, 1)));
        Assert.Null(exchange.Raw(Request(FuseOpcode.Interrupt, 0, W64(Unique), unique: Unique | 1)));
        Assert.Equal("CancelLock 5 Flock", exchange.Vfs.Calls[^1]);
        Assert.Equal(-FuseErrno.Interrupted, BinaryPrimitives.ReadInt32LittleEndian(Assert.Single(exchange.LateReplies).AsSpan(4)));

        // Once more: it is answered already.
        exchange.Raw(Request(FuseOpcode.Interrupt, 0, W64(Unique), unique: Unique | 1));
        Assert.Single(exchange.LateReplies);
    }

    [Fact]
    public void AnInterruptThatOvertakesItsRequestIsNotLost()
    {
        var exchange = new FuseExchange();
        exchange.Raw(Request(FuseOpcode.Interrupt, 0, W64(Unique), unique: Unique | 1));
        exchange.Vfs.LocksWait = true;
        Assert.Equal(FuseErrno.Interrupted, exchange.Send(FuseOpcode.SetLkW, 5, FuseDispatcherTests.LkIn(1, 0, 9, 0)).Error);
        Assert.Empty(exchange.Vfs.Calls);
    }

    [Fact]
    public void AnInterruptWhileTheLockIsAskedForIsNotLost()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.LocksWait = true;
        exchange.Vfs.WhileLocking = () =>
        {
            // Another thread's interrupt: the Vfs does not know the waiter yet, so it cannot be withdrawn there.
            bool wait = exchange.Vfs.LocksWait;
            exchange.Dispatcher.Dispatch(new FuseLane(exchange, TimeProvider.System), Request(FuseOpcode.Interrupt, 0, W64(Unique), unique: Unique | 1), new byte[64]);
            exchange.Vfs.LocksWait = wait;
        };
        Assert.Null(exchange.Raw(Request(FuseOpcode.SetLkW, 5, FuseDispatcherTests.LkIn(1, 0, 9, 0))));
        Assert.Equal(-FuseErrno.Interrupted, BinaryPrimitives.ReadInt32LittleEndian(Assert.Single(exchange.LateReplies).AsSpan(4)));
    }

    [Fact]
    public void WaitingLocksEndWithTheSession()
    {
        var exchange = new FuseExchange();
        exchange.Vfs.LocksWait = true;
        exchange.Raw(Request(FuseOpcode.SetLkW, 5, FuseDispatcherTests.LkIn(1, 0, 9, 0)));
        exchange.Dispatcher.Close();
        Assert.Contains("CancelLock 5 Posix", exchange.Vfs.Calls);
        Assert.Empty(exchange.LateReplies);
    }

    [Fact]
    public void OperationsAreCounted()
    {
        var exchange = new FuseExchange();
        exchange.Send(FuseOpcode.Lookup, 5, Z("a"));
        exchange.Vfs.Status = FsStatus.AccessDenied;
        exchange.Send(FuseOpcode.Lookup, 5, Z("a"));
        FuseOperationStatistics lookup = exchange.Statistics.Operations().Single(static operation => operation.Opcode == FuseOpcode.Lookup);
        Assert.Equal((2, 1, "LOOKUP"), (lookup.Count, lookup.Errors, lookup.Name));
        Assert.Equal(2, lookup.Buckets.Sum());
        FuseProgress progress = exchange.Statistics.Progress();
        Assert.Equal((3, 3, 0), (progress.Accepted, progress.Completed, progress.InFlight)); // with INIT
    }

    [Fact]
    public void AnOperationInProgressIsSeen()
    {
        var exchange = new FuseExchange();
        IReadOnlyList<FuseLiveOperation> seen = [];
        exchange.Vfs.WhileLocking = () => seen = exchange.Statistics.Live();
        exchange.Send(FuseOpcode.SetLk, 5, FuseDispatcherTests.LkIn(1, 0, 9, 0));
        FuseLiveOperation live = Assert.Single(seen);
        Assert.Equal((FuseOpcode.SetLk, new InodeId(5), 1000u, 77u), (live.Opcode, live.Inode, live.Uid, live.Pid));
        Assert.Empty(exchange.Statistics.Live());
    }

    [Fact]
    public void HotPathsAllocateNothing()
    {
        var vfs = new MemoryVfs();
        var statistics = new FuseStatistics();
        var dispatcher = new FuseDispatcher(
            vfs, new FuseDispatcherOptions { Session = 1 }, statistics, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        var lane = new FuseLane(new FuseExchange(), TimeProvider.System);
        byte[] reply = new byte[FuseProtocol.MaxReplyBytes];
        vfs.Create(Caller.System, InodeId.Root, "file"u8, new NewInode { Mode = 0x81A4 }, VfsOpenFlags.Write, out InodeRecord file, out _);
        ulong node = file.Inode.Value;
        dispatcher.Dispatch(lane, Request(FuseOpcode.Init, 0, [.. W32(7), .. W32(45), .. W32(0), .. W32(uint.MaxValue), .. W32(0), .. new byte[44]]), reply);
        byte[][] requests =
        [
            Request(FuseOpcode.Lookup, 1, Z("file")),
            Request(FuseOpcode.Lookup, 1, Z("missing")),
            Request(FuseOpcode.GetAttr, node, new byte[16]),
            Request(FuseOpcode.Write, node, FuseDispatcherTests.WriteIn(0, 0, 1, new string('x', 4096))),
            Request(FuseOpcode.Read, node, FuseDispatcherTests.ReadIn(0, 4096)),
            Request(FuseOpcode.StatX, node, new byte[24]),
            Request(FuseOpcode.Open, node, [.. W32(2), .. W32(0)]),
            Request(FuseOpcode.Release, node, [.. W64(3), .. new byte[16]]),
            Request(FuseOpcode.Flush, node, new byte[24]),
            Request(FuseOpcode.Forget, node, W64(1)),
        ];

        void Round()
        {
            foreach (byte[] request in requests)
                Assert.True(dispatcher.Dispatch(lane, request, reply) == 0 || BinaryPrimitives.ReadInt32LittleEndian(reply.AsSpan(4)) == 0);
        }

        for (int i = 0; i < 200; i++)
            Round();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10_000; i++)
            Round();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private sealed class Notifier : IFuseNotifier
    {
        public List<InodeId> Invalidated { get; } = [];

        public void InvalidateInode(InodeId inode) => Invalidated.Add(inode);
    }
}
