using Gateway.Vfs;
using StoreCore.Primitives;

namespace Gateway.Tests.Vfs;

public class LockTableTests
{
    private static readonly InodeId File = new(7);
    private static readonly VfsLockOwner A = new(1, 1), B = new(1, 2), C = new(2, 1);

    private readonly LockTable _table = new();

    private sealed class Waiter(bool waitsForOwners = true) : IVfsLockWaiter
    {
        public bool WaitsForOwners => waitsForOwners;

        public FsStatus? Status { get; private set; }

        public void Complete(FsStatus status)
        {
            Assert.Null(Status);
            Status = status;
        }
    }

    private static VfsLock Shared(VfsLockOwner owner, ulong start, ulong end) => new(VfsLockKind.Shared, start, end, owner, 1);

    private static VfsLock Exclusive(VfsLockOwner owner, ulong start, ulong end) => new(VfsLockKind.Exclusive, start, end, owner, 1);

    private static VfsLock Unlock(VfsLockOwner owner, ulong start, ulong end) => new(VfsLockKind.Unlock, start, end, owner, 1);

    private FsStatus Try(in VfsLock wanted, InodeId? inode = null) => _table.Set(inode ?? File, VfsLockSpace.Posix, wanted, null, out _);

    private Waiter Wait(in VfsLock wanted, InodeId? inode = null)
    {
        var waiter = new Waiter();
        Assert.Equal(FsStatus.Ok, _table.Set(inode ?? File, VfsLockSpace.Posix, wanted, waiter, out bool pending));
        Assert.True(pending);
        return waiter;
    }

    [Fact]
    public void Shared_locks_stand_side_by_side_and_an_exclusive_one_alone()
    {
        Assert.Equal(FsStatus.Ok, Try(Shared(A, 0, 9)));
        Assert.Equal(FsStatus.Ok, Try(Shared(B, 5, 14)));
        Assert.Equal(FsStatus.WouldBlock, Try(Exclusive(C, 9, 9)));
        Assert.Equal(FsStatus.Ok, Try(Exclusive(C, 15, 20)));
        Assert.Equal(FsStatus.WouldBlock, Try(Exclusive(A, 0, 9)));
    }

    [Fact]
    public void Unlocking_the_middle_splits_a_lock()
    {
        Try(Exclusive(A, 0, 99));
        Try(Unlock(A, 40, 59));
        Assert.Equal(FsStatus.Ok, Try(Exclusive(B, 40, 59)));
        Assert.Equal(FsStatus.WouldBlock, Try(Exclusive(B, 39, 39)));
        Assert.Equal(FsStatus.WouldBlock, Try(Exclusive(B, 60, 60)));
        Assert.Equal(3, _table.Count);
    }

    [Fact]
    public void Neighbours_of_one_kind_are_joined_and_the_end_of_file_does_not_wrap()
    {
        Try(Exclusive(A, 10, ulong.MaxValue));
        Try(Exclusive(A, 0, 9));
        Assert.Equal(1, _table.Count);
        Assert.True(_table.FindConflict(File, VfsLockSpace.Posix, Shared(B, 5, 5), out VfsLock conflict));
        Assert.Equal((0UL, ulong.MaxValue), (conflict.Start, conflict.End));
    }

    [Fact]
    public void An_owner_changes_the_kind_of_a_part()
    {
        Try(Exclusive(A, 0, 99));
        Try(Shared(A, 0, 49));
        Assert.Equal(FsStatus.Ok, Try(Shared(B, 0, 49)));
        Assert.Equal(FsStatus.WouldBlock, Try(Shared(B, 50, 50)));
    }

    [Fact]
    public void Waiters_are_granted_in_order_and_only_when_free()
    {
        Try(Exclusive(A, 0, 9));
        Waiter first = Wait(Exclusive(B, 0, 4)), second = Wait(Shared(C, 4, 9));
        Try(Unlock(A, 5, 9));
        Assert.Null(first.Status);
        Assert.Null(second.Status);
        Try(Unlock(A, 0, 4));
        Assert.Equal(FsStatus.Ok, first.Status);
        Assert.Null(second.Status);
        Try(Unlock(B, 0, 4));
        Assert.Equal(FsStatus.Ok, second.Status);
    }

    [Fact]
    public void A_cancelled_waiter_is_not_completed()
    {
        Try(Exclusive(A, 0, 9));
        Waiter waiter = Wait(Exclusive(B, 0, 9));
        Assert.True(_table.Cancel(File, VfsLockSpace.Posix, waiter));
        Assert.False(_table.Cancel(File, VfsLockSpace.Posix, waiter));
        Try(Unlock(A, 0, 9));
        Assert.Null(waiter.Status);
        Assert.Equal(0, _table.Count);
    }

    [Fact]
    public void A_circle_over_two_files_is_refused()
    {
        InodeId other = new(8);
        Try(Exclusive(A, 0, 0));
        Try(Exclusive(B, 0, 0), other);
        Wait(Exclusive(A, 0, 0), other);
        Assert.Equal(FsStatus.Deadlock, _table.Set(File, VfsLockSpace.Posix, Exclusive(B, 0, 0), new Waiter(), out bool pending));
        Assert.False(pending);
    }

