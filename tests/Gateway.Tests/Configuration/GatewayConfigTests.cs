using Gateway.Admin.Contract;
using Gateway.Configuration;
using Microsoft.Extensions.Logging;

namespace Gateway.Tests.Configuration;

public class GatewayConfigTests
{
    private const string File = "/etc/x.conf";

    private static (GatewayConfig Config, List<string> Errors) Read(string text, params (ConfigKey, string, string)[] flags)
    {
        var errors = new List<ConfigError>();
        GatewayConfig config = GatewayConfig.FromText(File, text, flags, errors);
        return (config, [.. errors.Select(error => error.ToString())]);
    }

    [Fact]
    public void Without_anything_every_key_has_its_default()
    {
        (GatewayConfig config, List<string> errors) = Read("");
        Assert.Empty(errors);
        Assert.Equal("/var/lib/gateway", config.Get(ConfigTable.DataDirectory));
        Assert.Equal(1L << 30, config.Get(ConfigTable.MemoryBudget));
        Assert.Equal(TimeSpan.FromSeconds(1), config.Get(ConfigTable.SyncInterval));
        Assert.Empty(config.GetAll(ConfigTable.Mounts));
        Assert.Equal("/var/lib/gateway/admin.sock", config.AdminSocketPath);
        Assert.All(config.Describe(), value => Assert.Equal("default", value.Origin));
    }

    [Fact]
    public void The_file_is_read_with_comments_blanks_quotes_and_any_line_ends()
    {
        (GatewayConfig config, List<string> errors) = Read(
            "\uFEFF# comment\r\n[store]\r\n  data = \"/srv/my data\"  \r\n; another\r\nsync-interval=250ms\r\n\r\n[log]\nlevel = DEBUG\n"
            + "[fuse]\nmount = /mnt/a,noatime\nmount = /mnt/b");
        Assert.Empty(errors);
        Assert.Equal("/srv/my data", config.Get(ConfigTable.DataDirectory));
        Assert.Equal(TimeSpan.FromMilliseconds(250), config.Get(ConfigTable.SyncInterval));
        Assert.Equal(LogLevel.Debug, config.Get(ConfigTable.LogThreshold));
        Assert.Equal([new MountSpec("/mnt/a", "noatime"), new MountSpec("/mnt/b", "")], config.GetAll(ConfigTable.Mounts));
        Assert.Equal($"{File}:5", config.Describe().Single(value => value.Name == "sync-interval").Origin);
    }

    [Fact]
    public void Flags_win_over_the_file_and_replace_repeatable_keys()
    {
        (GatewayConfig config, List<string> errors) = Read(
            "[store]\ndata = /a\n[fuse]\nmount = /mnt/a\n", (ConfigTable.DataDirectory, "/b", "--data"), (ConfigTable.Mounts, "/mnt/x", "--mount"),
            (ConfigTable.Mounts, "/mnt/y,ro", "--mount"));
        Assert.Empty(errors);
        Assert.Equal("/b", config.Get(ConfigTable.DataDirectory));
        Assert.Equal(["/mnt/x", "/mnt/y"], config.GetAll(ConfigTable.Mounts).Select(mount => mount.Directory));
        Assert.Equal("--data", config.Describe().Single(value => value.Name == "data").Origin);
    }

    [Theory]
    [InlineData("[store]\nmemory-budgt = 1G", "/etc/x.conf:2: unknown key \"memory-budgt\" in [store] (did you mean \"memory-budget\"?); allowed: data, memory-budget, sync-interval")]
    [InlineData("[stor]\ndata = /a", "/etc/x.conf:2: unknown section [stor] (did you mean \"store\"?); allowed: store, fuse, nfs, admin, log")]
    [InlineData("[log]\nsocket = /a", "/etc/x.conf:2: unknown key \"socket\" in [log] (it belongs to [admin]); allowed: level")]
    [InlineData("[store]\n\nmemory-budget = 10X", "/etc/x.conf:3: \"10X\" is no value for store.memory-budget; allowed: 256M to 1T (a whole number of bytes, or with K, M, G or T)")]
    [InlineData("[store]\nmemory-budget = 1M", "/etc/x.conf:2: \"1M\" is no value for store.memory-budget; allowed: 256M to 1T (a whole number of bytes, or with K, M, G or T)")]
    [InlineData("[log]\nlevel = debug # more", "/etc/x.conf:2: \"debug # more\" is no value for log.level; allowed: trace, debug, info, warning, error (comments stand on lines of their own)")]
    [InlineData("[store]\ndata = relative", "/etc/x.conf:2: \"relative\" is no value for store.data; allowed: an absolute path")]
    [InlineData("[store]\ndata", "/etc/x.conf:2: \"data\" has no '='; write key = value, or begin a comment with #")]
    [InlineData("data = /a", "/etc/x.conf:1: \"data = /a\" stands before any section; put [store] or another section above it")]
    [InlineData("[store\n", "/etc/x.conf:1: \"[store\" is no section; write [name]")]
    [InlineData("[store]\ndata=/a\ndata=/b", "/etc/x.conf:3: data of [store] is set twice; it stands in line 2 already: remove one")]
    [InlineData("[admin]\nmetrics-listen = 9095", "/etc/x.conf:2: \"9095\" is no value for admin.metrics-listen; allowed: empty (off), or ADDRESS:PORT with a numeric address, for example 127.0.0.1:9095 or [::1]:9095")]
    public void What_is_wrong_is_refused_with_its_line_and_what_is_allowed(string text, string message)
    {
        (_, List<string> errors) = Read(text);
        Assert.Equal([message], errors);
    }

