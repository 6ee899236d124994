using System.Runtime.InteropServices;

namespace Gateway.Fuse;

// The fixed parts of the messages, field by field as the kernel has them: host byte order, naturally aligned, padded to 8 bytes. A table of
// their sizes is checked by a test. Variable parts (names, data) are described at their handlers.

/// <summary>fuse_in_header, 40 bytes, before each request.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseInHeader
{
    public uint Length; //        0  of the whole request, this header and extensions included
    public FuseOpcode Opcode; //  4
    public ulong Unique; //       8  echoed by the reply; its lowest bit is set on INTERRUPT, its highest on a request sent again
    public ulong Node; //        16
    public uint Uid; //          24
    public uint Gid; //          28
    public uint Pid; //          32
    public ushort ExtensionWords; // 36  length of the extensions at the end, in units of 8 bytes
    public ushort Padding; //    38
}

/// <summary>fuse_out_header, 16 bytes, before each reply.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseOutHeader
{
    public uint Length; // 0
    public int Error; //   4  0 or a negated errno; in a notification its code
    public ulong Unique; // 8  0: a notification
}

/// <summary>fuse_attr, 88 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseAttr
{
    public ulong Inode; //      0
    public ulong Size; //       8
    public ulong Blocks; //    16  of 512 bytes
    public long Accessed; //   24
    public long Modified; //   32
    public long Changed; //    40
    public uint AccessedNs; // 48
    public uint ModifiedNs; // 52
    public uint ChangedNs; //  56
    public uint Mode; //       60
    public uint Links; //      64
    public uint Uid; //        68
    public uint Gid; //        72
    public uint Device; //     76
    public uint BlockSize; //  80
    public uint Flags; //      84
}

/// <summary>fuse_entry_out, 128 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseEntryOut
{
    public ulong Node; //          0  0: no such name, remembered by the kernel for the entry's validity
    public ulong Generation; //    8
    public ulong EntryValid; //   16
    public ulong AttrValid; //    24
    public uint EntryValidNs; //  32
    public uint AttrValidNs; //   36
    public FuseAttr Attributes; // 40
}

/// <summary>fuse_attr_out, 104 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseAttrOut
{
    public ulong AttrValid; //    0
    public uint AttrValidNs; //   8
    public uint Dummy; //        12
    public FuseAttr Attributes; // 16
}

[StructLayout(LayoutKind.Sequential)]
internal struct FuseSxTime
{
    public long Seconds;
    public uint Nanoseconds;
    public int Reserved;
}

/// <summary>fuse_statx_out with its fuse_statx, 288 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseStatXOut
{
    public ulong AttrValid; //    0
    public uint AttrValidNs; //   8
    public uint Flags; //        12
    public ulong Spare0; //      16
    public ulong Spare1; //      24
    public uint Mask; //         32  which fields are valid (STATX_)
    public uint BlockSize; //    36
    public ulong Attributes; //  40
    public uint Links; //        48
    public uint Uid; //          52
    public uint Gid; //          56
    public ushort Mode; //       60
    public ushort Spare2; //     62
    public ulong Inode; //       64
    public ulong Size; //        72
    public ulong Blocks; //      80
    public ulong AttributesMask; // 88
    public FuseSxTime Accessed; // 96
    public FuseSxTime Born; //  112
    public FuseSxTime Changed; // 128
    public FuseSxTime Modified; // 144
    public uint RdevMajor; //   160
    public uint RdevMinor; //   164
    public uint DevMajor; //    168
    public uint DevMinor; //    172
    public SpareWords Spare3; // 176

    [System.Runtime.CompilerServices.InlineArray(14)]
    internal struct SpareWords
    {
        private ulong _first;
    }
}

/// <summary>fuse_statx_in, 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseStatXIn
{
    public uint GetAttrFlags;
    public uint Reserved;
    public ulong Handle;
    public uint Flags;
    public uint Mask;
}

/// <summary>fuse_setattr_in, 88 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseSetAttrIn
{
    public FuseSetAttrValid Valid; // 0
    public uint Padding; //           4
    public ulong Handle; //           8
    public ulong Size; //            16
    public ulong LockOwner; //       24
    public long Accessed; //         32
    public long Modified; //         40
    public long Changed; //          48
    public uint AccessedNs; //       56
    public uint ModifiedNs; //       60
    public uint ChangedNs; //        64
    public uint Mode; //             68
    public uint Unused4; //          72
    public uint Uid; //              76
    public uint Gid; //              80
    public uint Unused5; //          84
}

/// <summary>fuse_mknod_in, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseMkNodIn
{
    public uint Mode;
    public uint Device;
    public uint Umask;
    public uint Padding;
}

/// <summary>fuse_mkdir_in, 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseMkDirIn
{
    public uint Mode;
    public uint Umask;
}

/// <summary>fuse_rename2_in, 16 bytes (fuse_rename_in is its first field alone).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseRename2In
{
    public ulong NewParent;
    public uint Flags;
    public uint Padding;
}

/// <summary>fuse_open_in, 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseOpenIn
{
    public uint Flags; // of open(2)
    public uint OpenFlags; // FUSE_OPEN_
}

/// <summary>fuse_create_in, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseCreateIn
{
    public uint Flags;
    public uint Mode;
    public uint Umask;
    public uint OpenFlags;
}

/// <summary>fuse_open_out, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseOpenOut
{
    public ulong Handle;
    public FuseOpenReply Flags;
    public int BackingId;
}

/// <summary>fuse_release_in, 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseReleaseIn
{
    public ulong Handle;
    public uint Flags;
    public uint ReleaseFlags;
    public ulong LockOwner;
}

