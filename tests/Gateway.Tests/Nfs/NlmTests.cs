using System.Net;
using Gateway.Nfs.Exports;
using Gateway.Nfs.Nlm;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>Locks of NFS clients, by bytes, over the lock table that FUSE uses too.</summary>
public sealed class NlmTests : IDisposable
{
    private readonly NfsExchange _nfs = new();
    private readonly InodeRecord _file;

    public NlmTests() => _file = _nfs.Fixture!.Make("f");

    public void Dispose() => _nfs.Dispose();

    [Fact]
    public void Every_status_has_its_answer()
    {
        foreach (FsStatus status in Enum.GetValues<FsStatus>())
            Assert.Equal(status == FsStatus.Ok, NlmProgram.StatusOf(status) == NlmStatus.Granted);
    }

    [Fact]
    public void Locks_of_two_clients_exclude_each_other_and_test_names_the_holder()
    {
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 0, 100, exclusive: true));
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 50, 100, exclusive: true)); // its own
        Assert.Equal(NlmStatus.Denied, Lock("b", 1, 99, 1, exclusive: false));
        Assert.Equal(NlmStatus.Granted, Lock("b", 1, 150, 0, exclusive: true));

        XdrView view = Call(NlmProcedure.Test, new Xdr().Text("cookie").U32(1).Raw(LockOf("b", 7, 10, 5)));
        Assert.Equal(("cookie", NlmStatus.Denied), (view.Text(), (NlmStatus)view.U32()));
        Assert.Equal((true, 1u, "", 0ul, 150ul), (view.Bool(), view.U32(), view.Text(), view.U64(), view.U64()));
        view.End();
        view = Call(NlmProcedure.Test, new Xdr().Text("").U32(0).Raw(LockOf("a", 1, 200, 5)));
        Assert.Equal(("", NlmStatus.Denied), (view.Text(), (NlmStatus)view.U32()));
        Assert.Equal((true, 1u, "", 150ul, 0ul), (view.Bool(), view.U32(), view.Text(), view.U64(), view.U64()));
        view.End();

        Assert.Equal(NlmStatus.Granted, Unlock("a", 1, 0, 0));
        view = Call(NlmProcedure.Test, new Xdr().Text("").U32(1).Raw(LockOf("c", 7, 10, 5)));
        Assert.Equal(("", NlmStatus.Granted), (view.Text(), (NlmStatus)view.U32()));
        view.End();
    }

    [Fact]
    public void Owners_are_told_apart_by_number_and_handle_and_client()
    {
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 0, 1, exclusive: true));
        Assert.Equal(NlmStatus.Denied, Lock("a", 2, 0, 1, exclusive: true));
        Assert.Equal(NlmStatus.Denied, Lock("a", 1, 0, 1, exclusive: true, owner: "other"));
        From("192.0.2.8", 900);
        Assert.Equal(NlmStatus.Denied, Lock("a", 1, 0, 1, exclusive: true));
        Assert.Equal(NlmStatus.Granted, Unlock("a", 1, 0, 1)); // its own, which is none
        Assert.Equal(NlmStatus.Denied, Lock("a", 1, 0, 1, exclusive: true));
    }

    [Fact]
    public void Locks_of_mounts_count_as_well()
    {
        var mine = new VfsLock(VfsLockKind.Exclusive, 0, ulong.MaxValue, new VfsLockOwner(3, 99), 4711);
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.SetLock(_file.Inode, VfsLockSpace.Posix, mine, null, out _));
        Assert.Equal(NlmStatus.Denied, Lock("a", 1, 5, 1, exclusive: false));
        Assert.Equal(NlmStatus.Blocked, Lock("a", 1, 5, 1, exclusive: false, block: true));
        _nfs.Vfs.ReleaseSession(3);
        _nfs.Callbacks.WaitFor(1);
        Assert.Equal(FsStatus.WouldBlock, _nfs.Vfs.SetLock(_file.Inode, VfsLockSpace.Posix, mine, null, out _));
    }

    [Fact]
    public void A_client_that_waits_is_called_when_it_has_the_lock()
    {
        Lock("a", 1, 0, 10, exclusive: true);
        From("192.0.2.8", 900);
        Assert.Equal(NlmStatus.Blocked, Lock("b", 5, 3, 4, exclusive: true, block: true));
        Assert.Equal(NlmStatus.Blocked, Lock("b", 5, 3, 4, exclusive: true, block: true)); // asks again
        Assert.Equal(1, _nfs.Locks.Waits.Count);
        From("192.0.2.7", 900);
        Unlock("a", 1, 0, 10);
        _nfs.Callbacks.WaitFor(1);
        (ClientAddress client, string arguments) = Assert.Single(_nfs.Callbacks.Grants);
        Assert.Equal("192.0.2.8", client.ToString());
        Assert.Equal(Convert.ToHexString([0, 0, 0, 1, .. LockOf("b", 5, 3, 4)]), arguments);
        Assert.Equal(NlmStatus.Denied, Lock("a", 1, 5, 1, exclusive: false));
        Assert.Equal(0, _nfs.Locks.Waits.Count);
        From("192.0.2.8", 900);
        Assert.Equal(NlmStatus.Granted, Lock("b", 5, 3, 4, exclusive: true, block: true)); // the call was lost: it asks again
        Assert.True(SpinWait.SpinUntil(() => _nfs.Locks.GrantsPending == 0, 20_000));
    }

    [Fact]
    public void A_client_that_does_not_want_the_lock_any_more_does_not_keep_it()
    {
        _nfs.Callbacks.Answer = static () => NlmGrantAnswer.Refused;
        Lock("a", 1, 0, 10, exclusive: true);
        Lock("b", 5, 3, 4, exclusive: true, block: true);
        Unlock("a", 1, 0, 10);
        _nfs.Callbacks.WaitFor(1);
        Assert.True(SpinWait.SpinUntil(() => Lock("a", 1, 0, 10, exclusive: true) == NlmStatus.Granted, 20_000));
    }

    [Fact]
    public void A_client_that_is_not_reached_is_called_again_and_keeps_the_lock()
    {
        int calls = 0;
        _nfs.Callbacks.Answer = () => Interlocked.Increment(ref calls) == 1 ? NlmGrantAnswer.Unreached : NlmGrantAnswer.Accepted;
        Lock("a", 1, 0, 10, exclusive: true);
        Lock("b", 5, 3, 4, exclusive: true, block: true);
        Unlock("a", 1, 0, 10);
        _nfs.Callbacks.WaitFor(1);
        Assert.Equal(NlmStatus.Denied, Lock("a", 1, 0, 10, exclusive: true));
        _nfs.Callbacks.WaitFor(2);
    }

    [Fact]
    public void A_wait_is_cancelled_and_an_unlock_takes_back_waits_too()
    {
        Lock("a", 1, 0, 10, exclusive: true);
        Lock("b", 5, 3, 4, exclusive: true, block: true);
        Assert.Equal(NlmStatus.Granted, Cancel("b", 5, 3, 4));
        Assert.Equal(NlmStatus.Denied, Cancel("b", 5, 3, 4));
        Lock("b", 5, 3, 4, exclusive: true, block: true);
        Assert.Equal(NlmStatus.Granted, Unlock("b", 5, 0, 0));
        Assert.Equal(0, _nfs.Locks.Waits.Count);
        Unlock("a", 1, 0, 10);
        Assert.Equal(NlmStatus.Granted, Lock("c", 1, 0, 10, exclusive: true));
        Assert.Empty(_nfs.Callbacks.Grants);
    }

    [Fact]
    public void A_circle_of_waiters_is_refused()
    {
        Lock("a", 1, 0, 1, exclusive: true);
        Lock("b", 1, 1, 1, exclusive: true);
        Assert.Equal(NlmStatus.Blocked, Lock("a", 1, 1, 1, exclusive: true, block: true));
        Assert.Equal(NlmStatus.Deadlock, Lock("b", 1, 0, 1, exclusive: true, block: true));
    }

    [Theory]
    [InlineData(0ul, 0ul, false)]
    [InlineData(0x7FFFFFFFFFFFFFFFul, 1ul, false)]
    [InlineData(5ul, ulong.MaxValue, false)]
    [InlineData(0x8000000000000000ul, 1ul, true)]
    [InlineData(ulong.MaxValue, ulong.MaxValue, true)]
    public void Ranges_at_their_ends(ulong offset, ulong length, bool isTooBig)
    {
        Assert.Equal(isTooBig ? NlmStatus.TooBig : NlmStatus.Granted, Lock("a", 1, offset, length, exclusive: true));
        if (!isTooBig)
            Assert.Equal(NlmStatus.Denied, Lock("b", 1, 0x7FFFFFFFFFFFFFFF, 0, exclusive: true));
    }

    [Fact]
    public void A_rebooted_client_loses_its_locks_and_waits_and_only_its_own()
    {
        _nfs.Exports("/ *(rw,insecure)");
        Lock("a", 1, 0, 1, exclusive: true, state: 3);
        Lock("b", 1, 1, 1, exclusive: true, state: 9);
        Lock("a", 1, 1, 1, exclusive: true, block: true, state: 3);
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 7, 1, exclusive: true, state: 5));
        Assert.Equal(NlmStatus.Granted, Lock("c", 1, 0, 1, exclusive: true));
        Assert.Equal(0, _nfs.Locks.Waits.Count);
        Assert.Equal(NlmStatus.Denied, Lock("c", 1, 1, 1, exclusive: true));

        // Another address is not believed, unless it comes from a port that only root has there.
        From("192.0.2.99", 5000);
        Call(NlmProcedure.FreeAll, new Xdr().Text("b").U32(11)).End();
        Assert.Equal(NlmStatus.Denied, Lock("c", 1, 1, 1, exclusive: true));
        From("192.0.2.99", 1000);
        _nfs.Success(_nfs.Message(100024, 1, 6, new Xdr().Text("b").U32(11).Bytes)).End();
        Assert.Equal(NlmStatus.Granted, Lock("c", 1, 1, 1, exclusive: true));
        From("192.0.2.7", 5000);
        Call(NlmProcedure.FreeAll, new Xdr().Text("c").U32(11)).End();
        From("192.0.2.8", 900);
        Assert.Equal(NlmStatus.Granted, Lock("d", 1, 0, 1, exclusive: true));
        _nfs.Locks.Evict(new ClientAddress(RpcPeer.From(IPAddress.Parse("192.0.2.8"), 1).Address));
        Assert.Equal(NlmStatus.Granted, Lock("e", 1, 0, 1, exclusive: true));
    }

    [Fact]
    public void Files_that_cannot_be_locked()
    {
        Assert.Equal(NlmStatus.StaleHandle, Lock("a", 1, 0, 1, exclusive: true, handle: new byte[48]));
        Assert.Equal(NlmStatus.Failed, Lock("a", 1, 0, 1, exclusive: true, handle: _nfs.Root));
        _nfs.Uid = 1000;
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 0, 1, exclusive: true)); // it may read
        _nfs.Vfs.SetAttributes(Caller.System, _file.Inode, new AttributeChange { Mask = AttributeMask.Mode, Mode = 0x180 }, out _);
        Assert.Equal(NlmStatus.Failed, Lock("a", 1, 0, 1, exclusive: true));
        _nfs.Exports("/ 198.51.100.1(rw)");
        Assert.Equal(NlmStatus.Failed, Lock("a", 1, 0, 1, exclusive: true));
    }

    [Fact]
    public void After_a_restart_clients_are_told_and_only_old_locks_are_given()
    {
        var address = new ClientAddress(_nfs.Connection.Peer.Address);
        _nfs.Peers = new RememberedPeers(new NsmPeer("a", address, address));
        _nfs.Start();
        Assert.Equal(NlmStatus.GracePeriod, Lock("b", 1, 0, 1, exclusive: true));
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 0, 1, exclusive: true, reclaim: true));
        Assert.True(SpinWait.SpinUntil(() => _nfs.Callbacks.Restarts.Count == 1, 20_000));
        Assert.Equal((address, address, 5), _nfs.Callbacks.Restarts[0]);

        XdrView test = Call(NlmProcedure.Test, new Xdr().Text("k").U32(1).Raw(LockOf("b", 7, 10, 5)));
        Assert.Equal(("k", NlmStatus.GracePeriod), (test.Text(), (NlmStatus)test.U32()));

        _nfs.Peers = new ForgetfulNsmPeers();
        _nfs.Start();
        Assert.Equal(NlmStatus.GracePeriod, Lock("a", 1, 5, 1, exclusive: true, reclaim: true));
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 5, 1, exclusive: true));
    }

    [Fact]
    public void After_a_restart_programs_on_a_mount_wait_until_no_client_can_ask_for_old_locks_any_more()
    {
        var address = new ClientAddress(_nfs.Connection.Peer.Address);
        var peers = new RememberedPeers(new NsmPeer("a", address, address), new NsmPeer("b", address, address), new NsmPeer("c", new ClientAddress(1), address));
        _nfs.Peers = peers;
        _nfs.Start();
        var local = new LocalWaiter();
        VfsLock LocalLock(ulong start, ulong end) => new(VfsLockKind.Exclusive, start, end, new VfsLockOwner(3, 99), 4711);
        Assert.Equal(FsStatus.Ok, _nfs.Vfs.SetLock(_file.Inode, VfsLockSpace.Posix, LocalLock(0, 9), local, out bool pending));
        Assert.True(pending);
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 0, 1, exclusive: true, reclaim: true));

        // Of the three clients one has rebooted, which its status monitor says; a datagram is no proof of being another.
        _nfs.Connection = new FakeConnection(_nfs.Connection.Peer, isDatagram: true);
        _nfs.Success(_nfs.Message(100024, 1, 6, new Xdr().Text("c").U32(11).Bytes)).End();
        _nfs.Success(_nfs.Message(100024, 1, 6, new Xdr().Text("b").U32(11).Bytes)).End();
        Assert.Equal("b", Assert.Single(peers.Removed).Name);
        Assert.False(_nfs.Locks.Grace.IsOver);

        // Of another an administrator knows that it will not come back.
        _nfs.Locks.Evict(new ClientAddress(1));
        Assert.False(_nfs.Locks.Grace.IsOver);
        Assert.Null(local.Status);
        _nfs.Connection = new FakeConnection(_nfs.Connection.Peer);
        Call(NlmProcedure.FreeAll, new Xdr().Text("a").U32(3)).End();
        Assert.True(_nfs.Locks.Grace.IsOver);
        Assert.Equal(FsStatus.Ok, local.Status);
        Assert.Equal(["b", "c", "a"], peers.Removed.Select(static peer => peer.Name).Distinct());
        Assert.Equal(NlmStatus.Denied, Lock("a", 1, 0, 1, exclusive: true));
    }

    [Fact]
    public void Who_does_not_ask_for_its_locks_in_time_has_lost_them()
    {
        var address = new ClientAddress(_nfs.Connection.Peer.Address);
        var peers = new RememberedPeers(new NsmPeer("a", address, new ClientAddress(_nfs.Connection.Local.Address)), new NsmPeer("b", address, address));
        _nfs.Peers = peers;
        _nfs.Clock = new ManualClock();
        _nfs.Start();
        var local = new LocalWaiter();
        var wanted = new VfsLock(VfsLockKind.Exclusive, 0, 9, new VfsLockOwner(3, 99), 4711);
        _nfs.Vfs.SetLock(_file.Inode, VfsLockSpace.Posix, wanted, local, out _);
        Assert.Equal(NlmStatus.Granted, Lock("a", 1, 0, 1, exclusive: true, reclaim: true));
        ((ManualClock)_nfs.Clock).Fire();
        Assert.True(_nfs.Locks.Grace.IsOver);
        Assert.Equal(FsStatus.WouldBlock, local.Status);
        Assert.Equal("b", Assert.Single(peers.Removed).Name);
        Assert.Equal(NlmStatus.GracePeriod, Lock("b", 1, 20, 1, exclusive: true, reclaim: true));
    }

    /// <summary>F_SETLK of a local program.</summary>
    private sealed class LocalWaiter : IVfsLockWaiter
    {
        public FsStatus? Status { get; private set; }

        public bool WaitsForOwners => false;

        public void Complete(FsStatus status) => Status = status;
    }

    /// <summary>Its timers fire when they are told.</summary>
    private sealed class ManualClock : TimeProvider
    {
        private readonly List<Action> _timers = [];

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime != Timeout.InfiniteTimeSpan)
                _timers.Add(() => callback(state));
            return base.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        public void Fire() => _timers.ForEach(static timer => timer());
    }

    [Fact]
    public void Shares_deny_what_others_want()
    {
        NlmStatus Share(string client, uint mode, uint access, uint procedure = NlmProcedure.Share)
        {
            XdrView view = Call(procedure, new Xdr().Text("k").Text(client).Opaque(_nfs.Handle(_file)).Text("o").U32(mode).U32(access).U32(0));
            Assert.Equal("k", view.Text());
            var status = (NlmStatus)view.U32();
            Assert.Equal(0u, view.U32());
            view.End();
            return status;
        }

        Assert.Equal(NlmStatus.Granted, Share("a", mode: 2, access: 1));
        Assert.Equal(NlmStatus.Granted, Share("b", mode: 0, access: 1));
        Assert.Equal(NlmStatus.Denied, Share("c", mode: 0, access: 2));
        Assert.Equal(NlmStatus.Denied, Share("c", mode: 1, access: 1));
        Assert.Equal(NlmStatus.Granted, Share("a", 0, 0, NlmProcedure.Unshare));
        Assert.Equal(NlmStatus.Granted, Share("c", mode: 0, access: 2));
        Call(NlmProcedure.FreeAll, new Xdr().Text("c").U32(1)).End();
        Assert.Equal(NlmStatus.Granted, Share("d", mode: 2, access: 1));
    }

    [Fact]
    public void Garbage_and_procedures_that_are_not_served()
    {
        byte[] whole = new Xdr().Text("k").U32(0).U32(1).Raw(LockOf("a", 1, 0, 1)).U32(0).U32(1).Bytes;
        for (int length = 0; length < whole.Length; length += 4)
            Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100021, 4, NlmProcedure.Lock, whole[..length])));
        Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100021, 4, NlmProcedure.Lock, [.. whole, 0, 0, 0, 0])));
        foreach (uint procedure in new uint[] { NlmProcedure.Granted, 6, 10, 15, 16, 19, 24 })
            Assert.Equal(3u, _nfs.AcceptStatus(_nfs.Message(100021, 4, procedure, whole)));
        Assert.Equal(2u, _nfs.AcceptStatus(_nfs.Message(100021, 3, NlmProcedure.Lock, whole)));
        XdrView view = _nfs.Success(_nfs.Message(100024, 1, 1, new Xdr().Text("x").Bytes));
        Assert.Equal((1u, 1u), (view.U32(), view.U32()));
        Assert.Equal(4u, _nfs.AcceptStatus(_nfs.Message(100024, 1, 6, [])));
    }

    private void From(string address, int port) => _nfs.Connection = new FakeConnection(RpcPeer.From(IPAddress.Parse(address), port));

    private byte[] LockOf(string client, uint svid, ulong offset, ulong length, string owner = "owner", byte[]? handle = null) =>
        new Xdr().Text(client).Opaque(handle ?? _nfs.Handle(_file)).Text(owner).U32(svid).U64(offset).U64(length).Bytes;

    private NlmStatus Lock(
        string client, uint svid, ulong offset, ulong length, bool exclusive, bool block = false, string owner = "owner", byte[]? handle = null,
        uint state = 0, bool reclaim = false) =>
        Status(NlmProcedure.Lock, new Xdr().Text("k").U32(block ? 1u : 0).U32(exclusive ? 1u : 0).Raw(LockOf(client, svid, offset, length, owner, handle)).U32(reclaim ? 1u : 0).U32(state));

    private NlmStatus Unlock(string client, uint svid, ulong offset, ulong length) =>
        Status(NlmProcedure.Unlock, new Xdr().Text("k").Raw(LockOf(client, svid, offset, length)));

    private NlmStatus Cancel(string client, uint svid, ulong offset, ulong length) =>
        Status(NlmProcedure.Cancel, new Xdr().Text("k").U32(1).U32(1).Raw(LockOf(client, svid, offset, length)));

    private NlmStatus Status(uint procedure, Xdr arguments)
    {
        XdrView view = Call(procedure, arguments);
        Assert.Equal("k", view.Text());
        var status = (NlmStatus)view.U32();
        view.End();
        return status;
    }

    private XdrView Call(uint procedure, Xdr arguments) => _nfs.Success(_nfs.Message(100021, 4, procedure, arguments.Bytes));

    private sealed class RememberedPeers(params NsmPeer[] peers) : INsmPeers
    {
        public IReadOnlyList<NsmPeer> Earlier => peers;

        public int State => 5;

        public void Add(NsmPeer peer)
        {
        }

        public List<NsmPeer> Removed { get; } = [];

        public void Remove(NsmPeer peer) => Removed.Add(peer);
    }
}
