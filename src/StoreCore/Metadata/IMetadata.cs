using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What a new inode shall be.</summary>
public ref struct NewInode
{
    /// <summary>Kind and permission bits; the umask is applied only where the directory has no default ACL (as POSIX.1e has it).</summary>
    public uint Mode;

    public uint Umask;

    /// <summary>Of device nodes.</summary>
    public uint Device;

    /// <summary>Of symlinks.</summary>
    public ReadOnlySpan<byte> Target;

    /// <summary>The creator will write at once: the inode starts with <see cref="InodeFlags.SizeUnrecorded"/>.</summary>
    public bool ForWriting;

    /// <summary>
    /// Attributes that the inode has from its first moment (NFS): <see cref="AttributeMask.Uid"/>, <see cref="AttributeMask.Gid"/>, <see cref="AttributeMask.Size"/> of a file and the times. An owner or
    /// group that the caller may not give away is passed over, as by other servers; the mode is <see cref="Mode"/>.
    /// </summary>
    public AttributeChange Attributes;

    /// <summary>
    /// What an exclusive creation is known by (RFC 1813 §3.3.8): kept in the new file's access and modification time. Where the name is there already and was made with the
    /// same verifier, it is this very creation repeated, and answered as done.
    /// </summary>
    public ulong? Verifier;
}

/// <summary>Which attributes an <see cref="AttributeChange"/> sets.</summary>
[Flags]
public enum AttributeMask : uint
{
    None = 0,
    Mode = 1,
    Uid = 2,
    Gid = 4,
    Size = 8,
    Accessed = 0x10,
    Modified = 0x20,

    /// <summary>Set to the server's time (utimensat's UTIME_NOW: allowed to who may write, not to the owner alone).</summary>
    AccessedNow = 0x40,
    ModifiedNow = 0x80,
    Changed = 0x100,

    /// <summary>The inode flags of FS_IOC_SETFLAGS.</summary>
    Flags = 0x200,

    /// <summary>Clear setuid, setgid (if group execution is set) and security.capability, as a write or chown by an unprivileged caller does.</summary>
    KillPrivileges = 0x400,

    /// <summary>Clear security.capability: any write does, root's too, as any new size and owner do by themselves.</summary>
    KillCapability = 0x1000,

    /// <summary>Set to the server's time because the inode was read: leaves the change time alone. Never together with others.</summary>
    AccessedByRead = 0x2000,

    /// <summary>Only if the change time still is <see cref="AttributeChange.Guard"/>, else <see cref="FsStatus.OutOfSync"/>.</summary>
    Guard = 0x800,
}

/// <summary>A change of attributes; the fields without their bit in <see cref="Mask"/> are ignored.</summary>
public struct AttributeChange
{
    public AttributeMask Mask;
    public uint Mode;
    public uint Uid;
    public uint Gid;
    public ulong SizeBytes;
    public Timestamp Accessed;
    public Timestamp Modified;
    public Timestamp Changed;
    public InodeFlags Flags;

    /// <summary>The change time that the caller has last seen.</summary>
    public Timestamp Guard;
}

/// <summary>Size, space and times of a file that data writes have changed, on their way into the metadata.</summary>
public struct SizeUpdate
{
    public InodeId Inode;
    public ulong SizeBytes;
    public long AllocatedBytes;
    public Timestamp Accessed;
    public Timestamp Modified;
    public Timestamp Changed;

    /// <summary>Nothing beyond this size can be in the blocks: take the inode off the list that a restart measures.</summary>
    public bool Final;
}

[Flags]
public enum RenameFlags : uint
{
    None = 0,

    /// <summary>RENAME_NOREPLACE.</summary>
    NoReplace = 1,

    /// <summary>RENAME_EXCHANGE.</summary>
    Exchange = 2,
}

[Flags]
public enum XattrSetFlags : uint
{
    None = 0,

    /// <summary>XATTR_CREATE: fail if it exists.</summary>
    Create = 1,

    /// <summary>XATTR_REPLACE: fail if it does not exist.</summary>
    Replace = 2,

    /// <summary>An access ACL takes setgid away: a trusted caller that is neither in the group nor privileged (FUSE_SETXATTR_ACL_KILL_SGID).</summary>
    KillSetGid = 4,
}

