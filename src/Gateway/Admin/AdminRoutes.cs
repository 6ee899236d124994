using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Gateway.Admin.Contract;
using Gateway.Configuration;
using Gateway.Daemon;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Gateway.Admin;

/// <summary>
/// The paths of the admin API and what answers each. Errors are <see cref="ErrorBody"/> with a fitting status code: whatever a client sends is
/// answered with 4xx; 500 is an error of the program and is logged.
/// </summary>
internal sealed class AdminRoutes
{
    private delegate Task Handler(HttpContext context);

    private sealed record Route(string Method, string Path, string Meaning, Handler Answer);

    private readonly INode _node;
    private readonly ILogger _log;
    private readonly List<Route> _routes;
    private readonly SemaphoreSlim _longWork = new(1, 1);

    public AdminRoutes(INode node, ILogger log)
    {
        _node = node;
        _log = log;
        _routes =
        [
            new("GET", "/v1", "these paths", context => WriteAsync(context, Paths, AdminJson.Default.IReadOnlyListApiPath)),
            new("GET", "/v1/version", "version of program, API and data format", context => WriteAsync(context, VersionOfThis.Get(), AdminJson.Default.VersionInfo)),
            new("GET", "/v1/status", "how the daemon is", context => WriteAsync(context, _node.Status(), AdminJson.Default.NodeStatus)),
            new("GET", "/v1/df", "space and inodes", context => WriteAsync(context, _node.Space(), AdminJson.Default.SpaceInfo)),
            new("GET", "/v1/config", "every key with its value and origin", context => WriteAsync(context, _node.Configuration, AdminJson.Default.IReadOnlyListConfigValue)),
            new("GET", "/v1/log-level", "least level that is logged", context => WriteAsync(context, LogLevelNow, AdminJson.Default.LogLevelInfo)),
            new("PUT", "/v1/log-level", "change it: {\"level\": \"debug\"}", SetLogLevelAsync),
            new("GET", "/v1/mounts", "mounts of this daemon", context => WriteAsync(context, _node.Mounts(), AdminJson.Default.IReadOnlyListMountInfo)),
            new("POST", "/v1/mounts", "mount: {\"directory\": …, \"options\": …}", MountAsync),
            new("DELETE", "/v1/mounts?directory=…", "unmount", UnmountAsync),
            new("GET", "/v1/stat?path=…", "an inode and where its blocks lie; &verify=yes or no: compare checksums", StatAsync),
            new("GET", "/v1/tree-size?path=…", "sum over a tree; progress lines, then the result", MeasureTreeAsync),
            new("GET", "/v1/exports", "exports, their clients and options", context => WriteAsync(context, _node.Exports(), AdminJson.Default.IReadOnlyListExportInfo)),
            new("POST", "/v1/exports", "export, or add clients: {\"path\": …, \"clients\": [\"10.0.0.0/8:rw\"]}", AddExportAsync),
            new("DELETE", "/v1/exports?export=…", "remove an export by path or number; &client=…: one of its clients", RemoveExportAsync),
            new("GET", "/v1/exports/check?client=…&path=…", "which rule decides for a client and why; &port=…: where it comes from", CheckExportAsync),
            new("POST", "/v1/exports/import", "take over exports: {\"text\": the text of an /etc/exports}", ImportExportsAsync),
            new("GET", "/v1/clients", "NFS clients with their figures", context => WriteAsync(context, _node.Clients(), AdminJson.Default.IReadOnlyListClientInfo)),
            new("DELETE", "/v1/clients?address=…", "close a client's connections and drop its locks", EvictClientAsync),
            new("GET", "/v1/top", "operations, latencies, live requests", context => WriteAsync(context, _node.Top(), AdminJson.Default.TopReport)),
            new("POST", "/v1/fsck", "metadata against blocks; progress lines, then the result", context => WorkAsync(context, _node.Check)),
            new("POST", "/v1/scrub", "checksums of all data; progress lines, then the result", context => WorkAsync(context, _node.Scrub)),
            new("GET", "/v1/dump", "all metadata as of now, as text", DumpAsync),
            new("GET", "/metrics", "figures for Prometheus", MetricsAsync),
        ];
    }

    private IReadOnlyList<ApiPath> Paths => [.. _routes.Select(route => new ApiPath(route.Method, route.Path, route.Meaning))];

    private LogLevelInfo LogLevelNow => new(ConfigTable.NameOf(_node.LogLevel));

