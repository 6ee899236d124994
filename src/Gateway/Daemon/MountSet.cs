using System.Runtime.InteropServices;
using Gateway.Admin.Contract;
using Gateway.Fuse;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;

namespace Gateway.Daemon;

/// <summary>A mount that is served, with its options as they were given.</summary>
internal sealed record ServedMount(FuseMount Fuse, string OptionText);

/// <summary>
/// The mounts of this daemon. A mount that somebody takes away from outside (umount, fusermount3 -u) leaves the set by itself. Any thread may call any member.
/// </summary>
internal sealed class MountSet(IVfs vfs, TimeProvider clock, ILoggerFactory loggers)
{
    /// <summary>How long the end of the daemon waits for programs that still hold files, before they are cut off.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(50);

    private readonly ILogger _log = loggers.CreateLogger<MountSet>();
    private readonly Lock _gate = new();
    private readonly List<ServedMount> _mounts = []; // under _gate, as the next two
    private readonly Dictionary<string, FuseOperationStatistics> _ended = [];
    private int _lastSession;

    public IReadOnlyList<ServedMount> Active
    {
        get
        {
            lock (_gate)
                return [.. _mounts];
        }
    }

    /// <summary>Mounts and serves until unmounted.</summary>
    /// <param name="options">As behind mount's -o.</param>
    /// <exception cref="OperatingException">An option is unknown, or the mount point or the kernel refuses.</exception>
    public ServedMount Mount(string directory, string options, string source)
    {
        MountOptions parsed = MountOptions.Parse(options, out string? error)
            ?? throw new OperatingException(ExitCode.Usage, $"mount on {directory}: {error}");
        FuseMount? mount = FuseMount.Mount(
            vfs, directory, source, parsed, Interlocked.Increment(ref _lastSession), clock, loggers.CreateLogger<FuseMount>(), out FuseMountError? problem);
        if (mount is null)
            throw new OperatingException(CodeOf(problem!.Problem), problem.Message);
        var served = new ServedMount(mount, options);
        lock (_gate)
            _mounts.Add(served);
        _log.LogInformation("mounted on {Directory} ({Options})", mount.MountPoint, options.Length > 0 ? options : "no options");
        _ = mount.Completion.ContinueWith(ended => Forget(served, ended), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        return served;
    }

    /// <exception cref="OperatingException">There is no mount of this daemon.</exception>
    public void Unmount(string directory)
    {
        ServedMount mount = Active.FirstOrDefault(mount => mount.Fuse.MountPoint == directory)
            ?? throw new OperatingException(ExitCode.NoInput, $"{directory}: this daemon has nothing mounted there; gatewayctl mounts lists what it has");
        mount.Fuse.Unmount();
    }

    /// <summary>Operations counted since the start of the daemon, those of mounts that are gone included.</summary>
    public IReadOnlyList<FuseOperationStatistics> Operations()
    {
        lock (_gate)
        {
            var sums = new Dictionary<string, FuseOperationStatistics>(_ended);
            foreach (ServedMount mount in _mounts)
                AddTo(sums, mount.Fuse.Statistics);
            return [.. sums.Values];
        }
    }

    /// <summary>
    /// Takes away what an earlier daemon of this data directory has left mounted. It is dead for certain, whatever the kernel still answers from its caches:
    /// the directory's lock is ours.
    /// </summary>
    public void RemoveDead(string source)
    {
        foreach (MountTableEntry entry in MountTable.Read().Where(entry => entry.Type == MountTable.GatewayType && entry.Source == source))
        {
            if (NativeMethods.Unmount(entry.MountPoint, NativeMethods.UMOUNT_NOFOLLOW | NativeMethods.MNT_DETACH) == 0)
                _log.LogInformation("{Directory} was the mount of a daemon that has died: removed", entry.MountPoint);
            else
                _log.LogWarning("{Directory} is the mount of a daemon that has died and cannot be removed: {Reason}", entry.MountPoint, NativeMethods.LastError);
        }
    }

    /// <summary>Takes all mounts away. Programs with open files are given a moment; then what the kernel holds for them is written back, and they are cut off.</summary>
    public void UnmountAll()
    {
        List<FuseMount> mounts = [.. Active.Select(mount => mount.Fuse).Reverse()];
        long started = clock.GetTimestamp();
        foreach (FuseMount mount in mounts)
        {
            while (NativeMethods.Unmount(mount.MountPoint, NativeMethods.UMOUNT_NOFOLLOW) != 0)
            {
                if (Marshal.GetLastPInvokeError() != NativeMethods.EBUSY)
                    break; // Not mounted any more.
                if (clock.GetElapsedTime(started) > Patience)
                {
                    CutOff(mount);
                    break;
                }

                Thread.Sleep(RetryInterval);
            }
        }

        if (!Task.WhenAll(mounts.Select(mount => mount.Completion)).Wait(Patience))
            _log.LogError("a mount did not end; its requests are abandoned");
    }

    private void CutOff(FuseMount mount)
    {
        _log.LogWarning("{Directory}: files are still open after {Seconds} s; they are cut off", mount.MountPoint, Patience.TotalSeconds);
        var flush = new Thread(() => Flush(mount.MountPoint)) { IsBackground = true, Name = "flush before the end" };
        flush.Start();
        if (!flush.Join(Patience))
            _log.LogError("{Directory}: the kernel did not write back in time what it held", mount.MountPoint);
        mount.Abort();
        mount.Unmount();
    }

    /// <summary>syncfs: pages that were changed through a writable mapping or a write-back cache.</summary>
    private void Flush(string directory)
    {
        int descriptor = NativeMethods.Open(directory, NativeMethods.O_RDONLY | NativeMethods.O_DIRECTORY | NativeMethods.O_CLOEXEC, 0);
        if (descriptor < 0 || NativeMethods.SyncFileSystem(descriptor) != 0)
            _log.LogError("{Directory}: the last write-back failed: {Reason}", directory, NativeMethods.LastError);
        if (descriptor >= 0)
            NativeMethods.Close(descriptor);
    }

    private void Forget(ServedMount mount, Task<FuseSessionEnd> ended)
    {
        lock (_gate)
        {
            _mounts.Remove(mount);
            AddTo(_ended, mount.Fuse.Statistics);
        }

        string directory = mount.Fuse.MountPoint;
        if (ended.IsFaulted)
            _log.LogError(ended.Exception, "{Directory}: the mount failed", directory);
        else
            _log.LogInformation("{Directory}: {End}", directory, ended.Result == FuseSessionEnd.Unmounted ? "unmounted" : ended.Result);
    }

    private static void AddTo(Dictionary<string, FuseOperationStatistics> sums, FuseStatistics statistics)
    {
        foreach (FuseOperationStatistics operation in statistics.Operations())
        {
            sums[operation.Name] = sums.TryGetValue(operation.Name, out FuseOperationStatistics? sum)
                ? sum with
                {
                    Count = sum.Count + operation.Count,
                    Errors = sum.Errors + operation.Errors,
                    TotalMicroseconds = sum.TotalMicroseconds + operation.TotalMicroseconds,
                    Buckets = [.. sum.Buckets.Zip(operation.Buckets, (a, b) => a + b)],
                }
                : operation;
        }
    }

    private static ExitCode CodeOf(FuseMountProblem problem) => problem switch
    {
        FuseMountProblem.NotRoot => ExitCode.NoPermission,
        FuseMountProblem.DeviceMissing => ExitCode.OsFile,
        FuseMountProblem.MountPointMissing or FuseMountProblem.SubdirectoryMissing => ExitCode.NoInput,
        FuseMountProblem.MountPointNotDirectory => ExitCode.CannotCreate,
        FuseMountProblem.MountPointBusy => ExitCode.Busy,
        FuseMountProblem.KernelTooOld => ExitCode.Unavailable,
        _ => ExitCode.OsError,
    };
}
