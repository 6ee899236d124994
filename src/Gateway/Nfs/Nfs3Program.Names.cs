using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>Names: finding, making, removing, moving.</summary>
internal sealed partial class Nfs3Program
{
    // createmode3
    private const uint Unchecked = 0, Exclusive = 2;

    private const uint FileMode = (uint)InodeKind.File << 12;

    /// <summary>CREATE and its lookup of what is there already meet others that remove it; so often is it tried anew.</summary>
    private const int CreateAttempts = 5;

    /// <summary>LOOKUP (§3.3.3): directory, name. Answer: handle, post_op_attr of the object, post_op_attr of the directory.</summary>
    internal RpcAcceptStatus Lookup(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> name = arguments.String(int.MaxValue);
        if (!arguments.AtEnd)
            return Garbage;

        InodeRecord found = default;
        Nfs3Status status = ResolveDirectory(call, handle, out Target directory);
        if (status == Nfs3Status.Ok)
            status = Find(call, directory, name, out found);
        results.U32((uint)status);
        if (status == Nfs3Status.Ok)
        {
            WriteHandle(ref results, directory.Handle.ExportId, found);
            WritePostOp(ref results, found);
        }

        WritePostOp(ref results, directory.Attributes);
        return RpcAcceptStatus.Success;
    }

    /// <summary>CREATE (§3.3.8): directory, name, createmode3 with sattr3 or a verifier. Answer: post_op_fh3, post_op_attr, wcc_data of the directory.</summary>
    internal RpcAcceptStatus Create(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> name = arguments.String(int.MaxValue);
        uint mode = arguments.Enum(Exclusive);
        var spec = new NewInode { Mode = FileMode };
        if (mode == Exclusive)
            spec.Verifier = arguments.U64();
        else
            SetFirst(ref spec, Nfs3Attributes.ReadSettable(ref arguments));
        if (!arguments.AtEnd)
            return Garbage;

        return Make(call, handle, name, spec, keepsExisting: mode == Unchecked, ref results);
    }

    /// <summary>MKDIR (§3.3.9): directory, name, sattr3. Answer as CREATE.</summary>
    internal RpcAcceptStatus MkDir(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> name = arguments.String(int.MaxValue);
        var spec = new NewInode { Mode = (uint)InodeKind.Directory << 12 };
        SetFirst(ref spec, Nfs3Attributes.ReadSettable(ref arguments));
        return arguments.AtEnd ? Make(call, handle, name, spec, keepsExisting: false, ref results) : Garbage;
    }

    /// <summary>SYMLINK (§3.3.10): directory, name, sattr3, target. Answer as CREATE.</summary>
    internal RpcAcceptStatus Symlink(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> name = arguments.String(int.MaxValue);
        var spec = new NewInode { Mode = (uint)InodeKind.Symlink << 12 };
        SetFirst(ref spec, Nfs3Attributes.ReadSettable(ref arguments));
        spec.Target = arguments.String(int.MaxValue);
        return arguments.AtEnd ? Make(call, handle, name, spec, keepsExisting: false, ref results) : Garbage;
    }

    /// <summary>MKNOD (§3.3.11): directory, name, type with sattr3 and, for devices, major and minor. Answer as CREATE.</summary>
    internal RpcAcceptStatus MkNod(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> name = arguments.String(int.MaxValue);
        if (Nfs3Attributes.SpecialKind(arguments.U32()) is not { } kind)
            return Garbage;

        var spec = new NewInode { Mode = (uint)kind << 12 };
        bool isDevice = kind is InodeKind.BlockDevice or InodeKind.CharacterDevice;
        bool fits = true;
        if (kind != InodeKind.Unknown)
            SetFirst(ref spec, Nfs3Attributes.ReadSettable(ref arguments));
        if (isDevice)
        {
            uint major = arguments.U32();
            fits = NfsDevice.TryEncode(major, arguments.U32(), out spec.Device);
        }

        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status refused = Nfs3Status.Ok;
        if (kind == InodeKind.Unknown)
            refused = Nfs3Status.BadType;
        else if (!fits)
            refused = Nfs3Status.Invalid;
        return Make(call, handle, name, spec, keepsExisting: false, ref results, refused, isDevice);
    }

    /// <summary>REMOVE (§3.3.12): directory, name. Answer: wcc_data.</summary>
    internal RpcAcceptStatus Remove(in RpcCall call, ref XdrReader arguments, ref XdrWriter results) => Remove(call, ref arguments, ref results, isDirectory: false);

    /// <summary>RMDIR (§3.3.13): directory, name. Answer: wcc_data.</summary>
    internal RpcAcceptStatus RmDir(in RpcCall call, ref XdrReader arguments, ref XdrWriter results) => Remove(call, ref arguments, ref results, isDirectory: true);

