using System.Globalization;
using System.Text;

namespace Gateway.Fuse;

/// <summary>MS_ flags of mount(2).</summary>
[Flags]
public enum MountFlags : ulong
{
    None = 0,
    ReadOnly = 1,
    NoSuid = 2,
    NoDevices = 4,
    NoExec = 8,
    Synchronous = 16,
    DirectorySync = 128,
    NoAccessTime = 1024,
    NoDirectoryAccessTime = 2048,
    RelativeAccessTime = 1 << 21,
    StrictAccessTime = 1 << 24,
    LazyTime = 1 << 25,
}

/// <summary>The options of one mount, as <c>mount -o</c> and /etc/fstab give them.</summary>
public sealed record MountOptions
{
    /// <summary>
    /// How long the kernel trusts what it was told. Changes made through this mount it knows, changes made elsewhere are notified; this bounds how
    /// long a notification that was lost could matter.
    /// </summary>
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Read-ahead in KiB: four requests of 1 MiB in flight ahead of a sequential reader. The kernel's default is 128.</summary>
    public const int DefaultReadAheadKiB = 4096;

    private static readonly TimeSpan LongestTimeout = TimeSpan.FromDays(1);

    public MountFlags Flags { get; init; }

    public bool ReadOnly => (Flags & MountFlags.ReadOnly) != 0;

    /// <summary>Nothing is written because something was read.</summary>
    public bool LeavesAccessTimes => ReadOnly || (Flags & MountFlags.NoAccessTime) != 0;

    /// <summary>Users other than the one who mounts (root) may use it; permissions are checked by mode and ACL either way.</summary>
    public bool AllowOther { get; init; }

    /// <summary>The kernel gathers writes and writes back later. Only where this mount is the only writer.</summary>
    public bool Writeback { get; init; }

    /// <summary>The directory, as path components from the root of the file system, that becomes the root of the mount.</summary>
    public IReadOnlyList<string> Subdirectory { get; init; } = [];

    public TimeSpan AttributeTimeout { get; init; } = DefaultTimeout;

    public TimeSpan EntryTimeout { get; init; } = DefaultTimeout;

    public TimeSpan NegativeTimeout { get; init; } = DefaultTimeout;

    public int ReadAheadKiB { get; init; } = DefaultReadAheadKiB;

    // What mount(8) and /etc/fstab mean for themselves and pass on all the same.
    private static readonly HashSet<string> Ignored =
    [
        "rw", "defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "noowner", "group", "nogroup", "suid", "dev",
        "exec", "async", "atime", "diratime", "norelatime", "nostrictatime", "nolazytime", "nomand", "silent", "loud", "default_permissions", "",
    ];

    private static readonly string[] IgnoredPrefixes = ["x-", "X-", "comment=", "user="];

    private static readonly Dictionary<string, MountFlags> FlagNames = new()
    {
        ["ro"] = MountFlags.ReadOnly,
        ["nosuid"] = MountFlags.NoSuid,
        ["nodev"] = MountFlags.NoDevices,
        ["noexec"] = MountFlags.NoExec,
        ["sync"] = MountFlags.Synchronous,
        ["dirsync"] = MountFlags.DirectorySync,
        ["noatime"] = MountFlags.NoAccessTime,
        ["nodiratime"] = MountFlags.NoDirectoryAccessTime,
        ["relatime"] = MountFlags.RelativeAccessTime,
        ["strictatime"] = MountFlags.StrictAccessTime,
        ["lazytime"] = MountFlags.LazyTime,
    };

    // A later option takes an earlier one back, as with mount(8).
    private static readonly Dictionary<string, MountFlags> Opposites = new()
    {
        ["rw"] = MountFlags.ReadOnly,
        ["suid"] = MountFlags.NoSuid,
        ["dev"] = MountFlags.NoDevices,
        ["exec"] = MountFlags.NoExec,
        ["async"] = MountFlags.Synchronous,
        ["atime"] = MountFlags.NoAccessTime,
        ["diratime"] = MountFlags.NoDirectoryAccessTime,
        ["norelatime"] = MountFlags.RelativeAccessTime,
        ["nostrictatime"] = MountFlags.StrictAccessTime,
        ["nolazytime"] = MountFlags.LazyTime,
    };

