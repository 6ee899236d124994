using System.Text;
using Gateway.Nfs.Exports;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>
/// The MOUNT protocol, version 3 (RFC 1813 appendix I), and of versions 1 and 2 what older showmount asks for; a handle of those has 32 bytes, so they cannot MNT. MNT is the
/// only way to a first handle: of an export's root, or of a directory below it. Any thread.
/// </summary>
internal sealed class MountProgram(NfsContext context) : IRpcProgram
{
    public const uint ProgramNumber = 100005;

    private const uint Mnt = 1, Dump = 2, Umnt = 3, UmntAll = 4, ExportList = 5;

    private static readonly string[] Names = ["NULL", "MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT"];

    public uint Program => ProgramNumber;

    public uint LowestVersion => 1;

    public uint HighestVersion => 3;

    public string Name => "mount";

    public int Procedures => Names.Length;

    public string ProcedureName(uint procedure) => procedure < (uint)Names.Length ? Names[procedure] : "unknown";

    public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        context.Clients.Of(call.Connection);
        switch (call.Procedure)
        {
            case Mnt when call.Version == 3:
                return Mount(call, ref arguments, ref results);
            case Umnt:
                ReadOnlySpan<byte> path = arguments.String(Export.MaxPathBytes);
                if (!arguments.AtEnd)
                    return RpcAcceptStatus.GarbageArguments;
                context.Clients.Unmounted(new ClientAddress(call.Peer.Address), Encoding.UTF8.GetString(path));
                return RpcAcceptStatus.Success;
            case Dump or UmntAll or ExportList when !arguments.AtEnd:
                return RpcAcceptStatus.GarbageArguments;
            case UmntAll:
                context.Clients.UnmountedAll(new ClientAddress(call.Peer.Address));
                return RpcAcceptStatus.Success;
            case Dump:
                WriteMounts(ref results);
                return RpcAcceptStatus.Success;
            case ExportList:
                WriteExports(ref results);
                return RpcAcceptStatus.Success;
            default:
                return RpcAcceptStatus.ProcedureUnavailable;
        }
    }

    public void ConnectionClosed(IRpcConnection connection) => context.Clients.ConnectionClosed(connection);

    /// <summary>MNT: dirpath. Answer: status; handle, and the flavors of credentials that are accepted.</summary>
    private RpcAcceptStatus Mount(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> path = arguments.String(int.MaxValue);
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        MountStatus status = Find(call, path, out Export? export, out InodeRecord root);
        results.U32((uint)status);
        if (status != MountStatus.Ok)
            return RpcAcceptStatus.Success;

        Span<byte> handle = stackalloc byte[NfsHandleCodec.HandleBytes];
        context.Handles.Write(new NfsFileHandle(export!.Id, root.Inode, root.Generation), handle);
        results.Opaque(handle);
        results.U32(1);
        results.U32((uint)RpcAuthFlavor.Sys);
        context.Clients.Mounted(new ClientAddress(call.Peer.Address), Encoding.UTF8.GetString(path));
        return RpcAcceptStatus.Success;
    }

    /// <summary>The nearest export on the way to the path that the client may use decides; exports above it are asked where it may not.</summary>
    private MountStatus Find(in RpcCall call, ReadOnlySpan<byte> path, out Export? export, out InodeRecord root)
    {
        root = default;
        export = null;
        if (path.Length > Export.MaxPathBytes)
            return MountStatus.NameTooLong;
        if (path.IsEmpty)
            path = "/"u8; // what URLs of a file in the root make of it
        if (path[0] != '/')
            return MountStatus.NoEntry;

        ExportTable table = context.Exports.Current;
        MountStatus status = MountStatus.NoEntry;
        int cursor = 0;
        while ((export = table.NextCovering(path, ref cursor, out ReadOnlySpan<byte> rest)) is not null)
        {
            ExportAccess access = table.Decide(new ClientAddress(call.Peer.Address), call.Peer.Port, export);
            if (access.IsAllowed)
                return NfsPaths.Walk(context.Vfs, export.Root, rest, out root);
            status = MountStatus.Access;
        }

        return status;
    }

    /// <summary>DUMP: a list of (host, path), as far as the reply has room.</summary>
    private void WriteMounts(ref XdrWriter results)
    {
        foreach ((ClientAddress client, string path) in context.Clients.Mounts())
        {
            int before = results.Position;
            results.Bool(true);
            results.String(Encoding.UTF8.GetBytes(client.ToString()));
            results.String(Encoding.UTF8.GetBytes(path));
            if (EndsHere(ref results, before))
                break;
        }

        results.Bool(false);
    }

    /// <summary>EXPORT: a list of (path, list of names), as far as the reply has room.</summary>
    private void WriteExports(ref XdrWriter results)
    {
        foreach (Export export in context.Exports.Current.All)
        {
            int before = results.Position;
            results.Bool(true);
            results.String(Encoding.UTF8.GetBytes(export.Path));
            foreach (ClientRule rule in export.Rules)
            {
                results.Bool(true);
                results.String(Encoding.UTF8.GetBytes(rule.Host));
            }

            results.Bool(false);
            if (EndsHere(ref results, before))
                break;
        }

        results.Bool(false);
    }

    /// <summary>Takes back an entry behind which the list could not be ended any more.</summary>
    private static bool EndsHere(ref XdrWriter results, int before)
    {
        if (!results.Overflow && results.Free >= sizeof(uint))
            return false;
        results.Rewind(before);
        return true;
    }
}

/// <summary>mountstat3 (RFC 1813 §5.1.5).</summary>
internal enum MountStatus : uint
{
    Ok = 0,
    NotOwner = 1,
    NoEntry = 2,
    Io = 5,
    Access = 13,
    NotDirectory = 20,
    Invalid = 22,
    NameTooLong = 63,
    NotSupported = 10004,
    ServerFault = 10006,
}

/// <summary>Paths of exports and mounts.</summary>
internal static class NfsPaths
{
    /// <summary>
    /// Goes down from a directory, with the system's rights: the export's rules have decided already. Symlinks are not followed, and there is no
    /// way up.
    /// </summary>
    public static MountStatus Walk(IVfs vfs, InodeId from, ReadOnlySpan<byte> path, out InodeRecord directory)
    {
        FsStatus status = vfs.GetAttributes(from, out directory);
        foreach (Range range in path.Split((byte)'/'))
        {
            ReadOnlySpan<byte> name = path[range];
            if (status != FsStatus.Ok)
                break;
            if (name.IsEmpty)
                continue;
            if (name.SequenceEqual("."u8) || name.SequenceEqual(".."u8))
                return MountStatus.Invalid;
            status = vfs.Lookup(Caller.System, directory.Inode, name, out directory);
        }

        return status switch
        {
            FsStatus.Ok => directory.IsDirectory ? MountStatus.Ok : MountStatus.NotDirectory,
            FsStatus.NotFound or FsStatus.Stale => MountStatus.NoEntry,
            FsStatus.NotDirectory => MountStatus.NotDirectory,
            FsStatus.NameTooLong => MountStatus.NameTooLong,
            FsStatus.Invalid => MountStatus.Invalid,
            FsStatus.IoError => MountStatus.Io,
            _ => MountStatus.ServerFault,
        };
    }
}
