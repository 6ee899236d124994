using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Gateway.Daemon;

/// <summary>
/// Logs to standard error, one line per entry. Under systemd each line begins with the priority that journald reads (sd-daemon(3)), otherwise with the
/// time. The level can be changed at any time. Lines are written at once, by the calling thread: what was logged before a crash is there.
/// </summary>
internal sealed class StandardErrorLogger : ILoggerProvider, ILoggerFactory
{
    private readonly ConcurrentDictionary<string, CategoryLogger> _loggers = new();
    private readonly Stream _output;
    private readonly bool _journal;
    private readonly TimeProvider _clock;
    private readonly Lock _writing = new();
    private volatile LogLevel _level;

    public StandardErrorLogger(LogLevel level, bool journal, TimeProvider clock, Stream? output = null)
    {
        _level = level;
        _journal = journal;
        _clock = clock;
        _output = output ?? Console.OpenStandardError();
    }

    /// <summary>Standard error is the journal: systemd names its device and inode so.</summary>
    public static bool IsJournal => Environment.GetEnvironmentVariable("JOURNAL_STREAM") is { Length: > 0 };

    /// <summary>What is below it is not logged.</summary>
    public LogLevel Level
    {
        get => _level;
        set => _level = value;
    }

    public ILogger CreateLogger(string categoryName) => _loggers.GetOrAdd(categoryName, name => new CategoryLogger(this, name));

    public void AddProvider(ILoggerProvider provider) => throw new InvalidOperationException("There is one log: standard error.");

    public void Dispose() => _output.Flush();

    private void Write(LogLevel level, string category, string message, Exception? error)
    {
        var line = new StringBuilder(256);
        if (_journal)
            line.Append('<').Append(Priority(level)).Append('>');
        else
            line.Append(_clock.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture)).Append(' ').Append(Name(level)).Append(' ');
        line.Append(category).Append(": ");
        AppendOneLine(line, message);

        // A stack is for whoever mends the program: errors that come with one are broken invariants, never operating errors.
        if (error is not null)
            AppendOneLine(line.Append(": "), error.ToString());
        line.Append('\n');
        byte[] bytes = Encoding.UTF8.GetBytes(line.ToString());
        lock (_writing)
        {
            try
            {
                _output.Write(bytes);
                _output.Flush();
            }
            catch (IOException)
            {
                // Standard error is closed or its disk is full. There is no better place to tell, and the file system must go on: the entry is lost.
                _lost++;
            }
        }
    }

    private long _lost;

    /// <summary>Entries that standard error did not take.</summary>
    public long Lost => Volatile.Read(ref _lost);

    private static void AppendOneLine(StringBuilder line, string text)
    {
        foreach (char c in text)
            line.Append(c == '\n' ? " | " : char.IsControl(c) ? "?" : c);
    }

    private static char Priority(LogLevel level) => level switch
    {
        LogLevel.Trace or LogLevel.Debug => '7',
        LogLevel.Information => '6',
        LogLevel.Warning => '4',
        LogLevel.Error => '3',
        _ => '2',
    };

    private static string Name(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace",
        LogLevel.Debug => "debug",
        LogLevel.Information => "info ",
        LogLevel.Warning => "WARN ",
        LogLevel.Error => "ERROR",
        _ => "FATAL",
    };

    private sealed class CategoryLogger(StandardErrorLogger owner, string category) : ILogger
    {
        // "Gateway.Daemon.Node" says no more than "Node".
        private readonly string _category = category[(category.LastIndexOf('.') + 1)..];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None && logLevel >= owner._level;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
                owner.Write(logLevel, _category, formatter(state, exception), exception);
        }
    }
}
