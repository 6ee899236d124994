using System.Runtime.InteropServices;
using System.Text;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>What can be in the way of a mount; each has its own way to mend it.</summary>
public enum FuseMountProblem
{
    NotRoot,
    DeviceMissing,
    MountPointMissing,
    MountPointNotDirectory,
    MountPointBusy,
    SubdirectoryMissing,
    KernelTooOld,
    Refused,
}

/// <summary>Why a mount failed: one line for people that says what to do.</summary>
public sealed record FuseMountError(FuseMountProblem Problem, string Message);

/// <summary>A mounted file system: the session that serves it and what is to be known of it.</summary>
public sealed partial class FuseMount
{
    /// <summary>How long the kernel may take to ask for INIT (it does at once) and a mount point to answer a look at it.</summary>
    private static readonly TimeSpan AnswerDeadline = TimeSpan.FromSeconds(10);

    private readonly IVfs _vfs;
    private readonly FuseDispatcher _dispatcher;
    private readonly FuseSession _session;
    private readonly FuseInvalidator _invalidator;
    private readonly ILogger _log;

    private FuseMount(
        string mountPoint, string source, MountOptions options, int sessionId, FuseStatistics statistics, IVfs vfs, FuseDispatcher dispatcher,
        FuseSession session, FuseInvalidator invalidator, ILogger log)
    {
        MountPoint = mountPoint;
        Source = source;
        Options = options;
        SessionId = sessionId;
        Statistics = statistics;
        _vfs = vfs;
        _dispatcher = dispatcher;
        _session = session;
        _invalidator = invalidator;
        _log = log;
        Completion = Finish();
    }

    /// <summary>Absolute, with symlinks resolved: as /proc/self/mountinfo shows it.</summary>
    public string MountPoint { get; }

    public string Source { get; }

    public MountOptions Options { get; }

    /// <summary>The session number under which the Vfs knows this mount.</summary>
    public int SessionId { get; }

    public FuseStatistics Statistics { get; }

    /// <summary>The minor number of the mount's device, which names it below /sys/fs/fuse/connections and /sys/class/bdi.</summary>
    public uint DeviceMinor { get; private set; }

    public uint ProtocolMinor => _dispatcher.NegotiatedMinor;

    public FuseInitFlags Negotiated => _dispatcher.Negotiated;

    /// <summary>Completes when the mount is gone, by whomever: all threads ended, all that it held given back.</summary>
    public Task<FuseSessionEnd> Completion { get; }

