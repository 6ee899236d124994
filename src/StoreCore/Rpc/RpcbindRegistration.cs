using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace StoreCore.Rpc;

/// <summary>What rpcbind has of what was to be registered.</summary>
public enum RpcbindHolding
{
    /// <summary>All of it.</summary>
    Ours,

    /// <summary>Something is missing, and nothing of another server stands in its place.</summary>
    Missing,

    /// <summary>Another server has registered itself.</summary>
    Others,

    /// <summary>It cannot be asked.</summary>
    Unknown,
}

/// <summary>
/// Tells the local rpcbind (RFC 1833) which programs are served where, so that clients of NLM and showmount(8) find them. Optional: without rpcbind
/// everything else works. Over its Unix domain socket by RPCBPROC_SET of version 4, the way that it allows to its own host; where that is not there, by
/// PMAPPROC_SET of version 2 over loopback, which only an old or a permissive portmapper allows, and only to root. Every step has a deadline.
/// One thread at a time.
/// </summary>
public sealed class RpcbindRegistration : IDisposable
{
    /// <summary>Where rpcbind listens for its own host.</summary>
    public const string StandardSocket = "/run/rpcbind.sock";

    private const uint RpcbindProgram = 100000, RpcbindVersion = 4, PortmapVersion = 2;
    private const uint SetProcedure = 1, UnsetProcedure = 2, DumpProcedure = 4; // the same numbers in both versions
    private const uint ProtocolTcp = 6, ProtocolUdp = 17;

    private readonly TimeSpan _timeout;
    private readonly string _socketPath;
    private readonly IPEndPoint _portmapper;
    private readonly List<Binding> _registered = [];
    private Binding[] _wanted = [];

    /// <summary>One version of a program, where it is served, and by which transport: "tcp", "tcp6", "udp" or "udp6" (RFC 5665 §5 calls it the netid).</summary>
    private readonly record struct Binding(string Name, uint Program, uint Version, string Network, RpcPeer Where)
    {
        /// <summary>rpcbind has one address for each of these.</summary>
        public (uint Program, uint Version, string Network) Place => (Program, Version, Network);
    }

    /// <param name="timeout">For all of one <see cref="Register"/>, <see cref="Look"/> or <see cref="Unregister"/>.</param>
    /// <param name="socketPath">Null: <see cref="StandardSocket"/>.</param>
    /// <param name="portmapper">Null: port 111 of 127.0.0.1.</param>
    public RpcbindRegistration(TimeSpan timeout, string? socketPath = null, IPEndPoint? portmapper = null)
    {
        _timeout = timeout;
        _socketPath = socketPath ?? StandardSocket;
        _portmapper = portmapper ?? new IPEndPoint(IPAddress.Loopback, 111);
    }

    /// <summary>
    /// Registers every version of the programs, over IPv4 and IPv6 where there is an address of the kind (rpcbind keeps one of each), and over UDP too those that serve it, on the
    /// same port; in place of what was registered for them before.
    /// </summary>
    /// <returns>Null, or one line for people: why some or all are not registered.</returns>
    public string? Register(IEnumerable<IRpcProgram> programs, IReadOnlyList<RpcPeer> endpoints)
    {
        _registered.Clear();
        _wanted = [.. BindingsOf(programs, endpoints)];
        using Rpcbind? rpcbind = Connect(out string? error);
        if (rpcbind is null)
            return error;

        // What a server that died left behind would be in the way; that there was nothing is no failure. All of it first: a portmapper takes back a version as a whole.
        foreach (Binding binding in _wanted)
        {
            if (rpcbind.Change(UnsetProcedure, binding, out _) is { } broken)
                return broken;
        }

        foreach (Binding binding in _wanted)
        {
            if (rpcbind.Change(SetProcedure, binding, out bool done) is { } failed)
                return failed;
            if (!done)
                return $"rpcbind refused to register {binding.Name} version {binding.Version}";
            _registered.Add(binding);
        }

        return null;
    }

    /// <summary>Asks whether rpcbind has what <see cref="Register"/> was to register: it may have been restarted since, or another server may have taken its place.</summary>
    /// <param name="reason">One line for people where it is not all there.</param>
    public RpcbindHolding Look(out string? reason)
    {
        using Rpcbind? rpcbind = Connect(out reason);
        if (rpcbind is null)
            return RpcbindHolding.Unknown;
        reason = rpcbind.List(out Dictionary<(uint, uint, string), string> found);
        if (reason is not null)
            return RpcbindHolding.Unknown;

        bool isMissing = false;
        foreach (Binding binding in _wanted)
        {
            if (!found.TryGetValue(binding.Place, out string? address))
            {
                isMissing = true;
            }
            else if (address != rpcbind.AddressOf(binding.Where))
            {
                reason = $"another server has registered program {binding.Program} version {binding.Version} there, at {binding.Network} {address}";
                return RpcbindHolding.Others;
            }
        }

        reason = isMissing ? "rpcbind has forgotten what was registered" : null;
        return isMissing ? RpcbindHolding.Missing : RpcbindHolding.Ours;
    }

    /// <summary>Takes back what was registered; what another server has put in its place since stays.</summary>
    /// <returns>Null, or one line for people.</returns>
    public string? Unregister()
    {
        if (_registered.Count == 0)
            return null;

        using Rpcbind? rpcbind = Connect(out string? error);
        if (rpcbind is null)
            return error;
        if (rpcbind.List(out Dictionary<(uint, uint, string), string> found) is { } broken)
            return broken;

        foreach (Binding binding in _registered)
        {
            bool isOurs = found.GetValueOrDefault(binding.Place) == rpcbind.AddressOf(binding.Where);
            if (isOurs && rpcbind.Change(UnsetProcedure, binding, out _) is { } failed)
                return failed;
        }

        _registered.Clear();
        return null;
    }

