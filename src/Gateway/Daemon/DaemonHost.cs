using System.Net;
using System.Runtime.InteropServices;
using Gateway.Admin;
using Gateway.Admin.Contract;
using Gateway.Configuration;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Blocks;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>
/// One life of the daemon: opens the data directory and its stores, recovers, answers gatewayctl, mounts, waits for the end, and takes it all down in reverse
/// order. The end is a signal (SIGTERM, SIGINT, SIGHUP: clean, exit code 0) or a store that has stopped itself (exit code of its own).
/// </summary>
internal sealed class DaemonHost : IDisposable
{
    /// <summary>Background moves of data: often enough that freed space comes back while a person watches df.</summary>
    private static readonly TimeSpan MaintenanceInterval = TimeSpan.FromMilliseconds(500);

    /// <summary>A fraction of what a slow disk does, so that clients hardly notice.</summary>
    private const long MaintenanceBytesPerSecond = 32 << 20;

    private readonly GatewayConfig _config;
    private readonly StandardErrorLogger _logger;
    private readonly ILogger _log;
    private readonly TimeProvider _clock = TimeProvider.System;
    private readonly SystemdNotifier _systemd = new(Environment.GetEnvironmentVariable("NOTIFY_SOCKET"));
    private readonly ManualResetEventSlim _end = new();
    private readonly List<PosixSignalRegistration> _signals = [];
    private string? _storeFailure;

    private DaemonHost(GatewayConfig config)
    {
        _config = config;
        _logger = new StandardErrorLogger(config.Get(ConfigTable.LogThreshold), StandardErrorLogger.IsJournal, _clock);
        _log = _logger.CreateLogger<DaemonHost>();
    }

