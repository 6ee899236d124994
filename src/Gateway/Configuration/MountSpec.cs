using System.Diagnostics.CodeAnalysis;

namespace Gateway.Configuration;

/// <summary>A mount as the command line and the configuration name it: <c>DIRECTORY[,OPTION...]</c>. The options are judged by the front end that mounts.</summary>
/// <param name="Directory">Absolute path of the mount point.</param>
/// <param name="Options">As behind mount's <c>-o</c>; empty for none.</param>
internal sealed record MountSpec(string Directory, string Options)
{
    public static bool TryParse(string text, [NotNullWhen(true)] out MountSpec? spec)
    {
        int comma = text.IndexOf(',', StringComparison.Ordinal);
        (string directory, string options) = comma < 0 ? (text, "") : (text[..comma], text[(comma + 1)..]);
        spec = ConfigTable.IsAbsolutePath(directory) ? new MountSpec(directory, options) : null;
        return spec is not null;
    }

    public override string ToString() => Options.Length == 0 ? Directory : $"{Directory},{Options}";
}
