using System.Globalization;
using System.Net;
using Microsoft.Extensions.Logging;

namespace Gateway.Configuration;

/// <summary>
/// Every key there is. Validation, <c>gatewayd --print-default-config</c>, <c>gatewayctl config</c> and the table in the documentation all
/// come from here, so a key cannot exist without its meaning, its default and its limits.
/// </summary>
internal static class ConfigTable
{
    private const long Mebi = 1L << 20;

    public static readonly ConfigKey<string> DataDirectory = PathKey(
        "store", "data", "/var/lib/gateway", "Directory of the store: all files and their metadata. It is locked while the daemon runs.");

    public static readonly ConfigKey<long> MemoryBudget = SizeKey(
        "store", "memory-budget", 1024 * Mebi, 256 * Mebi, 1024 * 1024 * Mebi,
        "Memory of the whole process. Caches are cut to fit; more of it makes repeated reads of metadata cheaper.");

    public static readonly ConfigKey<TimeSpan> SyncInterval = DurationKey(
        "store", "sync-interval", TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(1),
        "Data that nobody has fsynced is flushed to disk this often: it bounds what a power failure can take. What was fsynced is safe at once.");

    public static readonly ConfigKey<MountSpec> Mounts = new(
        "fuse", "mount", "", "DIRECTORY[,OPTION...] with an absolute path, for example /mnt/gateway,noatime",
        "Mounts the file system there at start. May stand several times.",
        text => MountSpec.TryParse(text, out MountSpec? spec) ? (true, spec) : (false, null!), Repeatable: true);

    public static readonly ConfigKey<IPEndPoint> NfsListen = new(
        "nfs", "listen", "", "ADDRESS:PORT with a numeric address, for example 0.0.0.0:2049 (all of IPv4) or [::]:2049 (all of IPv6)",
        "Serves the exports to NFS clients there, all programs on one port; off where none is given. May stand several times. What is exported, and to whom: gatewayctl export.",
        text => TryParseEndPoint(text, out IPEndPoint? endPoint) ? (true, endPoint!) : (false, null!), Repeatable: true);

    public static readonly ConfigKey<RpcbindUse> NfsRpcbind = ChoiceKey(
        "nfs", "rpcbind", RpcbindUse.Auto,
        "Registers the NFS programs with this machine's rpcbind, which showmount and the file locks of NFSv3 clients need. auto: where one is running; yes: the start fails without.",
        ("auto", RpcbindUse.Auto), ("yes", RpcbindUse.Yes), ("no", RpcbindUse.No));

    public static readonly ConfigKey<TimeSpan> NfsGracePeriod = DurationKey(
        "nfs", "grace-period", TimeSpan.FromSeconds(45), TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(5),
        "How long after a start POSIX locks are given only to NFS clients that had them before, if there were any. Others wait, also programs on a mount. Clients that do not come back by then have lost their locks.");

    public static readonly ConfigKey<string> AdminSocket = PathKey(
        "admin", "socket", "", "Unix socket of the admin API (mode 0600); empty: admin.sock in the data directory.", mayBeEmpty: true);

    public static readonly ConfigKey<string> MetricsListen = new(
        "admin", "metrics-listen", "", "empty (off), or ADDRESS:PORT with a numeric address, for example 127.0.0.1:9095 or [::1]:9095",
        "Serves /metrics, and nothing else, over TCP as well. Off unless given: whoever reaches the port can read the figures.",
        text => (text.Length == 0 || TryParseEndPoint(text, out _), text));

    public static readonly ConfigKey<LogLevel> LogThreshold = ChoiceKey(
        "log", "level", LogLevel.Information, "Least level that is logged; can be changed while running: gatewayctl log-level.",
        ("trace", LogLevel.Trace), ("debug", LogLevel.Debug), ("info", LogLevel.Information), ("warning", LogLevel.Warning), ("error", LogLevel.Error));

    /// <summary>In the order of the documentation.</summary>
    public static readonly IReadOnlyList<ConfigKey> All =
        [DataDirectory, MemoryBudget, SyncInterval, Mounts, NfsListen, NfsRpcbind, NfsGracePeriod, AdminSocket, MetricsListen, LogThreshold];

