namespace StoreCore.Rpc;

/// <summary>AUTH_NONE (RFC 5531 §10.1): nobody asks. Body and verifier must be empty.</summary>
internal sealed class NoneAuthenticator : IRpcAuthenticator
{
    public RpcAuthFlavor Flavor => RpcAuthFlavor.None;

    public RpcAuthStatus Authenticate(in RpcAuthInput input, ref RpcIdentity identity, ref XdrWriter replyVerifier)
    {
        if (!input.Credential.IsEmpty)
            return RpcAuthStatus.BadCredential;
        return SysAuthenticator.CheckVerifier(input);
    }
}

/// <summary>
/// AUTH_SYS (RFC 5531 Appendix A): the client says who asks, and is believed as far as its address is. The stamp and the machine name mean nothing
/// to us; the verifier must be the empty one of AUTH_NONE.
/// </summary>
internal sealed class SysAuthenticator : IRpcAuthenticator
{
    public RpcAuthFlavor Flavor => RpcAuthFlavor.Sys;

    // unsigned stamp; string machinename<255>; unsigned uid; unsigned gid; unsigned gids<16>
    public RpcAuthStatus Authenticate(in RpcAuthInput input, ref RpcIdentity identity, ref XdrWriter replyVerifier)
    {
        var body = new XdrReader(input.Credential);
        body.U32();
        body.String(RpcProtocol.MaxMachineNameBytes);
        identity.Uid = body.U32();
        identity.Gid = body.U32();
        int groups = (int)body.Enum(RpcProtocol.MaxGroups);
        for (int i = 0; i < groups; i++)
            identity.GroupSpace[i] = body.U32();
        identity.GroupCount = groups;
        return body.AtEnd ? CheckVerifier(input) : RpcAuthStatus.BadCredential;
    }

    internal static RpcAuthStatus CheckVerifier(in RpcAuthInput input) =>
        input.VerifierFlavor == RpcAuthFlavor.None && input.Verifier.IsEmpty ? RpcAuthStatus.Ok : RpcAuthStatus.BadVerifier;
}
