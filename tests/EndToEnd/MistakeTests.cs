using System.Net;
using System.Net.Sockets;

namespace EndToEnd;

/// <summary>The mistakes that people make first: each ends in one line that says how to mend it, and in its documented exit code.</summary>
public sealed class MistakeTests : IDisposable
{
    private const string Nobody = "65534";

    private readonly GatewayInstance _gateway = new();

    private static readonly string Daemon = Shell.Program("gatewayd"), Control = Shell.Program("gatewayctl");

    private string Data => _gateway.Data;

    private string PathOf(string name) => Path.Combine(_gateway.Root, name);

    public void Dispose() => _gateway.Dispose();

    private void MakeStore()
    {
        _gateway.Start();
        byte[] large = new byte[4_000_000];
        new Random(4).NextBytes(large);
        File.WriteAllBytes(_gateway.PathOf("large"), large);
        Assert.Equal(0, _gateway.Stop());
    }

    [Fact]
    public void Wrong_command_lines()
    {
        Shell.Refuse(64, "unknown option \"--mont\" (did you mean \"--mount\"?); see gatewayd --help", Daemon, "--mont", "/x");
        Shell.Refuse(64, "did you mean \"store.data\"?", Daemon, "--set", "store.dat=/x");
        Shell.Refuse(64, "unknown command \"statsu\" (did you mean \"status\"?); see gatewayctl --help", Control, "statsu");
        Shell.Refuse(64, "unknown command \"ad\" (did you mean \"add\"?); see gatewayctl export --help", Control, "export", "ad");
        Shell.Refuse(64, "gatewayctl export needs a command: add, rm,", Control, "export");
        Shell.Refuse(64, "unknown option \"--verfy\" (did you mean \"--verify\"?); see gatewayctl stat --help", Control, "stat", "/x", "--verfy");
        Shell.Refuse(64, "unknown option \"--jsn\" (did you mean \"--json\"?)", Control, "stat", "--jsn");
        Shell.Refuse(64, "unexpected argument \"now\"; see gatewayctl status --help", Control, "status", "now");
        Shell.Refuse(64, "'bash'", Control, "completion", "csh");
        Shell.Refuse(64, "see gatewayctl stat --help", Control, "stat");
        Shell.Refuse(64, "unknown mount option \"nosuch\"", Daemon, "--data", Data, "--mount", $"{_gateway.MountPoint},nosuch");
    }

    [Fact]
    public void A_wrong_configuration()
    {
        string file = PathOf("conf");
        File.WriteAllText(file, "[store]\nmemory-budgt = 1G\n");
        Shell.Refuse(78, $"{file}:2: unknown key \"memory-budgt\" in [store] (did you mean \"memory-budget\"?); allowed:", Daemon, "--config", file);
        File.WriteAllText(file, "[store]\nsync-interval = soon\n");
        Shell.Refuse(78, $"{file}:2: \"soon\" is no value for store.sync-interval; allowed: 10ms to 1m", Daemon, "--config", file);
        Shell.Refuse(78, "--memory-budget", Daemon, "--memory-budget", "1X");
        Shell.Refuse(66, "no such file", Daemon, "--config", PathOf("missing"));
    }

    [Fact]
    public void A_mount_point_that_cannot_be_used()
    {
        Shell.Refuse(66, "mkdir -p", Daemon, "--data", Data, "--mount", PathOf("missing"));
        File.WriteAllText(PathOf("file"), "");
        Shell.Refuse(73, "not a directory", Daemon, "--data", Data, "--mount", PathOf("file"));
        _gateway.Start();
        Shell.Refuse(75, "already", Daemon, "--data", PathOf("other"), "--mount", _gateway.MountPoint);
    }

