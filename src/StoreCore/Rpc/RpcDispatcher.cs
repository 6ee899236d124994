using System.Buffers.Binary;

namespace StoreCore.Rpc;

/// <summary>What is to be done after <see cref="RpcDispatcher.Dispatch"/>.</summary>
public enum RpcOutcome
{
    /// <summary>The reply is to be sent.</summary>
    Reply,

    /// <summary>The reply is to be sent once <see cref="RpcDispatcher.Settle"/> has said so.</summary>
    ReplyOnceStable,

    /// <summary>There is no reply.</summary>
    None,

    /// <summary>These bytes are no call that anybody could answer: the peer does not speak RPC, the connection is of no use.</summary>
    Hopeless,
}

/// <summary>
/// The server's side of RFC 5531 as a pure function: the bytes of one record in, the bytes of its reply out; no socket, no thread. No bytes
/// make it throw, and every call it can read is answered exactly as §9 says; a defect of a program is reported to <see cref="IRpcEvents"/>, counted and answered with
/// SYSTEM_ERR. Any number of threads at once, each with a lane of its own. Allocates nothing per call.
/// </summary>
public sealed class RpcDispatcher
{
    /// <summary>Slots of counters per program, one per procedure.</summary>
    internal const int SlotsPerProgram = 64;

    /// <summary>Least room for a reply: any error, with the longest verifier.</summary>
    public const int MinReplyBytes = RpcProtocol.AcceptedHeadBytes + RpcProtocol.MaxAuthBytes + 8;

    private readonly IRpcProgram[] _programs;
    private readonly IRpcAuthenticator[] _authenticators;
    private readonly IRpcEvents _events;
    private readonly TimeProvider _clock;

    /// <param name="authenticators">Beside those of AUTH_NONE and AUTH_SYS.</param>
    /// <exception cref="ArgumentException">Two programs serve the same version, or a table of procedures is too large.</exception>
    public RpcDispatcher(
        IEnumerable<IRpcProgram> programs, IRpcEvents events, TimeProvider clock, params IEnumerable<IRpcAuthenticator> authenticators)
    {
        _programs = [.. programs];
        _authenticators = [new NoneAuthenticator(), new SysAuthenticator(), .. authenticators];
        _events = events;
        _clock = clock;
        Statistics = new RpcStatistics(this);
        for (int i = 0; i < _programs.Length; i++)
        {
            IRpcProgram one = _programs[i];
            if (one.Procedures is < 1 or > SlotsPerProgram || one.LowestVersion > one.HighestVersion)
                throw new ArgumentException($"{one.Name} has {one.Procedures} procedures and versions {one.LowestVersion} to {one.HighestVersion}");
            foreach (IRpcProgram other in _programs.AsSpan(0, i))
            {
                if (one.Program == other.Program && one.LowestVersion <= other.HighestVersion && other.LowestVersion <= one.HighestVersion)
                    throw new ArgumentException($"{one.Name} and {other.Name} serve the same version of program {one.Program}");
            }
        }
    }

    public IReadOnlyList<IRpcProgram> Programs => _programs;

    /// <summary>What all lanes have counted.</summary>
    public RpcStatistics Statistics { get; }

    internal int Slots => _programs.Length * SlotsPerProgram;

    /// <summary>A lane for one more thread; it stays in the statistics for good.</summary>
    public RpcLane NewLane()
    {
        var lane = new RpcLane(this, _clock);
        Statistics.Add(lane);
        return lane;
    }

    /// <summary>Handles one record to its end: what its reply says is so when this returns.</summary>
    /// <param name="record">A whole message, without record marks.</param>
    /// <param name="reply">At least <see cref="MinReplyBytes"/>; must have room for the largest reply of any program.</param>
    /// <param name="length">Bytes of the reply; 0 unless there is one.</param>
    /// <returns>Never <see cref="RpcOutcome.ReplyOnceStable"/>.</returns>
    public RpcOutcome Dispatch(RpcLane lane, IRpcConnection connection, ReadOnlySpan<byte> record, Span<byte> reply, out int length)
    {
        RpcOutcome outcome = DispatchUnsettled(lane, connection, record, reply, out length);
        if (outcome != RpcOutcome.ReplyOnceStable)
            return outcome;
        if (Settle(lane))
            return RpcOutcome.Reply;
        length = 0;
        return RpcOutcome.None;
    }