/// <summary>Why an inode stands on the list of what a restart must look at.</summary>
public enum PendingKind : byte
{
    /// <summary>No name leads to it any more, but it was open: reap it.</summary>
    Unlinked = 1,

    /// <summary>Its size was not recorded: measure its blocks, record, take it off.</summary>
    SizeUnrecorded = 2,

    /// <summary>It was cut to the size noted: cut its blocks there, take it off.</summary>
    Truncating = 3,

    /// <summary>Its inode is gone, its blocks are not: purge them, take it off.</summary>
    Purging = 4,
}

/// <summary>Receives directory entries in cookie order. Called under no lock.</summary>
public interface IDirectorySink
{
    /// <summary>
    /// One entry; <paramref name="cookie"/> is where a listing goes on after it. <paramref name="attributes"/> is filled only where asked for.
    /// Returns false when there is no room for this entry: the walk stops, and the entry comes again next time.
    /// </summary>
    bool Add(ulong cookie, InodeId inode, InodeKind kind, ReadOnlySpan<byte> name, in InodeRecord attributes);
}

/// <summary>
/// The metadata of the file system as its users (the Vfs) see it: today the store in this process, later the active metadata server.
/// Any thread may call any member. Reads never wait for the writer. A change is <em>applied</em> when its call returns: all later reads see it
/// and it survives the death of the process; <see cref="Sync"/> makes it stable. Names are bytes, 1 to 255 of them, without '/' and zero;
/// "." and ".." are never passed. Data is not touched here: the caller cuts and purges blocks as the pending list says.
/// </summary>
public interface IMetadata
{
    FsStatus GetInode(InodeId inode, out InodeRecord record);

    FsStatus Lookup(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord child);

    /// <summary>
    /// Which of the wanted permissions (4 read, 2 write, 1 execute or search) the mode bits and the access ACL grant the caller, whether it is
    /// <see cref="Caller.Trusted"/> or not. Uid 0 has all but execution of a file that nobody may execute.
    /// </summary>
    FsStatus Access(in Caller caller, InodeId inode, uint wanted, out uint granted);

    /// <summary>The whole target, not terminated; <see cref="FsStatus.OutOfRange"/> where it does not fit.</summary>
    FsStatus ReadLink(InodeId inode, Span<byte> target, out int lengthBytes);

    /// <summary>Entries after <paramref name="cookie"/> (without "." and ".."). Entries that exist throughout the listing come exactly once.</summary>
    FsStatus ReadDirectory(InodeId directory, ulong cookie, bool withAttributes, IDirectorySink sink);

    /// <summary>With an empty <paramref name="value"/> only the length is told. The POSIX ACLs have the kernel's xattr format (version 2).</summary>
    FsStatus GetXattr(InodeId inode, ReadOnlySpan<byte> name, Span<byte> value, out int lengthBytes);

    /// <summary>Names, each with a zero byte behind it. With an empty <paramref name="names"/> only the length is told.</summary>
    FsStatus ListXattrs(InodeId inode, Span<byte> names, out int lengthBytes);

    FsStatus Create(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, out InodeRecord created);

    /// <summary>A file without a name (O_TMPFILE) that belongs to <paramref name="directory"/> for inheritance; pending as <see cref="PendingKind.Unlinked"/>.</summary>
    FsStatus CreateUnlinked(in Caller caller, InodeId directory, in NewInode spec, out InodeRecord created);

    FsStatus Link(in Caller caller, InodeId inode, InodeId newParent, ReadOnlySpan<byte> newName, out InodeRecord record);

    /// <summary>
    /// Takes a name away. <paramref name="removed"/> is the inode afterwards: with no links left it stands on the pending list as
    /// <see cref="PendingKind.Unlinked"/> until <see cref="Reap"/>.
    /// </summary>
    FsStatus Unlink(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord removed);

    /// <summary>As <see cref="Unlink"/>, for an empty directory.</summary>
    FsStatus RemoveDirectory(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord removed);

    /// <summary>
    /// rename(2). <paramref name="displaced"/> is what stood at the target: with <see cref="RenameFlags.Exchange"/> it now stands at the source,
    /// otherwise it lost that name (see <see cref="Unlink"/>); its <c>Inode</c> is <see cref="InodeId.None"/> where there was nothing.
    /// </summary>
    FsStatus Rename(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, InodeId newParent, ReadOnlySpan<byte> newName, RenameFlags flags,
        out InodeRecord moved, out InodeRecord displaced);

