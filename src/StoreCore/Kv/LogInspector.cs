using System.Globalization;
using System.Runtime.InteropServices;
using StoreCore.Primitives;

namespace StoreCore.Kv;

/// <summary>
/// Decides, before the engine opens a store, what of its write-ahead log counts: everything that was flushed must be there whole, else the store is
/// refused; of what was not flushed the longest prefix is kept and the rest is cut off, so that the engine finds a log without damage.
/// </summary>
internal sealed unsafe class LogInspector(string directory, ulong stableSequence, Func<LogInspector.EngineView> askEngine)
{
    /// <summary>What the engine's tables tell: the lowest log file that is still needed, and the last change that tables and log hold together.</summary>
    public readonly record struct EngineView(ulong MinLogNumber, ulong LastSequence);

    /// <summary>Returns what was cut off as one sentence for the log, or null where there was nothing to do.</summary>
    /// <exception cref="KvFailedException">Changes that had been flushed are damaged or missing.</exception>
    public string? Inspect()
    {
        List<LogFile> files = [.. LogFiles(directory).Select(file => LogScanner.Scan(file.Path, file.Number))];
        int damaged = FirstDamage(files);

        // Damage before the end of the log counts only if the engine still needs that file: it deletes old ones in any order.
        if (damaged >= 0 && damaged < files.Count - 1)
        {
            ulong needed = askEngine().MinLogNumber;
            files.RemoveAll(file => file.Number < needed);
            damaged = FirstDamage(files);
        }

        string? cut = null;
        if (damaged >= 0)
        {
            LogFile file = files[damaged];
            if (file.NextSequence <= stableSequence)
            {
                throw new KvFailedException(
                    $"open {file.Path}: the log is damaged at byte {file.GoodBytes}; changes up to {stableSequence} had been flushed, those from {file.NextSequence} on cannot be read");
            }

            cut = Cut(files, damaged);
        }

        ulong last = files.Count > 0 ? files.Max(file => file.NextSequence) : 0;
        if (stableSequence > 0 && last <= stableSequence)
        {
            // The tables may hold the rest, if log files were deleted since; else the end of the log is gone.
            ulong known = askEngine().LastSequence;
            if (known < stableSequence)
            {
                string name = files.Count > 0 ? files[^1].Path : Path.Combine(directory, "*.log");
                throw new KvFailedException($"open {name}: the end of the log is missing; changes up to {stableSequence} had been flushed, only those up to {known} are there");
            }
        }

        return cut;
    }

    /// <summary>The engine's log files in the order of their numbers.</summary>
    public static IEnumerable<(string Path, ulong Number)> LogFiles(string directory) =>
        from path in Directory.EnumerateFiles(directory, "*.log")
        let name = Path.GetFileNameWithoutExtension(path)
        where name.All(char.IsAsciiDigit)
        let number = ulong.Parse(name, CultureInfo.InvariantCulture)
        orderby number
        select (path, number);

    /// <summary>The first file that is torn or that the next one does not continue; -1 where all are whole.</summary>
    private static int FirstDamage(List<LogFile> files)
    {
        ulong next = 0;
        int last = -1;
        for (int i = 0; i < files.Count; i++)
        {
            if (files[i].FirstSequence != 0)
            {
                if (next != 0 && files[i].FirstSequence != next)
                    return last;
                next = files[i].NextSequence;
                last = i;
            }

            if (files[i].IsTorn)
                return i;
        }

        return -1;
    }

    /// <summary>Cuts a file behind its last whole record and drops all later ones; stable before the engine builds on it.</summary>
    private string Cut(List<LogFile> files, int damaged)
    {
        LogFile file = files[damaged];
        List<LogFile> later = files[(damaged + 1)..];
        int descriptor = Libc.Open(file.Path, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (descriptor < 0)
            throw Failure("open", file.Path, Marshal.GetLastPInvokeError());

        try
        {
            // A piece of a header: tells the engine that changes are missing here, so that it looks whether a table is ahead of them.
            byte piece = 1;
            bool done = Libc.FTruncate(descriptor, file.GoodBytes) == 0
                && (later.Count == 0 || Libc.Pwrite(descriptor, &piece, 1, file.GoodBytes) == 1)
                && Libc.FSync(descriptor) == 0;
            if (!done)
                throw Failure("cut", file.Path, Marshal.GetLastPInvokeError());
        }
        finally
        {
            _ = Libc.Close(descriptor);
        }

        // Later files first: a crash in between must leave them behind the damage, not instead of it.
        foreach (LogFile dropped in Enumerable.Reverse(later))
            File.Delete(dropped.Path);
        if (later.Count > 0 && Libc.FlushDirectory(directory) is var errno and not 0)
            throw Failure("fsync", directory, errno);
        files.RemoveRange(damaged + 1, later.Count);
        return $"{file.Path}: cut from {file.LengthBytes} to {file.GoodBytes} bytes{(later.Count > 0 ? ", later files dropped" : "")}: what followed had not been flushed";
    }

    private static KvFailedException Failure(string operation, string path, int errno) => new($"{operation} {path}: {Libc.Describe(errno)}");
}
