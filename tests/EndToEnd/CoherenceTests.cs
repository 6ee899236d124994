namespace EndToEnd;

/// <summary>
/// A change through NFS is seen through FUSE although that kernel may cache everything for an hour: it is told. And the other way round.
/// </summary>
public sealed class CoherenceTests : IDisposable
{
    private readonly NfsShare _share = new(mountOptions: "attr_timeout=3600,entry_timeout=3600,negative_timeout=3600");

    private GatewayInstance Gateway => _share.Gateway;

    public CoherenceTests()
    {
        _share.Export("/", "127.0.0.1:rw,no_root_squash,insecure"); // QEMU's network comes from any port
        Directory.CreateDirectory(Gateway.PathOf("d"));
    }

    public void Dispose() => _share.Dispose();

    [Fact]
    public async Task Files_changed_through_NFS_are_seen_through_FUSE()
    {
        string path = Gateway.PathOf("d/file"), moved = Gateway.PathOf("d/moved");
        Assert.False(File.Exists(path)); // the kernel keeps that there is none
        Task<ShellResult> guest = Task.Run(() => _share.Guest(
            """
            next() { until [ -e $1 ]; do sleep 0.1; done; }
            mkdir -p /mnt; mount -t nfs -o $OPTIONS,noac $SERVER:/ /mnt; cd /mnt
            echo first >d/file; next go1; echo another and longer >d/file; next go2; chmod 600 d/file; next go3; mv d/file d/moved; next go4; rm d/moved
            cd /; umount /mnt
            """));
        Seen(() => File.Exists(path) && new FileInfo(path).Length == 6, seconds: 60);
        Assert.Equal("first\n", File.ReadAllText(path)); // and now the kernel keeps pages and attributes
        Go(1);
        Seen(() => new FileInfo(path).Length == 19);
        Assert.Equal("another and longer\n", File.ReadAllText(path));
        Assert.Equal(["file"], Directory.GetFiles(Gateway.PathOf("d")).Select(Path.GetFileName));
        Go(2);
        Seen(() => File.GetUnixFileMode(path) == (UnixFileMode.UserRead | UnixFileMode.UserWrite));
        Assert.False(File.Exists(moved));
        Go(3);
        Seen(() => File.Exists(moved) && !File.Exists(path));
        Assert.Equal(["moved"], Directory.GetFiles(Gateway.PathOf("d")).Select(Path.GetFileName));
        Go(4);
        Seen(() => !File.Exists(moved));
        ShellResult ended = await guest;
        Assert.True(ended.ExitCode == 0, ended.ToString());

        void Go(int step) => File.WriteAllText(Gateway.PathOf($"go{step}"), "");
    }

    [Fact]
    public void Files_changed_through_FUSE_are_read_through_NFS_at_once()
    {
        for (int i = 0; i < 5; i++)
        {
            File.WriteAllText(Gateway.PathOf("d/file"), $"round {i}");
            Assert.Equal($"round {i}", _share.Read("d/file"));
        }

        File.Move(Gateway.PathOf("d/file"), Gateway.PathOf("d/moved"));
        Assert.NotEqual(0, Shell.Run("nfs-cat", _share.Url("d/file")).ExitCode);
        Assert.Equal("round 4", _share.Read("d/moved"));
    }

    [Fact]
    public void A_file_open_through_FUSE_outlives_its_name()
    {
        File.WriteAllText(Gateway.PathOf("d/file"), "content");
        using FileStream open = File.OpenRead(Gateway.PathOf("d/file"));
        ShellResult guest = _share.Guest("mkdir -p /mnt; mount -t nfs -o $OPTIONS $SERVER:/ /mnt; rm /mnt/d/file; umount /mnt");
        Assert.True(guest.ExitCode == 0, guest.ToString());
        Seen(() => !File.Exists(Gateway.PathOf("d/file")));
        using var reader = new StreamReader(open);
        Assert.Equal("content", reader.ReadToEnd());
    }

    /// <summary>The kernel is told by a thread of its own: a moment later than the client is answered.</summary>
    private static void Seen(Func<bool> condition, int seconds = 10)
    {
        for (int tries = seconds * 20; !condition(); tries--)
        {
            Assert.True(tries > 0, "the change is not seen");
            Thread.Sleep(50);
        }
    }
}