    /// <summary>
    /// Handles one record; where its reply promises that something is stable, that is still to be seen to, for several records at once:
    /// <see cref="Settle"/> before any of their replies goes, and after at most <see cref="RpcLane.MaxUnsettled"/> of them.
    /// </summary>
    internal RpcOutcome DispatchUnsettled(RpcLane lane, IRpcConnection connection, ReadOnlySpan<byte> record, Span<byte> reply, out int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(reply.Length, MinReplyBytes);
        lane.BeginRecord();
        var call = new XdrReader(record);
        var results = new XdrWriter(reply);
        RpcOutcome outcome = Answer(lane, connection, record, ref call, ref results);
        length = outcome is RpcOutcome.Reply or RpcOutcome.ReplyOnceStable ? results.Position : 0;
        if (outcome != RpcOutcome.ReplyOnceStable)
            lane.EndRecord();
        return outcome;
    }

    /// <summary>Has the programs make stable what the lane's unsettled calls have done.</summary>
    /// <returns>False: their replies must not go.</returns>
    internal bool Settle(RpcLane lane)
    {
        (IRpcProgram program, IRpcConnection connection, int calls) = lane.BeginSettling();
        bool isStable = false;
        try
        {
            isStable = program.Settle(connection, calls);
        }
        catch (Exception fault)
        {
            lane.CountFault(RpcFault.Defect);
            _events.Defect(program, program.HighestVersion, RpcProtocol.NullProcedure, fault);
        }

        lane.EndSettling(failed: !isStable);
        return isStable;
    }

    /// <summary>
    /// Which counter a record's call belongs to, without handling it: what the server expects of its duration hangs on that. -1 where no program would
    /// be called.
    /// </summary>
    internal int SlotOf(ReadOnlySpan<byte> record)
    {
        const int HeadBytes = 24;
        if (record.Length < HeadBytes)
            return -1;

        IRpcProgram? found = Find(
            BinaryPrimitives.ReadUInt32BigEndian(record[12..]), BinaryPrimitives.ReadUInt32BigEndian(record[16..]), isDatagram: false, out int index, out _, out _);
        uint procedure = BinaryPrimitives.ReadUInt32BigEndian(record[20..]);
        return found is not null && procedure < (uint)found.Procedures ? index * SlotsPerProgram + (int)procedure : -1;
    }

    internal (IRpcProgram Program, uint Procedure) OfSlot(int slot) => (_programs[slot / SlotsPerProgram], (uint)(slot % SlotsPerProgram));

    /// <summary>Tells every program that a connection has ended.</summary>
    internal void ConnectionClosed(IRpcConnection connection)
    {
        foreach (IRpcProgram program in _programs)
        {
            try
            {
                program.ConnectionClosed(connection);
            }
            catch (Exception fault)
            {
                _events.Defect(program, program.HighestVersion, RpcProtocol.NullProcedure, fault);
            }
        }
    }

