using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Names made, moved and removed.</summary>
public sealed partial class FuseDispatcher
{
    private const uint DirectoryMode = (uint)InodeKind.Directory << 12;
    private const uint SymlinkMode = (uint)InodeKind.Symlink << 12;
    private const uint FileMode = (uint)InodeKind.File << 12;

    // renameat2(2)
    private const uint RenameNoReplace = 1;
    private const uint RenameExchange = 2;

    /// <summary>SYMLINK: name, target. Answer: fuse_entry_out.</summary>
    internal FsStatus Symlink(ref FuseRequest request, ref FuseReply reply)
    {
        ReadOnlySpan<byte> name = request.Name();
        var spec = new NewInode { Mode = SymlinkMode | 0x1FF, Target = request.Text() };
        return Make(ref request, name, spec, ref reply);
    }

    /// <summary>MKNOD: fuse_mknod_in, name. Answer: fuse_entry_out.</summary>
    internal FsStatus MkNod(ref FuseRequest request, ref FuseReply reply)
    {
        FuseMkNodIn arguments = request.Read<FuseMkNodIn>();
        ReadOnlySpan<byte> name = request.Name();
        var spec = new NewInode { Mode = arguments.Mode & 0xFFFF, Umask = arguments.Umask, Device = arguments.Device };
        return (InodeKind)(spec.Mode >> 12) is InodeKind.File or InodeKind.Fifo or InodeKind.Socket or InodeKind.CharacterDevice
            or InodeKind.BlockDevice
            ? Make(ref request, name, spec, ref reply)
            : FsStatus.Invalid;
    }

    /// <summary>MKDIR: fuse_mkdir_in, name. Answer: fuse_entry_out.</summary>
    internal FsStatus MkDir(ref FuseRequest request, ref FuseReply reply)
    {
        FuseMkDirIn arguments = request.Read<FuseMkDirIn>();
        ReadOnlySpan<byte> name = request.Name();
        var spec = new NewInode { Mode = DirectoryMode | (arguments.Mode & PermissionBits), Umask = arguments.Umask };
        return Make(ref request, name, spec, ref reply);
    }

    /// <summary>UNLINK: name.</summary>
    internal FsStatus Unlink(ref FuseRequest request)
    {
        ReadOnlySpan<byte> name = request.Name();
        return request.Malformed ? FsStatus.Invalid : _vfs.Unlink(CallerOf(request), Inode(request), name);
    }

    /// <summary>RMDIR: name.</summary>
    internal FsStatus RmDir(ref FuseRequest request)
    {
        ReadOnlySpan<byte> name = request.Name();
        return request.Malformed ? FsStatus.Invalid : _vfs.RemoveDirectory(CallerOf(request), Inode(request), name);
    }

    /// <summary>RENAME: u64 new parent, old name, new name.</summary>
    internal FsStatus Rename(ref FuseRequest request) => Rename(ref request, request.Read<ulong>(), RenameFlags.None);

    /// <summary>RENAME2: fuse_rename2_in, old name, new name. RENAME_WHITEOUT has no meaning here: it is for the upper layer of an overlay.</summary>
    internal FsStatus Rename2(ref FuseRequest request)
    {
        FuseRename2In arguments = request.Read<FuseRename2In>();
        return arguments.Flags switch
        {
            0 => Rename(ref request, arguments.NewParent, RenameFlags.None),
            RenameNoReplace => Rename(ref request, arguments.NewParent, RenameFlags.NoReplace),
            RenameExchange => Rename(ref request, arguments.NewParent, RenameFlags.Exchange),
            _ => FsStatus.Invalid,
        };
    }

    /// <summary>LINK: u64 nodeid of the inode, new name; the header's node is the new parent. Answer: fuse_entry_out.</summary>
    internal FsStatus Link(ref FuseRequest request, ref FuseReply reply)
    {
        InodeId inode = Inode(request.Read<ulong>());
        ReadOnlySpan<byte> name = request.Name();
        if (request.Malformed)
            return FsStatus.Invalid;

        FsStatus status = _vfs.Link(CallerOf(request), inode, Inode(request), name, out InodeRecord record);
        return status == FsStatus.Ok ? AddEntry(request, record, ref reply) : status;
    }

    private FsStatus Rename(ref FuseRequest request, ulong newParent, RenameFlags flags)
    {
        ReadOnlySpan<byte> name = request.Name();
        ReadOnlySpan<byte> newName = request.Name();
        return request.Malformed
            ? FsStatus.Invalid
            : _vfs.Rename(CallerOf(request), Inode(request), name, Inode(newParent), newName, flags);
    }

    private FsStatus Make(ref FuseRequest request, ReadOnlySpan<byte> name, in NewInode spec, ref FuseReply reply)
    {
        uint[]? groups = request.Groups();
        if (request.Malformed)
            return FsStatus.Invalid;

        FsStatus status = _vfs.Make(CallerOf(request, groups), Inode(request), name, spec, out InodeRecord record);
        return status == FsStatus.Ok ? AddEntry(request, record, ref reply) : status;
    }
}
