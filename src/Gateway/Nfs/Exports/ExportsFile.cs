using System.Globalization;
using System.Text;

namespace Gateway.Nfs.Exports;

/// <summary>One entry of a file in the format of exports(5).</summary>
/// <param name="Ignored">Options that the file has and that have no effect here.</param>
/// <param name="IsOpenUnsaid">Options without a client before them, often for a blank too many, or no client at all: that is everybody.</param>
public sealed record ExportsEntry(int Line, string Path, IReadOnlyList<ClientRule> Rules, IReadOnlyList<string> Ignored, bool IsOpenUnsaid);

/// <summary>What is wrong with a line.</summary>
public readonly record struct ExportsError(int Line, string Reason)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"line {Line}: {Reason}");
}

/// <summary>
/// Reads text in the format of exports(5): one export a line, "\" at the end continues it, "#" begins a comment; paths may be quoted and have \NNN (octal) in
/// them; "-options" behind the path are the defaults of the clients that follow. A path without clients is exported to everybody. A path may stand in several lines, each
/// with clients of its own.
/// </summary>
public static class ExportsFile
{
    /// <returns>What was read; nothing should be made of it where there are errors.</returns>
    public static IReadOnlyList<ExportsEntry> Parse(string text, out IReadOnlyList<ExportsError> errors)
    {
        List<ExportsEntry> entries = [];
        List<ExportsError> found = [];
        string[] lines = text.ReplaceLineEndings("\n").Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            int first = i + 1;
            string line = lines[i];
            while (line.EndsWith('\\') && i + 1 < lines.Length)
                line = string.Concat(line.AsSpan(0, line.Length - 1), " ", lines[++i]);

            string? error = ParseLine(line, first, out ExportsEntry? entry);
            if (error is null && entry is not null)
                error = FindTwice(entries, entry);
            if (error is not null)
                found.Add(new ExportsError(first, error));
            else if (entry is not null)
                entries.Add(entry);
        }

        errors = found;
        return entries;
    }

    /// <summary>A client of a path must not stand there twice: it would be left to chance which of them is meant.</summary>
    private static string? FindTwice(IEnumerable<ExportsEntry> entries, ExportsEntry entry)
    {
        var hosts = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (ExportsEntry earlier in entries.Where(earlier => earlier.Path == entry.Path))
        {
            foreach (ClientRule rule in earlier.Rules)
                hosts[rule.Host] = earlier.Line;
        }

        foreach (ClientRule rule in entry.Rules)
        {
            if (!hosts.TryAdd(rule.Host, entry.Line))
                return string.Create(CultureInfo.InvariantCulture, $"'{entry.Path}' has the client {rule.Host} already, in line {hosts[rule.Host]}");
        }

        return null;
    }

    private static string? ParseLine(string line, int number, out ExportsEntry? entry)
    {
        entry = null;
        string? error = Words(line, out List<string> words);
        if (error is not null || words.Count == 0)
            return error;

        string? path = Export.NormalPath(words[0], out error);
        if (path is null)
            return error;

        ExportOptions defaults = ExportOptions.Default;
        List<ClientRule> rules = [];
        HashSet<string> ignored = [];
        bool isOpenUnsaid = false;
        foreach (string word in words.Skip(1))
        {
            if (word.StartsWith('-'))
            {
                error = ExportOptionsParser.Parse(word[1..], ref defaults, ignored);
            }
            else if (ClientRule.Parse(word, out error, defaults, ignored) is { } rule)
            {
                rules.Add(rule);
                isOpenUnsaid |= word.StartsWith('(');
            }

            if (error is not null)
                return error;
        }

        if (rules.Count == 0)
        {
            rules.Add(ClientRule.Parse("*", out _, defaults)!);
            isOpenUnsaid = true;
        }

        entry = new ExportsEntry(number, path, rules, [.. ignored], isOpenUnsaid);
        return null;
    }

    /// <summary>Words between blanks; the first may be quoted. Escapes give bytes, so a path is put together as bytes.</summary>
    private static string? Words(string line, out List<string> words)
    {
        words = [];
        int at = 0;
        while (true)
        {
            while (at < line.Length && line[at] is ' ' or '\t')
                at++;
            if (at == line.Length || line[at] == '#')
                return null;

            bool isQuoted = line[at] == '"';
            int end = isQuoted ? line.IndexOf('"', at + 1) : line.AsSpan(at).IndexOfAny(" \t#") is var blank and >= 0 ? at + blank : line.Length;
            if (end < 0)
                return "a quotation mark is not closed";

            int start = isQuoted ? at + 1 : at;
            words.Add(Unescape(line.AsSpan(start, end - start)));
            at = isQuoted ? end + 1 : end;
        }
    }

    private static string Unescape(ReadOnlySpan<char> text)
    {
        if (!text.Contains('\\'))
            return text.ToString();

        var bytes = new List<byte>(text.Length);
        Span<byte> utf8 = stackalloc byte[4];
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 3 < text.Length && text[i + 1] is >= '0' and <= '3' && text[i + 2] is >= '0' and <= '7' && text[i + 3] is >= '0' and <= '7')
            {
                bytes.Add((byte)(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) | (text[i + 3] - '0')));
                i += 3;
                continue;
            }

            Rune.DecodeFromUtf16(text[i..], out Rune rune, out int chars);
            bytes.AddRange(utf8[..rune.EncodeToUtf8(utf8)]);
            i += chars - 1;
        }

        return Encoding.UTF8.GetString([.. bytes]);
    }
}
