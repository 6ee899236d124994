using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>Replies as RFC 5531 §9 writes them.</summary>
internal static class NfsReplies
{
    /// <summary>Reads everything before the results; a reply that no client would take is <see cref="NfsVerdict.Hopeless"/> or leaves the reader malformed.</summary>
    public static NfsVerdict ReadVerdict(ref XdrReader reply, in NfsCallOracle asked)
    {
        bool isReply = reply.U32() == asked.Xid && reply.U32() == 1;
        if (!isReply)
            reply.Refuse();
        if (reply.Enum(1) == 1)
        {
            if (reply.Enum(1) == 1)
                return reply.U32() is >= 1 and <= 14 ? NfsVerdict.AuthenticationError : NfsVerdict.Hopeless;
            return reply.U32() == 2 && reply.U32() == 2 ? NfsVerdict.RpcMismatch : NfsVerdict.Hopeless;
        }

        reply.U64();
        switch (reply.Enum(5))
        {
            case 0:
                return reply.Malformed ? NfsVerdict.Hopeless : NfsVerdict.Success;
            case 1:
                return NfsVerdict.ProgramUnavailable;
            case 2:
                return reply.U32() <= reply.U32() ? NfsVerdict.ProgramMismatch : NfsVerdict.Hopeless;
            case 3:
                return NfsVerdict.ProcedureUnavailable;
            case 4:
                return NfsVerdict.GarbageArguments;
            default:
                return NfsVerdict.Hopeless;
        }
    }
}
