using System.Runtime.InteropServices;
using StoreCore.Primitives;

namespace StoreCore.Disk;

/// <summary>
/// A directory of the real file system, by direct system calls: no layer between that would drop an error or a flag. A file's
/// creation and deletion are flushed with the directory, so that they survive the death of the machine when the call has returned.
/// </summary>
public sealed unsafe class PosixDisk : IDisk
{
    private readonly string _directory;
    private readonly int _descriptor;
    private int _disposed;

    /// <exception cref="DiskException">The directory cannot be made or opened.</exception>
    public PosixDisk(string directory)
    {
        _directory = Path.GetFullPath(directory);
        try
        {
            if (!Directory.Exists(_directory))
            {
                string parent = Directory.CreateDirectory(_directory).Parent!.FullName;
                if (Libc.FlushDirectory(parent) is var errno and not 0)
                    throw new DiskException("fsync", parent, errno, Libc.Describe(errno));
            }
        }
        catch (Exception e) when (e is not DiskException && e is IOException or UnauthorizedAccessException)
        {
            throw new DiskException("create", _directory, Libc.EIO, e.Message);
        }

        _descriptor = Libc.Open(_directory, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (_descriptor < 0)
            throw PosixDiskFile.Failure("open", _directory);
    }

    public IDiskFile Open(string name, bool create)
    {
        string path = PathOf(name);
        int descriptor;
        do
            descriptor = Libc.Open(path, Libc.O_RDWR | Libc.O_CLOEXEC | (create ? Libc.O_CREAT : 0), 0x180); // 0600
        while (descriptor < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR);

        if (descriptor < 0)
            throw PosixDiskFile.Failure("open", path);

        try
        {
            if (create)
                FlushDirectory();
            return new PosixDiskFile(name, path, descriptor);
        }
        catch
        {
            _ = Libc.Close(descriptor);
            throw;
        }
    }

    public IReadOnlyList<string> List()
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        try
        {
            return [.. Directory.EnumerateFiles(_directory).Select(path => Path.GetFileName(path))];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiskException("list", _directory, Libc.EIO, e.Message);
        }
    }

    public void Delete(string name)
    {
        string path = PathOf(name);
        if (Libc.Unlink(path) != 0)
            throw PosixDiskFile.Failure("delete", path);
        FlushDirectory();
    }

    public DiskSpace Space
    {
        get
        {
            Libc.StatVfsResult result;
            if (Libc.StatVfs(_directory, &result) != 0)
                throw PosixDiskFile.Failure("statvfs", _directory);
            return new DiskSpace((long)(result.Blocks * result.FragmentSize), (long)(result.BlocksAvailable * result.FragmentSize));
        }
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
            _ = Libc.Close(_descriptor);
    }

    private string PathOf(string name)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        if (name.Length == 0 || name is "." or ".." || name.Contains('/'))
            throw new ArgumentException($"'{name}' is not the name of a file", nameof(name));
        return Path.Combine(_directory, name);
    }

    private void FlushDirectory()
    {
        if (Libc.FSync(_descriptor) != 0)
            throw PosixDiskFile.Failure("fsync", _directory);
    }
}