    /// <param name="trusted">The request came through the Unix socket; others get /metrics alone.</param>
    public async Task AnswerAsync(HttpContext context, bool trusted)
    {
        try
        {
            string path = context.Request.Path.Value is { Length: > 1 } given ? given.TrimEnd('/') : "/";
            List<Route> routes = [.. _routes.Where(route => PathOf(route) == path && (trusted || path == "/metrics"))];
            if (routes.Count == 0)
                await FailAsync(context, StatusCodes.Status404NotFound, ExitCode.Usage, $"there is nothing at {path}", "GET /v1 lists what there is");
            else if (routes.Find(route => route.Method == context.Request.Method) is { } route)
                await route.Answer(context);
            else
                await RefuseMethodAsync(context, path, routes);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            _log.LogDebug("{Path}: the client has gone", context.Request.Path);
        }
        catch (OperatingException error)
        {
            (string what, string mend) = error.Parts;
            await FailAsync(context, StatusOf(error.Code), error.Code, what, mend);
        }
        catch (BadHttpRequestException error)
        {
            await FailAsync(context, error.StatusCode, ExitCode.Usage, error.Message, "send a smaller or well-formed request");
        }
        catch (JsonException error)
        {
            await FailAsync(context, StatusCodes.Status400BadRequest, ExitCode.Usage, $"the body is not what this path takes: {error.Message}", "GET /v1 shows an example");
        }
        catch (IOException error) when (context.RequestAborted.IsCancellationRequested)
        {
            _log.LogDebug("{Path}: the client has gone ({Reason})", context.Request.Path, error.Message);
        }
        catch (Exception error)
        {
            _log.LogError(error, "{Method} {Path} failed", context.Request.Method, context.Request.Path);
            await FailAsync(
                context, StatusCodes.Status500InternalServerError, ExitCode.Software, $"an error in gatewayd: {error.Message}", "look into its log and report it");
        }
    }

    private async Task SetLogLevelAsync(HttpContext context)
    {
        LogLevelInfo wanted = await ReadAsync(context, AdminJson.Default.LogLevelInfo);
        if (ConfigTable.LogThreshold.Parse(wanted.Level) is not LogLevel level)
            throw new OperatingException(ExitCode.Usage, $"\"{wanted.Level}\" is no log level; allowed: {ConfigTable.LogThreshold.Allowed}");
        _log.LogInformation("log level: {Level}", ConfigTable.NameOf(level));
        _node.LogLevel = level;
        await WriteAsync(context, LogLevelNow, AdminJson.Default.LogLevelInfo);
    }

    private async Task MountAsync(HttpContext context)
    {
        MountRequest request = await ReadAsync(context, AdminJson.Default.MountRequest);
        if (!ConfigTable.IsAbsolutePath(request.Directory))
            throw new OperatingException(ExitCode.Usage, $"mount point \"{request.Directory}\" is no absolute path; give one that begins with /");
        MountInfo mount = await Task.Run(() => _node.Mount(request));
        context.Response.StatusCode = StatusCodes.Status201Created;
        await WriteAsync(context, mount, AdminJson.Default.MountInfo);
    }

