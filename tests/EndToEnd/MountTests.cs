namespace EndToEnd;

/// <summary>All ways to mount, and the options.</summary>
public sealed class MountTests : IDisposable
{
    private readonly GatewayInstance _gateway = new();
    private readonly string _second;

    public MountTests()
    {
        _second = Path.Combine(_gateway.Root, "second");
        Directory.CreateDirectory(_second);
        _gateway.Start();
        Directory.CreateDirectory(_gateway.PathOf("projects/one"));
        File.WriteAllText(_gateway.PathOf("projects/one/file"), "content");
    }

    public void Dispose() => _gateway.Dispose();

    [Fact]
    public void Two_mounts_show_the_same_files_at_once()
    {
        _gateway.Ask("mount", _gateway.Data, _second);
        File.WriteAllText(Path.Combine(_second, "new"), "seen from both");
        Assert.Equal("seen from both", File.ReadAllText(_gateway.PathOf("new")));
        File.WriteAllText(_gateway.PathOf("new"), "changed");
        Assert.Equal("changed", File.ReadAllText(Path.Combine(_second, "new")));
        _gateway.Ask("umount", _second);
        Assert.Null(GatewayInstance.MountedWith(_second));
        Assert.NotNull(GatewayInstance.MountedWith(_gateway.MountPoint));
    }

    [Fact]
    public void A_read_only_mount_refuses_writes_and_the_other_goes_on()
    {
        _gateway.Ask("mount", _gateway.Data, _second, "-o", "ro,nodev,nosuid,noexec,noatime");
        Assert.Equal(["nodev", "noatime", "noexec", "nosuid", "ro"], GatewayInstance.MountedWith(_second)!.Split(',').OrderBy(option => option != "nodev").ThenBy(option => option, StringComparer.Ordinal));
        Assert.Contains("Read-only file system", Shell.Bash($"echo x > {_second}/new").Error, StringComparison.Ordinal);
        Assert.Equal("content", File.ReadAllText(Path.Combine(_second, "projects/one/file")));
        File.WriteAllText(_gateway.PathOf("new"), "x");
    }

    [Fact]
    public void A_subdirectory_can_be_the_root_of_a_mount()
    {
        _gateway.Ask("mount", _gateway.Data, _second, "-o", "subdir=projects/one");
        Assert.Equal("content", File.ReadAllText(Path.Combine(_second, "file")));
        Assert.Contains("File", _gateway.Ask("stat", Path.Combine(_second, "file")), StringComparison.Ordinal);
    }

    [Fact]
    public void The_mount_helper_takes_what_mount_and_fstab_give_it()
    {
        string helper = Shell.Program("gatewayfs");
        Assert.Equal("", Shell.Succeed(helper, _gateway.Data, _second, "-o", "rw,dev,suid"));
        Shell.Succeed("umount", _second);
        Shell.Succeed(helper, Path.Combine(_gateway.Data, "admin.sock"), _second, "-o", "defaults,_netdev,nofail,x-systemd.requires=gateway.service,noatime,allow_other");
        Assert.Contains("noatime", GatewayInstance.MountedWith(_second)!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("mount -t fuse \"gatewayfs#$DATA\" \"$DIR\" -o noatime")]
    [InlineData("mount -t fuse.gatewayfs \"$DATA\" \"$DIR\" -o noatime,_netdev")]
    [InlineData("echo \"$DATA $DIR fuse.gatewayfs noatime,_netdev,nofail 0 0\" > \"$ROOT/fstab\"; mount -T \"$ROOT/fstab\" \"$DIR\"")]
    public void The_mount_command_works_with_the_helper_in_its_path(string command)
    {
        // In a mount namespace of its own the helper can stand in /usr/local/bin without touching the machine's. The daemon mounts in ours.
        string bin = Path.GetDirectoryName(Shell.Program("gatewayfs"))!;
        Shell.Succeed(
            "unshare", "-m", "env", $"DATA={_gateway.Data}", $"DIR={_second}", $"ROOT={_gateway.Root}", "bash", "-ec",
            $"mount --bind '{bin}' /usr/local/bin; {command}");
        Assert.Contains("noatime", GatewayInstance.MountedWith(_second)!, StringComparison.Ordinal);
        Assert.Equal("content", File.ReadAllText(Path.Combine(_second, "projects/one/file")));
    }

    [Fact]
    public void What_cannot_be_mounted_is_refused_in_one_line()
    {
        string control = Shell.Program("gatewayctl"), data = _gateway.Data;
        Shell.Refuse(64, "unknown mount option \"nosuch\"", control, "mount", data, _second, "-o", "ro,nosuch=1");
        Shell.Refuse(66, "does not exist", control, "mount", data, Path.Combine(_gateway.Root, "missing"));
        Shell.Refuse(66, "subdir=", control, "mount", data, _second, "-o", "subdir=nowhere");
        Shell.Refuse(75, "already", control, "mount", data, _gateway.MountPoint);
        Shell.Refuse(66, "nothing mounted there", control, "--data", data, "umount", _second);
        Shell.Refuse(66, "neither this machine nor a path", control, "mount", "elsewhere.example", _second);
        File.WriteAllText(Path.Combine(_gateway.Root, "file"), "");
        Shell.Refuse(73, "not a directory", control, "mount", data, Path.Combine(_gateway.Root, "file"));
        Assert.Null(GatewayInstance.MountedWith(_second));
    }
}