    /// <summary>As <see cref="Unregister"/>; that rpcbind is gone meanwhile does not matter here.</summary>
    public void Dispose() => Unregister();

    private static IEnumerable<Binding> BindingsOf(IEnumerable<IRpcProgram> programs, IReadOnlyList<RpcPeer> endpoints)
    {
        foreach (IRpcProgram program in programs)
        {
            for (uint version = program.LowestVersion; version <= program.HighestVersion; version++)
            {
                foreach (RpcPeer where in endpoints.DistinctBy(static endpoint => endpoint.IsV4))
                {
                    yield return new Binding(program.Name, program.Program, version, where.IsV4 ? "tcp" : "tcp6", where);
                    if (program.ServesDatagrams)
                        yield return new Binding(program.Name, program.Program, version, where.IsV4 ? "udp" : "udp6", where);
                }
            }
        }
    }

    private Rpcbind? Connect(out string? error)
    {
        long deadline = Stopwatch.GetTimestamp() + (long)(_timeout.TotalSeconds * Stopwatch.Frequency);
        uint xid = (uint)Stopwatch.GetTimestamp();
        if (File.Exists(_socketPath))
        {
            RpcClient? local = RpcClient.Connect(new UnixDomainSocketEndPoint(_socketPath), _timeout, xid, out error);
            if (local is not null)
                return new Rpcbind(local, portmap: false, deadline);
        }

        RpcClient? remote = RpcClient.Connect(_portmapper, Left(deadline), xid, out error, privileged: true);
        if (remote is not null)
            return new Rpcbind(remote, portmap: true, deadline);
        error = $"rpcbind cannot be reached ({error})";
        return null;
    }

    private static TimeSpan Left(long deadline)
    {
        double seconds = (deadline - Stopwatch.GetTimestamp()) / (double)Stopwatch.Frequency;
        return seconds > 0 ? TimeSpan.FromSeconds(seconds) : TimeSpan.Zero;
    }

    /// <summary>A connection to it, by one of its two protocols.</summary>
    private sealed class Rpcbind(RpcClient client, bool portmap, long deadline) : IDisposable
    {
        private const int MaxTextBytes = 1024;
        private const string Malformed = "rpcbind: the answer is malformed";

        public void Dispose() => client.Dispose();

        /// <summary>An address as it stands in its list: the universal one, or a port alone.</summary>
        public string AddressOf(RpcPeer where) => portmap ? where.Port.ToString(CultureInfo.InvariantCulture) : UniversalAddress(where);

        /// <summary>All that is registered. Null if it answered, or why it did not.</summary>
        public string? List(out Dictionary<(uint Program, uint Version, string Network), string> found)
        {
            found = [];
            if (Call(DumpProcedure, [], out ReadOnlySpan<byte> results) is { } error)
                return error;

            var reader = new XdrReader(results);
            while (reader.Bool())
            {
                uint program = reader.U32();
                uint version = reader.U32();
                string network, address;
                if (portmap)
                {
                    network = reader.U32() switch { ProtocolTcp => "tcp", ProtocolUdp => "udp", _ => "" }; // mapping: prog, vers, prot, port
                    address = reader.U32().ToString(CultureInfo.InvariantCulture);
                }
                else
                {
                    network = Encoding.ASCII.GetString(reader.String(MaxTextBytes)); // rpcb: prog, vers, netid, addr, owner
                    address = Encoding.ASCII.GetString(reader.String(MaxTextBytes));
                    reader.String(MaxTextBytes);
                }

                found.TryAdd((program, version, network), address);
            }

            return reader.AtEnd ? null : Malformed;
        }

        /// <summary>SET or UNSET. Null if it answered, or why it did not.</summary>
        public string? Change(uint procedure, in Binding binding, out bool done)
        {
            done = false;
            RpcPeer where = binding.Where;
            if (portmap && !where.IsV4)
                return "rpcbind is not there, and a portmapper knows no IPv6";

            var arguments = new XdrWriter(stackalloc byte[256]);
            arguments.U32(binding.Program);
            arguments.U32(binding.Version);
            if (portmap)
            {
                arguments.U32(binding.Network == "udp" ? ProtocolUdp : ProtocolTcp); // mapping: prog, vers, prot, port
                arguments.U32(where.Port);
            }
            else
            {
                arguments.String(Encoding.ASCII.GetBytes(binding.Network)); // rpcb: prog, vers, netid, addr, owner
                arguments.String(Encoding.ASCII.GetBytes(UniversalAddress(where)));
                arguments.String([]); // rpcbind sees itself who asks
            }

            if (Call(procedure, arguments.Written, out ReadOnlySpan<byte> results) is { } error)
                return error;

            var reader = new XdrReader(results);
            done = reader.Bool();
            return reader.AtEnd ? null : Malformed;
        }

        private string? Call(uint procedure, ReadOnlySpan<byte> arguments, out ReadOnlySpan<byte> results)
        {
            RpcClientResult result = client.Call(RpcbindProgram, portmap ? PortmapVersion : RpcbindVersion, procedure, arguments, Left(deadline), out results);
            return result.Succeeded ? null : $"rpcbind: {result.Text}";
        }
    }

    /// <summary>An address as rpcbind writes it (RFC 5665): the address, then the two bytes of the port, "192.0.2.1.8.1".</summary>
    internal static string UniversalAddress(RpcPeer where) =>
        string.Create(CultureInfo.InvariantCulture, $"{where.ToIPAddress()}.{where.Port >> 8}.{where.Port & 0xFF}");
}
