namespace StoreCore.Disk;

/// <summary>
/// A directory of volume files: the seam over the real disk. The real one calls the kernel directly; the simulated one loses
/// unsynced writes, tears them at sector borders, returns errors, rots and fills. Any thread may call any member.
/// </summary>
public interface IDisk : IDisposable
{
    /// <summary>Opens a file for reading and writing; with <paramref name="create"/> makes it and flushes the directory.</summary>
    /// <exception cref="DiskException">With the kernel's errno.</exception>
    IDiskFile Open(string name, bool create);

    /// <summary>Names of the files, without paths, in no particular order.</summary>
    IReadOnlyList<string> List();

    void Delete(string name);

    /// <summary>Total and available bytes of the file system below, as statvfs tells them.</summary>
    DiskSpace Space { get; }
}

/// <summary>A random access file. Reads and writes are whole or throw; offsets and lengths in bytes, nothing need be aligned.</summary>
public interface IDiskFile : IDisposable
{
    string Name { get; }

    long LengthBytes { get; }

    /// <summary>Fills <paramref name="destination"/>; bytes in holes are zero; reading past the end throws EIO (a truncated volume must not read as zeros).</summary>
    void Read(long offset, Span<byte> destination);

    void Write(long offset, ReadOnlySpan<byte> source);

    /// <summary>
    /// Has the disk begin to write what is dirty in the range, so that the next <see cref="Sync"/> finds less to do; promises nothing. What goes wrong is for that Sync to report.
    /// </summary>
    void StartWriteback(long offset, long lengthBytes);

    /// <summary>fdatasync. A failure is final for the store: the kernel has dropped what it could not write, so it is never retried.</summary>
    void Sync();

    /// <summary>Gives the space back to the file system below; the range reads as zeros. The length of the file stays.</summary>
    void PunchHole(long offset, long lengthBytes);

    /// <summary>Grows the file to at least this length (sparse), so that a read below it is never past the end.</summary>
    void EnsureLength(long lengthBytes);
}

/// <summary>Bytes of the file system that holds the disk's directory.</summary>
public readonly record struct DiskSpace(long TotalBytes, long AvailableBytes);

/// <summary>An operation on a disk failed; <see cref="Errno"/> is the kernel's number (EIO 5, ENOSPC 28, …).</summary>
public sealed class DiskException(string operation, string file, int errno, string reason)
    : IOException($"{operation} {file}: {reason} (errno {errno})")
{
    public int Errno { get; } = errno;
}
