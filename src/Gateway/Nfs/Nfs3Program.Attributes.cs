using Gateway.Vfs;
using StoreCore;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>Attributes of one object, and what may be done with it.</summary>
internal sealed partial class Nfs3Program
{
    // ACCESS3
    private const uint AccessRead = 1, AccessLookup = 2, AccessModify = 4, AccessExtend = 8, AccessDelete = 0x10, AccessExecute = 0x20;

    /// <summary>GETATTR (§3.3.1): object. Answer: fattr3.</summary>
    internal RpcAcceptStatus GetAttr(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = Resolve(call, handle, out Target target);
        results.U32((uint)status);
        if (status == Nfs3Status.Ok)
            Nfs3Attributes.Write(ref results, target.Attributes, _fileSystem);
        return RpcAcceptStatus.Success;
    }

    /// <summary>SETATTR (§3.3.2): object, sattr3, guard (boolean, ctime). Answer: wcc_data.</summary>
    internal RpcAcceptStatus SetAttr(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        AttributeChange change = Nfs3Attributes.ReadSettable(ref arguments);
        if (arguments.Bool())
        {
            change.Mask |= AttributeMask.Guard;
            uint seconds = arguments.U32();
            change.Guard = new Timestamp(seconds, arguments.U32());
        }

        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = Resolve(call, handle, out Target target);
        if (status == Nfs3Status.Ok)
            status = SetAttributes(call, target, change);
        results.U32((uint)status);
        WriteWcc(ref results, Request.Object, target);
        return RpcAcceptStatus.Success;
    }

    /// <summary>ACCESS (§3.3.4): object, wanted. Answer: post_op_attr, granted. Decided here, with the ACLs and the squashed caller, as the operation would be.</summary>
    internal RpcAcceptStatus Access(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        uint wanted = arguments.U32();
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = Resolve(call, handle, out Target target);
        uint granted = 0;
        if (status == Nfs3Status.Ok)
            status = Nfs3StatusMap.From(FindAccess(CallerOf(call, target), target, out granted));
        results.U32((uint)status);
        WritePostOp(ref results, target.Attributes);
        if (status == Nfs3Status.Ok)
            results.U32(granted & wanted);
        return RpcAcceptStatus.Success;
    }

    /// <summary>READLINK (§3.3.5): symlink. Answer: post_op_attr, nfspath3.</summary>
    internal RpcAcceptStatus ReadLink(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = Resolve(call, handle, out Target target);
        if (status == Nfs3Status.Ok && target.Attributes.Kind != InodeKind.Symlink)
            status = Nfs3Status.Invalid;
        Span<byte> path = stackalloc byte[Limits.MaxSymlinkBytes];
        int length = 0;
        if (status == Nfs3Status.Ok)
            status = Nfs3StatusMap.From(_vfs.ReadLink(CallerOf(call, target), target.Inode, path, out length));
        results.U32((uint)status);
        WritePostOp(ref results, target.Attributes);
        if (status == Nfs3Status.Ok)
            results.String(path[..length]);
        return RpcAcceptStatus.Success;
    }

    private Nfs3Status SetAttributes(in RpcCall call, in Target target, AttributeChange change)
    {
        if (Now.Done is not null)
            return Finish(FsStatus.Ok, target);
        if (!Nfs3Attributes.IsValid(change))
            return Nfs3Status.Invalid;

        // A directory has no size to be set; what is no file has none either (INVAL as truncate(2) has it).
        bool resizes = (change.Mask & AttributeMask.Size) != 0;
        if (resizes && target.Attributes.Kind != InodeKind.File)
            return target.Attributes.IsDirectory ? Nfs3Status.IsDirectory : Nfs3Status.Invalid;

        Caller caller = CallerOf(call, target);
        if (resizes && caller.Uid != 0)
            change.Mask |= AttributeMask.KillPrivileges;
        return Finish(_vfs.SetAttributes(caller, target.Inode, change, out _), target);
    }

    private FsStatus FindAccess(in Caller caller, in Target target, out uint granted)
    {
        granted = 0;
        FsStatus status = _vfs.Access(caller, target.Inode, VfsAccess.Read | VfsAccess.Write | VfsAccess.Execute, out VfsAccess bits);
        if (status != FsStatus.Ok)
            return status;

        bool isDirectory = target.Attributes.IsDirectory;
        bool mayExecute = (bits & VfsAccess.Execute) != 0;
        if ((bits & VfsAccess.Read) != 0)
            granted |= AccessRead;
        if (mayExecute)
            granted |= isDirectory ? AccessLookup : AccessExecute;

        // Names of a directory can be changed only by who may search it too; whether a file can be deleted is a question to its directory.
        if ((bits & VfsAccess.Write) != 0 && target.Options.Writable && (!isDirectory || mayExecute))
            granted |= AccessModify | AccessExtend | (isDirectory ? AccessDelete : 0);
        return FsStatus.Ok;
    }
}
