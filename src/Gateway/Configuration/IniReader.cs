namespace Gateway.Configuration;

/// <summary>One <c>key = value</c> of an INI file, with the line it stands in (from 1).</summary>
internal readonly record struct IniEntry(string Section, string Key, string Value, int Line);

/// <summary>Something in a configuration that is refused, in one line: where, what, and what is allowed.</summary>
internal sealed record ConfigError(string Where, string What, string Mend)
{
    public override string ToString() => $"{Where}: {What}; {Mend}";
}

/// <summary>
/// Reads INI text into entries with their line numbers. Lines are <c>[section]</c>, <c>key = value</c>, empty, or comments that begin with '#' or ';'.
/// A value may stand in double quotes to keep blanks at its ends. Nothing is interpreted here.
/// </summary>
internal static class IniReader
{
    /// <param name="file">The name for messages.</param>
    /// <param name="errors">Receives what is not INI; reading goes on behind it, so that one run shows all mistakes.</param>
    public static List<IniEntry> Read(string file, string text, List<ConfigError> errors)
    {
        var entries = new List<IniEntry>();
        string? section = null;
        int number = 0;
        foreach (ReadOnlySpan<char> raw in text.AsSpan().TrimStart('\uFEFF').EnumerateLines())
        {
            number++;
            ReadOnlySpan<char> line = raw.Trim();
            if (line.IsEmpty || line[0] is '#' or ';')
                continue;

            string where = $"{file}:{number}";
            if (line[0] == '[')
            {
                if (line[^1] != ']' || line.Length < 3)
                    errors.Add(new ConfigError(where, $"\"{line}\" is no section", "write [name]"));
                else
                    section = line[1..^1].Trim().ToString();
                continue;
            }

            int equals = line.IndexOf('=');
            if (equals <= 0)
                errors.Add(new ConfigError(where, $"\"{line}\" has no '='", "write key = value, or begin a comment with #"));
            else if (section is null)
                errors.Add(new ConfigError(where, $"\"{line}\" stands before any section", $"put [{ConfigTable.All[0].Section}] or another section above it"));
            else
                entries.Add(new IniEntry(section, line[..equals].TrimEnd().ToString(), Unquote(line[(equals + 1)..].TrimStart()).ToString(), number));
        }

        return entries;
    }

    private static ReadOnlySpan<char> Unquote(ReadOnlySpan<char> value) =>
        value.Length >= 2 && value[0] == '"' && value[^1] == '"' ? value[1..^1] : value;
}
