using System.Text.Json;

namespace EndToEnd;

/// <summary>NFS from outside: libnfs's tools against a real daemon, and the same files through FUSE.</summary>
public sealed class NfsTests : IDisposable
{
    private const string Nobody = "65534";

    private readonly NfsShare _share = new();

    private GatewayInstance Gateway => _share.Gateway;

    public void Dispose() => _share.Dispose();

    [Fact]
    public void A_tree_is_the_same_through_both_doors()
    {
        _share.Export("/", "127.0.0.1:rw,no_root_squash");
        Directory.CreateDirectory(Gateway.PathOf("tree/deep"));
        var random = new Random(3);
        var sizes = new Dictionary<string, int>();
        for (int i = 0; i < 30; i++)
        {
            string name = $"tree/{(i % 2 == 0 ? "" : "deep/")}f{i}";
            byte[] bytes = new byte[random.Next(4) == 0 ? random.Next(3_000_000) : random.Next(5000)];
            random.NextBytes(bytes);
            sizes[name] = bytes.Length;
            string local = Path.Combine(Gateway.Root, "local"), back = Path.Combine(Gateway.Root, "back");
            File.Delete(back); // nfs-cp writes new files only
            File.WriteAllBytes(local, bytes);
            Shell.Succeed("nfs-cp", local, _share.Url(name));
            Assert.Equal(bytes, File.ReadAllBytes(Gateway.PathOf(name)));
            Shell.Succeed("nfs-cp", _share.Url(name), back);
            Assert.Equal(bytes, File.ReadAllBytes(back));
        }

        Dictionary<string, int> listed = Shell.Succeed("nfs-ls", "-R", _share.Url("tree")).Split('\n').Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(fields => fields.Length == 6 && fields[0].StartsWith('-'))
            .ToDictionary(fields => Path.GetFileName(fields[5]), fields => int.Parse(fields[4], System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal(sizes.OrderBy(file => Path.GetFileName(file.Key)).Select(file => (Path.GetFileName(file.Key), file.Value)), listed.OrderBy(file => file.Key).Select(file => (file.Key, file.Value)));
        Assert.Equal(0, Gateway.Stop());
        Assert.Null(Gateway.Check());
    }

    [Fact]
    public void Rules_let_in_whom_they_name_and_grant_what_they_say()
    {
        Directory.CreateDirectory(Gateway.PathOf("open"));
        Shell.Succeed("chmod", "777", Gateway.PathOf("open"));
        Directory.CreateDirectory(Gateway.PathOf("closed"));
        File.WriteAllText(Gateway.PathOf("open/file"), "content");
        File.WriteAllText(Gateway.PathOf("closed/file"), "secret");

        // No export, the wrong client, and at last the right one; each change at once.
        Denied(_share.Url("open/file"));
        _share.Export("/open", "127.0.0.2:rw");
        Denied(_share.Url("open/file"));
        _share.Export("/open", "127.0.0.0/8:ro");
        Assert.Equal("content", _share.Read("open/file"));
        Denied(_share.Url("closed/file"));

        ShellResult refused = Shell.Run("nfs-cp", Path.Combine(Gateway.Data, "FORMAT"), _share.Url("open/new"));
        Assert.NotEqual(0, refused.ExitCode);
        Assert.False(File.Exists(Gateway.PathOf("open/new")));

        Owner("rw", Nobody);
        Owner("rw,no_root_squash", "0");
        Owner("rw,all_squash,anonuid=1234,anongid=5678", "1234");
        Owner("rw,no_root_squash,async", "0");

        // A port that anybody can come from: root's tools take a reserved one.
        _share.Export("/open", "127.0.0.0/8:ro,secure");
        string[] asNobody = ["--reuid", Nobody, "--regid", Nobody, "--clear-groups", "nfs-cat", _share.Url("open/file")];
        Assert.NotEqual(0, Shell.Run("setpriv", asNobody).ExitCode);
        _share.Export("/open", "127.0.0.0/8:ro,insecure");
        Assert.Equal("content", Shell.Succeed("setpriv", asNobody));

        Gateway.Ask("export", "rm", "/open");
        Denied(_share.Url("open/file"));

        void Owner(string options, string uid)
        {
            _share.Export("/open", $"127.0.0.0/8:{options}");
            _share.Write("open/owned", "x");
            Assert.Equal(uid, Shell.Succeed("stat", "-c", "%u", Gateway.PathOf("open/owned")).Trim());
            File.Delete(Gateway.PathOf("open/owned"));
        }

        static void Denied(string url) => Assert.NotEqual(0, Shell.Run("nfs-cat", url).ExitCode);
    }

    [Fact]
    public async Task A_writing_client_does_not_notice_that_the_daemon_is_killed()
    {
        _share.Export("/", "127.0.0.1:rw,no_root_squash");
        Directory.CreateDirectory(Gateway.PathOf("d"));
        byte[] bytes = new byte[256 << 20];
        new Random(8).NextBytes(bytes);
        string local = Path.Combine(Gateway.Root, "large");
        File.WriteAllBytes(local, bytes);
        Task<ShellResult> copy = Task.Run(() => Shell.Run("nfs-cp", local, _share.Url("d/large")));
        Assert.True(SpinWait.SpinUntil(() => new FileInfo(Gateway.PathOf("d/large")) is { Exists: true, Length: > 1 << 20 }, TimeSpan.FromSeconds(30)));
        Gateway.Kill();
        Assert.False(copy.IsCompleted);
        Shell.Succeed("umount", "-l", Gateway.MountPoint);
        Gateway.Start();
        ShellResult copied = await copy;
        Assert.True(copied.ExitCode == 0, copied.ToString());
        Assert.True(((ReadOnlySpan<byte>)bytes).SequenceEqual(File.ReadAllBytes(Gateway.PathOf("d/large"))), "the file differs");
        Assert.Equal(0, Gateway.Stop());
        Assert.Null(Gateway.Check());
    }

    [Fact]
    public void What_the_administrator_asks_is_answered()
    {
        Assert.Contains("no exports", Gateway.Ask("export", "list"), StringComparison.Ordinal);
        Assert.Contains("no clients", Gateway.Ask("clients"), StringComparison.Ordinal);
        File.WriteAllText(Gateway.PathOf("file"), "content");
        _share.Export("/", "127.0.0.1:rw,no_root_squash", "192.0.2.0/24:ro");
        Assert.Equal("content", _share.Read("/file"));

        Assert.Contains($"127.0.0.1:{_share.Port}, 1 exports", Gateway.Ask("status"), StringComparison.Ordinal);
        Assert.Contains("192.0.2.0/24(ro)", Gateway.Ask("export", "list"), StringComparison.Ordinal);
        Assert.Contains("rw,no_root_squash,anonuid=65534", Gateway.Ask("export", "show", "/"), StringComparison.Ordinal);
        Assert.Contains("allowed: 192.0.2.7 may use /: rule 192.0.2.0/24", Gateway.Ask("export", "check", "192.0.2.7", "/"), StringComparison.Ordinal);
        ShellResult refused = Gateway.Control("export", "check", "192.0.3.7", "/");
        Assert.Equal((1, ""), (refused.ExitCode, refused.Error));
        Assert.Contains("refused: 192.0.3.7 may not use /", refused.Output, StringComparison.Ordinal);

        JsonElement client = JsonDocument.Parse(Gateway.Ask("clients", "--json")).RootElement.EnumerateArray().Single();
        Assert.Equal("127.0.0.1", client.GetProperty("address").GetString());
        Assert.True(client.GetProperty("calls").GetInt64() > 2);
        Assert.Equal(7, client.GetProperty("readBytes").GetInt64());
        Assert.Contains("127.0.0.1", Gateway.Ask("clients", "-d", "0.1"), StringComparison.Ordinal);
        Assert.Contains("NFS READ", Gateway.Ask("top", "-n", "1", "-d", "0.1"), StringComparison.Ordinal);
        string metrics = Shell.Succeed("curl", "-s", "--unix-socket", Path.Combine(Gateway.Data, "admin.sock"), "http://x/metrics");
        Assert.Contains("gateway_nfs_calls_total{operation=\"NFS READ\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("gateway_exports 1\n", metrics, StringComparison.Ordinal);

        Assert.Contains("127.0.0.1: ", Gateway.Ask("client", "evict", "127.0.0.1"), StringComparison.Ordinal);
        Refuse(66, "there is no client 192.0.2.9", "client", "evict", "192.0.2.9");
        Refuse(64, "is no address", "client", "evict", "nobody");
        Refuse(66, "there is no directory /none", "export", "add", "/none", "--client", "*");
        Refuse(66, "/file is no directory", "export", "add", "/file", "--client", "*");
        Refuse(64, "netgroups are not known", "export", "add", "/", "--client", "@group:rw");
        Refuse(64, "named twice", "export", "add", "/", "--client", "*:ro", "--client", "*:rw");
        Refuse(64, "unknown command \"lst\" (did you mean \"list\"?)", "export", "lst");
        Refuse(66, "is a directory", "export", "import", Gateway.Root);
        Refuse(64, "--client", "export", "add", "/");
        Refuse(64, "option 'rx'", "export", "add", "/", "--client", "*:rx");
        Refuse(66, "there are: /", "export", "rm", "/none");
        Refuse(66, "no such file", "export", "import", Path.Combine(Gateway.Root, "none"));

        string file = Path.Combine(Gateway.Root, "exports");
        File.WriteAllText(file, "/ 127.0.0.1(rw,no_root_squash,no_subtree_check) 10.0.0.0/8(ro)\n");
        Assert.Contains("without effect here: no_subtree_check", Gateway.Ask("export", "import", file), StringComparison.Ordinal);
        Assert.Contains("10.0.0.0/8(ro)", Gateway.Ask("export", "list"), StringComparison.Ordinal);
        Assert.DoesNotContain("192.0.2.0", Gateway.Ask("export", "list"), StringComparison.Ordinal);
        File.WriteAllText(file, "/ 127.0.0.1(rx)\n/ 10.0.0.0/8(rw)\n/a *.example(ro)\n");
        Refuse(65, $"{file}: line 1:", "export", "import", file);
        Refuse(65, "(wrong too: line 3)", "export", "import", file);
        File.WriteAllText(file, new string('#', 5 << 20));
        Refuse(65, "larger than", "export", "import", file);
        foreach (string[] question in (string[][])[["export", "list"], ["export", "show", "1"], ["export", "check", "10.0.0.1", "/"], ["clients"], ["export", "add", "/", "--client", "*:ro"]])
            JsonDocument.Parse(Gateway.Ask([.. question, "--json"])).Dispose();

        void Refuse(int code, string words, params string[] arguments) => Shell.Refuse(code, words, Shell.Program("gatewayctl"), ["--data", Gateway.Data, .. arguments]);
    }

    [Fact]
    public void A_port_that_is_taken_is_one_line()
    {
        string other = Path.Combine(Gateway.Root, "other");
        Shell.Refuse(75, $"127.0.0.1:{_share.Port}", Shell.Program("gatewayd"), "--data", other, "--nfs", $"127.0.0.1:{_share.Port}");
        Shell.Refuse(78, "\"nonsense\" is no value for nfs.listen", Shell.Program("gatewayd"), "--data", other, "--nfs", "nonsense");
    }
}
