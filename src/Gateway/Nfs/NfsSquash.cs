using Gateway.Nfs.Exports;
using StoreCore.Metadata;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>Who a call is for the file system: the client's word for it, as far as the export believes it (exports(5), "User ID Mapping").</summary>
internal static class NfsSquash
{
    /// <summary>
    /// The caller, never trusted: every operation is checked against mode bits and ACLs. Without a credential, and under all_squash, it is the
    /// anonymous user; under root_squash uid 0 and gid 0 are replaced, also among the groups.
    /// </summary>
    public static Caller Apply(in RpcCall call, in ExportOptions options, NfsGroups groups, ClientRequest? request = null)
    {
        if (call.Flavor != RpcAuthFlavor.Sys || options.Squash == ExportSquash.All)
            return new Caller(options.AnonymousUid, options.AnonymousGid, request: request);
        if (options.Squash == ExportSquash.None)
            return new Caller(call.Uid, call.Gid, groups.Share(call.Groups), request: request);

        uint uid = call.Uid == 0 ? options.AnonymousUid : call.Uid;
        uint gid = call.Gid == 0 ? options.AnonymousGid : call.Gid;
        if (!call.Groups.Contains(0u))
            return new Caller(uid, gid, groups.Share(call.Groups), request: request);

        Span<uint> squashed = stackalloc uint[RpcProtocol.MaxGroups];
        squashed = squashed[..call.Groups.Length];
        call.Groups.Replace(squashed, 0u, options.AnonymousGid);
        return new Caller(uid, gid, groups.Share(squashed), request: request);
    }
}
