namespace EndToEnd;

/// <summary>scripts/quickstart as a person uses it.</summary>
public sealed class QuickstartTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("quick start").FullName;
    private readonly string _script = Path.Combine(Shell.Checkout, "scripts", "quickstart");

    public void Dispose()
    {
        foreach (string data in Directory.GetDirectories(_root, "data*"))
            Shell.Succeed(_script, "--data", data, "--stop");
        Directory.Delete(_root, recursive: true);
    }

    private readonly int _port = NfsShare.FreePort();

    /// <summary>The first with NFS, the others without.</summary>
    private string[] Instance(int number) =>
    [
        "--data", Path.Combine(_root, $"data{number}"), "--mount", Path.Combine(_root, $"mnt{number}"), "--no-links",
        .. number == 1 ? (string[])["--nfs", $"127.0.0.1:{_port}"] : ["--no-nfs"],
    ];

    private string FileOf(int number) => Path.Combine(_root, $"mnt{number}", "hello");

    private int PidOf(int number) => int.Parse(Shell.Succeed("cat", Path.Combine(_root, $"data{number}", "LOCK")), System.Globalization.CultureInfo.InvariantCulture);

    [Fact]
    public void It_starts_says_so_again_recovers_from_a_kill_and_stops()
    {
        string first = Shell.Succeed(_script, Instance(1));
        Assert.Contains("The gateway is running", first, StringComparison.Ordinal);
        Assert.Contains("Three things to try:", first, StringComparison.Ordinal);

        // The first thing to try works as it is printed.
        string command = first.Split('\n').Single(line => line.Contains("echo hello", StringComparison.Ordinal));
        Assert.Equal("hello\n", Shell.Succeed("bash", "-c", command));

        // Everything is exported to this machine, as root.
        Assert.Contains($"port={_port},mountport={_port}", first, StringComparison.Ordinal);
        Assert.Equal("hello\n", Shell.Succeed("nfs-cat", $"nfs://127.0.0.1//hello?version=3&nfsport={_port}&mountport={_port}"));

        Assert.Contains("already running", Shell.Succeed(_script, Instance(1)), StringComparison.Ordinal);
        Shell.Succeed(_script, Instance(2));
        File.WriteAllText(FileOf(2), "another store");
        Assert.Equal("hello\n", File.ReadAllText(FileOf(1)));

        Shell.Succeed("kill", "-9", PidOf(1).ToString(System.Globalization.CultureInfo.InvariantCulture));
        Assert.Contains("The gateway is running", Shell.Succeed(_script, Instance(1)), StringComparison.Ordinal);
        Assert.Equal("hello\n", File.ReadAllText(FileOf(1)));

        Shell.Succeed(_script, [.. Instance(1), "--stop"]);
        Assert.False(File.Exists(FileOf(1)));
        Assert.Equal("another store", File.ReadAllText(FileOf(2)));
        ShellResult again = Shell.Run(_script, [.. Instance(1), "--stop"]);
        Assert.Equal(0, again.ExitCode);
        Assert.Contains("no daemon is running", again.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Stopping_after_a_kill_takes_the_dead_mount_away()
    {
        Shell.Succeed(_script, Instance(1));
        Shell.Succeed("kill", "-9", PidOf(1).ToString(System.Globalization.CultureInfo.InvariantCulture));
        Shell.Succeed(_script, [.. Instance(1), "--stop"]);
        Assert.Empty(Directory.GetFiles(Path.GetDirectoryName(FileOf(1))!));
    }

    [Fact]
    public void Mistakes_are_answered_in_one_line()
    {
        Shell.Refuse(64, "--nosuch", _script, "--nosuch");
        Shell.Refuse(64, "needs a directory", _script, "--data");
        Shell.Refuse(64, "needs ADDRESS:PORT", _script, "--nfs", "2049");
        Shell.Refuse(77, "sudo scripts/quickstart", "setpriv", "--reuid", "65534", "--clear-groups", _script);
        Directory.CreateDirectory(Path.Combine(_root, "foreign"));
        File.WriteAllText(Path.Combine(_root, "foreign", "letter"), "");
        Shell.Refuse(65, "letter", _script, "--data", Path.Combine(_root, "foreign"), "--mount", Path.Combine(_root, "mnt9"), "--no-links");
        Assert.Equal(["letter"], Directory.GetFileSystemEntries(Path.Combine(_root, "foreign")).Select(Path.GetFileName));
        File.WriteAllText(Path.Combine(_root, "file"), "");
        Shell.Refuse(73, "cannot be made", _script, "--data", Path.Combine(_root, "data3"), "--mount", Path.Combine(_root, "file", "below"), "--no-links");
    }
}
