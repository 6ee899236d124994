using System.Net;
using System.Net.Sockets;
using Gateway.Admin.Contract;
using Gateway.Daemon;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Gateway.Admin;

/// <summary>
/// The HTTP server of the admin API: Kestrel on a Unix socket that only its owner may use (mode 0600), and optionally a TCP port that serves /metrics and
/// nothing else. Kestrel is used bare, without host, routing and dependency injection: the API is a table of some twenty paths (<see cref="AdminRoutes"/>).
/// </summary>
internal sealed class AdminServer : IAsyncDisposable
{
    private readonly KestrelServer _server;
    private readonly string _socket;

    private AdminServer(KestrelServer server, string socket)
    {
        _server = server;
        _socket = socket;
    }

    /// <param name="socket">Path of the socket; one that nobody listens on any more is replaced.</param>
    /// <param name="metrics">TCP end point of /metrics, or null.</param>
    /// <exception cref="OperatingException">The path or the port is taken, or not allowed.</exception>
    public static async Task<AdminServer> StartAsync(string socket, IPEndPoint? metrics, AdminRoutes routes, ILoggerFactory loggers)
    {
        PrepareSocketPath(socket);
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.Limits.MaxConcurrentConnections = 64;
        options.Limits.MaxRequestBodySize = AdminProtocol.MaxRequestBytes;
        options.Limits.MaxRequestLineSize = 16 << 10; // a path of 4095 bytes, each escaped as three
        options.Limits.MaxRequestHeadersTotalSize = 16 << 10;
        options.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(5);
        options.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(60);
        options.ListenUnixSocket(socket, listen => listen.Protocols = HttpProtocols.Http1);
        if (metrics is not null)
            options.Listen(metrics, listen => listen.Protocols = HttpProtocols.Http1);

        var server = new KestrelServer(
            Options.Create(options), new SocketTransportFactory(Options.Create(new SocketTransportOptions()), loggers), new WarningsOnly(loggers));
        try
        {
            await server.StartAsync(new Application(routes, socket), CancellationToken.None);
            File.SetUnixFileMode(socket, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
        catch (Exception error) when (error is IOException or SocketException or UnauthorizedAccessException)
        {
            server.Dispose();
            throw Explain(error, socket, metrics);
        }

        return new AdminServer(server, socket);
    }

    /// <summary>Stops listening, gives answers under way a moment, and removes the socket.</summary>
    public async ValueTask DisposeAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        await _server.StopAsync(patience.Token);
        _server.Dispose();
        File.Delete(_socket);
    }

    /// <summary>Removes a socket that nobody listens on; refuses anything else that is in the way.</summary>
    private static void PrepareSocketPath(string path)
    {
        const int LongestPath = 107; // sun_path without its zero byte (unix(7))
        if (System.Text.Encoding.UTF8.GetByteCount(path) > LongestPath)
            throw new OperatingException(ExitCode.Config, $"admin socket {path}: longer than the {LongestPath} bytes a socket's path may have; give a shorter one with --socket");

        string? directory = Path.GetDirectoryName(path);
        if (!Directory.Exists(directory))
            throw new OperatingException(ExitCode.NoInput, $"admin socket {path}: the directory does not exist; make it: mkdir -p {directory}");
        if (!Path.Exists(path) && new FileInfo(path).LinkTarget is null)
            return;
        if (!IsSocket(path))
            throw new OperatingException(ExitCode.CannotCreate, $"admin socket {path}: something else has this path; give another with --socket");

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException error) when (error.SocketErrorCode is SocketError.ConnectionRefused)
        {
            File.Delete(path);
            return;
        }
        catch (SocketException error)
        {
            throw new OperatingException(ExitCode.CannotCreate, $"admin socket {path}: it is there and cannot be reached ({error.Message}); give another with --socket");
        }

        throw new OperatingException(ExitCode.Busy, $"admin socket {path}: another daemon listens there; give another path with --socket");
    }

    private static bool IsSocket(string path)
    {
        // File attributes do not tell sockets apart; the kernel does when asked to connect to what is none: ECONNREFUSED is answered for both, so look at the mode.
        return NativeMethods.TryGetMode(path, out uint mode) && (mode & NativeMethods.S_IFMT) == NativeMethods.S_IFSOCK;
    }

    private static OperatingException Explain(Exception error, string socket, IPEndPoint? metrics)
    {
        SocketException? cause = error as SocketException ?? error.InnerException as SocketException ?? error.InnerException?.InnerException as SocketException;
        bool aboutPort = metrics is not null && error.ToString().Contains(metrics.ToString(), StringComparison.Ordinal);
        if (aboutPort && (error.InnerException is Microsoft.AspNetCore.Connections.AddressInUseException || cause?.SocketErrorCode == SocketError.AddressAlreadyInUse))
        {
            return new OperatingException(
                ExitCode.Busy, $"metrics port {metrics}: another program listens there; choose another admin.metrics-listen", error);
        }

        string what = aboutPort ? $"metrics port {metrics}" : $"admin socket {socket}";
        string mend = aboutPort ? "choose another admin.metrics-listen" : "give another path with --socket";
        ExitCode code = cause?.SocketErrorCode == SocketError.AccessDenied || error is UnauthorizedAccessException ? ExitCode.NoPermission : ExitCode.OsError;
        return new OperatingException(code, $"{what}: cannot listen there ({(cause ?? error).Message}); {mend}", error);
    }

    /// <summary>Kestrel logs every request and connection at information level; here only what goes wrong is of interest.</summary>
    private sealed class WarningsOnly(ILoggerFactory inner) : ILoggerFactory
    {
        public ILogger CreateLogger(string categoryName) => new Filter(inner.CreateLogger("AdminHttp"));

        public void AddProvider(ILoggerProvider provider) => inner.AddProvider(provider);

        public void Dispose()
        {
        }

        private sealed class Filter(ILogger inner) : ILogger
        {
            public IDisposable? BeginScope<TState>(TState state)
                where TState : notnull => inner.BeginScope(state);

            public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning && inner.IsEnabled(logLevel);

            public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
            {
                if (IsEnabled(logLevel))
                    inner.Log(logLevel, eventId, state, exception, formatter);
            }
        }
    }

    /// <summary>Kestrel's view of us: a context per request, and the table that answers it.</summary>
    private sealed class Application(AdminRoutes routes, string socket) : IHttpApplication<HttpContext>
    {
        public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

        public Task ProcessRequestAsync(HttpContext context)
        {
            // Connections of the Unix socket have no IP address; all others come from the metrics port.
            bool trusted = context.Connection.LocalIpAddress is null;
            return routes.AnswerAsync(context, trusted);
        }

        public void DisposeContext(HttpContext context, Exception? exception)
        {
        }

        public override string ToString() => socket;
    }
}