    /// <summary>Requests that wait in the kernel or here, from /sys/fs/fuse/connections; null where that is not mounted.</summary>
    public int? KernelQueue
    {
        get
        {
            try
            {
                return int.Parse(File.ReadAllText($"/sys/fs/fuse/connections/{DeviceMinor}/waiting"), System.Globalization.CultureInfo.InvariantCulture);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
            {
                return null;
            }
        }
    }

    /// <summary>
    /// Mounts. Blocks until the kernel and we have agreed (INIT). A mount of ours whose daemon has died is cleaned away first.
    /// </summary>
    /// <param name="mountPoint">An existing directory.</param>
    /// <param name="source">What the mount table shows as the device: <c>gatewayfs#NODE</c>.</param>
    /// <param name="sessionId">Unique among the Vfs's sessions, not 0.</param>
    public static FuseMount? Mount(
        IVfs vfs, string mountPoint, string source, MountOptions options, int sessionId, TimeProvider clock, ILogger log, out FuseMountError? error,
        FuseReaderPolicy? policy = null)
    {
        error = CheckMountPoint(ref mountPoint, log);
        if (error is not null)
            return null;

        if (!TryFindSubdirectory(vfs, options, out InodeId root))
        {
            error = new(FuseMountProblem.SubdirectoryMissing, $"subdir={string.Join('/', options.Subdirectory)} is not a directory of this file system; make it first");
            return null;
        }

        FuseDevice? device = FuseDevice.Open(log, out int errno);
        if (device is null)
        {
            error = new(FuseMountProblem.DeviceMissing, $"cannot open {FuseDevice.Path}: {Describe(errno)}; load the module with: modprobe fuse");
            return null;
        }

        errno = MountDevice(device, mountPoint, source, options);
        if (errno != 0)
        {
            device.Dispose();
            error = errno == FuseErrno.Perm
                ? new(FuseMountProblem.NotRoot, $"mounting on {mountPoint} is not permitted: run as root (with CAP_SYS_ADMIN)")
                : new(FuseMountProblem.Refused, $"the kernel refused to mount on {mountPoint}: {Describe(errno)}");
            return null;
        }

        return Serve(vfs, device, mountPoint, source, options, root, sessionId, clock, log, policy, out error);
    }

    /// <summary>
    /// Unmounts. Where it is busy the mount is detached: it is gone from the tree at once, and its session ends with the last open file.
    /// Returns false when it was not mounted any more.
    /// </summary>
    public bool Unmount()
    {
        if (LibC.Unmount(MountPoint, LibC.UnmountNoFollow) == 0)
            return true;

        int errno = Marshal.GetLastPInvokeError();
        if (errno == FuseErrno.Busy)
        {
            LogBusy(MountPoint);
            if (LibC.Unmount(MountPoint, LibC.UnmountNoFollow | LibC.UnmountDetach) == 0)
                return true;
            errno = Marshal.GetLastPInvokeError();
        }

        LogNotUnmounted(MountPoint, Describe(errno));
        return false;
    }

    /// <summary>
    /// Ends the connection at once and takes the mount away: callers in the middle of something get an error. For a daemon that has to end
    /// while files are open.
    /// </summary>
    public void Abort()
    {
        if (LibC.Unmount(MountPoint, LibC.UnmountNoFollow | LibC.UnmountForce) == 0)
            return;

        if (Marshal.GetLastPInvokeError() == FuseErrno.Busy)
            return; // The connection is aborted; the mount, still held by open files, goes with the session.

        // Detached before: only the control file system leads to it (where that is not mounted, the end of this process does the same).
        try
        {
            File.WriteAllText($"/sys/fs/fuse/connections/{DeviceMinor}/abort", "1");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNoAbort(MountPoint, e.Message);
        }
    }

    private static FuseMount? Serve(
        IVfs vfs, FuseDevice device, string mountPoint, string source, MountOptions options, InodeId root, int sessionId, TimeProvider clock,
        ILogger log, FuseReaderPolicy? policy, out FuseMountError? error)
    {
        var statistics = new FuseStatistics();
        var dispatcher = new FuseDispatcher(
            vfs,
            new FuseDispatcherOptions
            {
                Session = sessionId,
                Root = root,
                ReadOnly = options.ReadOnly,
                LeavesAccessTimes = options.LeavesAccessTimes,
                LeavesDirectoryAccessTimes = options.LeavesAccessTimes || (options.Flags & MountFlags.NoDirectoryAccessTime) != 0,
                Writeback = options.Writeback,
                AttributeTimeout = options.AttributeTimeout,
                EntryTimeout = options.EntryTimeout,
                NegativeTimeout = options.NegativeTimeout,
            },
            statistics,
            log);
        var ready = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        dispatcher.InitDone = reason => ready.TrySetResult(reason);
        var invalidator = new FuseInvalidator(device, sessionId, root, dispatcher.Known, dispatcher.StopKeepingCaches, log);
        dispatcher.Notifier = invalidator;
        vfs.Subscribe(invalidator);
        var session = new FuseSession(
            device, dispatcher, statistics, policy ?? new FuseReaderPolicy(clock.TimestampFrequency, Environment.ProcessorCount), clock, log, mountPoint);
        var mount = new FuseMount(mountPoint, source, options, sessionId, statistics, vfs, dispatcher, session, invalidator, log);
        session.Start();

        string? reason = ready.Task.Wait(AnswerDeadline) ? ready.Task.Result : "the kernel sent no INIT";
        if (reason is not null)
        {
            mount.Unmount();
            error = new(FuseMountProblem.KernelTooOld, $"cannot serve {mountPoint}: {reason}");
            return null;
        }

        mount.DeviceMinor = MountTable.Find(mountPoint)?.Minor ?? 0;
        mount.RaiseReadAhead();
        error = null;
        return mount;
    }

    private async Task<FuseSessionEnd> Finish()
    {
        FuseSessionEnd end = await _session.Completion.ConfigureAwait(false);
        _vfs.Unsubscribe(_invalidator);
        _invalidator.Dispose();

        // Aborted (umount -f, the control file system): the mount stays, and every access to it would fail from now on.
        if (MountTable.Find(MountPoint) is { } left && left.Minor == DeviceMinor
            && LibC.Unmount(MountPoint, LibC.UnmountNoFollow | LibC.UnmountDetach) == 0)
        {
            LogCleaned(_log, MountPoint);
            end = end == FuseSessionEnd.Unmounted ? FuseSessionEnd.Aborted : end;
        }

        return end;
    }

    /// <summary>INIT can only lower the kernel's 128 KiB.</summary>
    private void RaiseReadAhead()
    {
        string path = $"/sys/class/bdi/0:{DeviceMinor}/read_ahead_kb";
        try
        {
            File.WriteAllText(path, Options.ReadAheadKiB.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNoReadAhead(MountPoint, path, e.Message);
        }
    }

    private static FuseMountError? CheckMountPoint(ref string mountPoint, ILogger log)
    {
        if (LibC.EffectiveUserId() != 0)
            return new(FuseMountProblem.NotRoot, "mounting needs root: run it with sudo");

        MountPointLook? look = MountPointLook.At(mountPoint, AnswerDeadline);
        if (look is { Errno: FuseErrno.NotConnected, Mounted: not null })
        {
            // Its daemon has died; nothing can come of it any more.
            LogCleaned(log, look.Path);
            if (LibC.Unmount(look.Path, LibC.UnmountNoFollow | LibC.UnmountDetach) != 0)
                return new(FuseMountProblem.MountPointBusy, $"{look.Path} is a dead mount that cannot be removed: {Describe(Marshal.GetLastPInvokeError())}");
            look = MountPointLook.At(mountPoint, AnswerDeadline);
        }

        if (look is null)
            return new(FuseMountProblem.MountPointBusy, $"{mountPoint} does not answer; if its daemon hangs: umount -l {mountPoint}");
        mountPoint = look.Path;
        if (look.Errno == FuseErrno.NoEntry)
            return new(FuseMountProblem.MountPointMissing, $"mount point {mountPoint} does not exist; make it: mkdir -p {mountPoint}");
        if (look.Errno == FuseErrno.NotDirectory || (look.Errno == 0 && look.Kind != InodeKind.Directory))
            return new(FuseMountProblem.MountPointNotDirectory, $"mount point {mountPoint} is not a directory; name a directory");
        if (look.Errno != 0)
            return new(FuseMountProblem.Refused, $"mount point {mountPoint} cannot be used: {Describe(look.Errno)}");
        return look.Mounted?.Type == MountTable.GatewayType
            ? new(FuseMountProblem.MountPointBusy, $"{look.Mounted.Source} is mounted on {mountPoint} already; to mount anew: umount {mountPoint}")
            : null;
    }

    private static bool TryFindSubdirectory(IVfs vfs, MountOptions options, out InodeId root)
    {
        root = InodeId.Root;
        foreach (string component in options.Subdirectory)
        {
            if (vfs.Lookup(Caller.System, root, Encoding.UTF8.GetBytes(component), out InodeRecord record) != FsStatus.Ok || !record.IsDirectory)
                return false;
            root = record.Inode;
        }

        return true;
    }

    private static int MountDevice(FuseDevice device, string mountPoint, string source, MountOptions options)
    {
        // Permissions are the kernel's to check, always: what reaches us is allowed.
        string data = $"fd={device.Descriptor},rootmode=40000,user_id=0,group_id=0,max_read={StoreCore.Limits.MaxTransferBytes},default_permissions"
            + (options.AllowOther ? ",allow_other" : "");
        return LibC.Mount(source, mountPoint, MountTable.GatewayType, (ulong)options.Flags, data) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    private static string Describe(int errno) => Marshal.GetPInvokeErrorMessage(errno);

    [LoggerMessage(Level = LogLevel.Information, Message = "The dead mount on {MountPoint} was removed")]
    private static partial void LogCleaned(ILogger log, string mountPoint);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{MountPoint} is in use: detached, it ends with the last open file")]
    private partial void LogBusy(string mountPoint);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{MountPoint} could not be unmounted: {Reason}")]
    private partial void LogNotUnmounted(string mountPoint, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The connection of {MountPoint} could not be aborted: {Reason}")]
    private partial void LogNoAbort(string mountPoint, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Read-ahead of {MountPoint} stays as it is, {Path} could not be written: {Reason}")]
    private partial void LogNoReadAhead(string mountPoint, string path, string reason);
}
