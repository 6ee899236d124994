using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Gateway.Admin.Contract;
using static Gateway.Daemon.NativeMethods;

namespace Gateway.Daemon;

/// <summary>
/// The directory that holds everything of one store. Layout:
/// <code>
/// LOCK         locked (flock) by the daemon that has the directory open; holds its pid
/// FORMAT       "gateway-data N": the version of all that stands below; with " new" behind it until the stores have been made
/// db/          key-value store: metadata, block index, small data, op log
/// volumes/     volume files with large data
/// admin.sock   admin API, while the daemon runs
/// </code>
/// Opening takes the lock, so that two daemons never write to one store; the kernel drops it however the process ends. What opening has made goes again when it is closed,
/// unless somebody wants to keep it: a start that is refused leaves no trace.
/// </summary>
internal sealed class DataDirectory : IDisposable
{
    /// <summary>Raised when the layout or the format of what is stored changes such that an older daemon would misread it.</summary>
    /// <remarks>2 added the key-value store's tables of requests and of the cluster. A store of format 1 gains them when it is opened.</remarks>
    public const int FormatVersion = 2;

    private const string FormatPrefix = "gateway-data ", NewMark = " new";

    private readonly int _lock;
    private readonly IReadOnlyList<string> _madeDirectories;
    private int _format = FormatVersion;
    private bool _removeAtEnd;

    private DataDirectory(string path, int lockDescriptor, IReadOnlyList<string> madeDirectories)
    {
        Path = path;
        _lock = lockDescriptor;
        _madeDirectories = madeDirectories;
    }

    public string Path { get; }

    /// <summary>The stores have not been made yet. In any other directory they have to be there: a missing one is damage, never a new beginning.</summary>
    public bool IsNew { get; private set; }

    public string Database => System.IO.Path.Combine(Path, "db");

    public string Volumes => System.IO.Path.Combine(Path, "volumes");

