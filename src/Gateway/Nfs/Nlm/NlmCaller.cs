using System.Net;
using System.Security.Cryptography;
using Gateway.Nfs.Exports;
using StoreCore.Rpc;

namespace Gateway.Nfs.Nlm;

/// <summary>
/// Calls a client's lock manager and status monitor over TCP. Where they listen, the client's rpcbind knows; nothing is kept between calls, for a client may have
/// rebooted. Blocks for some seconds at most. Any thread.
/// </summary>
/// <param name="portmapPort">Of every client.</param>
internal sealed class NlmCaller(int portmapPort = NlmCaller.StandardPortmapPort) : INlmCaller
{
    private const uint PortmapProgram = 100000, PortmapVersion = 2, GetPort = 3;
    private const int StandardPortmapPort = 111;
    private const uint Tcp = 6;

    private const uint Notify = 6, NsmVersion = 1, NlmVersion = 4;

    /// <summary>For each of the three steps: a client on the other side of the world answers in a tenth of it.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>How far a call came.</summary>
    private enum Outcome
    {
        Answered,

        /// <summary>It may have been carried out.</summary>
        Unanswered,

        /// <summary>It was not sent.</summary>
        Unreached,
    }

    public NlmGrantAnswer Granted(ClientAddress client, ClientAddress server, ReadOnlySpan<byte> cookie, ReadOnlySpan<byte> arguments)
    {
        byte[] message = new byte[sizeof(uint) + cookie.Length + sizeof(uint) + arguments.Length];
        var writer = new XdrWriter(message);
        writer.Opaque(cookie);
        writer.Fixed(arguments);
        if (Call(client, server, NlmProgram.ProgramNumber, NlmVersion, NlmProcedure.Granted, writer.Written, out XdrReader results) is var outcome and not Outcome.Answered)
            return outcome == Outcome.Unreached ? NlmGrantAnswer.Unreached : NlmGrantAnswer.Unanswered;

        // nlm4_res: cookie, status.
        ReadOnlySpan<byte> echoed = results.Opaque(NlmLock.MaxStringBytes);
        var status = (NlmStatus)results.U32();
        if (!results.AtEnd || !echoed.SequenceEqual(cookie))
            return NlmGrantAnswer.Unanswered;
        return status == NlmStatus.Granted ? NlmGrantAnswer.Accepted : NlmGrantAnswer.Refused;
    }

    public bool Restarted(ClientAddress client, ClientAddress server, int state)
    {
        // stat_chge: mon_name, state.
        byte[] message = new byte[128];
        var writer = new XdrWriter(message);
        writer.String(System.Text.Encoding.ASCII.GetBytes(server.ToString()));
        writer.I32(state);
        return Call(client, server, NsmProgram.ProgramNumber, NsmVersion, Notify, writer.Written, out _) == Outcome.Answered;
    }

    private Outcome Call(
        ClientAddress client, ClientAddress server, uint program, uint version, uint procedure, ReadOnlySpan<byte> arguments, out XdrReader results)
    {
        results = default;
        IPAddress address = client.ToIPAddress();

        // A client believes only the address that it asked.
        IPAddress? from = server.IsIPv4 == client.IsIPv4 ? server.ToIPAddress() : null;
        if (FindPort(address, from, program, version) is not { } port)
            return Outcome.Unreached;
        using RpcClient? connection = RpcClient.Connect(new IPEndPoint(address, port), Patience, FirstXid(), out _, from);
        if (connection is null)
            return Outcome.Unreached;
        if (!connection.Call(program, version, procedure, arguments, Patience, out ReadOnlySpan<byte> answer).Succeeded)
            return Outcome.Unanswered;
        results = new XdrReader(answer.ToArray());
        return Outcome.Answered;
    }

    /// <summary>PMAPPROC_GETPORT (RFC 1833 §3.2): program, version, protocol, 0. Answer: port, or 0.</summary>
    private int? FindPort(IPAddress client, IPAddress? from, uint program, uint version)
    {
        using RpcClient? connection = RpcClient.Connect(new IPEndPoint(client, portmapPort), Patience, FirstXid(), out _, from);
        if (connection is null)
            return null;
        Span<byte> arguments = stackalloc byte[4 * sizeof(uint)];
        var writer = new XdrWriter(arguments);
        writer.U32(program);
        writer.U32(version);
        writer.U32(Tcp);
        writer.U32(0);
        if (!connection.Call(PortmapProgram, PortmapVersion, GetPort, writer.Written, Patience, out ReadOnlySpan<byte> answer).Succeeded)
            return null;
        var reader = new XdrReader(answer);
        uint port = reader.U32();
        return reader.AtEnd && port is > 0 and <= ushort.MaxValue ? (int)port : null;
    }

    private static uint FirstXid() => (uint)RandomNumberGenerator.GetInt32(int.MaxValue);
}
