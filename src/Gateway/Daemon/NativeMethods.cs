using System.Runtime.InteropServices;

namespace Gateway.Daemon;

/// <summary>The calls to the C library that the daemon's composition needs. Each returns -1 on failure, with the reason in <see cref="Marshal.GetLastPInvokeError"/>.</summary>
internal static partial class NativeMethods
{
    public const int O_RDWR = 2, O_CREAT = 0x40, O_CLOEXEC = 0x80000, O_RDONLY = 0, O_DIRECTORY = 0x10000;
    public const int LOCK_EX = 2, LOCK_NB = 4;
    public const int MNT_DETACH = 2, UMOUNT_NOFOLLOW = 8;
    public const int EPERM = 1, ENOENT = 2, EIO = 5, EACCES = 13, EBUSY = 16, EWOULDBLOCK = 11, EEXIST = 17, ENOTDIR = 20, ENOSPC = 28, EROFS = 30, ENOTCONN = 107;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    public static partial int Flock(int descriptor, int operation);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    public static partial int Fsync(int descriptor);

    [LibraryImport("libc", EntryPoint = "umask")]
    public static partial uint Umask(uint mask);

    [LibraryImport("libc", EntryPoint = "umount2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Unmount(string path, int flags);

    [LibraryImport("libc", EntryPoint = "syncfs", SetLastError = true)]
    public static partial int SyncFileSystem(int descriptor);

    public const int M_MMAP_THRESHOLD = -3, M_ARENA_MAX = -8;

    [LibraryImport("libc", EntryPoint = "mallopt")]
    public static partial int SetMallocOption(int option, int value);

    /// <summary>Gives free memory of the C library's heap back to the kernel; 1 where there was some.</summary>
    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    public static partial int TrimMalloc(nuint keepBytes);

    public const uint S_IFMT = 0xF000, S_IFSOCK = 0xC000, S_IFDIR = 0x4000;

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int Statx(int directory, string path, int flags, uint mask, byte* buffer);

    /// <summary>st_mode of the path itself, not of what a symlink leads to; false (with the reason in <see cref="LastError"/>) where it cannot be had.</summary>
    public static unsafe bool TryGetMode(string path, out uint mode)
    {
        const int AtCurrentDirectory = -100, NoFollow = 0x100;
        const uint TypeAndMode = 3;
        const int BufferBytes = 256, ModeOffset = 28; // struct statx, linux/stat.h
        byte* buffer = stackalloc byte[BufferBytes];
        bool found = Statx(AtCurrentDirectory, path, NoFollow, TypeAndMode, buffer) == 0;
        mode = found ? *(ushort*)(buffer + ModeOffset) : 0u;
        return found;
    }

    /// <summary>The C library's words for the last error.</summary>
    public static string LastError => Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());
}
