using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>Data of files.</summary>
internal sealed partial class Nfs3Program
{
    // stable_how
    private const uint Unstable = 0, DataSync = 1, FileSync = 2;

    /// <summary>
    /// READ (§3.3.6): file, offset, count. Answer: post_op_attr, count, eof, data. The file system reads straight to where the reply is sent from; the
    /// attributes, which stand before the data, are those after it.
    /// </summary>
    internal RpcAcceptStatus Read(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ulong offset = arguments.U64();
        uint count = arguments.U32();
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = Resolve(call, handle, out Target target);
        if (status == Nfs3Status.Ok && target.Attributes.Kind != InodeKind.File)
            status = Nfs3Status.Invalid;
        if (status != Nfs3Status.Ok)
        {
            results.U32((uint)status);
            WritePostOp(ref results, target.Attributes);
            return RpcAcceptStatus.Success;
        }

        const int afterAttributesBytes = 2 * sizeof(uint);
        int start = results.Position;
        results.U32((uint)Nfs3Status.Ok);
        int attributesAt = results.Position;
        WritePostOp(ref results, target.Attributes);
        int countAt = results.Position;
        results.U32(0);
        results.Bool(false);

        // What does not fit is asked for again by the client: the length of the answer counts. (4 bytes of length word and up to 3 of padding.)
        int room = Math.Max(0, results.Free - afterAttributesBytes) & ~3;
        Span<byte> data = results.Reserve((int)Math.Min(count, (uint)Math.Min(room, MaxTransferBytes)));
        FsStatus read = _vfs.Read(CallerOf(call, target), target.Inode, offset, data, out int readBytes);
        InodeRecord after = default;
        if (_vfs.GetAttributes(target.Inode, out after) != FsStatus.Ok)
            after = default;
        if (read != FsStatus.Ok)
        {
            results.Rewind(start);
            results.U32((uint)ReadWriteStatus(read));
            WritePostOp(ref results, after);
            return RpcAcceptStatus.Success;
        }

        results.Commit(readBytes);
        results.PatchU32(countAt, (uint)readBytes);
        if (after.Inode == InodeId.None)
            after = target.Attributes;

        // A short read of a file that has grown meanwhile is not its end: the client reads on.
        results.PatchU32(countAt + sizeof(uint), offset >= after.SizeBytes || (ulong)readBytes >= after.SizeBytes - offset ? 1u : 0u);
        var attributes = new XdrWriter(results.Written[attributesAt..countAt]);
        WritePostOp(ref attributes, after);
        context.Clients.Of(call.Connection).CountRead(readBytes);
        return RpcAcceptStatus.Success;
    }

    /// <summary>WRITE (§3.3.7): file, offset, count, stable_how, data. Answer: wcc_data, count, committed, verifier. The data is handed on as the span of the request that it is.</summary>
    internal RpcAcceptStatus Write(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ulong offset = arguments.U64();
        uint count = arguments.U32();
        uint stable = arguments.Enum(FileSync);
        ReadOnlySpan<byte> data = arguments.Opaque(int.MaxValue);
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = Resolve(call, handle, out Target target);
        if (status == Nfs3Status.Ok && (target.Attributes.Kind != InodeKind.File || count != (uint)data.Length))
            status = Nfs3Status.Invalid;
        int written = 0;
        if (status == Nfs3Status.Ok)
            status = ReadWriteStatus(WriteData(call, target, offset, data[..Math.Min(data.Length, MaxTransferBytes)], stable, out written));

        results.U32((uint)status);
        WriteWcc(ref results, Request.Object, target);
        if (status != Nfs3Status.Ok)
            return RpcAcceptStatus.Success;

        results.U32((uint)written);
        results.U32(stable);
        results.U64(context.WriteVerifier);
        context.Clients.Of(call.Connection).CountWritten(written);
        return RpcAcceptStatus.Success;
    }

    /// <summary>COMMIT (§3.3.21): file, offset, count. Answer: wcc_data, verifier. All of the file becomes stable, whatever part was asked for.</summary>
    internal RpcAcceptStatus Commit(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        arguments.U64();
        arguments.U32();
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = Resolve(call, handle, out Target target);
        if (status == Nfs3Status.Ok && target.Attributes.Kind != InodeKind.File)
            status = Nfs3Status.Invalid;
        if (status == Nfs3Status.Ok && !target.Options.Async)
            status = Nfs3StatusMap.From(_vfs.Sync(target.Inode, dataOnly: false));
        results.U32((uint)status);
        WriteWcc(ref results, default, target);
        if (status == Nfs3Status.Ok)
            results.U64(context.WriteVerifier);
        return RpcAcceptStatus.Success;
    }

    private FsStatus WriteData(in RpcCall call, in Target target, ulong offset, ReadOnlySpan<byte> data, uint stable, out int written)
    {
        written = 0;
        Caller caller = CallerOf(call, target);
        VfsWriteFlags flags = caller.Uid == 0 ? VfsWriteFlags.None : VfsWriteFlags.KillPrivileges;
        bool isStable = stable != Unstable && !target.Options.Async;
        if (isStable && stable == DataSync)
            flags |= VfsWriteFlags.Stable;
        FsStatus status = _vfs.Write(caller, target.Inode, offset, data, flags, out written);

        // FILE_SYNC is times as well. A write of nothing was one, too, to be stable.
        return status == FsStatus.Ok && isStable && stable == FileSync ? _vfs.Sync(target.Inode, dataOnly: false) : status;
    }

    /// <summary>READ and WRITE have no PERM (§3.3.6, §3.3.7): what the inode's flags forbid is ACCES to them; what is no file, INVAL.</summary>
    private static Nfs3Status ReadWriteStatus(FsStatus status) => status switch
    {
        FsStatus.NotPermitted => Nfs3Status.Access,
        FsStatus.IsDirectory => Nfs3Status.Invalid,
        _ => Nfs3StatusMap.From(status),
    };
}
