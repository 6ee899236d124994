using System.Globalization;
using System.Text;

namespace Gateway.Fuse;

/// <summary>One line of /proc/self/mountinfo (proc_pid_mountinfo(5)).</summary>
public sealed record MountTableEntry(string MountPoint, uint Major, uint Minor, string Type, string Source);

/// <summary>
/// What is mounted here. Reading the table touches no mounted file system, so a dead or hung one cannot hang its reader.
/// </summary>
public static class MountTable
{
    /// <summary>The type that our mounts show.</summary>
    public const string GatewayType = "fuse.gatewayfs";

    public static IReadOnlyList<MountTableEntry> Read() => Parse(File.ReadAllText("/proc/self/mountinfo"));

    /// <summary>The topmost mount at exactly this (absolute) path, or null.</summary>
    public static MountTableEntry? Find(string mountPoint) =>
        Read().LastOrDefault(entry => entry.MountPoint == mountPoint);

    /// <summary>
    /// Parses lines of <c>id parent major:minor root mountpoint options [tags] - type source superoptions</c>, in which blanks and backslashes
    /// in paths are octal escapes. Lines of another form are passed over.
    /// </summary>
    public static IReadOnlyList<MountTableEntry> Parse(string text)
    {
        var entries = new List<MountTableEntry>();
        foreach (string line in text.Split('\n'))
        {
            string[] fields = line.Split(' ');
            int dash = Array.IndexOf(fields, "-");
            if (dash < 6 || fields.Length < dash + 3)
                continue;

            string[] device = fields[2].Split(':');
            if (device.Length == 2
                && uint.TryParse(device[0], NumberStyles.None, CultureInfo.InvariantCulture, out uint major)
                && uint.TryParse(device[1], NumberStyles.None, CultureInfo.InvariantCulture, out uint minor))
            {
                entries.Add(new MountTableEntry(Unescape(fields[4]), major, minor, fields[dash + 1], Unescape(fields[dash + 2])));
            }
        }

        return entries;
    }

    private static string Unescape(string field)
    {
        if (!field.Contains('\\', StringComparison.Ordinal))
            return field;

        byte[] source = Encoding.UTF8.GetBytes(field);
        var bytes = new List<byte>(source.Length);
        for (int i = 0; i < source.Length; i++)
        {
            if (source[i] == '\\' && i + 3 < source.Length && source[(i + 1)..(i + 4)].All(static c => c is >= (byte)'0' and <= (byte)'7'))
            {
                bytes.Add((byte)((source[i + 1] - '0') * 64 + (source[i + 2] - '0') * 8 + (source[i + 3] - '0')));
                i += 3;
            }
            else
            {
                bytes.Add(source[i]);
            }
        }

        return Encoding.UTF8.GetString([.. bytes]);
    }
}
