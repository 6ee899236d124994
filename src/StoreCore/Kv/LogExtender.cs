using System.Runtime.InteropServices;
using StoreCore.Primitives;

namespace StoreCore.Kv;

/// <summary>
/// Keeps zeros written in front of the end of the write-ahead log while small flushes follow each other. A flush of a file that grows, or whose
/// blocks are allocated but unwritten, also has to commit the file system's journal; over blocks that were written before it need not.
/// (The engine can recycle log files to the same end, but switches that off in every recovery mode that does not skip damage.)
/// </summary>
/// <remarks>
/// Writers of the engine hold the gate shared while they write, the extension holds it alone: then the file's length is at or behind the
/// engine's position, and zeros from there on overwrite nothing. A log ends in zeros for <see cref="LogScanner"/>; the engine cuts
/// them off when it closes the file. If a new log file is noticed late, its flushes are slower until then, nothing else.
/// </remarks>
internal sealed unsafe class LogExtender(string directory) : IDisposable
{
    /// <summary>Zeros written at once: one dearer flush for some hundred cheaper ones of 4 KiB.</summary>
    private const int ExtensionBytes = 512 * 1024;

    /// <summary>Flushes of more than this are dominated by their data: nothing is written twice for them.</summary>
    private const int SmallFlushBytes = 64 * 1024;

    private static readonly byte[] Zeros = new byte[ExtensionBytes];

    private readonly ReaderWriterLockSlim _gate = new(LockRecursionPolicy.NoRecursion);
    private int _descriptor = -1;
    private string _path = "";
    private (long Seconds, uint Nanoseconds) _directoryChanged;
    private long _position;
    private long _extendedTo;
    private long _written;

    /// <summary>Around each write of the engine.</summary>
    public void EnterWrite() => _gate.EnterReadLock();

    public void ExitWrite(int batchBytes)
    {
        _gate.ExitReadLock();
        Interlocked.Add(ref _written, batchBytes + RecordBytes);
    }

    /// <summary>A record's header, and one more for each border of blocks that it crosses (rare): an estimate is enough.</summary>
    private const int RecordBytes = 8;

    /// <summary>Before each flush; one caller at a time. Failures are those of a write to the log.</summary>
    /// <exception cref="KvFailedException">The log could not be extended.</exception>
    public void BeforeFlush()
    {
        long written = Interlocked.Exchange(ref _written, 0);
        FollowLog();
        if (_descriptor < 0)
            return;

        // An estimate, for records have headers and the engine joins batches; exact whenever the log has run past its zeros.
        long length = Length();
        _position = length > _extendedTo ? length : _position + written;
        if (written > SmallFlushBytes || _position + SmallFlushBytes <= _extendedTo)
            return;

        // A writer whom the engine makes wait must not make this flush wait: there is another one soon.
        if (!_gate.TryEnterWriteLock(millisecondsTimeout: 1))
            return;

        try
        {
            length = Length();
            fixed (byte* zeros = Zeros)
            {
                nint count = Libc.Pwrite(_descriptor, zeros, ExtensionBytes, length);
                if (count < 0)
                {
                    // No room for what only saves time: the engine will say itself whether its own bytes fit.
                    int errno = Marshal.GetLastPInvokeError();
                    if (errno is not (Libc.ENOSPC or Libc.EINTR))
                        throw Failure("write", errno);
                    count = 0;
                }

                _extendedTo = length + count;
            }
        }
        finally
        {
            _gate.ExitWriteLock();
        }
    }

    public void Dispose()
    {
        if (_descriptor >= 0)
            _ = Libc.Close(_descriptor);
        _gate.Dispose();
    }

    /// <summary>Opens the newest log file where the directory has changed.</summary>
    private void FollowLog()
    {
        (long, uint) changed = Libc.ModifiedTime(directory);
        if (changed == _directoryChanged)
            return;

        _directoryChanged = changed;
        string newest = LogInspector.LogFiles(directory).Select(file => file.Path).LastOrDefault("");
        if (newest == _path || newest.Length == 0)
            return;

        if (_descriptor >= 0)
            _ = Libc.Close(_descriptor);
        _descriptor = Libc.Open(newest, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (_descriptor < 0)
        {
            // Replaced by a newer one meanwhile: the next flush will find that.
            int errno = Marshal.GetLastPInvokeError();
            (_path, _directoryChanged) = ("", default);
            if (errno != Libc.ENOENT)
                throw Failure($"open {newest}", errno);
            return;
        }

        _path = newest;
        _position = _extendedTo = Length();
    }

    private long Length()
    {
        long length = Libc.Seek(_descriptor, 0, Libc.SEEK_END);
        return length >= 0 ? length : throw Failure("seek", Marshal.GetLastPInvokeError());
    }

    private KvFailedException Failure(string operation, int errno) => new($"{operation} {_path}: {Libc.Describe(errno)}");
}
