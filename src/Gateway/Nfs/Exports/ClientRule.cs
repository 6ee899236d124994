using System.Globalization;

namespace Gateway.Nfs.Exports;

/// <summary>How a rule names its clients, the most specific first: in this order they decide (exports(5), "Machine Name Formats").</summary>
public enum ClientMatch : byte
{
    /// <summary>One address.</summary>
    Address,

    /// <summary>A host name; its addresses come from <see cref="IHostNames"/>.</summary>
    Host,

    /// <summary>A network in CIDR notation.</summary>
    Network,

    /// <summary>"*".</summary>
    Everyone,
}

/// <summary>The addresses of host names, resolved beforehand: rules are decided without waiting for a name server. Any thread.</summary>
public interface IHostNames
{
    /// <summary>Whether the address is one of the host's, as far as is known now.</summary>
    bool IsAddressOf(string host, ClientAddress address);

    /// <summary>Whether the host's addresses are known.</summary>
    bool IsResolved(string host);
}

/// <summary>One line of an export: which clients, and what they may. Immutable.</summary>
public sealed class ClientRule
{
    private readonly ClientAddress _address;
    private readonly int _prefixBits;

    private ClientRule(ClientMatch match, string host, ClientAddress address, int prefixBits, ExportOptions options)
    {
        Match = match;
        Host = host;
        _address = address;
        _prefixBits = prefixBits;
        Options = options;
    }

    public ClientMatch Match { get; }

    /// <summary>The clients as text: an address, a host name, a network with its prefix length, or "*".</summary>
    public string Host { get; }

    public ExportOptions Options { get; }

    /// <summary>
    /// Reads HOST, HOST(OPTIONS) as exports(5) spells it, or HOST:OPTIONS; a missing HOST before "(" is everybody.
    /// </summary>
    /// <param name="error">One line, or null.</param>
    /// <param name="defaults">What the options that are not named are.</param>
    /// <param name="ignored">See <see cref="ExportOptionsParser.Parse"/>.</param>
    public static ClientRule? Parse(string text, out string? error, ExportOptions? defaults = null, ICollection<string>? ignored = null)
    {
        error = Split(text, out string host, out string optionText);
        if (error is not null)
            return null;

        ExportOptions options = defaults ?? ExportOptions.Default;
        error = ExportOptionsParser.Parse(optionText, ref options, ignored);
        if (error is not null)
        {
            error = $"client '{host}': {error}";
            return null;
        }

        return ParseHost(host, options, out error);
    }

    /// <summary>Allocates nothing.</summary>
    public bool Matches(ClientAddress address, IHostNames names) => Match switch
    {
        ClientMatch.Address => address == _address,
        ClientMatch.Host => names.IsAddressOf(Host, address),
        ClientMatch.Network => address.IsIn(_address, _prefixBits),
        _ => true,
    };

    public override string ToString() => $"{Host}({Options})";

    private static string? Split(string text, out string host, out string options)
    {
        text = text.Trim();
        (host, options) = (text, "");
        int open = text.IndexOf('(', StringComparison.Ordinal);
        if (open >= 0)
        {
            if (!text.EndsWith(')') || text.IndexOf('(', open + 1) >= 0 || text.IndexOf(')', StringComparison.Ordinal) != text.Length - 1 || text.AsSpan(0, open).ContainsAny(" \t"))
                return $"'{text}': the options of a client stand in one pair of brackets behind it, without a space, as in 10.0.0.0/8(rw,sync)";
            (host, options) = (open == 0 ? "*" : text[..open], text[(open + 1)..^1]);
            return null;
        }

        if (ExportOptionsParser.IsOptionName(text))
            return $"'{text}' is an option without a client; * is everybody";

        int colon = OptionsColon(text);
        if (colon >= 0)
            (host, options) = (text[..colon], text[(colon + 1)..]);
        if (host.StartsWith('[') && host.EndsWith(']'))
            host = host[1..^1];
        return null;
    }