    /// <summary>
    /// A size below the recorded one puts the inode on the pending list as <see cref="PendingKind.Truncating"/> (with the size) in the same record;
    /// the caller cuts the blocks and then calls <see cref="TruncateDone"/> before anything is written behind the cut.
    /// </summary>
    FsStatus SetAttributes(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord record);

    FsStatus TruncateDone(InodeId inode, long allocatedBytes);

    FsStatus SetXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, XattrSetFlags flags, out InodeRecord record);

    FsStatus RemoveXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, out InodeRecord record);

    /// <summary>Before the first data beyond the recorded size: puts the inode on the pending list as <see cref="PendingKind.SizeUnrecorded"/>.</summary>
    FsStatus BeginExtending(InodeId inode);

    /// <summary>
    /// Records what data writes changed, for many inodes in one operation. Inodes that are gone are passed over; the change time never goes back.
    /// Only regular files.
    /// </summary>
    FsStatus RecordSizes(ReadOnlySpan<SizeUpdate> updates);

    /// <summary>Deletes unlinked inodes that nobody has open (those that have a link again are passed over); their blocks are left to purge (<see cref="PendingKind.Purging"/>).</summary>
    FsStatus Reap(ReadOnlySpan<InodeId> inodes);

    /// <summary>The blocks of these inodes are gone.</summary>
    FsStatus PurgeDone(ReadOnlySpan<InodeId> inodes);

    /// <summary>Adds up to <c>destination.Length</c> pending inodes of a kind after <paramref name="after"/>, ascending; returns how many. The value is the size of <see cref="PendingKind.Truncating"/>.</summary>
    int ListPending(PendingKind kind, InodeId after, Span<(InodeId Inode, ulong Value)> destination);

    /// <summary>
    /// Whether a client's request has been carried out already, and which inode its answer is about. Of the newest
    /// <see cref="Limits.RequestsPerGeneration"/> requests at least. What is found need not be stable: <see cref="Sync"/> before it is answered.
    /// </summary>
    bool TryFindRequest(RequestId id, out RequestAnswer answer);

    /// <summary>All exports, by number.</summary>
    FsStatus ListExports(out IReadOnlyList<ExportDefinition> exports);

    /// <summary>
    /// Adds an export (number 0: it gets the next one) or replaces one; stable on return. <see cref="FsStatus.Exists"/>: another export has that path;
    /// <see cref="FsStatus.NotFound"/>: no export has that number; <see cref="FsStatus.Invalid"/>: a text is too long, or the path has no '/' at its start.
    /// </summary>
    FsStatus PutExport(ExportDefinition wanted, out ExportDefinition? stored);

    /// <summary>Stable on return. <see cref="FsStatus.NotFound"/>: no export has that number.</summary>
    FsStatus RemoveExport(uint id);

    /// <summary>
    /// The secret that file handles of the cluster are authenticated by. The first call makes it of the candidate, which the caller has from a source of true randomness; later ones
    /// answer the same whatever they bring. Stable on return.
    /// </summary>
    /// <param name="candidate"><see cref="Limits.SecretBytes"/> random bytes.</param>
    /// <param name="secret">Receives <see cref="Limits.SecretBytes"/> bytes.</param>
    FsStatus GetSecret(ReadOnlySpan<byte> candidate, Span<byte> secret);

    /// <summary>A service that gives locks to clients starts: <paramref name="life"/> is the odd number of this life, <paramref name="earlier"/> who held locks in lives before. Stable on return.</summary>
    FsStatus BeginLockService(out int life, out IReadOnlyList<LockClient> earlier);

    /// <summary>Remembers a client that has got its first lock; stable on return. The caller chooses a number that is free.</summary>
    FsStatus PutLockClient(LockClient client);

    /// <summary>The client holds no lock any more. Stable on return.</summary>
    FsStatus RemoveLockClient(uint id);

    /// <summary>Makes all that was applied before this call stable.</summary>
    FsStatus Sync();

    /// <summary>Inodes in use, and how many more there can be.</summary>
    (ulong Used, ulong Free) InodeCounts { get; }

    /// <summary>The file system's identity, given at its creation; part of NFS handles and of statfs.</summary>
    Guid FileSystemId { get; }
}
