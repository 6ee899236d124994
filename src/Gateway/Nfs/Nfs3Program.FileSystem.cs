using Gateway.Vfs;
using StoreCore;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>What a client asks of the file system as a whole.</summary>
internal sealed partial class Nfs3Program
{
    // FSF3_LINK, FSF3_SYMLINK, FSF3_HOMOGENEOUS, FSF3_CANSETTIME
    private const uint Properties = 1 | 2 | 8 | 0x10;

    /// <summary>What a READDIR of a client should ask for: large listings in few calls, each short enough not to hold up others.</summary>
    private const uint PreferredDirectoryBytes = 128 * 1024;

    /// <summary>FSSTAT (§3.3.18): any object. Answer: post_op_attr, bytes and files (all, free, available) u64, invarsec.</summary>
    internal RpcAcceptStatus FsStat(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        if (!Begin(call, ref arguments, ref results, out bool isOk))
            return Garbage;
        if (!isOk)
            return RpcAcceptStatus.Success;

        VfsSpace space = _vfs.StatFs();
        results.U64(space.TotalBytes);
        results.U64(space.FreeBytes);
        results.U64(space.AvailableBytes);
        results.U64(space.Inodes);
        results.U64(space.FreeInodes);
        results.U64(space.FreeInodes);
        results.U32(0); // the next moment can show other figures
        return RpcAcceptStatus.Success;
    }

    /// <summary>FSINFO (§3.3.19): any object. Answer: post_op_attr, sizes of transfers (largest, preferred, multiple) for read and write, dtpref, largest file, resolution of times, properties.</summary>
    internal RpcAcceptStatus FsInfo(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        if (!Begin(call, ref arguments, ref results, out bool isOk))
            return Garbage;
        if (!isOk)
            return RpcAcceptStatus.Success;

        for (int i = 0; i < 2; i++)
        {
            results.U32(MaxTransferBytes);
            results.U32(MaxTransferBytes);
            results.U32(Limits.ChunkSizeBytes);
        }

        results.U32(PreferredDirectoryBytes);
        results.U64(Limits.MaxFileSizeBytes);
        results.U32(0); // time_delta: 1 ns
        results.U32(1);
        results.U32(Properties);
        return RpcAcceptStatus.Success;
    }

    /// <summary>PATHCONF (§3.3.20): any object. Answer: post_op_attr, linkmax, name_max, no_trunc, chown_restricted, case_insensitive, case_preserving.</summary>
    internal RpcAcceptStatus PathConf(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        if (!Begin(call, ref arguments, ref results, out bool isOk))
            return Garbage;
        if (!isOk)
            return RpcAcceptStatus.Success;

        results.U32(Limits.MaxLinks);
        results.U32(Limits.MaxNameBytes);
        results.Bool(true);
        results.Bool(true);
        results.Bool(false);
        results.Bool(true);
        return RpcAcceptStatus.Success;
    }

    /// <summary>Their common argument and the beginning of their results; false for garbage.</summary>
    private bool Begin(in RpcCall call, ref XdrReader arguments, ref XdrWriter results, out bool isOk)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        isOk = false;
        if (!arguments.AtEnd)
            return false;

        Nfs3Status status = Resolve(call, handle, out Target target);
        isOk = status == Nfs3Status.Ok;
        results.U32((uint)status);
        WritePostOp(ref results, target.Attributes);
        return true;
    }
}
