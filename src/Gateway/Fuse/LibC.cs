using System.Runtime.InteropServices;

namespace Gateway.Fuse;

/// <summary>The calls of libc that mounting and the FUSE device need.</summary>
internal static unsafe partial class LibC
{
    public const int OpenReadWrite = 2; // O_RDWR
    public const int OpenNonBlock = 0x800; // O_NONBLOCK
    public const int OpenCloseOnExec = 0x80000; // O_CLOEXEC
    public const int FcntlSetFlags = 4; // F_SETFL
    public const int UnmountForce = 1; // MNT_FORCE: a FUSE connection is aborted
    public const int UnmountDetach = 2; // MNT_DETACH
    public const int UnmountNoFollow = 8; // UMOUNT_NOFOLLOW
    public const int AtCurrentDirectory = -100; // AT_FDCWD
    public const uint StatXType = 1; // STATX_TYPE
    public const int StatXForceSync = 0x2000; // AT_STATX_FORCE_SYNC
    public const int StatXBytes = 256;
    public const int StatXModeOffset = 28;

    public const int PathMax = 4096;

    /// <summary>FUSE_DEV_IOC_CLONE: _IOR(229, 0, uint32_t).</summary>
    public const nuint FuseDeviceClone = 0x8004E500;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int fd);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(SafeHandle fd, byte* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(SafeHandle fd, byte* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Ioctl(SafeHandle fd, nuint request, int* argument);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    public static partial int Fcntl(SafeHandle fd, int command, int argument);

    [LibraryImport("libc", EntryPoint = "mount", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Mount(string source, string target, string type, ulong flags, string data);

    [LibraryImport("libc", EntryPoint = "umount2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Unmount(string target, int flags);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int StatX(int directory, string path, int flags, uint mask, byte* buffer);

    /// <param name="resolved"><see cref="PathMax"/> bytes.</param>
    [LibraryImport("libc", EntryPoint = "realpath", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial byte* RealPath(string path, byte* resolved);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    public static partial uint EffectiveUserId();
}
