using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using StoreCore;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Extended attributes and inode flags.</summary>
public sealed partial class FuseDispatcher
{
    // linux/fs.h, with the sizes that the kernel's structures have on 64-bit machines.
    private const uint GetFlagsCommand = 0x80086601; // FS_IOC_GETFLAGS
    private const uint SetFlagsCommand = 0x40086602; // FS_IOC_SETFLAGS
    private const uint GetXFlagsCommand = 0x801C581F; // FS_IOC_FSGETXATTR
    private const uint SetXFlagsCommand = 0x401C5820; // FS_IOC_FSSETXATTR

    /// <summary>struct fsxattr: u32 xflags, extent size, extents, project, copy-on-write extent size, 8 bytes of padding.</summary>
    private const int FsXattrBytes = 28;

    private const InodeFlags SettableFlags = InodeFlags.Immutable | InodeFlags.AppendOnly | InodeFlags.NoDump | InodeFlags.NoAccessTime;

    /// <summary>SETXATTR: fuse_setxattr_in, name, value.</summary>
    internal FsStatus SetXattr(ref FuseRequest request)
    {
        bool extended = (Negotiated & FuseInitFlags.SetXattrExt) != 0;
        int bytes = extended ? Unsafe.SizeOf<FuseSetXattrIn>() : FuseSetXattrIn.ShortBytes;
        FuseSetXattrIn arguments = request.ReadUpTo<FuseSetXattrIn>(bytes, bytes);
        ReadOnlySpan<byte> name = request.Text();
        ReadOnlySpan<byte> value = request.Data(arguments.Size);
        if (request.Malformed || arguments.Flags > (uint)(XattrSetFlags.Create | XattrSetFlags.Replace))
            return FsStatus.Invalid;

        bool killSetgid = (arguments.SetXattrFlags & FuseFlag.SetXattrAclKillSgid) != 0;
        return _vfs.SetXattr(CallerOf(request), Inode(request), name, value, (XattrSetFlags)arguments.Flags, killSetgid);
    }

    /// <summary>GETXATTR: fuse_getxattr_in, name. Answer: the value, or fuse_getxattr_out where its size was asked for (size 0).</summary>
    internal FsStatus GetXattr(ref FuseRequest request, ref FuseReply reply)
    {
        uint size = request.Read<FuseWordIn>().Value;
        ReadOnlySpan<byte> name = request.Text();
        if (request.Malformed)
            return FsStatus.Invalid;

        FsStatus status = _vfs.GetXattr(CallerOf(request), Inode(request), name, Room(size, reply), out int length);
        return Answer(status, size, length, ref reply);
    }

    /// <summary>LISTXATTR: fuse_getxattr_in. Answer: names, each with a zero behind it, or fuse_getxattr_out.</summary>
    internal FsStatus ListXattr(ref FuseRequest request, ref FuseReply reply)
    {
        uint size = request.Read<FuseWordIn>().Value;
        FsStatus status = _vfs.ListXattrs(CallerOf(request), Inode(request), Room(size, reply), out int length);
        return Answer(status, size, length, ref reply);
    }

    /// <summary>REMOVEXATTR: name.</summary>
    internal FsStatus RemoveXattr(ref FuseRequest request)
    {
        ReadOnlySpan<byte> name = request.Text();
        return request.Malformed ? FsStatus.Invalid : _vfs.RemoveXattr(CallerOf(request), Inode(request), name);
    }

    /// <summary>
    /// IOCTL: fuse_ioctl_in, in_size bytes. Answer: fuse_ioctl_out, out_size bytes. Only what lsattr and chattr use: the kernel has checked
    /// ownership, and CAP_LINUX_IMMUTABLE where it is needed.
    /// </summary>
    internal FsStatus IoCtl(ref FuseRequest request, ref FuseReply reply)
    {
        FuseIoctlIn arguments = request.Read<FuseIoctlIn>();
        ReadOnlySpan<byte> input = request.Data(arguments.InSize);
        if (request.Malformed)
            return FsStatus.Invalid;

        return arguments.Command switch
        {
            GetFlagsCommand => GetFlags(request, arguments, sizeof(uint), FsFlagsOf, ref reply),
            GetXFlagsCommand => GetFlags(request, arguments, FsXattrBytes, XFlagsOf, ref reply),
            SetFlagsCommand => SetFlags(request, input, sizeof(uint), FromFsFlags, ref reply),
            SetXFlagsCommand => SetFlags(request, input, FsXattrBytes, FromXFlags, ref reply),
            _ => FsStatus.NoSuchControl,
        };
    }

