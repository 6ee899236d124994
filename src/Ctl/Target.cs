using System.Net.Sockets;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>Which daemon is meant: that of a data directory, or the one behind a socket.</summary>
/// <param name="DataDirectory">Null where only the socket is known.</param>
internal sealed record Target(string? DataDirectory, string SocketPath)
{
    public const string DataVariable = "GATEWAY_DATA";
    public const string DefaultData = "/var/lib/gateway";

    /// <summary>In this order: --socket, --data, GATEWAY_DATA, the default directory.</summary>
    public static Target Resolve(string? socket, string? data)
    {
        if (socket is not null)
            return new Target(data, Path.GetFullPath(socket));
        string directory = data ?? (Environment.GetEnvironmentVariable(DataVariable) is { Length: > 0 } given ? given : DefaultData);
        directory = Path.GetFullPath(directory);
        return new Target(directory, Path.Combine(directory, AdminProtocol.SocketName));
    }

    /// <summary>The SOURCE of a mount: a data directory, a socket, or a name of this machine for the default directory.</summary>
    public static Target FromSource(string source)
    {
        if (source.Contains('/', StringComparison.Ordinal))
            return Directory.Exists(source) ? Resolve(null, source) : Resolve(source, null);
        if (source is "localhost" || string.Equals(source, Environment.MachineName, StringComparison.OrdinalIgnoreCase))
            return Resolve(null, null);
        throw new OperatingException(
            ExitCode.NoInput, $"source {source}: neither this machine nor a path; name localhost, a data directory (/var/lib/gateway) or an admin socket");
    }

    /// <summary>Connects, or explains in one line why that is not possible.</summary>
    public Socket Connect(TimeSpan answerWithin)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        {
            ReceiveTimeout = (int)answerWithin.TotalMilliseconds,
            SendTimeout = (int)answerWithin.TotalMilliseconds,
        };
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(SocketPath));
            return socket;
        }
        catch (Exception error) when (error is SocketException or ArgumentException)
        {
            socket.Dispose();
            throw Explain(error, answerWithin);
        }
    }

    /// <summary>A daemon that is there and does nothing.</summary>
    public static OperatingException Silent(TimeSpan waited, Exception cause) => new(
        ExitCode.Unavailable, $"the daemon has said nothing for {waited.TotalSeconds:0} s: it hangs, or its disk does; look into its log and dmesg", cause);

    private OperatingException Explain(Exception error, TimeSpan waited)
    {
        string start = DataDirectory is null ? "start it" : $"start it with: gatewayd --data {DataDirectory}";
        return (error as SocketException)?.SocketErrorCode switch
        {
            SocketError.ConnectionRefused => new OperatingException(ExitCode.Unavailable, $"the daemon of {Name} is not running (its socket is stale); {start}"),
            SocketError.WouldBlock or SocketError.TimedOut => Silent(waited, error), // so many wait already that the kernel takes no more
            SocketError.AccessDenied => new OperatingException(ExitCode.NoPermission, $"{SocketPath}: permission denied; run as the daemon's user: sudo gatewayctl …"),
            SocketError.AddressNotAvailable or SocketError.NotConnected or SocketError.SocketError when !File.Exists(SocketPath) => Missing(start),
            _ when !Path.Exists(SocketPath) => Missing(start),
            _ => new OperatingException(ExitCode.Unavailable, $"{SocketPath}: cannot connect ({error.Message}); check the path"),
        };
    }

    private OperatingException Missing(string start) =>
        DataDirectory is not null && !Directory.Exists(DataDirectory)
            ? new OperatingException(
                ExitCode.NoInput, $"data directory {DataDirectory}: it does not exist; name the right one with --data or {DataVariable}")
            : new OperatingException(ExitCode.Unavailable, $"the daemon of {Name} is not running (no {SocketPath}); {start}");

    private string Name => DataDirectory ?? SocketPath;
}
