namespace EndToEnd;

/// <summary>Starts, ends and kills of a real daemon.</summary>
public sealed class LifeTests : IDisposable
{
    private readonly GatewayInstance _gateway = new();

    public void Dispose() => _gateway.Dispose();

    [Fact]
    public void What_was_written_is_there_after_a_clean_stop_and_a_new_start()
    {
        _gateway.Start();
        byte[] data = new byte[3_000_001];
        new Random(1).NextBytes(data);
        File.WriteAllBytes(_gateway.PathOf("file"), data);
        Directory.CreateDirectory(_gateway.PathOf("directory/below"));
        Assert.Equal(0, _gateway.Stop());
        Assert.Null(GatewayInstance.MountedWith(_gateway.MountPoint));
        Assert.False(File.Exists(Path.Combine(_gateway.Data, "admin.sock")));
        Assert.Null(_gateway.Check());

        _gateway.Start();
        Assert.Equal(data, File.ReadAllBytes(_gateway.PathOf("file")));
        Assert.True(Directory.Exists(_gateway.PathOf("directory/below")));
        Assert.Contains("clean", _gateway.Ask("status"), StringComparison.Ordinal);
    }

    [Fact]
    public void After_a_kill_the_dead_mount_is_replaced_and_nothing_applied_is_lost()
    {
        _gateway.Start();
        using (FileStream synced = File.Create(_gateway.PathOf("synced")))
        {
            synced.Write(new byte[100_000]);
            synced.Flush(flushToDisk: true);
            File.WriteAllText(_gateway.PathOf("applied"), "in the page cache of a machine that lives on");
            _gateway.Kill();
        }

        Assert.NotNull(GatewayInstance.MountedWith(_gateway.MountPoint));
        Assert.Throws<IOException>(() => File.ReadAllText(_gateway.PathOf("applied")));
        _gateway.Start();
        Assert.Equal(100_000, new FileInfo(_gateway.PathOf("synced")).Length);
        Assert.Equal("in the page cache of a machine that lives on", File.ReadAllText(_gateway.PathOf("applied")));
        Assert.Equal(0, _gateway.Stop());
        Assert.Null(_gateway.Check());
    }

    [Fact]
    public void A_stop_is_not_held_up_by_a_program_with_open_files()
    {
        _gateway.Start();
        using FileStream open = File.Create(_gateway.PathOf("open"));
        open.WriteByte(1);
        open.Flush();
        Assert.Equal(0, _gateway.Stop());
        Assert.Null(GatewayInstance.MountedWith(_gateway.MountPoint));
    }

    [Fact]
    public void An_unmount_from_outside_leaves_the_daemon_and_it_can_mount_again()
    {
        _gateway.Start();
        File.WriteAllText(_gateway.PathOf("file"), "kept");
        foreach (string[] command in (string[][])[["fusermount3", "-u"], ["umount", "-l"]])
        {
            Shell.Succeed(command[0], command[1], _gateway.MountPoint);
            Assert.Null(GatewayInstance.MountedWith(_gateway.MountPoint));
            Assert.Contains("no mounts", WaitFor(() => _gateway.Ask("mounts"), text => text.Contains("no mounts", StringComparison.Ordinal)), StringComparison.Ordinal);
            _gateway.Ask("mount", _gateway.Data, _gateway.MountPoint);
            Assert.Equal("kept", File.ReadAllText(_gateway.PathOf("file")));
        }

        Assert.Equal(0, _gateway.Stop());
    }

    [Fact]
    public void Garbage_on_the_admin_socket_harms_nobody()
    {
        _gateway.Start();
        string socket = Path.Combine(_gateway.Data, "admin.sock");
        var random = new Random(3);
        for (int i = 0; i < 200; i++)
        {
            using var client = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
            client.Connect(new System.Net.Sockets.UnixDomainSocketEndPoint(socket));
            var garbage = new byte[random.Next(1, 3000)];
            random.NextBytes(garbage);
            client.Send(garbage);
        }

        File.WriteAllText(_gateway.PathOf("file"), "still serving");
        Assert.Contains("serving", _gateway.Ask("status"), StringComparison.Ordinal);
        Assert.DoesNotContain("ERROR", _gateway.Log, StringComparison.Ordinal);
    }

    private static T WaitFor<T>(Func<T> look, Func<T, bool> good)
    {
        T seen = look();
        for (int i = 0; i < 50 && !good(seen); i++)
        {
            Thread.Sleep(100);
            seen = look();
        }

        return seen;
    }
}
