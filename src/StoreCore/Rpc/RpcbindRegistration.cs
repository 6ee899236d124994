using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace StoreCore.Rpc;

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
    private const uint SetProcedure = 1, UnsetProcedure = 2; // the same numbers in both versions
    private const uint ProtocolTcp = 6;

    private readonly TimeSpan _timeout;
    private readonly string _socketPath;
    private readonly IPEndPoint _portmapper;
    private readonly List<(uint Program, uint Version, RpcPeer Where)> _registered = [];

    /// <param name="timeout">For all of one <see cref="Register"/> or <see cref="Unregister"/>.</param>
    /// <param name="socketPath">Null: <see cref="StandardSocket"/>.</param>
    /// <param name="portmapper">Null: port 111 of 127.0.0.1.</param>
    public RpcbindRegistration(TimeSpan timeout, string? socketPath = null, IPEndPoint? portmapper = null)
    {
        _timeout = timeout;
        _socketPath = socketPath ?? StandardSocket;
        _portmapper = portmapper ?? new IPEndPoint(IPAddress.Loopback, 111);
    }

    /// <summary>
    /// Registers every version of the programs, over IPv4 and IPv6 where there is an address of the kind (rpcbind keeps one of each), in place of what
    /// was registered for them before.
    /// </summary>
    /// <returns>Null, or one line for people: why some or all are not registered.</returns>
    public string? Register(IEnumerable<IRpcProgram> programs, IReadOnlyList<RpcPeer> endpoints)
    {
        using Rpcbind? rpcbind = Connect(out string? error);
        if (rpcbind is null)
            return error;

        foreach (IRpcProgram program in programs)
        {
            for (uint version = program.LowestVersion; version <= program.HighestVersion; version++)
            {
                foreach (RpcPeer where in endpoints.DistinctBy(static endpoint => endpoint.IsV4))
                {
                    // What a server that died left behind would be in the way; that there was nothing is no failure.
                    if (rpcbind.Call(UnsetProcedure, program.Program, version, where, out _) is { } broken)
                        return broken;
                    if (rpcbind.Call(SetProcedure, program.Program, version, where, out bool done) is { } failed)
                        return failed;
                    if (!done)
                        return $"rpcbind refused to register {program.Name} version {version}";
                    _registered.Add((program.Program, version, where));
                }
            }
        }

        return null;
    }

    /// <summary>Takes back what was registered.</summary>
    /// <returns>Null, or one line for people.</returns>
    public string? Unregister()
    {
        if (_registered.Count == 0)
            return null;

        using Rpcbind? rpcbind = Connect(out string? error);
        if (rpcbind is null)
            return error;

        foreach ((uint program, uint version, RpcPeer where) in _registered)
        {
            if (rpcbind.Call(UnsetProcedure, program, version, where, out _) is { } failed)
                return failed;
        }

        _registered.Clear();
        return null;
    }

    /// <summary>As <see cref="Unregister"/>; that rpcbind is gone meanwhile does not matter here.</summary>
    public void Dispose() => Unregister();

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
        public void Dispose() => client.Dispose();

        /// <summary>Null if it answered, or why it did not.</summary>
        public string? Call(uint procedure, uint program, uint version, RpcPeer where, out bool done)
        {
            done = false;
            if (portmap && !where.IsV4)
                return "rpcbind is not there, and a portmapper knows no IPv6";

            var arguments = new XdrWriter(stackalloc byte[256]);
            arguments.U32(program);
            arguments.U32(version);
            if (portmap)
            {
                arguments.U32(ProtocolTcp); // mapping: prog, vers, prot, port
                arguments.U32(where.Port);
            }
            else
            {
                arguments.String(where.IsV4 ? "tcp"u8 : "tcp6"u8); // rpcb: prog, vers, netid, addr, owner
                arguments.String(Encoding.ASCII.GetBytes(UniversalAddress(where)));
                arguments.String([]); // rpcbind sees itself who asks
            }

            RpcClientResult result = client.Call(
                RpcbindProgram, portmap ? PortmapVersion : RpcbindVersion, procedure, arguments.Written, Left(deadline), out ReadOnlySpan<byte> results);
            if (!result.Succeeded)
                return $"rpcbind: {result.Text}";

            var reader = new XdrReader(results);
            done = reader.Bool();
            return reader.AtEnd ? null : "rpcbind: the answer is malformed";
        }
    }

    /// <summary>An address as rpcbind writes it (RFC 5665): the address, then the two bytes of the port, "192.0.2.1.8.1".</summary>
    internal static string UniversalAddress(RpcPeer where) =>
        string.Create(CultureInfo.InvariantCulture, $"{where.ToIPAddress()}.{where.Port >> 8}.{where.Port & 0xFF}");
}
