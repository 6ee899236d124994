using System.Collections.Frozen;
using System.Collections.Immutable;

namespace Gateway.Nfs.Exports;

/// <summary>Why a client may use an export or not.</summary>
public enum ExportVerdict : byte
{
    Allowed,

    /// <summary>No rule matches the address.</summary>
    NoRule,

    /// <summary>The rule that matches asks for a source port below 1024.</summary>
    InsecurePort,
}

/// <summary>A decision about a client and an export, with the rule that made it. A value; <see cref="Explain"/> alone allocates.</summary>
public readonly record struct ExportAccess(ExportVerdict Verdict, ClientRule? Rule)
{
    public bool IsAllowed => Verdict == ExportVerdict.Allowed;

    /// <summary>What the client may; the default of exports(5), and so nothing, where it is refused.</summary>
    public ExportOptions Options => Rule?.Options ?? ExportOptions.Default;

    /// <summary>The decision as one sentence for people.</summary>
    public string Explain(ClientAddress client, int port, Export export) => Verdict switch
    {
        ExportVerdict.Allowed => $"{client} may use {export.Path}: {Why(Rule!)} grants {Rule!.Options}.",
        ExportVerdict.InsecurePort =>
            $"{client} may not use {export.Path} from port {port}: {Why(Rule!)} asks for a port below 1024 (option insecure lifts that).",
        _ when export.Rules.IsEmpty => $"{client} may not use {export.Path}: the export has no clients.",
        _ => $"{client} may not use {export.Path}: none of its {export.Rules.Length} clients is that address.",
    };

    private static string Why(ClientRule rule) => rule.Match switch
    {
        ClientMatch.Address => $"rule {rule.Host} (this very address)",
        ClientMatch.Host => $"rule {rule.Host} (a host of that address)",
        ClientMatch.Network => $"rule {rule.Host} (the first network that holds it)",
        _ => "rule * (everybody)",
    };
}

/// <summary>
/// All exports at one moment. Immutable: a change makes a new table, which <see cref="ExportTableSource"/> swaps in, so a request sees one
/// table from its beginning to its end. Lookups and decisions allocate nothing.
/// </summary>
public sealed class ExportTable
{
    /// <summary>Ports below this can be opened by root only (IPPORT_RESERVED).</summary>
    public const int FirstUnprivilegedPort = 1024;

    private readonly FrozenDictionary<uint, Export> _byId;
    private readonly ImmutableArray<Export> _longestFirst;
    private readonly IHostNames _names;

    /// <exception cref="ArgumentException">An id or path comes twice.</exception>
    public ExportTable(IEnumerable<Export> exports, IHostNames names)
    {
        All = [.. exports.OrderBy(static export => export.Path, StringComparer.Ordinal)];
        _byId = All.ToFrozenDictionary(static export => export.Id);
        if (_byId.Count != All.Length || All.DistinctBy(static export => export.Path).Count() != All.Length)
            throw new ArgumentException("two exports have one id or one path");

        _longestFirst = [.. All.OrderByDescending(static export => export.PathBytes.Length)];
        _names = names;
        HostNames = [.. All.SelectMany(static export => export.Rules).Where(static rule => rule.Match == ClientMatch.Host).Select(static rule => rule.Host).Distinct()];
    }

    public static ExportTable Empty { get; } = new([], NoHostNames.Instance);

    /// <summary>By path.</summary>
    public ImmutableArray<Export> All { get; }

    /// <summary>All host names that the rules have.</summary>
    public ImmutableArray<string> HostNames { get; }

    public Export? Find(uint id) => _byId.GetValueOrDefault(id);

    public Export? Find(ReadOnlySpan<byte> path)
    {
        foreach (Export export in _longestFirst)
        {
            if (export.Covers(path, out int restAt))
                return path[restAt..].TrimStart((byte)'/').IsEmpty ? export : null;
        }

        return null;
    }

    /// <summary>The exports whose directory is on the way to this path, the nearest first: call with cursor 0 until null comes.</summary>
    /// <param name="rest">What of the path lies below the export's root; empty where it is the root itself.</param>
    public Export? NextCovering(ReadOnlySpan<byte> path, ref int cursor, out ReadOnlySpan<byte> rest)
    {
        while (cursor < _longestFirst.Length)
        {
            Export export = _longestFirst[cursor++];
            if (export.Covers(path, out int restAt))
            {
                rest = path[restAt..];
                return export;
            }
        }

        rest = default;
        return null;
    }

    /// <summary>
    /// Which rule decides for a client, and what it grants: a rule for the very host before one for its network before "*"; of two of
    /// a kind the first (exports(5)).
    /// </summary>
    public ExportAccess Decide(ClientAddress client, int port, Export export)
    {
        foreach (ClientRule rule in export.Deciding)
        {
            if (rule.Matches(client, _names))
            {
                bool isRefused = port >= FirstUnprivilegedPort && !rule.Options.Insecure;
                return new ExportAccess(isRefused ? ExportVerdict.InsecurePort : ExportVerdict.Allowed, rule);
            }
        }

        return new ExportAccess(ExportVerdict.NoRule, null);
    }
}

/// <summary>Where the present table is found. Any thread; a swap is seen by the next request.</summary>
public sealed class ExportTableSource
{
    private volatile ExportTable _current = ExportTable.Empty;

    public ExportTable Current
    {
        get => _current;
        set => _current = value;
    }
}

/// <summary>For tables without host names.</summary>
public sealed class NoHostNames : IHostNames
{
    public static NoHostNames Instance { get; } = new();

    public bool IsAddressOf(string host, ClientAddress address) => false;

    public bool IsResolved(string host) => false;
}
