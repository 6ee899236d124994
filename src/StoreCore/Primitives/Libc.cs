using System.Runtime.InteropServices;

namespace StoreCore.Primitives;

/// <summary>
/// The calls to the C library that files on disk need. All are blittable; each returns -1 on failure and leaves the reason in
/// <see cref="Marshal.GetLastPInvokeError"/>. x86-64 and arm64 Linux share the structures used here.
/// </summary>
internal static unsafe partial class Libc
{
    private const string Library = "libc";

    internal const int ENOENT = 2, EINTR = 4, EIO = 5, EAGAIN = 11, ENOSPC = 28, EOPNOTSUPP = 95;

    internal const int O_RDONLY = 0, O_RDWR = 2, O_CREAT = 0x40, O_CLOEXEC = 0x80000;

    internal const int FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2;

    internal const int SEEK_END = 2;


    [LibraryImport(Library, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags, uint mode);

    [LibraryImport(Library, EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int descriptor);

    [LibraryImport(Library, EntryPoint = "pread64", SetLastError = true)]
    internal static partial nint Pread(int descriptor, byte* buffer, nuint length, long offset);

    [LibraryImport(Library, EntryPoint = "pwrite64", SetLastError = true)]
    internal static partial nint Pwrite(int descriptor, byte* buffer, nuint length, long offset);

    [LibraryImport(Library, EntryPoint = "lseek64", SetLastError = true)]
    internal static partial long Seek(int descriptor, long offset, int whence);

    internal const uint SYNC_FILE_RANGE_WRITE = 2;

    [LibraryImport(Library, EntryPoint = "sync_file_range", SetLastError = true)]
    internal static partial int SyncFileRange(int descriptor, long offset, long length, uint flags);

    [LibraryImport(Library, EntryPoint = "fdatasync", SetLastError = true)]
    internal static partial int FDataSync(int descriptor);

    [LibraryImport(Library, EntryPoint = "fsync", SetLastError = true)]
    internal static partial int FSync(int descriptor);

    [LibraryImport(Library, EntryPoint = "ftruncate64", SetLastError = true)]
    internal static partial int FTruncate(int descriptor, long length);

    [LibraryImport(Library, EntryPoint = "fallocate64", SetLastError = true)]
    internal static partial int FAllocate(int descriptor, int mode, long offset, long length);

    [LibraryImport(Library, EntryPoint = "fcntl64", SetLastError = true)]
    private static partial int FControl(int descriptor, int command, FLock* argument);

    /// <summary>
    /// Takes the exclusive lock of the whole file (F_OFD_SETLK), which belongs to this opening of it; EAGAIN where another has it. Not flock: that
    /// is what .NET's own file streams use among themselves.
    /// </summary>
    internal static int TryLock(int descriptor)
    {
        const int SetOpenFileLock = 37;
        FLock whole = new() { Type = 1 }; // F_WRLCK, from 0 to the end
        return FControl(descriptor, SetOpenFileLock, &whole);
    }

    /// <summary>struct flock of 64-bit Linux (fcntl.h).</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct FLock
    {
        public short Type;
        public short Whence;
        public long Start;
        public long Length;
        public int Process;
    }

    [LibraryImport(Library, EntryPoint = "unlink", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Unlink(string path);

    [LibraryImport(Library, EntryPoint = "statvfs64", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int StatVfs(string path, StatVfsResult* result);

    /// <summary>struct statvfs of 64-bit Linux (sys/statvfs.h).</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct StatVfsResult
    {
        public ulong BlockSize;
        public ulong FragmentSize;
        public ulong Blocks;
        public ulong BlocksFree;
        public ulong BlocksAvailable;
        public ulong Files;
        public ulong FilesFree;
        public ulong FilesAvailable;
        public ulong FileSystemId;
        public ulong Flags;
        public ulong NameMax;
        private fixed int _spare[6];
    }

    [LibraryImport(Library, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, StatxResult* result);

    /// <summary>When a file or directory was last changed, as the kernel's coarse clock has it.</summary>
    /// <exception cref="IOException">It cannot be asked.</exception>
    internal static (long Seconds, uint Nanoseconds) ModifiedTime(string path)
    {
        const int CurrentDirectory = -100;
        const uint MaskModified = 0x40;
        StatxResult result;
        if (Statx(CurrentDirectory, path, 0, MaskModified, &result) != 0)
            throw new IOException($"statx {path}: {Describe(Marshal.GetLastPInvokeError())}");
        return (result.ModifiedSeconds, result.ModifiedNanoseconds);
    }

    /// <summary>struct statx (linux/stat.h), the same on every architecture.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct StatxResult
    {
        [FieldOffset(112)]
        public long ModifiedSeconds;

        [FieldOffset(120)]
        public uint ModifiedNanoseconds;
    }

    /// <summary>Makes what was created, renamed or deleted in a directory survive the death of the machine.</summary>
    /// <returns>The errno, or 0.</returns>
    internal static int FlushDirectory(string path)
    {
        int descriptor = Open(path, O_RDONLY | O_CLOEXEC, 0);
        if (descriptor < 0)
            return Marshal.GetLastPInvokeError();

        int errno = FSync(descriptor) == 0 ? 0 : Marshal.GetLastPInvokeError();
        _ = Close(descriptor);
        return errno;
    }

    /// <summary>The C library's words for an error number ("No space left on device").</summary>
    internal static string Describe(int errno) => Marshal.GetPInvokeErrorMessage(errno);
}
