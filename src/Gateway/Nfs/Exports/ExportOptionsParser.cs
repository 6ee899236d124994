using System.Globalization;

namespace Gateway.Nfs.Exports;

/// <summary>Options of exports(5), separated by commas. An error is one line that names the option.</summary>
public static class ExportOptionsParser
{
    /// <summary>What exports(5) knows and what changes nothing here, so that an existing file can be taken over.</summary>
    private static readonly string[] WithoutEffect =
    [
        "subtree_check", "no_subtree_check", "wdelay", "no_wdelay", "hide", "nohide", "crossmnt", "secure_locks", "insecure_locks", "auth_nlm", "no_auth_nlm",
        "acl", "no_acl", "pnfs", "no_pnfs", "mp", "mountpoint", "fsid", "security_label",
    ];

    /// <summary>What exports(5) knows and what nobody may be made to believe in: it would send clients elsewhere, or ask for encryption.</summary>
    private static readonly string[] NotServed = ["refer", "replicas", "xprtsec"];

    private const string Known = "ro, rw, root_squash, no_root_squash, all_squash, anonuid=N, anongid=N, secure, insecure, sync, async, sec=sys";

    /// <param name="options">Changed option by option, from what it was; the last of two that contradict each other counts.</param>
    /// <param name="ignored">Takes the names of options that are accepted and have no effect here; null refuses them.</param>
    /// <returns>The error, or null.</returns>
    public static string? Parse(string text, ref ExportOptions options, ICollection<string>? ignored = null)
    {
        foreach (string option in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (ParseOne(option, ref options, ignored) is { } error)
                return error;
        }

        return null;
    }

    /// <summary>Whether the text begins as a list of options does.</summary>
    internal static bool IsOptionName(ReadOnlySpan<char> text)
    {
        int end = text.IndexOfAny('=', ',');
        return (end < 0 ? text : text[..end]) is "ro" or "rw" or "root_squash" or "no_root_squash" or "all_squash" or "no_all_squash" or "anonuid" or "anongid"
            or "secure" or "insecure" or "sync" or "async" or "sec";
    }

    private static string? ParseOne(string option, ref ExportOptions options, ICollection<string>? ignored)
    {
        int equals = option.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? option : option[..equals];
        string? value = equals < 0 ? null : option[(equals + 1)..];
        switch (name)
        {
            case "anonuid" or "anongid":
                return ParseNumber(name, value, ref options);
            case "sec":
                return ParseFlavors(value, ignored);
        }

        if (Array.IndexOf(WithoutEffect, name) >= 0)
        {
            ignored?.Add(name);
            return ignored is null ? $"option '{name}' has no effect here: leave it out" : null;
        }

        if (Array.IndexOf(NotServed, name) >= 0)
            return $"option '{name}' cannot be served: leave it out if clients may do without";
        if (value is not null)
            return $"option '{name}' takes no value, or is not known; known are {Known}";

        switch (name)
        {
            case "ro":
                options = options with { Writable = false };
                return null;
            case "rw":
                options = options with { Writable = true };
                return null;
            case "root_squash":
                options = options with { TrustsRoot = false };
                return null;
            case "no_root_squash":
                options = options with { TrustsRoot = true };
                return null;
            case "all_squash":
                options = options with { SquashesAll = true };
                return null;
            case "no_all_squash":
                options = options with { SquashesAll = false };
                return null;
            case "secure":
                options = options with { Insecure = false };
                return null;
            case "insecure":
                options = options with { Insecure = true };
                return null;
            case "sync":
                options = options with { Async = false };
                return null;
            case "async":
                options = options with { Async = true };
                return null;
            default:
                return $"option '{name}' is not known; known are {Known}";
        }
    }

    /// <summary>exports(5) has -1 and -2 for the last two numbers, from the days of signed ones; 2^32-1 is no user (chown(2) means "unchanged" by it).</summary>
    private static string? ParseNumber(string name, string? value, ref ExportOptions options)
    {
        uint number;
        if (value == "-2")
            number = ExportOptions.Nobody;
        else if (!uint.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out number) || number == uint.MaxValue)
            return $"option '{name}' needs a number from 0 to 4294967294, not '{value}'";
        options = name == "anonuid" ? options with { AnonymousUid = number } : options with { AnonymousGid = number };
        return null;
    }

    /// <summary>Flavors between colons. Where sys is among them, clients may do without the others, which only an import passes over.</summary>
    private static string? ParseFlavors(string? value, ICollection<string>? ignored)
    {
        string[] flavors = (value ?? "").Split(':');
        foreach (string flavor in flavors)
        {
            if (flavor is not ("sys" or "krb5" or "krb5i" or "krb5p"))
                return $"option 'sec' takes sys, not '{value}'";
            if (flavor == "sys")
                continue;
            if (ignored is null || !flavors.Contains("sys"))
                return $"sec={flavor} cannot be served: only sec=sys is known";
            ignored.Add($"sec={flavor}");
        }

        return null;
    }
}
