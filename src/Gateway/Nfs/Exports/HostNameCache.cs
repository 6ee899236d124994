using System.Collections.Frozen;
using System.Net;
using System.Net.Sockets;

namespace Gateway.Nfs.Exports;

/// <summary>
/// Keeps the addresses of the host names that rules have. Names are resolved on the caller's thread of <see cref="Refresh"/> (to be called when rules
/// change, and every minute or so), never while a request is decided. A name whose lookup fails keeps the addresses it had: a name server that
/// is away must not throw clients out.
/// </summary>
/// <param name="resolve">Asks the system's resolver; <see cref="Dns"/> by default.</param>
public sealed class HostNameCache(Func<string, IPAddress[]>? resolve = null) : IHostNames
{
    private readonly Func<string, IPAddress[]> _resolve = resolve ?? Dns.GetHostAddresses;
    private readonly Lock _refresh = new();
    private volatile FrozenDictionary<string, ClientAddress[]> _addresses = FrozenDictionary<string, ClientAddress[]>.Empty;

    public bool IsAddressOf(string host, ClientAddress address) =>
        _addresses.TryGetValue(host, out ClientAddress[]? addresses) && addresses.AsSpan().Contains(address);

    public bool IsResolved(string host) => _addresses.TryGetValue(host, out ClientAddress[]? addresses) && addresses.Length > 0;

    /// <summary>Resolves these names and forgets all others. May take as long as the name server does.</summary>
    /// <returns>Names that could not be resolved, with the reason.</returns>
    public IReadOnlyList<(string Host, string Reason)> Refresh(IEnumerable<string> hosts)
    {
        lock (_refresh)
        {
            List<(string, string)> failed = [];
            var found = new Dictionary<string, ClientAddress[]>(StringComparer.Ordinal);
            foreach (string host in hosts)
            {
                try
                {
                    found[host] = [.. _resolve(host).Select(ClientAddress.From).Distinct()];
                }
                catch (SocketException e)
                {
                    failed.Add((host, e.Message));
                    if (_addresses.TryGetValue(host, out ClientAddress[]? earlier))
                        found[host] = earlier;
                }
            }

            _addresses = found.ToFrozenDictionary(StringComparer.Ordinal);
            return failed;
        }
    }
}