    [Fact]
    public void A_refused_start_leaves_nothing_behind()
    {
        // What was there stays as it was, what was made on the way to the refusal goes again.
        using TcpListener taken = Taken();
        Directory.CreateDirectory(PathOf("empty"));
        foreach (string data in (string[])[PathOf("empty"), PathOf("a/b")])
        {
            Shell.Refuse(66, "mkdir -p", Daemon, "--data", data, "--mount", PathOf("missing"));
            Shell.Refuse(75, "choose another with --nfs", Daemon, "--data", data, "--nfs", taken.LocalEndpoint.ToString()!);
        }

        File.WriteAllText(PathOf("letter"), "dear\n");
        Shell.Refuse(65, "letter: this is not a metadata dump", Control, "--data", PathOf("a"), "load", PathOf("letter"));
        string quickstart = Path.Combine(Shell.Checkout, "scripts", "quickstart");
        Shell.Refuse(75, "choose another with --nfs", quickstart, "--no-links", "--data", PathOf("a"), "--mount", _gateway.MountPoint, "--nfs", taken.LocalEndpoint.ToString()!);
        Assert.Empty(Directory.GetFileSystemEntries(PathOf("empty")));
        Assert.Equal(["empty", "letter", "mnt"], Directory.GetFileSystemEntries(_gateway.Root).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Not_root()
    {
        Directory.CreateDirectory(PathOf("open"));
        Shell.Succeed("chmod", "755", _gateway.Root);
        Shell.Succeed("chown", Nobody, PathOf("open"));
        string[] asNobody = ["--reuid", Nobody, "--clear-groups"];
        Shell.Refuse(77, "root", "setpriv", [.. asNobody, Daemon, "--data", PathOf("open"), "--mount", _gateway.MountPoint]);
        Shell.Refuse(77, "run as root", "setpriv", [.. asNobody, Daemon, "--data", Path.Combine(_gateway.Root, "forbidden")]);
        _gateway.Start();
        Shell.Refuse(77, "sudo gatewayctl", "setpriv", [.. asNobody, Control, "--data", Data, "status"]);
    }

    [Fact]
    public void No_device_to_mount_with() => Shell.Refuse(
        72, "modprobe fuse", "unshare", "-m", "bash", "-ec",
        "mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9; mknod -m 666 /dev/zero c 1 5; "
        + $"exec '{Daemon}' --data '{Data}' --mount '{_gateway.MountPoint}' 2>&1 >&- | grep -v ' info ' >&2; exit ${{PIPESTATUS[0]}}");

    [Fact]
    public void A_data_directory_that_cannot_be_used()
    {
        _gateway.Start();
        Shell.Refuse(75, $"in use by another gatewayd (pid {_gateway.Pid})", Daemon, "--data", Data);
        Shell.Refuse(75, "in use by another gatewayd", Control, "--data", Data, "fsck", "--repair");
        Assert.Equal(0, _gateway.Stop());

        File.WriteAllText(Path.Combine(Data, "FORMAT"), "gateway-data 99\n");
        Shell.Refuse(76, "run the newer gatewayd", Daemon, "--data", Data);

        Directory.CreateDirectory(PathOf("foreign"));
        File.WriteAllText(PathOf("foreign/letter"), "");
        Shell.Refuse(65, "letter", Daemon, "--data", PathOf("foreign"));
        Shell.Refuse(73, "it is a file", Daemon, "--data", PathOf("foreign/letter"));
        Shell.Refuse(66, "does not exist", Daemon, "fsck", "--data", PathOf("missing"));
    }

    [Theory]
    [InlineData("db/CURRENT")]
    [InlineData("db/MANIFEST-*")]
    [InlineData("db/*.log")]
    [InlineData("volumes/*")]
    public void A_file_of_the_store_that_is_missing(string pattern)
    {
        MakeStore();
        string directory = Path.Combine(Data, Path.GetDirectoryName(pattern)!);
        string[] files = Directory.GetFiles(directory, Path.GetFileName(pattern));
        Assert.NotEmpty(files);
        foreach (string file in files)
            File.Delete(file);
        ShellResult result = Shell.Run(Daemon, "--data", Data, "--mount", _gateway.MountPoint);
        Assert.Equal(65, result.ExitCode);
        Assert.Single(result.Error.TrimEnd().Split('\n'));
        Assert.Null(GatewayInstance.MountedWith(_gateway.MountPoint));
    }

    [Fact]
    public void A_socket_path_that_is_taken()
    {
        string path = PathOf("socket");
        File.WriteAllText(path, "kept");
        Shell.Refuse(73, "something else has this path", Daemon, "--data", Data, "--socket", path);
        Assert.Equal("kept", File.ReadAllText(path));

        // A stale one, as a kill leaves it, is no hindrance.
        _gateway.Start();
        _gateway.Kill();
        Assert.True(File.Exists(Path.Combine(Data, "admin.sock")));
        Shell.Refuse(69, "stale", Control, "--data", Data, "status");
        _gateway.Start();
        _gateway.Ask("status");
        Shell.Refuse(75, "another daemon listens there", Daemon, "--data", PathOf("other"), "--socket", Path.Combine(Data, "admin.sock"));
    }

    [Fact]
    public void A_port_that_is_taken()
    {
        using TcpListener taken = Taken();
        Shell.Refuse(75, $"{taken.LocalEndpoint}: another program listens there", Daemon, "--data", Data, "--set", $"admin.metrics-listen={taken.LocalEndpoint}");
    }

    private static TcpListener Taken()
    {
        var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        return taken;
    }

    [Fact]
    public void A_daemon_that_hangs()
    {
        _gateway.Start();
        _gateway.Freeze();
        Shell.Refuse(69, "the daemon has said nothing for 5 s", Control, "--data", Data, "status");
        Shell.Refuse(69, "the daemon has said nothing for 5 s", Control, "--data", Data, "dump", "-");
        _gateway.Thaw();
        _gateway.Ask("status");
    }

    [Fact]
    public void No_daemon_and_the_wrong_path()
    {
        Shell.Refuse(66, "does not exist", Control, "--data", PathOf("missing"), "status");
        MakeStore();
        Shell.Refuse(69, "is not running", Control, "--data", Data, "status");
        Shell.Refuse(69, "is not running", Shell.Program("gatewayfs"), Data, _gateway.MountPoint);
        _gateway.Start();
        Shell.Refuse(66, "there is no such file", Control, "--data", Data, "stat", _gateway.PathOf("missing"));
        Shell.Refuse(66, "not below a mount", Control, "--data", Data, "stat", "/etc/passwd");
        Shell.Refuse(66, "no such inode", Control, "--data", Data, "stat", "inode:999999");
    }
}