    private RpcAcceptStatus Remove(in RpcCall call, ref XdrReader arguments, ref XdrWriter results, bool isDirectory)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> name = arguments.String(int.MaxValue);
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = ResolveDirectory(call, handle, out Target directory);
        if (status == Nfs3Status.Ok)
        {
            status = isDirectory
                ? CheckName(name, forDot: Nfs3Status.Invalid, forDotDot: Nfs3Status.Exists)
                : CheckName(name, forDot: Nfs3Status.Access, forDotDot: Nfs3Status.Access);
        }

        if (status == Nfs3Status.Ok)
            status = Finish(Now.Done is null ? Remove(CallerOf(call, directory), directory.Inode, name, isDirectory) : FsStatus.Ok, directory);
        results.U32((uint)status);
        WriteWcc(ref results, Request.Directory, directory);
        return RpcAcceptStatus.Success;
    }

    private FsStatus Remove(in Caller caller, InodeId directory, ReadOnlySpan<byte> name, bool isDirectory) =>
        isDirectory ? _vfs.RemoveDirectory(caller, directory, name) : _vfs.Unlink(caller, directory, name);

    /// <summary>RENAME (§3.3.14): directory and name, directory and name. Answer: wcc_data of both directories.</summary>
    internal RpcAcceptStatus Rename(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> fromHandle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> fromName = arguments.String(int.MaxValue);
        ReadOnlySpan<byte> toHandle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> toName = arguments.String(int.MaxValue);
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = ResolveDirectory(call, fromHandle, out Target from);
        Target to = default;
        if (status == Nfs3Status.Ok)
            status = ResolveDirectory(call, toHandle, out to);
        if (status == Nfs3Status.Ok && from.Handle.ExportId != to.Handle.ExportId)
            status = Nfs3Status.CrossDevice;
        if (status == Nfs3Status.Ok)
            status = CheckName(fromName, Nfs3Status.Invalid, Nfs3Status.Invalid);
        if (status == Nfs3Status.Ok)
            status = CheckName(toName, Nfs3Status.Invalid, Nfs3Status.Invalid);
        if (status == Nfs3Status.Ok)
        {
            FsStatus moved = Now.Done is null ? _vfs.Rename(CallerOf(call, from), from.Inode, fromName, to.Inode, toName, RenameFlags.None) : FsStatus.Ok;
            status = Finish(moved, from);
        }

        results.U32((uint)status);
        WriteWcc(ref results, Request.Directory, from);
        WriteWcc(ref results, Request.NewDirectory, to);
        return RpcAcceptStatus.Success;
    }

    /// <summary>LINK (§3.3.15): file, directory, name. Answer: post_op_attr of the file, wcc_data of the directory.</summary>
    internal RpcAcceptStatus Link(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> fileHandle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ReadOnlySpan<byte> name = arguments.String(int.MaxValue);
        if (!arguments.AtEnd)
            return Garbage;

        Nfs3Status status = Resolve(call, fileHandle, out Target file);
        Target directory = default;
        if (status == Nfs3Status.Ok)
            status = ResolveDirectory(call, handle, out directory);
        if (status == Nfs3Status.Ok && file.Handle.ExportId != directory.Handle.ExportId)
            status = Nfs3Status.CrossDevice;
        if (status == Nfs3Status.Ok)
            status = CheckName(name, Nfs3Status.Exists, Nfs3Status.Exists);
        if (status == Nfs3Status.Ok)
            status = Finish(Now.Done is null ? _vfs.Link(CallerOf(call, directory), file.Inode, directory.Inode, name, out _) : FsStatus.Ok, directory);
        results.U32((uint)status);
        WritePostOpNow(ref results, file);
        WriteWcc(ref results, Request.Directory, directory);
        return RpcAcceptStatus.Success;
    }

    /// <summary>A name in a directory, as far as the export reaches: ".." of its root is the root.</summary>
    private Nfs3Status Find(in RpcCall call, in Target directory, ReadOnlySpan<byte> name, out InodeRecord found)
    {
        found = default;
        Caller caller = CallerOf(call, directory);
        Nfs3Status special = CheckName(name, forDot: Nfs3Status.Exists, forDotDot: Nfs3Status.Exists);
        if (special == Nfs3Status.Ok)
            return Nfs3StatusMap.From(_vfs.Lookup(caller, directory.Inode, name, out found));
        if (special != Nfs3Status.Exists)
            return special;

        FsStatus status = _vfs.Access(caller, directory.Inode, VfsAccess.Execute, out VfsAccess granted);
        if (status != FsStatus.Ok || granted != VfsAccess.Execute)
            return status == FsStatus.Ok ? Nfs3Status.Access : Nfs3StatusMap.From(status);
        if (name.Length == 1 || directory.Inode == directory.Export.Root)
        {
            found = directory.Attributes;
            return Nfs3Status.Ok;
        }

        status = _vfs.Lookup(caller, directory.Inode, name, out found);
        return status == FsStatus.Ok ? CheckInside(directory.Export.Root, found) : Nfs3StatusMap.From(status);
    }

    /// <summary>
    /// A directory that was moved out of the export keeps its handle, but no way leads up from there: the way from it to the root of
    /// the file system must come through the export's root.
    /// </summary>
    private Nfs3Status CheckInside(InodeId exportRoot, InodeRecord directory)
    {
        if (exportRoot == InodeId.Root)
            return Nfs3Status.Ok;

        while (directory.Inode != exportRoot)
        {
            if (directory.Inode == directory.Parent)
                return Nfs3Status.Access;
            FsStatus status = _vfs.GetAttributes(directory.Parent, out directory);
            if (status != FsStatus.Ok)
                return Nfs3StatusMap.From(status);
        }

        return Nfs3Status.Ok;
    }

    private static void SetFirst(ref NewInode spec, in AttributeChange attributes)
    {
        spec.Mode |= attributes.Mode;
        spec.Attributes = attributes;
    }

    /// <summary>Makes an object and answers as all that make one do.</summary>
    /// <param name="keepsExisting">A file that is there already is taken, with the size asked for (UNCHECKED).</param>
    /// <param name="refused">An error that the arguments have earned, if the directory gives none.</param>
    private RpcAcceptStatus Make(
        in RpcCall call, ReadOnlySpan<byte> handle, ReadOnlySpan<byte> name, in NewInode spec, bool keepsExisting, ref XdrWriter results,
        Nfs3Status refused = Nfs3Status.Ok, bool needsPrivilege = false)
    {
        InodeRecord made = default;
        Nfs3Status status = ResolveDirectory(call, handle, out Target directory);
        if (status == Nfs3Status.Ok)
            status = refused;
        if (status == Nfs3Status.Ok)
            status = CheckName(name, Nfs3Status.Exists, Nfs3Status.Exists);
        if (status == Nfs3Status.Ok && !Nfs3Attributes.IsValid(spec.Attributes))
            status = Nfs3Status.Invalid;
        if (status == Nfs3Status.Ok)
        {
            Caller caller = CallerOf(call, directory);
            if (Now.Done is { } done)
                status = Finish(TakeMade(done, out made), directory);
            else if (needsPrivilege && caller.Uid != 0)
                status = Nfs3Status.NotOwner;
            else
                status = Finish(Make(caller, directory.Inode, name, spec, keepsExisting, out made), directory);
        }

        results.U32((uint)status);
        if (status == Nfs3Status.Ok)
        {
            bool isKnown = made.Inode != InodeId.None;
            results.Bool(isKnown);
            if (isKnown)
                WriteHandle(ref results, directory.Handle.ExportId, made);
            WritePostOp(ref results, made);
        }

        WriteWcc(ref results, Request.Directory, directory);
        return RpcAcceptStatus.Success;
    }

    /// <summary>What an earlier sending of this call has made; it may have been removed since, then the client is told no handle.</summary>
    private FsStatus TakeMade(in RequestAnswer done, out InodeRecord made)
    {
        if (_vfs.GetAttributes(done.Inode, out made) != FsStatus.Ok || made.Links == 0)
            made = default;
        return FsStatus.Ok;
    }

    private FsStatus Make(in Caller caller, InodeId directory, ReadOnlySpan<byte> name, in NewInode spec, bool keepsExisting, out InodeRecord made)
    {
        FsStatus status = FsStatus.WouldBlock;
        made = default;
        for (int i = 0; i < CreateAttempts; i++)
        {
            status = _vfs.Make(caller, directory, name, spec, out made);
            if (status != FsStatus.Exists || !keepsExisting)
                return status;

            status = _vfs.Lookup(caller, directory, name, out made);
            if (status == FsStatus.Ok)
                return Take(caller, spec, ref made);
            if (status != FsStatus.NotFound)
                return status;
            status = FsStatus.WouldBlock; // removed in between: make it after all
        }

        return status;
    }

    /// <summary>What an UNCHECKED creation finds: of its attributes only the size is set (an open with O_TRUNC), and only of a file.</summary>
    private FsStatus Take(in Caller caller, in NewInode spec, ref InodeRecord there)
    {
        if (there.Kind != InodeKind.File)
            return FsStatus.Exists;
        if ((spec.Attributes.Mask & AttributeMask.Size) == 0)
            return FsStatus.Ok;

        var cut = new AttributeChange
        {
            Mask = AttributeMask.Size | (caller.Uid == 0 ? AttributeMask.None : AttributeMask.KillPrivileges),
            SizeBytes = spec.Attributes.SizeBytes,
        };
        return _vfs.SetAttributes(caller, there.Inode, cut, out there);
    }
}
