namespace StoreCore.Rpc;

/// <summary>Who asks, as an authenticator found it.</summary>
public ref struct RpcIdentity(Span<uint> groups)
{
    /// <summary>The traditional uid and gid of nobody (65534): what a call without identity carries.</summary>
    public const uint Nobody = 65534;

    /// <summary>Room for <see cref="RpcProtocol.MaxGroups"/> groups.</summary>
    public readonly Span<uint> GroupSpace = groups;

    public uint Uid = Nobody;

    public uint Gid = Nobody;

    public int GroupCount;

    public readonly ReadOnlySpan<uint> Groups => GroupSpace[..GroupCount];
}

/// <summary>A credential and its verifier as they came, and what a verifier may sign.</summary>
public readonly ref struct RpcAuthInput
{
    /// <summary>The message from the xid to the end of the credential: what an RPCSEC_GSS verifier is the checksum of (RFC 2203 §5.3.1).</summary>
    public required ReadOnlySpan<byte> SignedHeader { get; init; }

    /// <summary>The credential's body, at most <see cref="RpcProtocol.MaxAuthBytes"/>.</summary>
    public required ReadOnlySpan<byte> Credential { get; init; }

    public required RpcAuthFlavor VerifierFlavor { get; init; }

    /// <summary>The verifier's body, at most <see cref="RpcProtocol.MaxAuthBytes"/>.</summary>
    public required ReadOnlySpan<byte> Verifier { get; init; }

    public required IRpcConnection Connection { get; init; }
}

/// <summary>
/// Judges the credentials of one flavor. AUTH_NONE and AUTH_SYS are built in; RPCSEC_GSS joins here. Any thread, many at once.
/// </summary>
public interface IRpcAuthenticator
{
    RpcAuthFlavor Flavor { get; }

    /// <summary>Finds out who asks.</summary>
    /// <param name="identity">Filled if it is <see cref="RpcAuthStatus.Ok"/>.</param>
    /// <param name="replyVerifier">The reply's verifier (flavor and body) is written here; nothing written means the empty one of AUTH_NONE.</param>
    RpcAuthStatus Authenticate(in RpcAuthInput input, ref RpcIdentity identity, ref XdrWriter replyVerifier);
}