    public static IEnumerable<string> Sections => All.Select(key => key.Section).Distinct();

    public static ConfigKey? Find(string section, string name) => All.FirstOrDefault(key => key.Section == section && key.Name == name);

    /// <summary>The name of a log level as the configuration and gatewayctl spell it.</summary>
    public static string NameOf(LogLevel level) => level == LogLevel.Information ? "info" : level.ToString().ToLowerInvariant();

    /// <summary>A numeric address with a port above 0.</summary>
    public static bool TryParseEndPoint(string text, out IPEndPoint? endPoint) =>
        IPEndPoint.TryParse(text, out endPoint) && endPoint.Port > 0 && text.Contains(':', StringComparison.Ordinal);

    /// <summary>A commented configuration file in which every key has its default.</summary>
    public static string DefaultFile()
    {
        var text = new StringWriter(CultureInfo.InvariantCulture) { NewLine = "\n" };
        text.WriteLine("# Configuration of gatewayd. What stands commented out is the default. Comments stand on lines of their own.");
        foreach (string section in Sections)
        {
            text.WriteLine();
            text.WriteLine($"[{section}]");
            foreach (ConfigKey key in All.Where(key => key.Section == section))
            {
                text.WriteLine();
                text.WriteLine($"# {key.Meaning}");
                text.WriteLine($"# Allowed: {key.Allowed}.");
                text.WriteLine($"#{key.Name} = {key.Default}".TrimEnd());
            }
        }

        return text.ToString();
    }

    /// <summary>The keys as a Markdown table (README).</summary>
    public static string MarkdownTable()
    {
        var text = new StringWriter(CultureInfo.InvariantCulture) { NewLine = "\n" };
        text.WriteLine("| section | key | default | allowed | meaning |");
        text.WriteLine("| --- | --- | --- | --- | --- |");
        foreach (ConfigKey key in All)
        {
            string value = key.Default.Length == 0 ? "" : $"`{key.Default}`";
            text.WriteLine($"| {key.Section} | `{key.Name}` | {value} | {key.Allowed} | {key.Meaning} |");
        }

        return text.ToString();
    }

    private static ConfigKey<string> PathKey(string section, string name, string standard, string meaning, bool mayBeEmpty = false) => new(
        section, name, standard, mayBeEmpty ? "empty, or an absolute path" : "an absolute path", meaning,
        text => ((mayBeEmpty && text.Length == 0) || IsAbsolutePath(text), text));

    internal static bool IsAbsolutePath(string text) => text.StartsWith('/') && !text.Contains('\0', StringComparison.Ordinal);

    private static ConfigKey<long> SizeKey(string section, string name, long standard, long least, long most, string meaning) => new(
        section, name, Units.FormatSize(standard), $"{Units.FormatSize(least)} to {Units.FormatSize(most)} (a whole number of bytes, or with K, M, G or T)",
        meaning, text => (Units.TryParseSize(text, out long value) && value >= least && value <= most, value));

    private static ConfigKey<TimeSpan> DurationKey(string section, string name, TimeSpan standard, TimeSpan least, TimeSpan most, string meaning) => new(
        section, name, Units.FormatDuration(standard),
        $"{Units.FormatDuration(least)} to {Units.FormatDuration(most)} (a whole number with ms, s, m, h or d)",
        meaning, text => (Units.TryParseDuration(text, out TimeSpan value) && value >= least && value <= most, value));

    private static ConfigKey<T> ChoiceKey<T>(string section, string name, T standard, string meaning, params (string Text, T Value)[] choices)
        where T : notnull => new(
            section, name, choices.First(choice => choice.Value.Equals(standard)).Text, string.Join(", ", choices.Select(choice => choice.Text)), meaning,
            text => choices.FirstOrDefault(choice => choice.Text.Equals(text, StringComparison.OrdinalIgnoreCase)) is { Text: not null } found
                ? (true, found.Value) : (false, standard));
}