    [Fact]
    public void All_mistakes_are_told_at_once()
    {
        (_, List<string> errors) = Read("[store]\nx = 1\ny = 2\n[log]\nlevel = loud\n");
        Assert.Equal(3, errors.Count);
    }

    [Fact]
    public void A_bad_flag_is_named() =>
        Assert.StartsWith("--log-level: \"loud\" is no value for log.level;", Assert.Single(Read("", (ConfigTable.LogThreshold, "loud", "--log-level")).Errors));

    [Fact]
    public void The_printed_default_file_is_valid_and_changes_nothing()
    {
        string file = ConfigTable.DefaultFile();
        Assert.Empty(Read(file).Errors);

        // Every key with a default can be taken as it stands there.
        string uncommented = string.Join('\n', file.Split('\n').Select(line => line.StartsWith('#') && !line.StartsWith("# ", StringComparison.Ordinal) ? line[1..] : line));
        (GatewayConfig config, List<string> errors) = Read(uncommented);
        Assert.Empty(errors);
        Assert.Equal(GatewayConfig.Default.Describe().Select(value => value.Value), config.Describe().Select(value => value.Value));
    }

    [Fact]
    public void Every_default_is_a_value_that_its_key_allows()
    {
        foreach (ConfigKey key in ConfigTable.All.Where(key => !key.Repeatable))
            Assert.NotNull(key.Parse(key.Default));
        Assert.Equal(ConfigTable.All.Count, ConfigTable.All.Select(key => key.FullName).Distinct().Count());
    }

    [Fact]
    public void The_README_has_the_table_of_the_code()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !System.IO.File.Exists(Path.Combine(directory, "Gateway.sln")))
            directory = Path.GetDirectoryName(directory);
        Assert.Contains(ConfigTable.MarkdownTable(), System.IO.File.ReadAllText(Path.Combine(directory!, "README.md")), StringComparison.Ordinal);
    }

    [Fact]
    public void Files_that_cannot_be_a_configuration_are_refused_in_one_line()
    {
        string directory = Directory.CreateTempSubdirectory("config").FullName;
        try
        {
            string missing = Path.Combine(directory, "missing"), binary = Path.Combine(directory, "binary"), large = Path.Combine(directory, "large");
            System.IO.File.WriteAllBytes(binary, [0xFF, 0xFE, 0x80]);
            System.IO.File.WriteAllBytes(large, new byte[(1 << 20) + 1]);
            Assert.Equal(ExitCode.NoInput, Assert.Throws<OperatingException>(() => GatewayConfig.Load(missing, [])).Code);
            Assert.Equal(ExitCode.Config, Assert.Throws<OperatingException>(() => GatewayConfig.Load(binary, [])).Code);
            Assert.Equal(ExitCode.Config, Assert.Throws<OperatingException>(() => GatewayConfig.Load(large, [])).Code);
            Assert.Equal(ExitCode.NoPermission, Assert.Throws<OperatingException>(() => GatewayConfig.Load(directory, [])).Code);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public void Random_text_never_throws_and_every_message_names_a_line()
    {
        const int Seed = 20_261_122;
        var random = new Random(Seed);
        string[] pieces = ["[store]", "[", "]", "data", "=", "/a", "\n", " ", "#", "\"", "mount", "level", "1G", "\0", "é", "\r\n", ";", "x"];
        for (int i = 0; i < 5000; i++)
        {
            string text = string.Concat(Enumerable.Range(0, random.Next(30)).Select(_ => pieces[random.Next(pieces.Length)]));
            Assert.All(Read(text).Errors, error => Assert.Matches(@"^/etc/x\.conf:\d+: ", error));
        }
    }
}