    /// <summary>The names of this file system's own options, for error messages and help.</summary>
    public static string OwnOptions =>
        "allow_other, subdir=DIR, writeback, attr_timeout=SECONDS, entry_timeout=SECONDS, negative_timeout=SECONDS, read_ahead_kb=N";

    /// <summary>
    /// Parses a comma-separated list; a backslash takes the next character as it is (for a comma in <c>subdir=</c>).
    /// Null with <paramref name="error"/> naming the option where one is unknown or has a bad value.
    /// </summary>
    public static MountOptions? Parse(string text, out string? error)
    {
        var options = new MountOptions();
        error = null;
        foreach (string option in SplitList(text))
        {
            if (Apply(options, option, out error) is not { } next)
                return null;
            options = next;
        }

        return options;
    }

    private static MountOptions? Apply(MountOptions options, string option, out string? error)
    {
        error = null;
        if (FlagNames.TryGetValue(option, out MountFlags set))
            return options with { Flags = options.Flags | set };
        if (Opposites.TryGetValue(option, out MountFlags clear))
            return options with { Flags = options.Flags & ~clear };
        if (Ignored.Contains(option) || Array.Exists(IgnoredPrefixes, prefix => option.StartsWith(prefix, StringComparison.Ordinal)))
            return options;

        int equals = option.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? option : option[..equals];
        string? value = equals < 0 ? null : option[(equals + 1)..];
        switch (name)
        {
            case "allow_other" when value is null:
                return options with { AllowOther = true };
            case "writeback" when value is null:
                return options with { Writeback = true };
            case "subdir" when value is not null:
                string[] components = value.Split('/', StringSplitOptions.RemoveEmptyEntries);
                if (components.Contains("..") || components.Contains("."))
                {
                    error = $"mount option subdir={value}: must not contain \".\" or \"..\"";
                    return null;
                }

                return options with { Subdirectory = components };
            case "attr_timeout":
                return Seconds(name, value, out error) is { } attributes ? options with { AttributeTimeout = attributes } : null;
            case "entry_timeout":
                return Seconds(name, value, out error) is { } entries ? options with { EntryTimeout = entries } : null;
            case "negative_timeout":
                return Seconds(name, value, out error) is { } negative ? options with { NegativeTimeout = negative } : null;
            case "read_ahead_kb":
                if (int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int kib) && kib <= 1 << 20)
                    return options with { ReadAheadKiB = kib };
                error = $"mount option read_ahead_kb={value}: a number from 0 to 1048576 is allowed";
                return null;
            case "remount" or "bind" or "rbind" or "move":
                error = $"mount option {name}: done by mount(8) alone, not for a new mount";
                return null;
            case "allow_other" or "writeback":
                error = $"mount option {name} takes no value";
                return null;
            case "subdir":
                error = "mount option subdir needs a directory: subdir=DIR";
                return null;
            default:
                error = $"unknown mount option \"{name}\"; besides the general ones of mount(8) there are {OwnOptions}";
                return null;
        }
    }

    private static TimeSpan? Seconds(string name, string? value, out string? error)
    {
        error = null;
        if (decimal.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal seconds)
            && seconds <= (decimal)LongestTimeout.TotalSeconds)
        {
            return TimeSpan.FromTicks((long)(seconds * TimeSpan.TicksPerSecond));
        }

        error = $"mount option {name}={value}: seconds from 0 to {LongestTimeout.TotalSeconds.ToString(CultureInfo.InvariantCulture)} are allowed";
        return null;
    }

    private static List<string> SplitList(string text)
    {
        var list = new List<string>();
        var current = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 1 < text.Length)
            {
                current.Append(text[++i]);
            }
            else if (text[i] == ',')
            {
                list.Add(current.ToString());
                current.Clear();
            }
            else
            {
                current.Append(text[i]);
            }
        }

        list.Add(current.ToString());
        return list;
    }
}
