namespace StoreCore.Rpc;

/// <summary>The fixed figures of ONC RPC version 2 (RFC 5531).</summary>
public static class RpcProtocol
{
    /// <summary>RPC_VERS: the one version of the message protocol.</summary>
    public const uint Version = 2;

    /// <summary>msg_type.</summary>
    public const uint Call = 0, Reply = 1;

    /// <summary>reply_stat.</summary>
    public const uint MessageAccepted = 0, MessageDenied = 1;

    /// <summary>reject_stat.</summary>
    public const uint RpcMismatch = 0, AuthError = 1;

    /// <summary>Longest body of a credential or verifier (§8.2).</summary>
    public const int MaxAuthBytes = 400;

    /// <summary>Most groups of an AUTH_SYS credential (Appendix A).</summary>
    public const int MaxGroups = 16;

    /// <summary>Longest machine name of an AUTH_SYS credential in bytes (Appendix A).</summary>
    public const int MaxMachineNameBytes = 255;

    /// <summary>The header before every fragment of a record on a stream (§11): the last-fragment bit and 31 bits of length.</summary>
    public const int RecordMarkBytes = 4;

    public const uint LastFragment = 0x8000_0000;

    /// <summary>An accepted reply up to its results, with an empty verifier: xid, REPLY, MSG_ACCEPTED, verifier (2 words), accept_stat.</summary>
    public const int AcceptedHeadBytes = 24;

    /// <summary>Every program's procedure 0: does nothing, and shows that program and version are served.</summary>
    public const uint NullProcedure = 0;
}

/// <summary>auth_flavor of a credential or verifier (RFC 5531 §8.1; numbers by IANA). Others than these may come too.</summary>
public enum RpcAuthFlavor : uint
{
    None = 0,
    Sys = 1,
    Short = 2,
    Dh = 3,
    Gss = 6,
}

/// <summary>auth_stat: why a credential or verifier was refused (RFC 5531 §9).</summary>
public enum RpcAuthStatus : uint
{
    Ok = 0,
    BadCredential = 1,
    RejectedCredential = 2,
    BadVerifier = 3,
    RejectedVerifier = 4,
    TooWeak = 5,
    InvalidResponse = 6,
    Failed = 7,
    GssCredentialProblem = 13,
    GssContextProblem = 14,
}

/// <summary>
/// What became of a call: accept_stat of RFC 5531 §9 for those that go out as such, and three answers that a program has besides.
/// </summary>
public enum RpcAcceptStatus
{
    /// <summary>The results are what the program wrote (an error of the program's own protocol is a success here).</summary>
    Success = 0,

    /// <summary>PROG_UNAVAIL. The dispatcher's alone.</summary>
    ProgramUnavailable = 1,

    /// <summary>PROG_MISMATCH. The dispatcher's alone.</summary>
    ProgramMismatch = 2,

    /// <summary>PROC_UNAVAIL.</summary>
    ProcedureUnavailable = 3,

    /// <summary>GARBAGE_ARGS: the arguments could not be decoded; nothing was done.</summary>
    GarbageArguments = 4,

    /// <summary>SYSTEM_ERR.</summary>
    SystemError = 5,

    /// <summary>Not answered: the client will ask again (a retransmission whose first sending is still in progress).</summary>
    Drop = -1,

    /// <summary>Denied with AUTH_TOOWEAK: the procedure, or the export, asks for a better flavor than the call has.</summary>
    AuthTooWeak = -2,

    /// <summary>As <see cref="Success"/>, but the reply promises that what was done is stable: it may go only after <see cref="IRpcProgram.Settle"/>.</summary>
    SuccessOnceStable = -3,
}
