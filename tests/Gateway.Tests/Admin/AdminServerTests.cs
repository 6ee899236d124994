using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Gateway.Admin;
using Gateway.Admin.Contract;
using Gateway.Daemon;
using Microsoft.Extensions.Logging;

namespace Gateway.Tests.Admin;

/// <summary>The admin API over a real socket.</summary>
public sealed class AdminServerTests : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("admin").FullName;
    private readonly FakeNode _node = new();
    private readonly MemoryStream _log = new();
    private AdminServer _server = null!;
    private HttpClient _client = null!;

    private string SocketPath => Path.Combine(_directory, "admin.sock");

    public async Task InitializeAsync()
    {
        _server = await Start(SocketPath, null);
        _client = new HttpClient(new SocketsHttpHandler { ConnectCallback = async (_, _) => new NetworkStream(await Connect(), ownsSocket: true) })
        {
            BaseAddress = new Uri("http://gateway"),
            Timeout = TimeSpan.FromSeconds(20),
        };
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _server.DisposeAsync();
        Assert.False(File.Exists(SocketPath));
        Directory.Delete(_directory, recursive: true);
    }

    private Task<AdminServer> Start(string socket, IPEndPoint? metrics)
    {
        var logger = new StandardErrorLogger(LogLevel.Warning, journal: false, TimeProvider.System, _log);
        return AdminServer.StartAsync(socket, metrics, new AdminRoutes(_node, logger.CreateLogger("Admin")), logger);
    }

    private async Task<Socket> Connect()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath));
        return socket;
    }

    private async Task<(HttpStatusCode Status, string Body)> Send(string method, string path, string? body = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, AdminProtocol.JsonType);
        using HttpResponseMessage response = await _client.SendAsync(request);
        return (response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    private async Task<ErrorBody> Fails(HttpStatusCode status, string method, string path, string? body = null)
    {
        (HttpStatusCode got, string text) = await Send(method, path, body);
        Assert.Equal(status, got);
        return JsonSerializer.Deserialize(text, AdminJson.Default.ErrorBody)!;
    }

    [Fact]
    public void The_socket_is_its_owners_alone() =>
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(SocketPath));

    [Fact]
    public async Task Every_path_that_is_listed_answers()
    {
        (HttpStatusCode status, string body) = await Send("GET", "/v1");
        Assert.Equal(HttpStatusCode.OK, status);
        foreach (ApiPath path in JsonSerializer.Deserialize(body, AdminJson.Default.IReadOnlyListApiPath)!.Where(path => path.Method == "GET"))
        {
            (status, body) = await Send("GET", path.Path.Replace("…", "/known", StringComparison.Ordinal));
            Assert.True(status == HttpStatusCode.OK, $"{path.Path}: {status} {body}");
            Assert.NotEmpty(body);
        }
    }

    [Fact]
    public async Task Status_round_trips()
    {
        (_, string body) = await Send("GET", "/v1/status");
        NodeStatus status = JsonSerializer.Deserialize(body, AdminJson.Default.NodeStatus)!;
        Assert.Equal(FakeNode.SomeSpace, status.Space);
        Assert.Equal(new RecoveryInfo(0, 1, 2, 3, 4.5), status.Recovered);
    }

    [Fact]
    public async Task Mounts_come_and_go()
    {
        Assert.Equal(HttpStatusCode.Created, (await Send("POST", "/v1/mounts", "{\"directory\":\"/mnt/a\",\"options\":\"ro\"}")).Status);
        Assert.Equal((int)ExitCode.Busy, (await Fails(HttpStatusCode.Conflict, "POST", "/v1/mounts", "{\"directory\":\"/mnt/a\"}")).Code);
        Assert.Contains("/mnt/a", (await Send("GET", "/v1/mounts")).Body, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.NoContent, (await Send("DELETE", "/v1/mounts?directory=%2Fmnt%2Fa")).Status);
        ErrorBody gone = await Fails(HttpStatusCode.NotFound, "DELETE", "/v1/mounts?directory=/mnt/a");
        Assert.Equal(new ErrorBody("/mnt/a: nothing mounted", "look again", (int)ExitCode.NoInput), gone);
    }

    [Fact]
    public async Task Exports_come_and_go_and_are_checked()
    {
        Assert.Equal(HttpStatusCode.Created, (await Send("POST", "/v1/exports", "{\"path\":\"/a\",\"clients\":[\"*:ro\"]}")).Status);
        (_, string body) = await Send("GET", "/v1/exports");
        Assert.Equal("*:ro", JsonSerializer.Deserialize(body, AdminJson.Default.IReadOnlyListExportInfo)!.Single().Clients.Single().Client);
        (_, body) = await Send("GET", "/v1/exports/check?client=10.0.0.1&path=/a");
        Assert.True(JsonSerializer.Deserialize(body, AdminJson.Default.ExportCheck)!.Allowed);
        (_, body) = await Send("GET", "/v1/exports/check?client=10.0.0.1&path=/a&port=2000");
        Assert.False(JsonSerializer.Deserialize(body, AdminJson.Default.ExportCheck)!.Allowed);
        await Fails(HttpStatusCode.BadRequest, "GET", "/v1/exports/check?client=10.0.0.1&path=/a&port=0");
        await Fails(HttpStatusCode.BadRequest, "GET", "/v1/exports/check?path=/a");
        Assert.Equal(HttpStatusCode.OK, (await Send("POST", "/v1/exports/import", "{\"text\":\"/a *(ro)\"}")).Status);
        Assert.Equal((int)ExitCode.DataError, (await Fails(HttpStatusCode.BadRequest, "POST", "/v1/exports/import", "{\"text\":\"\"}")).Code);
        Assert.Equal(HttpStatusCode.NoContent, (await Send("DELETE", "/v1/exports?export=%2Fa")).Status);
        await Fails(HttpStatusCode.NotFound, "DELETE", "/v1/exports?export=/a");
    }

    [Fact]
    public async Task Clients_are_shown_and_evicted()
    {
        (_, string body) = await Send("GET", "/v1/clients");
        Assert.Equal("LOOKUP NoEntry", JsonSerializer.Deserialize(body, AdminJson.Default.IReadOnlyListClientInfo)!.Single().LastError);
        (_, body) = await Send("DELETE", "/v1/clients?address=10.0.0.1");
        Assert.Equal(new EvictReport("10.0.0.1", 1), JsonSerializer.Deserialize(body, AdminJson.Default.EvictReport));
        await Fails(HttpStatusCode.NotFound, "DELETE", "/v1/clients?address=10.0.0.2");
    }

    [Fact]
    public async Task The_log_level_can_be_changed()
    {
        Assert.Equal("{\"level\":\"info\"}", (await Send("GET", "/v1/log-level")).Body);
        Assert.Equal("{\"level\":\"debug\"}", (await Send("PUT", "/v1/log-level", "{\"level\":\"DEBUG\"}")).Body);
        Assert.Equal(LogLevel.Debug, _node.LogLevel);
        ErrorBody refused = await Fails(HttpStatusCode.BadRequest, "PUT", "/v1/log-level", "{\"level\":\"loud\"}");
        Assert.Equal("allowed: trace, debug, info, warning, error", refused.Mend);
    }

    [Theory]
    [InlineData("GET", "/", HttpStatusCode.NotFound)]
    [InlineData("GET", "/v2/status", HttpStatusCode.NotFound)]
    [InlineData("GET", "/v1/status/x", HttpStatusCode.NotFound)]
    [InlineData("POST", "/v1/status", HttpStatusCode.MethodNotAllowed)]
    [InlineData("BREW", "/v1/status", HttpStatusCode.MethodNotAllowed)]
    [InlineData("GET", "/v1/stat", HttpStatusCode.BadRequest)]
    [InlineData("GET", "/v1/stat?path=", HttpStatusCode.BadRequest)]
    [InlineData("GET", "/v1/stat?path=%00", HttpStatusCode.BadRequest)]
    [InlineData("GET", "/v1/stat?path=/unknown", HttpStatusCode.NotFound)]
    [InlineData("DELETE", "/v1/mounts", HttpStatusCode.BadRequest)]
    public async Task Wrong_requests_are_refused_with_a_mend(string method, string path, HttpStatusCode status)
    {
        ErrorBody error = await Fails(status, method, path);
        Assert.NotEmpty(error.Error);
        Assert.NotEmpty(error.Mend);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("{\"directory\":null}")]
    [InlineData("{\"directory\":7}")]
    [InlineData("{\"directory\":\"relative\"}")]
    [InlineData("{\"directory\":\"/a\",\"options\":[1]}")]
    [InlineData("\0\u0001")]
    public async Task Wrong_bodies_are_refused(string body) => await Fails(HttpStatusCode.BadRequest, "POST", "/v1/mounts", body);

    [Fact]
    public async Task A_body_that_is_too_large_is_refused_before_it_comes()
    {
        using Socket socket = await Connect();
        await socket.SendAsync("POST /v1/mounts HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"u8.ToArray());
        var answer = new byte[100];
        int length = await socket.ReceiveAsync(answer);
        Assert.StartsWith("HTTP/1.1 413 ", Encoding.ASCII.GetString(answer, 0, length), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_defect_is_answered_logged_and_survived()
    {
        Assert.Equal((int)ExitCode.Software, (await Fails(HttpStatusCode.InternalServerError, "GET", "/v1/stat?path=/defect")).Code);
        Assert.Contains("a defect", Encoding.UTF8.GetString(_log.ToArray()), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await Send("GET", "/v1/status")).Status);
    }

    [Fact]
    public async Task Long_work_ends_with_its_result_or_its_error()
    {
        (_, string body) = await Send("GET", "/v1/tree-size?path=/known");
        WorkLine last = JsonSerializer.Deserialize(body.TrimEnd().Split('\n')[^1], AdminJson.Default.WorkLine)!;
        Assert.Equal(new TreeSize("/known", 1, 2, 3, 4, 5), last.End!.Tree);

        (_, body) = await Send("GET", "/v1/tree-size?path=/unknown");
        last = JsonSerializer.Deserialize(body.TrimEnd().Split('\n')[^1], AdminJson.Default.WorkLine)!;
        Assert.Equal((int)ExitCode.NoInput, last.End!.Error!.Code);
    }

    [Fact]
    public async Task Long_work_ends_when_its_client_goes()
    {
        using (Socket socket = await Connect())
        {
            await socket.SendAsync(Encoding.ASCII.GetBytes("GET /v1/tree-size?path=/endless HTTP/1.1\r\nHost: x\r\n\r\n"));
            await Task.Delay(50);
        }

        // The server's end (DisposeAsync) would wait for work that still runs.
        Assert.Equal(HttpStatusCode.OK, (await Send("GET", "/v1/status")).Status);
    }

    [Fact]
    public async Task Metrics_are_in_the_text_format()
    {
        (_, string body) = await Send("GET", "/metrics");
        Assert.Contains("\ngateway_inodes 7\n", body, StringComparison.Ordinal);
        Assert.Contains("\ngateway_operations_total{operation=\"READ\"} 10\n", body, StringComparison.Ordinal);
        Assert.All(body.TrimEnd().Split('\n'), line => Assert.Matches("^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+({operation=\"[A-Z_]+\"})? -?[0-9.E+]+)$", line));
    }

    [Fact]
    public async Task The_metrics_port_serves_metrics_alone()
    {
        string socket = Path.Combine(_directory, "other.sock");
        IPEndPoint free;
        using (var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            free = (IPEndPoint)probe.LocalEndPoint!;
        }

        await using AdminServer server = await Start(socket, free);
        using var client = new HttpClient { BaseAddress = new Uri($"http://{free}") };
        Assert.Contains("gateway_up 1", await client.GetStringAsync("/metrics"), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync("/v1/status")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await client.DeleteAsync("/v1/mounts?directory=/")).StatusCode);

        OperatingException taken = await Assert.ThrowsAsync<OperatingException>(() => Start(Path.Combine(_directory, "third.sock"), free));
        Assert.Equal(ExitCode.Busy, taken.Code);
        Assert.Contains(free.ToString(), taken.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Garbage_is_harmless()
    {
        const int Seed = 7;
        var random = new Random(Seed);
        byte[][] starts = [[], "GET /v1/status HTTP/1.1\r\n"u8.ToArray(), "POST /v1/mounts HTTP/1.1\r\nContent-Length: 50\r\n\r\n"u8.ToArray(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray()];
        for (int i = 0; i < 300; i++)
        {
            using Socket socket = await Connect();
            var garbage = new byte[random.Next(2000)];
            random.NextBytes(garbage);
            try
            {
                await socket.SendAsync(starts[random.Next(starts.Length)]);
                await socket.SendAsync(garbage);
            }
            catch (SocketException)
            {
                // Refused by closing before all was sent: as it should be.
            }
        }

        Assert.Equal(HttpStatusCode.OK, (await Send("GET", "/v1/status")).Status);
        Assert.Equal("", Encoding.UTF8.GetString(_log.ToArray()));
    }

    [Fact]
    public async Task A_socket_that_nobody_listens_on_is_replaced()
    {
        string path = Path.Combine(_directory, "stale.sock");
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            dead.Bind(new UnixDomainSocketEndPoint(path));
            File.Move(path, path + ".kept"); // .NET removes the file of a socket that it closes; a killed process does not
        }

        File.Move(path + ".kept", path);
        await using AdminServer server = await Start(path, null);
    }

    [Fact]
    public async Task What_is_in_the_way_is_refused_and_left()
    {
        Assert.Equal(ExitCode.Busy, (await Assert.ThrowsAsync<OperatingException>(() => Start(SocketPath, null))).Code);

        string file = Path.Combine(_directory, "file");
        await File.WriteAllTextAsync(file, "kept");
        Assert.Equal(ExitCode.CannotCreate, (await Assert.ThrowsAsync<OperatingException>(() => Start(file, null))).Code);
        Assert.Equal("kept", await File.ReadAllTextAsync(file));

        string link = Path.Combine(_directory, "link");
        File.CreateSymbolicLink(link, "/nowhere");
        Assert.Equal(ExitCode.CannotCreate, (await Assert.ThrowsAsync<OperatingException>(() => Start(link, null))).Code);

        Assert.Equal(ExitCode.NoInput, (await Assert.ThrowsAsync<OperatingException>(() => Start("/nowhere/admin.sock", null))).Code);
        string tooLong = Path.Combine(_directory, new string('x', 100));
        Assert.Equal(ExitCode.Config, (await Assert.ThrowsAsync<OperatingException>(() => Start(tooLong, null))).Code);
    }
}
