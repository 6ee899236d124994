using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using Gateway.Fuse;
using Gateway.Vfs;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.Fuse;

/// <summary>Real mounts of the file system in memory. Needs root and /dev/fuse; each test cleans up after itself.</summary>
public sealed class FuseMountTests : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly string _directory = Directory.CreateTempSubdirectory("gateway-fuse-").FullName;
    private readonly List<FuseMount> _mounts = [];
    private readonly MemoryVfs _vfs = new();

    public void Dispose()
    {
        foreach (FuseMount mount in _mounts)
        {
            if (!mount.Completion.IsCompleted)
                mount.Unmount();
            Assert.True(mount.Completion.Wait(Deadline), $"{mount.MountPoint} does not end");
        }

        Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData("")]
    [InlineData("writeback")]
    [InlineData("attr_timeout=0,entry_timeout=0,negative_timeout=0")]
    public void FilesAreFiles(string options)
    {
        string top = Mount("m", options).MountPoint;
        string file = Path.Combine(top, "file");
        byte[] data = new byte[5_000_001];
        new Random(1).NextBytes(data);
        File.WriteAllBytes(file, data);
        Assert.Equal(data, File.ReadAllBytes(file));

        string directory = Directory.CreateDirectory(Path.Combine(top, "d", "e")).FullName;
        File.Move(file, Path.Combine(directory, "moved"));
        File.CreateSymbolicLink(Path.Combine(top, "link"), "d/e/moved");
        Assert.Equal(data, File.ReadAllBytes(Path.Combine(top, "link")));

        using (MemoryMappedFile mapped = MemoryMappedFile.CreateFromFile(Path.Combine(top, "link"), FileMode.Open))
        using (MemoryMappedViewAccessor view = mapped.CreateViewAccessor())
            view.WriteArray<byte>(4090, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0, 10);
        byte[] changed = File.ReadAllBytes(Path.Combine(directory, "moved"));
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], changed[4090..4100]);

        File.AppendAllText(Path.Combine(top, "log"), "one");
        File.AppendAllText(Path.Combine(top, "log"), "two");
        Assert.Equal("onetwo", File.ReadAllText(Path.Combine(top, "log")));
        Assert.Throws<IOException>(() => Directory.Delete(directory));
        Directory.Delete(Path.Combine(top, "d"), recursive: true);
        Assert.Equal(["link", "log"], Names(top));
    }

    [Fact]
    public void ALongDirectoryIsListedWhole()
    {
        string top = Mount("m").MountPoint;
        string[] names = [.. Enumerable.Range(0, 3000).Select(static i => $"a file with a name of some length {i:D5}")];
        foreach (string name in names)
            File.WriteAllBytes(Path.Combine(top, name), []);
        Assert.Equal(names, Names(top));
        Assert.Equal(names, Names(top)); // from the kernel's cache of it
        File.Delete(Path.Combine(top, names[1500]));
        Assert.Equal(names.Where((_, i) => i != 1500), Names(top));
    }

    [Fact]
    public void ChangesThroughAnotherMountAreSeenWithoutWaitingForTimeouts()
    {
        // With an hour of validity, only notifications can make them seen.
        const string Forever = "attr_timeout=3600,entry_timeout=3600,negative_timeout=3600";
        string a = Mount("a", Forever).MountPoint, b = Mount("b", Forever).MountPoint;

        Assert.False(File.Exists(Path.Combine(b, "file")));
        File.WriteAllText(Path.Combine(a, "file"), "first");
        Eventually(() => File.Exists(Path.Combine(b, "file")));
        Eventually(() => File.ReadAllText(Path.Combine(b, "file")) == "first");
        File.WriteAllText(Path.Combine(a, "file"), "second, longer");
        Eventually(() => File.ReadAllText(Path.Combine(b, "file")) == "second, longer");
        File.Move(Path.Combine(a, "file"), Path.Combine(a, "moved"));
        Eventually(() => !File.Exists(Path.Combine(b, "file")) && File.Exists(Path.Combine(b, "moved")));
        File.Delete(Path.Combine(b, "moved"));
        Eventually(() => !File.Exists(Path.Combine(a, "moved")));
        Assert.Empty(Names(a));
    }

    [Fact]
    public void ASubdirectoryIsTheRootOfItsMount()
    {
        string whole = Mount("whole").MountPoint;
        Directory.CreateDirectory(Path.Combine(whole, "x", "y"));
        File.WriteAllText(Path.Combine(whole, "x", "y", "f"), "here");
        string part = Mount("part", "subdir=x/y").MountPoint;
        Assert.Equal("here", File.ReadAllText(Path.Combine(part, "f")));
        File.WriteAllText(Path.Combine(part, "g"), "new");
        Eventually(() => File.Exists(Path.Combine(whole, "x", "y", "g")));
        Assert.Equal(FuseMountProblem.SubdirectoryMissing, TryMount("other", "subdir=x/z").Error!.Problem);
    }

    [Fact]
    public void AReadOnlyMountRefusesWrites()
    {
        string top = Mount("m", "ro").MountPoint;
        var refused = Assert.ThrowsAny<IOException>(() => File.WriteAllText(Path.Combine(top, "f"), "x"));
        Assert.Contains("Read-only", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsInTheWayIsNamed()
    {
        Assert.Equal(FuseMountProblem.MountPointMissing, TryMount("missing", "", make: false).Error!.Problem);
        File.WriteAllText(Path.Combine(_directory, "file"), "");
        Assert.Equal(FuseMountProblem.MountPointNotDirectory, TryMount("file", "", make: false).Error!.Problem);
        Mount("m");
        FuseMountError busy = TryMount("m", "", make: false).Error!;
        Assert.Equal(FuseMountProblem.MountPointBusy, busy.Problem);
        Assert.Contains("gatewayfs#test", busy.Message, StringComparison.Ordinal);

        // By another way to the same place.
        Directory.CreateSymbolicLink(Path.Combine(_directory, "link"), "m");
        Directory.CreateSymbolicLink(Path.Combine(_directory, "way"), ".");
        Assert.Equal(FuseMountProblem.MountPointBusy, TryMount("link", "", make: false).Error!.Problem);
        Assert.Equal(FuseMountProblem.MountPointBusy, TryMount("way/m/", "", make: false).Error!.Problem);
    }

    [Fact]
    public async Task ADetachedMountServesItsOpenFilesToTheEnd()
    {
        FuseMount mount = Mount("m");
        using (FileStream file = File.Create(Path.Combine(mount.MountPoint, "f")))
        {
            file.Write("before"u8);
            Assert.True(mount.Unmount());
            Assert.Empty(Names(mount.MountPoint));
            file.Write("after"u8);
            file.Flush();
            Assert.False(mount.Completion.IsCompleted);
        }

        Assert.Equal(FuseSessionEnd.Unmounted, await mount.Completion.WaitAsync(Deadline));
        Assert.Equal(0, _vfs.Opens);
        Assert.False(mount.Unmount());
    }

    [Fact]
    public void TheMountOfADeadDaemonIsMountedOver()
    {
        // What a killed daemon leaves: a mount whose device nobody has open.
        string point = Directory.CreateDirectory(Path.Combine(_directory, "m")).FullName;
        FuseDevice device = FuseDevice.Open(NullLogger.Instance, out _)!;
        string data = $"fd={device.Descriptor},rootmode=40000,user_id=0,group_id=0";
        Assert.Equal(0, LibC.Mount("gatewayfs#dead", point, MountTable.GatewayType, 0, data));
        device.Dispose();
        Assert.Throws<IOException>(() => Names(point));

        Assert.Empty(Names(Mount("m", make: false).MountPoint));
        Assert.Single(MountTable.Read(), entry => entry.MountPoint == point);
    }

    [Fact]
    public async Task AnAbortEndsAMountInUse()
    {
        FuseMount mount = Mount("m");
        using FileStream file = File.Create(Path.Combine(mount.MountPoint, "f"));
        mount.Abort();
        Assert.Equal(FuseSessionEnd.Aborted, await mount.Completion.WaitAsync(Deadline));
        Assert.Empty(Names(mount.MountPoint));
        Assert.Equal(0, _vfs.Opens);
    }

    [Fact]
    public void AWaitForALockIsGrantedOrInterrupted()
    {
        string file = Path.Combine(Mount("m").MountPoint, "f");
        File.WriteAllText(file, "");
        using Process holder = Flock($"\"{file}\" -c \"echo held; read wait\"");
        Assert.Equal("held", holder.StandardOutput.ReadLine());

        // flock's -w is a timer whose signal ends the wait: INTERRUPT, answered with EINTR.
        using Process interrupted = Flock($"-w 0.3 \"{file}\" -c true");
        Assert.True(interrupted.WaitForExit(Deadline));
        Assert.Equal(1, interrupted.ExitCode);

        using Process waiting = Flock($"\"{file}\" -c \"echo got\"");
        Eventually(() => _mounts[0].Statistics.Progress().WaitingLocks == 1);
        Assert.Equal(["f"], Names(_mounts[0].MountPoint)); // others are served meanwhile
        holder.StandardInput.WriteLine();
        Assert.Equal("got", waiting.StandardOutput.ReadLine());
        Assert.True(waiting.WaitForExit(Deadline) && holder.WaitForExit(Deadline));
    }

    [Fact]
    public void HandlersThatBlockDoNotStopOthers()
    {
        string top = Mount("m").MountPoint;
        using var release = new ManualResetEventSlim();
        _vfs.BeforeSync = () => Assert.True(release.Wait(Deadline));
        Thread[] blocked =
        [
            .. Enumerable.Range(0, 10).Select(i => new Thread(() =>
            {
                using FileStream file = File.Create(Path.Combine(top, $"blocked{i}"));
                file.Flush(flushToDisk: true);
            })),
        ];
        Array.ForEach(blocked, static thread => thread.Start());
        Eventually(() => _mounts[0].Statistics.Progress().InFlight == blocked.Length);
        Assert.All(_mounts[0].Statistics.Live(), static live => Assert.Equal(FuseOpcode.FSync, live.Opcode));
        for (int i = 0; i < 100; i++)
            File.WriteAllText(Path.Combine(top, $"other{i}"), "served");
        Assert.True(_mounts[0].Statistics.Progress().OldestInFlight > TimeSpan.Zero);
        release.Set();
        Assert.All(blocked, static thread => Assert.True(thread.Join(Deadline)));
    }

    [Fact]
    public void ManyAtOnceAreServed()
    {
        string top = Mount("m").MountPoint;
        Parallel.For(0, 8, worker =>
        {
            string directory = Directory.CreateDirectory(Path.Combine(top, $"w{worker}")).FullName;
            byte[] data = new byte[300_000];
            Array.Fill(data, (byte)worker);
            for (int i = 0; i < 40; i++)
            {
                string file = Path.Combine(directory, $"f{i}");
                File.WriteAllBytes(file, data);
                Assert.Equal(data, File.ReadAllBytes(file));
                File.Delete(file);
            }
        });
        Eventually(() => _vfs.Opens == 0); // RELEASE comes after close has returned
        FuseProgress progress = _mounts[0].Statistics.Progress();
        Assert.Equal((0L, 0L), (progress.Malformed, progress.Faults));
    }

    private static Process Flock(string arguments) => Process.Start(
        new ProcessStartInfo("flock", arguments) { RedirectStandardOutput = true, RedirectStandardInput = true })!;

    private static string[] Names(string directory) =>
        [.. Directory.EnumerateFileSystemEntries(directory).Select(static path => Path.GetFileName(path)!).Order(StringComparer.Ordinal)];

    private static void Eventually(Func<bool> condition)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(clock.Elapsed < Deadline, "it never comes true");
            Thread.Sleep(2);
        }
    }

    private FuseMount Mount(string name, string options = "", bool make = true)
    {
        (FuseMount? mount, FuseMountError? error) = TryMount(name, options, make);
        Assert.True(mount is not null, error?.Message);
        return mount;
    }

    private (FuseMount? Mount, FuseMountError? Error) TryMount(string name, string options, bool make = true)
    {
        string point = Path.Combine(_directory, name);
        if (make)
            Directory.CreateDirectory(point);
        FuseMount? mount = FuseMount.Mount(
            _vfs, point, "gatewayfs#test", MountOptions.Parse(options, out _)!, _mounts.Count + 1, TimeProvider.System, NullLogger.Instance,
            out FuseMountError? error);
        if (mount is not null)
            _mounts.Add(mount);
        return (mount, error);
    }
}