    private FsStatus GetFlags(
        in FuseRequest request, in FuseIoctlIn arguments, int leastBytes, Func<InodeFlags, uint> encode, ref FuseReply reply)
    {
        if (arguments.OutSize < leastBytes || arguments.OutSize > 64)
            return FsStatus.Invalid;

        FsStatus status = _vfs.GetAttributes(Inode(request), out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;

        reply.Next<FuseIoctlOut>();
        Span<byte> output = reply.Free[..(int)arguments.OutSize];
        output.Clear();
        uint flags = encode(record.Flags);
        MemoryMarshal.Write(output, in flags);
        reply.Advance(output.Length);
        return FsStatus.Ok;
    }

    private FsStatus SetFlags(
        in FuseRequest request, ReadOnlySpan<byte> input, int leastBytes, Func<uint, InodeFlags?> decode, ref FuseReply reply)
    {
        if (_options.ReadOnly)
            return FsStatus.ReadOnly;
        if (input.Length < leastBytes)
            return FsStatus.Invalid;
        if (decode(MemoryMarshal.Read<uint>(input)) is not { } flags)
            return FsStatus.NotSupported;

        var change = new AttributeChange { Mask = AttributeMask.Flags, Flags = flags };
        FsStatus status = _vfs.SetAttributes(CallerOf(request), Inode(request), change, out _);
        if (status == FsStatus.Ok)
            reply.Next<FuseIoctlOut>();
        return status;
    }

    /// <summary>FS_IMMUTABLE_FL 0x10, FS_APPEND_FL 0x20, FS_NODUMP_FL 0x40, FS_NOATIME_FL 0x80.</summary>
    private static uint FsFlagsOf(InodeFlags flags) => (uint)(flags & SettableFlags) >> 4;

    private static InodeFlags? FromFsFlags(uint flags) => (flags & ~((uint)SettableFlags >> 4)) == 0 ? (InodeFlags)(flags << 4) : null;

    /// <summary>FS_XFLAG_IMMUTABLE 0x8, _APPEND 0x10, _NOATIME 0x40, _NODUMP 0x80.</summary>
    private static uint XFlagsOf(InodeFlags flags) =>
        ((flags & InodeFlags.Immutable) != 0 ? 0x8u : 0)
        | ((flags & InodeFlags.AppendOnly) != 0 ? 0x10u : 0)
        | ((flags & InodeFlags.NoAccessTime) != 0 ? 0x40u : 0)
        | ((flags & InodeFlags.NoDump) != 0 ? 0x80u : 0);

    private static InodeFlags? FromXFlags(uint flags) => (flags & ~0xD8u) != 0
        ? null
        : ((flags & 0x8) != 0 ? InodeFlags.Immutable : 0)
            | ((flags & 0x10) != 0 ? InodeFlags.AppendOnly : 0)
            | ((flags & 0x40) != 0 ? InodeFlags.NoAccessTime : 0)
            | ((flags & 0x80) != 0 ? InodeFlags.NoDump : 0);

    private static Span<byte> Room(uint size, in FuseReply reply)
    {
        Span<byte> free = reply.Free;
        return free[..(int)Math.Min(size, (uint)Math.Min(free.Length, Limits.MaxXattrValueBytes))];
    }

    private static FsStatus Answer(FsStatus status, uint size, int length, ref FuseReply reply)
    {
        if (status != FsStatus.Ok)
            return status;

        if (size == 0)
            reply.Next<FuseSizeOut>().Size = (uint)length;
        else
            reply.Advance(length);
        return FsStatus.Ok;
    }
}
