using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>The kind of an inode: the S_IFMT bits of a mode, shifted down by 12 (also the DT_ values of dirent).</summary>
public enum InodeKind : byte
{
    Unknown = 0,
    Fifo = 1,
    CharacterDevice = 2,
    Directory = 4,
    BlockDevice = 6,
    File = 8,
    Symlink = 10,
    Socket = 12,
}

/// <summary>Facts about an inode that are kept so that reads can be skipped, and the FS_IOC_GETFLAGS flags.</summary>
[Flags]
public enum InodeFlags : uint
{
    None = 0,

    /// <summary>There are extended attributes; without it no lookup of one is made.</summary>
    HasXattrs = 1,

    /// <summary>There is an access ACL beyond the mode bits.</summary>
    HasAccessAcl = 2,

    /// <summary>A directory with a default ACL that new entries inherit.</summary>
    HasDefaultAcl = 4,

    /// <summary>A writer may have data beyond <see cref="InodeRecord.SizeBytes"/>; a restart measures the blocks.</summary>
    SizeUnrecorded = 8,

    /// <summary>It was cut and its blocks were not yet: it stands on the pending list as <see cref="PendingKind.Truncating"/>.</summary>
    Truncating = 0x10,

    /// <summary>FS_IMMUTABLE_FL.</summary>
    Immutable = 0x100,

    /// <summary>FS_APPEND_FL.</summary>
    AppendOnly = 0x200,

    /// <summary>FS_NODUMP_FL.</summary>
    NoDump = 0x400,

    /// <summary>FS_NOATIME_FL.</summary>
    NoAccessTime = 0x800,
}

/// <summary>All that is stored of an inode but its names, attributes and data. A value: copies are snapshots.</summary>
public struct InodeRecord
{
    public InodeId Inode;

    /// <summary>Tells two lives of one number apart; with numbers never given again it is fixed at creation and never changes.</summary>
    public uint Generation;

    /// <summary>Kind and permission bits as in st_mode.</summary>
    public uint Mode;

    public uint Uid;
    public uint Gid;

    /// <summary>Names that lead here; for a directory 2 + its subdirectories. 0: unlinked, kept while open.</summary>
    public uint Links;

    /// <summary>Device number (new encoding of the kernel, 32 bits) of device nodes.</summary>
    public uint Device;

    public InodeFlags Flags;

    /// <summary>File: length in bytes. Symlink: length of the target. Directory: number of entries.</summary>
    public ulong SizeBytes;

    /// <summary>Space used by blocks, in bytes.</summary>
    public long AllocatedBytes;

    /// <summary>Of a directory: where its ".." leads (itself for the root).</summary>
    public InodeId Parent;

    /// <summary>Of a directory: the cookie that the next new entry gets.</summary>
    public ulong NextCookie;

    public Timestamp Accessed;
    public Timestamp Modified;
    public Timestamp Changed;
    public Timestamp Born;

    public readonly InodeKind Kind => (InodeKind)(Mode >> 12);

    public readonly bool IsDirectory => Kind == InodeKind.Directory;
}
