using Gateway.Nfs.Exports;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>What all programs of one server share.</summary>
internal sealed class NfsContext
{
    public required IVfs Vfs { get; init; }

    public required ExportTableSource Exports { get; init; }

    public required NfsHandleCodec Handles { get; init; }

    /// <summary>The server's life in which unstable data was taken (RFC 1813 §3.3.7): a client that sees another one sends again what was not committed.</summary>
    public required ulong WriteVerifier { get; init; }

    public required NfsRequestIds RequestIds { get; init; }

    public required TimeProvider Clock { get; init; }

    public required ILogger Log { get; init; }

    public NfsGroups Groups { get; } = new();

    public NfsClients Clients { get; } = new();

    public NfsReplyCache Replies { get; } = new();

    /// <summary>Finds what a handle names, and whether and how the client may use it; the attributes are those of this moment.</summary>
    public Nfs3Status Resolve(
        in RpcCall call, ReadOnlySpan<byte> bytes, out NfsFileHandle handle, out Export export, out ExportOptions options, out InodeRecord attributes)
    {
        attributes = default;
        options = default;
        export = null!;
        if (!Handles.TryRead(bytes, out handle))
            return Nfs3Status.BadHandle;

        ExportTable table = Exports.Current;
        if (table.Find(handle.ExportId) is not { } found)
            return Nfs3Status.Stale;

        export = found;
        ExportAccess access = table.Decide(new ClientAddress(call.Peer.Address), call.Peer.Port, found);
        if (!access.IsAllowed)
            return Nfs3Status.Access;

        options = access.Options;
        FsStatus status = Vfs.GetAttributes(handle.Inode, handle.Generation, out attributes);
        return Nfs3StatusMap.From(status == FsStatus.NotFound ? FsStatus.Stale : status);
    }

    /// <summary>Makes the changes stable that a client's calls have made; they have taken as long as that took.</summary>
    public bool Settle(IRpcConnection connection, int calls)
    {
        long began = Clock.GetTimestamp();
        FsStatus status = Vfs.SyncNames();
        Clients.Of(connection).CountSettling(calls * Clock.GetElapsedTime(began));
        return status == FsStatus.Ok;
    }
}