    [Fact]
    public void Flock_and_posix_locks_do_not_see_each_other()
    {
        Try(Exclusive(A, 0, ulong.MaxValue));
        Assert.Equal(FsStatus.Ok, _table.Set(File, VfsLockSpace.Flock, Exclusive(B, 0, ulong.MaxValue), null, out _));
    }

    [Fact]
    public void A_session_that_is_gone_frees_its_locks_and_wakes_others()
    {
        Try(Exclusive(A, 0, 9));
        Waiter ofSameSession = Wait(Exclusive(B, 0, 9)), ofOther = Wait(Exclusive(C, 0, 9));
        _table.ReleaseSession(1);
        Assert.Null(ofSameSession.Status);
        Assert.Equal(FsStatus.Ok, ofOther.Status);
    }

    [Fact]
    public void In_a_grace_period_only_reclaimed_locks_are_given_and_the_others_are_served_in_order_afterwards()
    {
        FsStatus Hold(in VfsLock wanted, Waiter waiter)
        {
            FsStatus status = _table.Set(File, VfsLockSpace.Posix, wanted, waiter, out bool pending);
            Assert.True(pending);
            return status;
        }

        Try(Exclusive(A, 90, 99));
        _table.BeginGrace();
        Waiter first = new(), second = new(waitsForOwners: false), third = new(), reclaimed = new(waitsForOwners: false), gone = new(), cancelled = new();
        Assert.Equal(FsStatus.Ok, Hold(Exclusive(A, 0, 9), first));
        Assert.Equal(FsStatus.Ok, Hold(Exclusive(B, 5, 9), second)); // stands behind the first
        Assert.Equal(FsStatus.Ok, Hold(Exclusive(B, 9, 9), third));
        Assert.Equal(FsStatus.Ok, Hold(Exclusive(A, 40, 40), reclaimed));
        Assert.Equal(FsStatus.Ok, Hold(Exclusive(C, 60, 60), gone));
        Assert.Equal(FsStatus.Ok, Hold(Exclusive(B, 70, 70), cancelled));
        Assert.Equal(FsStatus.WouldBlock, Try(Exclusive(B, 20, 29)));
        Assert.Equal(FsStatus.Ok, Try(Unlock(A, 90, 99)));
        Assert.Equal(FsStatus.Ok, _table.Set(File, VfsLockSpace.Flock, Exclusive(B, 0, ulong.MaxValue), null, out _));
        var old = new VfsLockOwner(3, 1);
        Assert.Equal(FsStatus.Ok, _table.Set(File, VfsLockSpace.Posix, Exclusive(old, 40, 49), null, out _, isReclaim: true));
        Assert.Equal(FsStatus.WouldBlock, _table.Set(File, VfsLockSpace.Posix, Exclusive(B, 40, 49), null, out _, isReclaim: true));
        _table.ReleaseSession(C.Session);
        Assert.True(_table.Cancel(File, VfsLockSpace.Posix, cancelled));
        Assert.Equal(2, _table.Count);

        _table.EndGrace();
        Assert.Equal((FsStatus.Ok, FsStatus.WouldBlock, null, FsStatus.WouldBlock), (first.Status, second.Status, third.Status, reclaimed.Status));
        Assert.Equal((null, null), (gone.Status, cancelled.Status));
        Assert.Equal(FsStatus.Ok, Try(Exclusive(B, 60, 70)));
        Try(Unlock(A, 0, 9));
        Assert.Equal(FsStatus.Ok, third.Status);
        _table.EndGrace();
        Assert.Equal(FsStatus.Ok, Try(Exclusive(C, 20, 29)));
    }

    /// <summary>Random locks and unlocks against one cell per byte: the table must answer as the cells do.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Agrees_with_a_table_of_bytes(int seed)
    {
        var random = new Random(seed);
        VfsLockOwner[] owners = [A, B, C];
        var cells = new VfsLockKind[owners.Length, 32];
        for (int step = 0; step < 20_000; step++)
        {
            int owner = random.Next(owners.Length);
            int start = random.Next(32), end = random.Next(start, 32);
            var kind = (VfsLockKind)random.Next(3);
            bool free = true;
            for (int other = 0; other < owners.Length; other++)
            {
                for (int at = start; at <= end && other != owner && kind != VfsLockKind.Unlock; at++)
                    free &= cells[other, at] == VfsLockKind.Unlock || (kind == VfsLockKind.Shared && cells[other, at] == VfsLockKind.Shared);
            }

            FsStatus status = Try(new VfsLock(kind, (ulong)start, (ulong)end, owners[owner], 1));
            Assert.Equal(free ? FsStatus.Ok : FsStatus.WouldBlock, status);
            for (int at = start; free && at <= end; at++)
                cells[owner, at] = kind;
        }
    }
}