    // call_body: xid, CALL, rpcvers, prog, vers, proc, cred, verf, arguments.
    private RpcOutcome Answer(
        RpcLane lane, IRpcConnection connection, ReadOnlySpan<byte> record, ref XdrReader call, ref XdrWriter results)
    {
        uint xid = call.U32();
        uint type = call.U32();
        if (!call.Malformed && type == RpcProtocol.Reply)
        {
            lane.CountFault(RpcFault.StrayReply);
            return RpcOutcome.None;
        }

        uint rpcVersion = call.U32();
        if (call.Malformed || type != RpcProtocol.Call)
        {
            lane.CountFault(RpcFault.NotACall);
            return RpcOutcome.Hopeless;
        }

        if (rpcVersion != RpcProtocol.Version)
        {
            lane.CountFault(RpcFault.RpcMismatch);
            Deny(ref results, xid, RpcProtocol.RpcMismatch);
            results.U32(RpcProtocol.Version);
            results.U32(RpcProtocol.Version);
            return RpcOutcome.Reply;
        }

        uint program = call.U32();
        uint version = call.U32();
        uint procedure = call.U32();
        if (call.Malformed)
        {
            lane.CountFault(RpcFault.NotACall);
            return RpcOutcome.Hopeless;
        }

        results.U32(xid);
        results.U32(RpcProtocol.Reply);
        results.U32(RpcProtocol.MessageAccepted);

        var identity = new RpcIdentity(lane.Groups);
        RpcAuthStatus auth = Authenticate(connection, record, ref call, ref results, ref identity, out RpcAuthFlavor flavor);
        if (auth != RpcAuthStatus.Ok)
            return DenyAuthentication(lane, ref results, xid, auth);

        int statusAt = results.Position;
        results.U32((uint)RpcAcceptStatus.Success);

        IRpcProgram? found = Find(program, version, connection.IsDatagram, out int index, out uint low, out uint high);
        if (found is null)
        {
            bool known = low <= high;
            lane.CountFault(known ? RpcFault.ProgramMismatch : RpcFault.ProgramUnavailable);
            results.PatchU32(statusAt, (uint)(known ? RpcAcceptStatus.ProgramMismatch : RpcAcceptStatus.ProgramUnavailable));
            if (known)
            {
                results.U32(low);
                results.U32(high);
            }

            return RpcOutcome.Reply;
        }

        var request = new RpcCall
        {
            Xid = xid,
            Program = program,
            Version = version,
            Procedure = procedure,
            Flavor = flavor,
            Uid = identity.Uid,
            Gid = identity.Gid,
            Groups = identity.Groups,
            Peer = connection.Peer,
            Connection = connection,
        };
        int resultsAt = results.Position;
        int slot = index * SlotsPerProgram + (int)Math.Min(procedure, SlotsPerProgram - 1);
        long started = lane.Begin(slot, xid, connection);
        RpcAcceptStatus status = Carry(lane, found, in request, ref call, ref results);
        if (status == RpcAcceptStatus.SuccessOnceStable)
        {
            lane.Unsettle(slot, started, xid, connection, record.Length, results.Position);
            return RpcOutcome.ReplyOnceStable;
        }

        if (status != RpcAcceptStatus.Success)
        {
            results.Rewind(resultsAt);
            results.PatchU32(statusAt, (uint)status);
        }

        lane.End(slot, started, status != RpcAcceptStatus.Success, record.Length, results.Position);
        return Conclude(lane, ref results, xid, status);
    }

    private RpcAuthStatus Authenticate(
        IRpcConnection connection, ReadOnlySpan<byte> record, ref XdrReader call, ref XdrWriter results, ref RpcIdentity identity, out RpcAuthFlavor flavor)
    {
        flavor = (RpcAuthFlavor)call.U32();
        ReadOnlySpan<byte> credential = call.Opaque(RpcProtocol.MaxAuthBytes);
        if (call.Malformed)
            return RpcAuthStatus.BadCredential;

        ReadOnlySpan<byte> signed = record[..call.Position];
        var verifierFlavor = (RpcAuthFlavor)call.U32();
        ReadOnlySpan<byte> verifier = call.Opaque(RpcProtocol.MaxAuthBytes);
        if (call.Malformed)
            return RpcAuthStatus.BadVerifier;

        foreach (IRpcAuthenticator authenticator in _authenticators)
        {
            if (authenticator.Flavor != flavor)
                continue;

            var input = new RpcAuthInput
            {
                SignedHeader = signed,
                Credential = credential,
                VerifierFlavor = verifierFlavor,
                Verifier = verifier,
                Connection = connection,
            };
            int before = results.Position;
            RpcAuthStatus status = authenticator.Authenticate(in input, ref identity, ref results);
            if (status == RpcAuthStatus.Ok && results.Position == before)
            {
                results.U32((uint)RpcAuthFlavor.None);
                results.U32(0);
            }

            return status;
        }

        return RpcAuthStatus.BadCredential;
    }