/// <summary>fuse_flush_in, 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseFlushIn
{
    public ulong Handle;
    public uint Unused;
    public uint Padding;
    public ulong LockOwner;
}

/// <summary>fuse_read_in, 40 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseReadIn
{
    public ulong Handle;
    public ulong Offset;
    public uint Size;
    public uint ReadFlags;
    public ulong LockOwner;
    public uint Flags;
    public uint Padding;
}

/// <summary>fuse_write_in, 40 bytes; the data follows.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseWriteIn
{
    public ulong Handle;
    public ulong Offset;
    public uint Size;
    public uint WriteFlags;
    public ulong LockOwner;
    public uint Flags;
    public uint Padding;
}

/// <summary>fuse_write_out, fuse_getxattr_out and fuse_poll_out: 8 bytes, a length first.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseSizeOut
{
    public uint Size;
    public uint Padding;
}

/// <summary>fuse_statfs_out, 80 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseStatFsOut
{
    public ulong Blocks;
    public ulong FreeBlocks;
    public ulong AvailableBlocks;
    public ulong Inodes;
    public ulong FreeInodes;
    public uint BlockSize;
    public uint NameLength;
    public uint FragmentSize;
    public uint Padding;
    public ulong Spare0;
    public ulong Spare1;
    public ulong Spare2;
}

/// <summary>fuse_fsync_in, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseFsyncIn
{
    public ulong Handle;
    public uint Flags;
    public uint Padding;
}

/// <summary>fuse_setxattr_in, 16 bytes with FUSE_SETXATTR_EXT, else its first 8.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseSetXattrIn
{
    public const int ShortBytes = 8;

    public uint Size;
    public uint Flags;
    public uint SetXattrFlags;
    public uint Padding;
}

/// <summary>fuse_getxattr_in and fuse_access_in: 8 bytes, one number first.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseWordIn
{
    public uint Value;
    public uint Padding;
}

/// <summary>fuse_file_lock, 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseFileLock
{
    public ulong Start;
    public ulong End; // inclusive; 2^63 - 1: to the end of file
    public uint Type; // F_RDLCK 0, F_WRLCK 1, F_UNLCK 2
    public uint Pid;
}

/// <summary>fuse_lk_in, 48 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseLkIn
{
    public ulong Handle;
    public ulong Owner;
    public FuseFileLock Lock;
    public uint Flags;
    public uint Padding;
}

/// <summary>fuse_init_in: 16 bytes before 7.36, 64 since.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseInitIn
{
    public const int ShortBytes = 16;

    public uint Major;
    public uint Minor;
    public uint MaxReadAhead;
    public uint Flags;
    public uint Flags2;
}

/// <summary>fuse_init_out, 64 bytes (since 7.23).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseInitOut
{
    public uint Major; //              0
    public uint Minor; //              4
    public uint MaxReadAhead; //       8
    public uint Flags; //             12
    public ushort MaxBackground; //   16
    public ushort Congestion; //      18
    public uint MaxWrite; //          20
    public uint TimeGranularityNs; // 24
    public ushort MaxPages; //        28
    public ushort MapAlignment; //    30
    public uint Flags2; //            32
    public uint MaxStackDepth; //     36
    public ushort RequestTimeout; //  40
    public ushort Unused0; //         42
    public uint Unused1; //           44
    public ulong Unused2; //          48
    public ulong Unused3; //          56
}

/// <summary>fuse_ioctl_in, 32 bytes; in_size bytes of data follow.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseIoctlIn
{
    public ulong Handle;
    public uint Flags;
    public uint Command;
    public ulong Argument;
    public uint InSize;
    public uint OutSize;
}

/// <summary>fuse_ioctl_out, 16 bytes; out_size bytes of data follow.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseIoctlOut
{
    public int Result;
    public uint Flags;
    public uint InIovecs;
    public uint OutIovecs;
}

/// <summary>fuse_fallocate_in, 32 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseFallocateIn
{
    public ulong Handle;
    public ulong Offset;
    public ulong Length;
    public uint Mode;
    public uint Padding;
}

/// <summary>fuse_lseek_in, 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseLseekIn
{
    public ulong Handle;
    public ulong Offset;
    public uint Whence;
    public uint Padding;
}

/// <summary>fuse_copy_file_range_in, 56 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseCopyFileRangeIn
{
    public ulong SourceHandle;
    public ulong SourceOffset;
    public ulong TargetNode;
    public ulong TargetHandle;
    public ulong TargetOffset;
    public ulong Length;
    public ulong Flags;
}

/// <summary>fuse_batch_forget_in, 8 bytes; count times fuse_forget_one (nodeid, nlookup) follow.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseBatchForgetIn
{
    public const int OneBytes = 16;

    public uint Count;
    public uint Dummy;
}

/// <summary>fuse_dirent, 24 bytes; the name follows, padded with zeros to 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseDirent
{
    public ulong Inode;
    public ulong Offset; // the cookie to go on with after this entry
    public uint NameLength;
    public uint Type;
}

/// <summary>fuse_notify_inval_inode_out, 24 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseNotifyInvalInodeOut
{
    public ulong Node;
    public long Offset; // negative: the attributes only
    public long Length; // not positive: to the end
}

/// <summary>fuse_notify_inval_entry_out, 16 bytes; the name and a zero follow.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseNotifyInvalEntryOut
{
    public ulong Parent;
    public uint NameLength;
    public uint Flags;
}

/// <summary>fuse_notify_delete_out, 24 bytes; the name and a zero follow.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseNotifyDeleteOut
{
    public ulong Parent;
    public ulong Child;
    public uint NameLength;
    public uint Padding;
}
