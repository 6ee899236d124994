using System.Text;
using Gateway.Admin.Contract;

namespace Gateway.Configuration;

/// <summary>
/// The validated configuration: defaults, over them the file, over that the flags. Immutable once made; every value knows where it
/// comes from. Holds only what <see cref="ConfigTable"/> lists.
/// </summary>
internal sealed class GatewayConfig
{
    /// <summary>Read where no <c>--config</c> is given, if it is there.</summary>
    public const string DefaultFile = "/etc/gateway/gateway.conf";

    /// <summary>A configuration is a page or two; a larger file is a mistake (a device, a log) and is not read into memory.</summary>
    private const int MaxFileBytes = 1 << 20;

    private readonly Dictionary<ConfigKey, List<Setting>> _settings = [];

    private sealed record Setting(string Text, object Value, string Origin);

    /// <summary>Defaults alone.</summary>
    public static readonly GatewayConfig Default = new();

    /// <summary>The value of a key that stands once.</summary>
    public T Get<T>(ConfigKey<T> key)
        where T : notnull =>
        _settings.TryGetValue(key, out List<Setting>? given) ? (T)given[^1].Value : (T)key.Parse(key.Default)!;

    /// <summary>The values of a repeatable key, in the order given.</summary>
    public IReadOnlyList<T> GetAll<T>(ConfigKey<T> key)
        where T : notnull =>
        _settings.TryGetValue(key, out List<Setting>? given) ? [.. given.Select(setting => (T)setting.Value)] : [];

    /// <summary>The socket of the admin API, with its default resolved.</summary>
    public string AdminSocketPath => Get(ConfigTable.AdminSocket) is { Length: > 0 } path ? path : Path.Combine(Get(ConfigTable.DataDirectory), "admin.sock");

    /// <summary>Every key with its value and where that was set, as <c>gatewayctl config</c> shows it.</summary>
    public List<ConfigValue> Describe() =>
    [
        .. ConfigTable.All.SelectMany(key => (_settings.GetValueOrDefault(key) ?? [new Setting(key.Default, key, "default")])
            .Select(setting => new ConfigValue(key.Section, key.Name, setting.Text, setting.Origin, key.Default, key.Allowed, key.Meaning))),
    ];

    /// <summary>
    /// Reads the file (null: the default one, which may be missing) and lays the flags over it.
    /// </summary>
    /// <param name="flags">Keys with the texts given and the flag's name; a repeatable key given as a flag replaces the file's.</param>
    /// <exception cref="OperatingException">All that is refused, one line each, with file, line and what is allowed.</exception>
    public static GatewayConfig Load(string? file, IReadOnlyList<(ConfigKey Key, string Text, string Flag)> flags)
    {
        string path = file ?? DefaultFile;
        string text = file is null && !File.Exists(path) ? "" : ReadFile(path);
        var errors = new List<ConfigError>();
        GatewayConfig config = FromText(path, text, flags, errors);
        if (errors.Count > 0)
            throw new OperatingException(ExitCode.Config, string.Join('\n', errors));
        return config;
    }

    /// <summary>As <see cref="Load"/>, from text; adds what is refused to <paramref name="errors"/>.</summary>
    public static GatewayConfig FromText(
        string file, string text, IReadOnlyList<(ConfigKey Key, string Text, string Flag)> flags, List<ConfigError> errors)
    {
        var config = new GatewayConfig();
        var firstLines = new Dictionary<ConfigKey, int>();
        foreach (IniEntry entry in IniReader.Read(file, text, errors))
        {
            string where = $"{file}:{entry.Line}";
            if (ConfigTable.Find(entry.Section, entry.Key) is not { } key)
                errors.Add(Unknown(where, entry));
            else if (!firstLines.TryAdd(key, entry.Line) && !key.Repeatable)
                errors.Add(new ConfigError(where, $"{key.Name} of [{key.Section}] is set twice", $"it stands in line {firstLines[key]} already: remove one"));
            else
                config.Set(key, entry.Value, where, errors);
        }

        foreach (IGrouping<ConfigKey, (ConfigKey Key, string Text, string Flag)> given in flags.GroupBy(flag => flag.Key))
        {
            config._settings.Remove(given.Key);
            foreach ((ConfigKey key, string value, string flag) in given)
                config.Set(key, value, flag, errors);
        }

        return config;
    }

    private void Set(ConfigKey key, string text, string origin, List<ConfigError> errors)
    {
        // "mount =" with nothing behind it is how a repeatable key says: none.
        if (key.Repeatable && text.Length == 0)
            return;
        if (key.Parse(text) is not { } value)
        {
            string comment = text.Contains(" #", StringComparison.Ordinal) || text.Contains(" ;", StringComparison.Ordinal)
                ? " (comments stand on lines of their own)" : "";
            errors.Add(new ConfigError(origin, $"\"{text}\" is no value for {key.FullName}", $"allowed: {key.Allowed}{comment}"));
            return;
        }

        if (!_settings.TryGetValue(key, out List<Setting>? given))
            _settings.Add(key, given = []);
        given.Add(new Setting(text, value, origin));
    }

    private static ConfigError Unknown(string where, IniEntry entry)
    {
        List<string> keys = [.. ConfigTable.All.Where(key => key.Section == entry.Section).Select(key => key.Name)];
        if (keys.Count == 0)
        {
            return new ConfigError(
                where, $"unknown section [{entry.Section}]{Spelling.Hint(entry.Section, ConfigTable.Sections)}",
                $"allowed: {string.Join(", ", ConfigTable.Sections)}");
        }

        string elsewhere = ConfigTable.All.FirstOrDefault(key => key.Name == entry.Key) is { } other ? $" (it belongs to [{other.Section}])" : "";
        return new ConfigError(
            where, $"unknown key \"{entry.Key}\" in [{entry.Section}]{(elsewhere.Length > 0 ? elsewhere : Spelling.Hint(entry.Key, keys))}",
            $"allowed: {string.Join(", ", keys)}");
    }

    private static string ReadFile(string path)
    {
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read);
            var bytes = new byte[MaxFileBytes + 1];
            int length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            if (length > MaxFileBytes)
                throw new OperatingException(ExitCode.Config, $"{path}: larger than 1 MiB, so it is no configuration; name the right file with --config");
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes, 0, length);
        }
        catch (DecoderFallbackException)
        {
            throw new OperatingException(ExitCode.Config, $"{path}: not UTF-8 text; save it as UTF-8");
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new OperatingException(ExitCode.NoInput, $"{path}: no such file; make one with: gatewayd --print-default-config > {path}");
        }
        catch (UnauthorizedAccessException)
        {
            throw new OperatingException(ExitCode.NoPermission, $"{path}: it cannot be read by this user, or is a directory; name a readable file with --config");
        }
        catch (IOException error)
        {
            throw new OperatingException(ExitCode.IoError, $"{path}: {error.Message}; name a readable file with --config");
        }
    }
}