    /// <summary>
    /// The colon that options follow, or -1. An IPv6 address has colons of its own, but no part of it begins as an option does; without one it is a colon that stands alone or behind a
    /// bracket.
    /// </summary>
    private static int OptionsColon(string text)
    {
        int first = text.IndexOf(':', StringComparison.Ordinal), last = text.LastIndexOf(':');
        for (int colon = first; colon >= 0; colon = text.IndexOf(':', colon + 1))
        {
            if (ExportOptionsParser.IsOptionName(text.AsSpan(colon + 1)))
                return colon;
        }

        bool isBracketed = text.StartsWith('[') && last > 0 && text[last - 1] == ']';
        return first == last || isBracketed ? last : -1;
    }

    private static ClientRule? ParseHost(string host, ExportOptions options, out string? error)
    {
        error = null;
        if (host == "*")
            return new ClientRule(ClientMatch.Everyone, host, default, 0, options);
        if (ClientAddress.TryParse(host, out ClientAddress address))
            return new ClientRule(ClientMatch.Address, address.ToString(), address, 128, options);
        if (host.Contains('/') && !IsGss(host))
            return ParseNetwork(host, options, out error);

        error = CheckHostName(host);
        return error is null ? new ClientRule(ClientMatch.Host, host.ToLowerInvariant(), default, 0, options) : null;
    }

    private static ClientRule? ParseNetwork(string text, ExportOptions options, out string? error)
    {
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        if (!ClientAddress.TryParse(text.AsSpan(0, slash), out ClientAddress address))
        {
            error = $"network '{text}': '{text[..slash]}' is no IPv4 or IPv6 address";
            return null;
        }

        int most = address.IsIPv4 ? 32 : 128;
        int bits = PrefixOf(text[(slash + 1)..], address.IsIPv4);
        if (bits < 0 || bits > most)
        {
            error = $"network '{text}': the prefix is a number of bits from 0 to {most}" + (address.IsIPv4 ? ", or a netmask as 255.255.0.0" : "");
            return null;
        }

        error = null;
        int prefix = bits + 128 - most;
        ClientAddress network = address.Network(prefix);
        if (bits == most)
            return new ClientRule(ClientMatch.Address, network.ToString(), network, 128, options);
        return new ClientRule(ClientMatch.Network, string.Create(CultureInfo.InvariantCulture, $"{network}/{bits}"), network, prefix, options);
    }

    /// <returns>Bits of the prefix, or -1.</returns>
    private static int PrefixOf(string text, bool isIPv4)
    {
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int bits))
            return bits;
        if (!isIPv4 || !ClientAddress.TryParse(text, out ClientAddress mask) || !mask.IsIPv4)
            return -1;
        uint ones = (uint)mask.Bits;
        int count = System.Numerics.BitOperations.LeadingZeroCount(~ones);
        return count == 32 || ones << count == 0 ? count : -1;
    }

    private static string? CheckHostName(string host)
    {
        if (host.StartsWith('@'))
            return $"client '{host}': netgroups are not known here; name the hosts or their network";
        if (IsGss(host))
            return $"client '{host}': only sec=sys is served";
        if (host.AsSpan().ContainsAny("*?[]"))
            return $"client '{host}': patterns of host names are not known here, for they need reverse lookups; name the hosts or their network";
        if (host.Length is 0 or > 253)
            return $"client '{(host.Length > 0 ? host[..20] + "…" : "")}': a host name has 1 to 253 characters";
        if (!host.Split('.').All(IsLabel))
            return $"client '{host}' is no host name, IPv4 or IPv6 address, network or '*'";
        return host.Split('.')[^1].All(char.IsAsciiDigit) ? $"client '{host}' is no IPv4 address: it has four numbers from 0 to 255" : null;
    }

    /// <summary>The old spelling of a security flavor in the place of a client (exports(5), "RPCSEC_GSS security").</summary>
    private static bool IsGss(string host) => host.StartsWith("gss/", StringComparison.Ordinal);

    /// <summary>A label of a host name (RFC 1123 §2.1), and the underscore that is met in practice.</summary>
    private static bool IsLabel(string label) =>
        label.Length is >= 1 and <= 63 && label[0] != '-' && label[^1] != '-' && label.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');
}