    private async Task UnmountAsync(HttpContext context)
    {
        string directory = Parameter(context, "directory");
        await Task.Run(() => _node.Unmount(directory));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task StatAsync(HttpContext context)
    {
        string path = Parameter(context, "path");
        string? wanted = context.Request.Query["verify"];
        bool? verify = wanted switch
        {
            null or "" => null,
            "yes" => true,
            "no" => false,
            _ => throw new OperatingException(ExitCode.Usage, $"verify={wanted}: allowed are yes and no"),
        };
        await WriteAsync(context, await Task.Run(() => _node.Stat(path, verify)), AdminJson.Default.InodeStat);
    }

    private async Task AddExportAsync(HttpContext context)
    {
        ExportRequest request = await ReadAsync(context, AdminJson.Default.ExportRequest);
        ExportInfo export = await Task.Run(() => _node.AddExport(request));
        context.Response.StatusCode = StatusCodes.Status201Created;
        await WriteAsync(context, export, AdminJson.Default.ExportInfo);
    }

    private async Task RemoveExportAsync(HttpContext context)
    {
        string export = Parameter(context, "export");
        string? client = context.Request.Query["client"];
        await Task.Run(() => _node.RemoveExport(export, client));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task CheckExportAsync(HttpContext context)
    {
        const int reservedPort = 1023; // what mount(8) uses
        string client = Parameter(context, "client"), path = Parameter(context, "path");
        string? given = context.Request.Query["port"];
        int port = reservedPort;
        if (!string.IsNullOrEmpty(given) && (!int.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out port) || port is < 1 or > 65535))
            throw new OperatingException(ExitCode.Usage, $"port {given} is none; allowed are 1 to 65535");
        await WriteAsync(context, await Task.Run(() => _node.CheckExport(client, path, port)), AdminJson.Default.ExportCheck);
    }

    private async Task ImportExportsAsync(HttpContext context)
    {
        ExportImportRequest request = await ReadAsync(context, AdminJson.Default.ExportImportRequest);
        await WriteAsync(context, await Task.Run(() => _node.ImportExports(request.Text)), AdminJson.Default.ExportImportReport);
    }

    private async Task EvictClientAsync(HttpContext context)
    {
        string address = Parameter(context, "address");
        await WriteAsync(context, await Task.Run(() => _node.EvictClient(address)), AdminJson.Default.EvictReport);
    }

    private async Task DumpAsync(HttpContext context)
    {
        context.Response.ContentType = "text/plain; charset=us-ascii";
        await using Stream body = context.Response.BodyWriter.AsStream(leaveOpen: true);
        await Task.Factory.StartNew(
            () => _node.Dump(body, context.RequestAborted), context.RequestAborted, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private Task MeasureTreeAsync(HttpContext context)
    {
        string path = Parameter(context, "path");
        return AnswerInLinesAsync(context, (progress, cancellation) => new WorkEnd(Tree: _node.MeasureTree(path, progress, cancellation)));
    }

    /// <summary>A check of the whole store: one at a time, since each reads all there is.</summary>
    private async Task WorkAsync(HttpContext context, Func<Action<WorkProgress>, CancellationToken, CheckReport> work)
    {
        if (!await _longWork.WaitAsync(0))
            throw new OperatingException(ExitCode.Busy, "a check or scrub is running already; wait for it to end");
        try
        {
            await AnswerInLinesAsync(context, (progress, cancellation) => new WorkEnd(Check: work(progress, cancellation)));
        }
        finally
        {
            _longWork.Release();
        }
    }

    /// <summary>Runs work on a thread of its own and sends progress as it comes. A client that goes away ends the work.</summary>
    private async Task AnswerInLinesAsync(HttpContext context, Func<Action<WorkProgress>, CancellationToken, WorkEnd> work)
    {
        context.Response.ContentType = AdminProtocol.LinesType;
        WorkProgress? latest = null;
        Task<WorkEnd> running = Task.Factory.StartNew(
            () => work(progress => Volatile.Write(ref latest, progress), context.RequestAborted),
            context.RequestAborted, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            while (await Task.WhenAny(running, Task.Delay(TimeSpan.FromMilliseconds(200))) != running)
            {
                if (Interlocked.Exchange(ref latest, null) is { } progress)
                    await WriteLineAsync(context, new WorkLine(Progress: progress));
            }

            await WriteLineAsync(context, new WorkLine(End: await running));
        }
        catch (OperatingException error)
        {
            (string what, string mend) = error.Parts;
            await WriteLineAsync(context, new WorkLine(End: new WorkEnd(Error: new ErrorBody(what, mend, (int)error.Code))));
        }
        catch
        {
            // The client is gone (then its token has told the work), or the work itself failed: never leave it running unobserved.
            if (!running.IsCompleted)
                await ((Task)running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
    }

    private Task MetricsAsync(HttpContext context)
    {
        context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        return context.Response.WriteAsync(Metrics.Render(_node.Status(), _node.Top()), context.RequestAborted);
    }

    private static async Task<T> ReadAsync<T>(HttpContext context, JsonTypeInfo<T> type)
        where T : class =>
        await JsonSerializer.DeserializeAsync(context.Request.Body, type, context.RequestAborted)
            ?? throw new OperatingException(ExitCode.Usage, "the body is \"null\"; GET /v1 shows an example");

    private static Task WriteAsync<T>(HttpContext context, T message, JsonTypeInfo<T> type)
    {
        context.Response.ContentType = AdminProtocol.JsonType;
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(message, type);
        context.Response.ContentLength = body.Length;
        return context.Response.Body.WriteAsync(body, 0, body.Length, context.RequestAborted);
    }

    private static async Task WriteLineAsync(HttpContext context, WorkLine line)
    {
        byte[] body = [.. JsonSerializer.SerializeToUtf8Bytes(line, AdminJson.Default.WorkLine), (byte)'\n'];
        await context.Response.Body.WriteAsync(body, context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }

    private static async Task RefuseMethodAsync(HttpContext context, string path, List<Route> routes)
    {
        string allowed = string.Join(", ", routes.Select(route => route.Method));
        context.Response.Headers.Allow = allowed;
        await FailAsync(
            context, StatusCodes.Status405MethodNotAllowed, ExitCode.Usage, $"{path} has no method {context.Request.Method}", $"allowed: {allowed}");
    }

    private static async Task FailAsync(HttpContext context, int status, ExitCode code, string what, string mend)
    {
        // An answer that has begun cannot become an error any more: cut it, so that the client sees that it is not whole.
        if (context.Response.HasStarted)
        {
            context.Abort();
            return;
        }

        context.Response.Clear();
        context.Response.StatusCode = status;
        await WriteAsync(context, new ErrorBody(what, mend, (int)code), AdminJson.Default.ErrorBody);
    }

    private static string Parameter(HttpContext context, string name)
    {
        string? value = context.Request.Query[name];
        if (string.IsNullOrEmpty(value) || value.Contains('\0', StringComparison.Ordinal))
            throw new OperatingException(ExitCode.Usage, $"{context.Request.Path}: the parameter {name} is missing or empty; add ?{name}=…");
        return value;
    }

    private static string PathOf(Route route) => route.Path.Split('?')[0];

    private static int StatusOf(ExitCode code) => code switch
    {
        ExitCode.Usage or ExitCode.Config or ExitCode.DataError => StatusCodes.Status400BadRequest,
        ExitCode.NoInput => StatusCodes.Status404NotFound,
        ExitCode.NoPermission => StatusCodes.Status403Forbidden,
        ExitCode.Busy or ExitCode.CannotCreate => StatusCodes.Status409Conflict,
        ExitCode.Unavailable => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status500InternalServerError,
    };
}