    /// <summary>Opens the directory, making it if it is missing or empty.</summary>
    /// <param name="create">False: a directory that is no store yet is refused (offline tools).</param>
    /// <exception cref="OperatingException">In use, of another version, foreign, or not accessible.</exception>
    public static DataDirectory Open(string path, bool create = true)
    {
        bool exists = Directory.Exists(path);
        if (!exists && (File.Exists(path) || !create))
        {
            throw File.Exists(path)
                ? new OperatingException(ExitCode.CannotCreate, $"data directory {path}: it is a file; name a directory with --data")
                : new OperatingException(ExitCode.NoInput, $"data directory {path}: it does not exist; name the right one with --data");
        }

        IReadOnlyList<string> made = exists ? [] : Make(path);

        // Before the lock file is made: a directory of something else is left as it was found.
        string format = System.IO.Path.Combine(path, "FORMAT");
        if (!File.Exists(format))
            RefuseForeign(path, create);

        int descriptor = Lock(System.IO.Path.Combine(path, "LOCK"), path);
        var directory = new DataDirectory(path, descriptor, made);
        try
        {
            if (File.Exists(format))
                directory.CheckFormat(format);
            else
                directory.Initialize();
            return directory;
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    /// <summary>What is stored is about to take the present format: an older daemon is to refuse it from now on, whatever comes between.</summary>
    public void MarkFormat()
    {
        if (_format == FormatVersion)
            return;
        WriteFormat(IsNew ? NewMark : "");
        _format = FormatVersion;
    }

    /// <summary>The stores have been made: from now on they have to be there.</summary>
    public void MarkComplete()
    {
        if (!IsNew)
            return;
        WriteFormat("");
        IsNew = false;
    }

    /// <summary>What opening has made stays from now on.</summary>
    public void Keep() => _removeAtEnd = false;

    /// <summary>Gives the lock back.</summary>
    public void Dispose()
    {
        if (_removeAtEnd)
            Remove();
        if (Close(_lock) != 0)
            throw new IOException($"closing {Path}/LOCK: {LastError}");
    }

    /// <summary>Makes the directory and those above it that are missing; returns what it made, the innermost first.</summary>
    private static List<string> Make(string path)
    {
        List<string> missing = [];
        for (string? at = path; at is not null && !Directory.Exists(at); at = System.IO.Path.GetDirectoryName(at))
            missing.Add(at);
        try
        {
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return missing;
        }
        catch (UnauthorizedAccessException)
        {
            throw new OperatingException(ExitCode.NoPermission, $"data directory {path}: not allowed to make it; run as root");
        }
        catch (IOException error)
        {
            throw new OperatingException(ExitCode.CannotCreate, $"data directory {path}: it cannot be made ({error.Message}); name another with --data");
        }
    }

    private static void RefuseForeign(string path, bool create)
    {
        try
        {
            foreach (string entry in Directory.EnumerateFileSystemEntries(path))
            {
                // What a start that was interrupted, the log of the quick start, or mkfs leaves there.
                string name = System.IO.Path.GetFileName(entry);
                bool expected = name is "LOCK" or "FORMAT.new" or "gatewayd.log" or "gatewayd.log.1" or "lost+found"
                    || (name is "db" or "volumes" && Directory.Exists(entry) && !Directory.EnumerateFileSystemEntries(entry).Any());
                if (!expected)
                {
                    throw new OperatingException(
                        ExitCode.DataError,
                        $"data directory {path}: it holds other things (\"{name}\") and no store; name an empty or new directory with --data");
                }
            }
        }
        catch (UnauthorizedAccessException)
        {
            throw new OperatingException(ExitCode.NoPermission, $"data directory {path}: not allowed to read it; run as root");
        }

        if (!create)
            throw new OperatingException(ExitCode.DataError, $"data directory {path}: there is no store in it; name the right one with --data");
    }

    private static int Lock(string file, string path)
    {
        int descriptor = NativeMethods.Open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0x180 /* 0600 */);
        if (descriptor < 0)
        {
            throw Marshal.GetLastPInvokeError() switch
            {
                EACCES or EPERM => new OperatingException(ExitCode.NoPermission, $"data directory {path}: not allowed to write to it; run as root"),
                EROFS => new OperatingException(ExitCode.NoPermission, $"data directory {path}: it is on a read-only file system; remount that read-write"),
                ENOSPC => new OperatingException(ExitCode.IoError, $"data directory {path}: no space left for the lock file; free some space on that disk"),
                _ => new OperatingException(ExitCode.IoError, $"data directory {path}: LOCK cannot be opened ({LastError}); look at that disk"),
            };
        }

        if (Flock(descriptor, LOCK_EX | LOCK_NB) != 0)
        {
            bool held = Marshal.GetLastPInvokeError() == EWOULDBLOCK;
            string reason = LastError;
            string holder = ReadHolder(descriptor);
            Close(descriptor);
            throw held
                ? new OperatingException(ExitCode.Busy, $"data directory {path}: in use by {holder}; stop that one first")
                : new OperatingException(ExitCode.OsError, $"data directory {path}: it cannot be locked ({reason}); put it on a local file system");
        }

        if (new FileInfo($"/proc/self/fd/{descriptor}").LinkTarget?.EndsWith(" (deleted)", StringComparison.Ordinal) == true)
        {
            // A start that was refused has removed it between our opening and locking it.
            Close(descriptor);
            return Lock(file, path);
        }

        using FileStream stream = Wrap(descriptor, FileAccess.Write);
        stream.SetLength(0);
        stream.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n")));
        return descriptor;
    }

    private static string ReadHolder(int descriptor)
    {
        using FileStream stream = Wrap(descriptor, FileAccess.Read);
        using var reader = new StreamReader(stream);
        string pid = reader.ReadToEnd().Trim();
        return pid.Length > 0 ? $"another gatewayd (pid {pid})" : "another gatewayd";
    }

    /// <summary>A stream that leaves the descriptor open. (Opening the file by name would make .NET ask for the very lock that is held.)</summary>
    private static FileStream Wrap(int descriptor, FileAccess access) =>
        new(new Microsoft.Win32.SafeHandles.SafeFileHandle(descriptor, ownsHandle: false), access, bufferSize: 0);

    private void CheckFormat(string file)
    {
        string text = File.ReadAllText(file).Trim();
        IsNew = text.EndsWith(NewMark, StringComparison.Ordinal);
        string number = IsNew ? text[..^NewMark.Length] : text;
        if (!number.StartsWith(FormatPrefix, StringComparison.Ordinal)
            || !int.TryParse(number.AsSpan(FormatPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int version) || version < 1)
        {
            throw new OperatingException(
                ExitCode.DataError,
                $"{file}: \"{Printable(text)}\" is no format of a store (it reads \"{FormatPrefix}{FormatVersion}\"); restore the file from a backup");
        }

        if (version > FormatVersion)
        {
            throw new OperatingException(
                ExitCode.Version, $"{file}: the store has format {version}, this gatewayd knows formats up to {FormatVersion}; run the newer gatewayd that made it");
        }

        if (!IsNew && !File.Exists(System.IO.Path.Combine(Database, "CURRENT")))
        {
            throw new OperatingException(
                ExitCode.DataError, $"{Database}: the key-value store's file CURRENT is missing; restore the data directory from a backup (nothing was changed)");
        }

        if (!IsNew && !Directory.Exists(Volumes))
        {
            throw new OperatingException(
                ExitCode.DataError, $"{Volumes}: the directory of the volume files is missing; put it back (nothing was changed)");
        }

        _format = version;
    }

    private void Initialize()
    {
        _removeAtEnd = true;
        try
        {
            Directory.CreateDirectory(Database);
            Directory.CreateDirectory(Volumes);
            WriteFormat(NewMark);
            IsNew = true;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new OperatingException(ExitCode.IoError, $"data directory {Path}: the store cannot be laid out ({error.Message}); look at that disk", error);
        }
    }

    private void Remove()
    {
        try
        {
            foreach (string stores in (string[])[Database, Volumes])
            {
                if (Directory.Exists(stores))
                    Directory.Delete(stores, recursive: true);
            }

            foreach (string file in (string[])["FORMAT", "FORMAT.new", "LOCK"])
                File.Delete(System.IO.Path.Combine(Path, file));

            // One that holds something else by now (a log) stays.
            foreach (string directory in _madeDirectories.TakeWhile(made => !Directory.EnumerateFileSystemEntries(made).Any()))
                Directory.Delete(directory);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The disk that refuses this has refused the start before, and that is what people are told. The next start takes over what is left.
        }
    }

    /// <summary>Whatever stands in the file, the message is one line that a terminal can show.</summary>
    private static string Printable(string text) =>
        string.Concat(text.Take(40).Select(c => char.IsControl(c) ? '?' : c));

    /// <summary>FORMAT appears whole or not at all.</summary>
    private void WriteFormat(string mark)
    {
        string file = System.IO.Path.Combine(Path, "FORMAT");
        string temporary = file + ".new";
        using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write))
        {
            stream.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{FormatPrefix}{FormatVersion}{mark}\n")));
            stream.Flush(flushToDisk: true);
        }

        File.Move(temporary, file, overwrite: true);
        SyncDirectory(Path);
    }

    private static void SyncDirectory(string path)
    {
        int descriptor = NativeMethods.Open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        if (descriptor < 0)
            throw new IOException($"{path}: {LastError}");
        int result = Fsync(descriptor);
        string reason = LastError;
        Close(descriptor);
        if (result != 0)
            throw new IOException($"{path}: {reason}");
    }
}