    /// <summary>Runs until the end.</summary>
    /// <exception cref="OperatingException">The daemon cannot start.</exception>
    public static ExitCode Run(GatewayConfig config)
    {
        using var host = new DaemonHost(config);
        return host.Run();
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration signal in _signals)
            signal.Dispose();
        _systemd.Dispose();
        _logger.Dispose();
        _end.Dispose();
    }

    private ExitCode Run()
    {
        // Sockets and files of the daemon are its user's alone.
        const uint NoAccessForOthers = 0x3F; // 077
        NativeMethods.Umask(NoAccessForOthers);
        foreach (PosixSignal signal in (PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGHUP])
            _signals.Add(PosixSignalRegistration.Create(signal, Stop));

        var memory = new MemoryPlan(_config.Get(ConfigTable.MemoryBudget));
        memory.Apply();

        using DataDirectory directory = DataDirectory.Open(_config.Get(ConfigTable.DataDirectory));
        using StoreStack stack = StoreStack.Open(directory, memory, _clock);
        stack.Blocks.Stopped += StoreFailed;
        stack.Blocks.Faults.Found += fault => _log.LogError("damaged chunk: {Fault}", fault);
        RecoveryInfo recovered = Recover(stack.Vfs);

        var background = new VfsBackground(stack.Vfs, _config.Get(ConfigTable.SyncInterval), _clock, status => StoreFailed(Reason(stack, status)));
        background.Start();
        var maintenance = new BlockMaintenanceThread(stack.Blocks, _clock, MaintenanceInterval, MaintenanceBytesPerSecond);
        try
        {
            var mounts = new MountSet(stack.Vfs, _clock, _logger);
            Serve(stack, mounts, recovered);
        }
        finally
        {
            maintenance.Dispose();
            background.Dispose();

            // A start that is refused takes away what it has made, unless somebody has used it meanwhile.
            if (!stack.IsEmpty)
                directory.Keep();
        }

        if (maintenance.Failure is { } failure)
            _log.LogError(failure, "background maintenance of the blocks has ended early");
        return Close(stack);
    }

    /// <summary>Answers gatewayctl and the mounts until the end; returns with nothing mounted and nobody connected.</summary>
    private void Serve(StoreStack stack, MountSet mounts, RecoveryInfo recovered)
    {
        using var exports = new ExportSet(stack.Metadata, stack.Vfs, _logger.CreateLogger<ExportSet>());
        var node = new Node(_config, stack, mounts, exports, _logger, recovered, _clock);
        AdminServer admin = AdminServer.StartAsync(
            _config.AdminSocketPath, MetricsEndPoint(), new AdminRoutes(node, _logger.CreateLogger<AdminServer>()), _logger).GetAwaiter().GetResult();
        NfsService? nfs = null;
        try
        {
            // NFS first: no program on a mount gets a lock that a client of the life before has still to ask for.
            nfs = StartNfs(stack, exports);
            node.Attach(nfs);
            mounts.RemoveDead(node.SourceOf(null));
            foreach (MountSpec spec in _config.GetAll(ConfigTable.Mounts))
                mounts.Mount(spec.Directory, spec.Options, node.SourceOf(null));

            stack.Directory.Keep();
            string served = $"serving {stack.Directory.Path}";
            _log.LogInformation("{Served}, pid {Pid}, admin socket {Socket}", served, Environment.ProcessId, _config.AdminSocketPath);
            _systemd.Ready(served);
            _systemd.StartWatchdog(Environment.GetEnvironmentVariable("WATCHDOG_USEC"), () => _storeFailure is null);
            _end.Wait();
            if (_storeFailure is { } reason)
                node.ReportStopped(reason);
            _systemd.Stopping();
        }
        finally
        {
            nfs?.Dispose();
            node.Attach(null);
            mounts.UnmountAll();
            admin.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    /// <summary>Null where NFS is off.</summary>
    private NfsService? StartNfs(StoreStack stack, ExportSet exports)
    {
        IReadOnlyList<IPEndPoint> listen = _config.GetAll(ConfigTable.NfsListen);
        if (listen.Count == 0)
            return null;
        long budget = new MemoryPlan(_config.Get(ConfigTable.MemoryBudget)).NfsBytes;
        NfsService nfs = NfsService.Start(
            stack, exports, listen, _config.Get(ConfigTable.NfsRpcbind), _config.Get(ConfigTable.NfsGracePeriod), budget, _clock, _logger);
        _log.LogInformation("NFS on {Listen}", nfs.Listen);
        return nfs;
    }

    private RecoveryInfo Recover(FileSystemVfs vfs)
    {
        long started = _clock.GetTimestamp();
        FsStatus status = vfs.Recover(out RecoveryReport report);
        if (status != FsStatus.Ok)
        {
            throw new OperatingException(
                ExitCode.IoError, $"data directory {_config.Get(ConfigTable.DataDirectory)}: recovery answers {status}; look at that disk (dmesg), then run gatewayctl fsck");
        }

        double milliseconds = _clock.GetElapsedTime(started).TotalMilliseconds;
        var info = new RecoveryInfo(report.Truncated, report.Measured, report.Unlinked, report.Purging, milliseconds);
        if (report != default)
        {
            _log.LogInformation(
                "recovered after an unclean stop: {Measured} sizes measured, {Truncated} truncations finished, {Unlinked} unlinked and {Purging} deleted files to free",
                report.Measured, report.Truncated, report.Unlinked, report.Purging);
        }

        return info;
    }

    private ExitCode Close(StoreStack stack)
    {
        if (_storeFailure is null)
        {
            FsStatus status = stack.Vfs.SyncAll();
            if (status == FsStatus.Ok)
            {
                _log.LogInformation("stopped");
                return ExitCode.Ok;
            }

            StoreFailed(Reason(stack, status));
        }

        _log.LogCritical(
            "the store has stopped itself: {Reason}. What was acknowledged as stable is on the disk; find out what is wrong with it before the next start", _storeFailure);
        return ExitCode.IoError;
    }

    private void Stop(PosixSignalContext context)
    {
        context.Cancel = true;
        _log.LogInformation("{Signal}: stopping", context.Signal);
        _end.Set();
    }

    private void StoreFailed(string reason)
    {
        // The first failure is the evidence; what follows is its consequence.
        if (Interlocked.CompareExchange(ref _storeFailure, reason, null) is null)
            _log.LogCritical("the store has stopped itself: {Reason}", reason);
        _end.Set();
    }

    private static string Reason(StoreStack stack, FsStatus status) =>
        stack.Blocks.StopReason ?? stack.Metadata.Failure?.Message ?? $"a flush answered {status}";

    private IPEndPoint? MetricsEndPoint() =>
        ConfigTable.TryParseEndPoint(_config.Get(ConfigTable.MetricsListen), out IPEndPoint? endPoint) ? endPoint : null;
}
