using StoreCore.Rpc;

namespace Gateway.Nfs.Nlm;

/// <summary>
/// The Network Status Monitor, version 1 (program 100024; X/Open XNFS chapter 11), as far as a server of NLM needs one: it takes the word of rebooted clients (SM_NOTIFY). Clients monitor the
/// server with their own statd; nobody else is served monitoring here (SM_MON and the like are for programs of one host, and are refused). Also by UDP, which is how Linux's
/// sm-notify and most others tell it.
/// </summary>
internal sealed class NsmProgram(NfsContext context, NlmState state) : IRpcProgram
{
    public const uint ProgramNumber = 100024;

    private const uint Stat = 1, Mon = 2, Unmon = 3, UnmonAll = 4, Notify = 6;
    private const uint StatFail = 1;

    private static readonly string[] Names = ["NULL", "STAT", "MON", "UNMON", "UNMON_ALL", "SIMU_CRASH", "NOTIFY"];

    public uint Program => ProgramNumber;

    public uint LowestVersion => 1;

    public uint HighestVersion => 1;

    public string Name => "nsm";

    public bool ServesDatagrams => true;

    public int Procedures => Names.Length;

    public string ProcedureName(uint procedure) => procedure < (uint)Names.Length ? Names[procedure] : "unknown";

    public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        if (!call.Connection.IsDatagram)
            context.Clients.Of(call.Connection);
        ReadOnlySpan<byte> name = call.Procedure is Stat or Mon or Unmon or Notify ? arguments.String(NlmLock.MaxStringBytes) : default;
        switch (call.Procedure)
        {
            case Stat:
                if (!arguments.AtEnd)
                    return RpcAcceptStatus.GarbageArguments;
                results.U32(StatFail);
                results.I32(state.NsmStateNumber);
                return RpcAcceptStatus.Success;
            case Mon or Unmon or UnmonAll:
                ReadCallback(ref arguments, call.Procedure == Mon);
                if (!arguments.AtEnd)
                    return RpcAcceptStatus.GarbageArguments;
                if (call.Procedure == Mon)
                    results.U32(StatFail);
                results.I32(state.NsmStateNumber);
                return RpcAcceptStatus.Success;
            case Notify:
                arguments.I32();
                if (!arguments.AtEnd)
                    return RpcAcceptStatus.GarbageArguments;
                state.ClientRebooted(name, call.Peer, call.Connection.IsDatagram);
                return RpcAcceptStatus.Success;
            default:
                return RpcAcceptStatus.ProcedureUnavailable;
        }
    }

    public void ConnectionClosed(IRpcConnection connection) => context.Clients.ConnectionClosed(connection);

    /// <summary>my_id (name, program, version, procedure), and for SM_MON 16 bytes more.</summary>
    private static void ReadCallback(ref XdrReader arguments, bool withPrivate)
    {
        arguments.String(NlmLock.MaxStringBytes);
        arguments.U32();
        arguments.U32();
        arguments.U32();
        if (withPrivate)
            arguments.Fixed(16);
    }
}