    /// <summary>Calls the program and holds it to its contract.</summary>
    private RpcAcceptStatus Carry(RpcLane lane, IRpcProgram program, in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        if (call.Procedure == RpcProtocol.NullProcedure)
            return arguments.AtEnd ? RpcAcceptStatus.Success : RpcAcceptStatus.GarbageArguments;
        if (call.Procedure >= (uint)program.Procedures)
            return RpcAcceptStatus.ProcedureUnavailable;

        Exception defect;
        try
        {
            RpcAcceptStatus status = program.Call(in call, ref arguments, ref results);
            switch (status)
            {
                case RpcAcceptStatus.Success or RpcAcceptStatus.SuccessOnceStable when arguments.Malformed:
                    defect = new InvalidOperationException("malformed arguments were accepted");
                    break;
                case RpcAcceptStatus.Success or RpcAcceptStatus.SuccessOnceStable when results.Overflow:
                    defect = new InvalidOperationException($"the results do not fit: {results.Position} bytes written, {results.Free} free");
                    break;
                case RpcAcceptStatus.Success or RpcAcceptStatus.ProcedureUnavailable or RpcAcceptStatus.GarbageArguments
                    or RpcAcceptStatus.SystemError or RpcAcceptStatus.Drop or RpcAcceptStatus.AuthTooWeak or RpcAcceptStatus.SuccessOnceStable:
                    return status;
                default:
                    defect = new InvalidOperationException($"{(int)status} is no status that a program may return");
                    break;
            }
        }
        catch (Exception fault)
        {
            defect = fault;
        }

        lane.CountFault(RpcFault.Defect);
        _events.Defect(program, call.Version, call.Procedure, defect);
        return RpcAcceptStatus.SystemError;
    }

    private static RpcOutcome Conclude(RpcLane lane, ref XdrWriter results, uint xid, RpcAcceptStatus status)
    {
        switch (status)
        {
            case RpcAcceptStatus.Success:
                return RpcOutcome.Reply;
            case RpcAcceptStatus.Drop:
                lane.CountFault(RpcFault.Dropped);
                return RpcOutcome.None;
            case RpcAcceptStatus.AuthTooWeak:
                return DenyAuthentication(lane, ref results, xid, RpcAuthStatus.TooWeak);
            default:
                lane.CountFault(status switch
                {
                    RpcAcceptStatus.ProcedureUnavailable => RpcFault.ProcedureUnavailable,
                    RpcAcceptStatus.GarbageArguments => RpcFault.GarbageArguments,
                    _ => RpcFault.SystemError,
                });
                return RpcOutcome.Reply;
        }
    }

    // rejected_reply: xid, REPLY, MSG_DENIED, reject_stat, then the mismatch or auth_stat.
    private static void Deny(ref XdrWriter results, uint xid, uint why)
    {
        results.Rewind(0);
        results.U32(xid);
        results.U32(RpcProtocol.Reply);
        results.U32(RpcProtocol.MessageDenied);
        results.U32(why);
    }

    private static RpcOutcome DenyAuthentication(RpcLane lane, ref XdrWriter results, uint xid, RpcAuthStatus status)
    {
        lane.CountFault(RpcFault.Authentication);
        Deny(ref results, xid, RpcProtocol.AuthError);
        results.U32((uint)status);
        return RpcOutcome.Reply;
    }

    /// <param name="low">The lowest version of the program that is served; above <paramref name="high"/> if the program is not known at all.</param>
    private IRpcProgram? Find(uint program, uint version, bool isDatagram, out int index, out uint low, out uint high)
    {
        low = uint.MaxValue;
        high = 0;
        for (index = 0; index < _programs.Length; index++)
        {
            IRpcProgram candidate = _programs[index];
            if (candidate.Program != program || (isDatagram && !candidate.ServesDatagrams))
                continue;
            if (version >= candidate.LowestVersion && version <= candidate.HighestVersion)
                return candidate;
            low = Math.Min(low, candidate.LowestVersion);
            high = Math.Max(high, candidate.HighestVersion);
        }

        return null;
    }
}
