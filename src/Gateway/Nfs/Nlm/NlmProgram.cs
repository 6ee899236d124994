using Gateway.Nfs.Exports;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs.Nlm;

/// <summary>
/// The Network Lock Manager, version 4 (program 100021; X/Open XNFS appendix G): a front end to the one lock table of <see cref="IVfs"/>, which FUSE's fcntl
/// locks are in too. Each client is a session there; an owner is what the client calls one (svid and owner handle). Any thread; no call waits for a lock.
/// </summary>
/// <remarks>The asynchronous variants (_MSG, _RES) are not served: Linux, the BSDs and macOS use the calls with replies.</remarks>
internal sealed class NlmProgram(NfsContext context, NlmState state) : IRpcProgram
{
    public const uint ProgramNumber = 100021;

    private readonly IVfs _vfs = context.Vfs;

    public uint Program => ProgramNumber;

    public uint LowestVersion => 4;

    public uint HighestVersion => 4;

    public string Name => "nlm";

    public int Procedures => NlmProcedure.Count;

    public string ProcedureName(uint procedure) => NlmProcedure.NameOf(procedure);

    public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        context.Clients.Of(call.Connection);
        switch (call.Procedure)
        {
            case NlmProcedure.Test:
                return Test(call, ref arguments, ref results);
            case NlmProcedure.Lock or NlmProcedure.NonMonitoredLock:
                return Lock(call, ref arguments, ref results);
            case NlmProcedure.Cancel:
                return Cancel(call, ref arguments, ref results);
            case NlmProcedure.Unlock:
                return Unlock(call, ref arguments, ref results);
            case NlmProcedure.Share or NlmProcedure.Unshare:
                return Share(call, ref arguments, ref results);
            case NlmProcedure.FreeAll:
                return FreeAll(call, ref arguments);
            default:
                return RpcAcceptStatus.ProcedureUnavailable; // GRANTED comes to clients
        }
    }

    public void ConnectionClosed(IRpcConnection connection) => context.Clients.ConnectionClosed(connection);

    /// <summary>Every status has its answer, which a test checks.</summary>
    internal static NlmStatus StatusOf(FsStatus status) => status switch
    {
        FsStatus.Ok => NlmStatus.Granted,
        FsStatus.WouldBlock => NlmStatus.Denied,
        FsStatus.Deadlock => NlmStatus.Deadlock,
        FsStatus.ReadOnly => NlmStatus.ReadOnly,
        FsStatus.Stale or FsStatus.NotFound or FsStatus.BadHandle => NlmStatus.StaleHandle,
        FsStatus.TooLarge => NlmStatus.TooBig,
        FsStatus.NoSpace => NlmStatus.NoLocks,
        _ => NlmStatus.Failed,
    };

    /// <summary>TEST: cookie, exclusive, nlm4_lock. Answer: cookie, status; for DENIED the holder (exclusive, svid, owner handle, offset, length).</summary>
    private RpcAcceptStatus Test(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> cookie = arguments.Opaque(NlmLock.MaxStringBytes);
        bool isExclusive = arguments.Bool();
        NlmLock wanted = NlmLock.Read(ref arguments);
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        NlmStatus status = Resolve(call, wanted, isExclusive, out Asked asked);
        VfsLock conflict = default;
        if (status == NlmStatus.Granted && !state.Grace.IsOver)
            status = NlmStatus.GracePeriod;
        if (status == NlmStatus.Granted)
            status = StatusOf(_vfs.GetLock(asked.Inode, VfsLockSpace.Posix, asked.Lock, out conflict));
        if (status == NlmStatus.Granted && conflict.Kind != VfsLockKind.Unlock)
            status = NlmStatus.Denied;
        Answer(ref results, cookie, status);
        if (status != NlmStatus.Denied)
            return RpcAcceptStatus.Success;

        // The owner handle is the holder's own business; its number is what F_GETLK tells.
        results.Bool(conflict.Kind == VfsLockKind.Exclusive);
        results.U32(conflict.Pid);
        results.Opaque(default);
        results.U64(conflict.Start);
        results.U64(NlmLock.LengthOf(conflict));
        return RpcAcceptStatus.Success;
    }

    /// <summary>LOCK and NM_LOCK: cookie, block, exclusive, nlm4_lock, reclaim, NSM state. Answer: cookie, status.</summary>
    private RpcAcceptStatus Lock(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> cookie = arguments.Opaque(NlmLock.MaxStringBytes);
        bool isBlocking = arguments.Bool();
        int grantAt = arguments.Position;
        ReadOnlySpan<byte> rest = arguments.Rest;
        bool isExclusive = arguments.Bool();
        NlmLock wanted = NlmLock.Read(ref arguments);
        ReadOnlySpan<byte> grant = arguments.Malformed ? default : rest[..(arguments.Position - grantAt)];
        bool isReclaim = arguments.Bool();
        int nsmState = arguments.I32();
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        NlmStatus status = Resolve(call, wanted, isExclusive, out Asked asked);
        if (status == NlmStatus.Granted && isReclaim == state.Grace.IsOver)
            status = NlmStatus.GracePeriod;
        if (status == NlmStatus.Granted)
        {
            if (asked.Host.HasRebooted(nsmState))
                state.Hosts.Release(asked.Host);
            if (call.Procedure == NlmProcedure.Lock)
                state.Monitor(asked.Host, call.Connection.Local);
            status = isBlocking && !isReclaim
                ? state.Waits.Lock(new NlmGrant(asked.Host, new ClientAddress(call.Connection.Local.Address), asked.Inode, asked.Lock, grant.ToArray()))
                : StatusOf(_vfs.SetLock(asked.Inode, VfsLockSpace.Posix, asked.Lock, null, out _, isReclaim));
        }

        Answer(ref results, cookie, status);
        return RpcAcceptStatus.Success;
    }

    /// <summary>CANCEL: cookie, block, exclusive, nlm4_lock. Answer: cookie, status; DENIED where nothing waits any more.</summary>
    private RpcAcceptStatus Cancel(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> cookie = arguments.Opaque(NlmLock.MaxStringBytes);
        arguments.Bool();
        bool isExclusive = arguments.Bool();
        NlmLock wanted = NlmLock.Read(ref arguments);
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        NlmStatus status = Resolve(call, wanted, isExclusive, out Asked asked);
        if (status == NlmStatus.Granted)
            status = state.Waits.Cancel(asked.Inode, asked.Lock) ? NlmStatus.Granted : NlmStatus.Denied;
        Answer(ref results, cookie, status);
        return RpcAcceptStatus.Success;
    }

    /// <summary>UNLOCK: cookie, nlm4_lock. Answer: cookie, status.</summary>
    private RpcAcceptStatus Unlock(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> cookie = arguments.Opaque(NlmLock.MaxStringBytes);
        NlmLock wanted = NlmLock.Read(ref arguments);
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        NlmStatus status = Resolve(call, wanted, isExclusive: false, out Asked asked);
        if (status == NlmStatus.Granted)
        {
            VfsLock range = asked.Lock with { Kind = VfsLockKind.Unlock };
            state.Waits.CancelOverlapping(asked.Inode, range);
            status = StatusOf(_vfs.SetLock(asked.Inode, VfsLockSpace.Posix, range, null, out _));
        }

        Answer(ref results, cookie, status);
        return RpcAcceptStatus.Success;
    }

    /// <summary>SHARE and UNSHARE: cookie, caller name, file handle, owner handle, mode, access, reclaim. Answer: cookie, status, sequence.</summary>
    private RpcAcceptStatus Share(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        const uint maxMode = 3;
        ReadOnlySpan<byte> cookie = arguments.Opaque(NlmLock.MaxStringBytes);
        var share = new NlmLock
        {
            Caller = arguments.String(NlmLock.MaxStringBytes),
            Handle = arguments.Opaque(NlmLock.MaxStringBytes),
            Owner = arguments.Opaque(NlmLock.MaxStringBytes),
        };
        uint mode = arguments.Enum(maxMode);
        uint access = arguments.Enum(maxMode);
        bool isReclaim = arguments.Bool();
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        bool isShare = call.Procedure == NlmProcedure.Share;
        NlmStatus status = Resolve(call, share, isExclusive: (access & 2) != 0, out Asked asked);
        if (status == NlmStatus.Granted && isShare && isReclaim == state.Grace.IsOver)
            status = NlmStatus.GracePeriod;
        if (status == NlmStatus.Granted && isShare)
            status = state.Shares.Add(asked.Inode, asked.Host.Session, asked.OwnerHash, mode, access);
        else if (status == NlmStatus.Granted)
            state.Shares.Remove(asked.Inode, asked.Host.Session, asked.OwnerHash);
        Answer(ref results, cookie, status);
        results.U32(0);
        return RpcAcceptStatus.Success;
    }

    /// <summary>FREE_ALL: caller name, state. No answer but that: the client has rebooted and holds nothing.</summary>
    private RpcAcceptStatus FreeAll(in RpcCall call, ref XdrReader arguments)
    {
        ReadOnlySpan<byte> name = arguments.String(NlmLock.MaxStringBytes);
        arguments.I32();
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        state.ClientRebooted(name, call.Peer, isDatagram: false);
        return RpcAcceptStatus.Success;
    }

    private static void Answer(ref XdrWriter results, ReadOnlySpan<byte> cookie, NlmStatus status)
    {
        results.Opaque(cookie);
        results.U32((uint)status);
    }

    /// <summary>A lock in the terms of the lock table.</summary>
    private struct Asked
    {
        public NlmHost Host;
        public InodeId Inode;
        public VfsLock Lock;
        public UInt128 OwnerHash;
    }

    /// <summary>Finds the file and decides whether the caller may lock it: who may read or write it may.</summary>
    private NlmStatus Resolve(in RpcCall call, in NlmLock wanted, bool isExclusive, out Asked asked)
    {
        asked = default;
        Nfs3Status found = context.Resolve(call, wanted.Handle, out NfsFileHandle handle, out _, out ExportOptions options, out InodeRecord record);
        if (found != Nfs3Status.Ok)
            return found is Nfs3Status.Stale or Nfs3Status.BadHandle ? NlmStatus.StaleHandle : NlmStatus.Failed;
        if (record.Kind != InodeKind.File)
            return NlmStatus.Failed;

        Caller caller = NfsSquash.Apply(call, options, context.Groups);
        if (caller.Uid != record.Uid)
        {
            FsStatus status = _vfs.Access(caller, handle.Inode, VfsAccess.Read | VfsAccess.Write, out VfsAccess granted);
            if (status != FsStatus.Ok || granted == VfsAccess.None)
                return status == FsStatus.Ok ? NlmStatus.Failed : StatusOf(status);
        }

        if (!wanted.TryRange(out ulong start, out ulong end))
            return NlmStatus.TooBig;
        if (state.Hosts.Get(wanted.Caller, new ClientAddress(call.Peer.Address)) is not { } host)
            return NlmStatus.NoLocks;

        // Owners are told apart by a keyed hash of all that the client says of them: no table that could grow, and none that another could aim at.
        UInt128 hash = state.HashOwner(wanted.Owner, wanted.Svid);
        var owner = new VfsLockOwner(host.Session, (ulong)hash);
        asked = new Asked
        {
            Host = host,
            Inode = handle.Inode,
            Lock = new VfsLock(isExclusive ? VfsLockKind.Exclusive : VfsLockKind.Shared, start, end, owner, wanted.Svid),
            OwnerHash = hash,
        };
        return NlmStatus.Granted;
    }
}
