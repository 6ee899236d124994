namespace StoreCore.Primitives;

/// <summary>
/// The outcome of a file system operation. One enumeration for the metadata core, the block store, the Vfs and both front
/// ends; each front end maps it totally (FUSE to errno, NFS to nfsstat3), and a test enumerates all values.
/// </summary>
public enum FsStatus
{
    Ok = 0,

    /// <summary>EPERM: the operation needs ownership or privilege that the caller lacks.</summary>
    NotPermitted,

    /// <summary>ENOENT: the name does not exist.</summary>
    NotFound,

    /// <summary>EINTR: a blocking call was interrupted by its caller.</summary>
    Interrupted,

    /// <summary>EIO: data or metadata could not be read or written, or its checksum is wrong.</summary>
    IoError,

    /// <summary>ENXIO: SEEK past the end of data.</summary>
    NoSuchAddress,

    /// <summary>EBADF: the handle is not open, or not open for this.</summary>
    BadHandle,

    /// <summary>EAGAIN: the lock is held by another.</summary>
    WouldBlock,

    /// <summary>EACCES: the mode bits or the ACL refuse it.</summary>
    AccessDenied,

    /// <summary>EBUSY: in use.</summary>
    Busy,

    /// <summary>EEXIST: the name exists already.</summary>
    Exists,

    /// <summary>EXDEV: source and target are not on the same file system.</summary>
    CrossDevice,

    /// <summary>ENOTDIR: a directory was needed.</summary>
    NotDirectory,

    /// <summary>EISDIR: anything but a directory was needed.</summary>
    IsDirectory,

    /// <summary>EINVAL: an argument is out of its range.</summary>
    Invalid,

    /// <summary>EFBIG: beyond the largest file size.</summary>
    TooLarge,

    /// <summary>ENOSPC: the store is full up to its reserve.</summary>
    NoSpace,

    /// <summary>EROFS: the mount or the store is read-only.</summary>
    ReadOnly,

    /// <summary>EMLINK: the inode has as many links as it can have.</summary>
    TooManyLinks,

    /// <summary>ERANGE: the caller's buffer is too small.</summary>
    OutOfRange,

    /// <summary>EDEADLK: granting the lock would close a circle of waiters.</summary>
    Deadlock,

    /// <summary>ENAMETOOLONG: a name over 255 bytes or a symlink target over 4095.</summary>
    NameTooLong,

    /// <summary>ENOSYS: the operation does not exist here; the kernel will not ask again.</summary>
    NotImplemented,

    /// <summary>ENOTEMPTY: the directory has entries.</summary>
    NotEmpty,

    /// <summary>ENODATA: the extended attribute does not exist.</summary>
    NoData,

    /// <summary>EOVERFLOW: a value does not fit its field.</summary>
    Overflow,

    /// <summary>EOPNOTSUPP: the operation exists, but not for this object or with these flags.</summary>
    NotSupported,

    /// <summary>ESTALE: the inode of this handle is gone.</summary>
    Stale,

    /// <summary>E2BIG: an extended attribute value or list over its limit.</summary>
    ArgumentTooLong,

    /// <summary>ENOTTY: an ioctl that is not known.</summary>
    NoSuchControl,

    /// <summary>ECANCELED: the object is not as the caller has last seen it (the guard of NFS's SETATTR); no system call asks for that.</summary>
    OutOfSync,

    /// <summary>ESHUTDOWN: the store has stopped itself after a failure; nothing is served until it is started again.</summary>
    Stopped,
}
