using System.Diagnostics;
using System.Globalization;
using Gateway.Admin;
using Gateway.Admin.Contract;
using Gateway.Configuration;
using Gateway.Fuse;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Blocks;
using StoreCore.Disk;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>The running daemon as the admin API sees it: gathers figures from the parts, and passes orders on to them.</summary>
internal sealed class Node(
    GatewayConfig config, StoreStack stack, MountSet mounts, ExportSet exports, StandardErrorLogger logger, RecoveryInfo recovered, TimeProvider clock) : INode
{
    private readonly long _started = clock.GetTimestamp();
    private readonly StorePaths _paths = new(stack.Vfs, mounts);
    private readonly Process _process = Process.GetCurrentProcess();
    private volatile string _stopReason = "";
    private volatile NfsService? _nfs;

    public IReadOnlyList<ConfigValue> Configuration { get; } = config.Describe();

    public LogLevel LogLevel
    {
        get => logger.Level;
        set => logger.Level = value;
    }

    /// <summary>The NFS server, once it serves.</summary>
    public void Attach(NfsService? nfs) => _nfs = nfs;

    /// <summary>From now on the status says that the store has stopped itself, and why.</summary>
    public void ReportStopped(string reason) => _stopReason = reason;

    public NodeStatus Status()
    {
        IReadOnlyList<MountInfo> active = Mounts();
        return new NodeStatus(
            _stopReason.Length > 0 ? "stopped" : "serving", _stopReason, VersionOfThis.Get().Version, Environment.ProcessId, UptimeSeconds,
            stack.Directory.Path, stack.Metadata.FileSystemId.ToString(), Space(), Memory(), active, mounts.Operations().Sum(operation => operation.Count),
            stack.Vfs.ActiveInodes, stack.Vfs.LocksHeld, stack.Vfs.ReaperBacklog, stack.Blocks.Faults.Count, recovered, _nfs?.Describe(exports.List().Count));
    }

    public SpaceInfo Space()
    {
        VfsSpace space = stack.Vfs.StatFs();
        DiskSpace host = stack.Disk.Space;
        BlockSpace blocks = stack.Blocks.Space;
        return new SpaceInfo(
            space.TotalBytes, (ulong)blocks.UsedBytes, space.AvailableBytes, space.Inodes - space.FreeInodes, space.FreeInodes,
            stack.KeyValues.Usage.DiskBytes, host.TotalBytes, host.AvailableBytes);
    }

    public IReadOnlyList<MountInfo> Mounts() => [.. mounts.Active.Select(Describe)];

    public MountInfo Mount(MountRequest request) => Describe(mounts.Mount(request.Directory, request.Options ?? "", SourceOf(request.Source)));

    public void Unmount(string directory) => mounts.Unmount(directory);

    public TopReport Top()
    {
        List<OperationStat> operations = [];
        foreach (FuseOperationStatistics operation in mounts.Operations())
        {
            operations.Add(new OperationStat(
                operation.Name, operation.Count, operation.Errors, operation.TotalMicroseconds,
                operation.QuantileMicroseconds(0.5), operation.QuantileMicroseconds(0.99), operation.QuantileMicroseconds(1)));
        }

        List<LiveOperation> live = [];
        foreach (FuseMount mount in mounts.Active.Select(served => served.Fuse))
        {
            live.AddRange(mount.Statistics.Live().Select(operation => new LiveOperation(
                mount.MountPoint, operation.Waiting ? operation.Name + " (waits for a lock)" : operation.Name, operation.Inode.Value, operation.Pid,
                operation.Age.TotalMilliseconds)));
        }

        live.AddRange(_nfs?.Live() ?? []);
        return new TopReport(UptimeSeconds, operations, live, _nfs?.Operations());
    }

    public InodeStat Stat(string path, bool? verify)
    {
        // Some seconds of reading: what a person waits for without being asked.
        const long VerifiedUnasked = 256 << 20;
        InodeRecord record = _paths.Find(path);
        bool verified = verify ?? record.AllocatedBytes <= VerifiedUnasked;
        FsStatus status = stack.Blocks.Describe(record.Inode, verified, out IReadOnlyList<BlockExtent> extents);
        if (status != FsStatus.Ok)
            throw new OperatingException(ExitCode.IoError, $"{path}: the block store answers {status}; look into the daemon's log");
        return new InodeStat(
            path, record.Inode.Value, record.Generation, record.Kind.ToString(), "0" + Convert.ToString(record.Mode & 0xFFF, 8), record.Uid, record.Gid,
            record.Links, record.SizeBytes, record.AllocatedBytes, Format(record.Accessed), Format(record.Modified), Format(record.Changed), Format(record.Born),
            verified, [.. extents.Take(InodeStat.RegionsShownAtMost).Select(Describe)], extents.Count);
    }

    public IReadOnlyList<ExportInfo> Exports() => exports.List();

    public ExportInfo AddExport(ExportRequest request) => exports.Add(request.Path, request.Clients);

    public void RemoveExport(string export, string? client) => exports.Remove(export, client);

    public ExportCheck CheckExport(string client, string path, int port) => exports.Decide(client, path, port);

    public ExportImportReport ImportExports(string text) => exports.Import(text);

    public IReadOnlyList<ClientInfo> Clients() => _nfs?.Clients() ?? [];

    public EvictReport EvictClient(string address) => _nfs?.Evict(address)
        ?? throw new OperatingException(ExitCode.Unavailable, "NFS is off, so there are no clients; start gatewayd with --nfs ADDRESS:PORT");

    public CheckReport Check(Action<WorkProgress> progress, CancellationToken cancellation) =>
        MemoryPlan.ThenGiveBack(new StoreCheck(stack, progress, cancellation, clock).Check);

    public CheckReport Scrub(Action<WorkProgress> progress, CancellationToken cancellation) =>
        MemoryPlan.ThenGiveBack(new StoreScrub(stack.Blocks, progress, cancellation, clock).Run);

    public void Dump(Stream output, CancellationToken cancellation)
    {
        // Sizes and times of files written lately come into the metadata first.
        FsStatus status = stack.Vfs.SyncAll();
        if (status != FsStatus.Ok)
            throw new OperatingException(ExitCode.IoError, $"dump: the store answers {status}; look into the daemon's log");
        MemoryPlan.ThenGiveBack(() => MetadataDump.Write(stack.KeyValues, output, (_, _) => cancellation.ThrowIfCancellationRequested()));
    }

    public TreeSize MeasureTree(string path, Action<WorkProgress> progress, CancellationToken cancellation) =>
        MemoryPlan.ThenGiveBack(() => new TreeMeasure(stack.Vfs, progress, cancellation).Run(path, _paths.Find(path)));

    private double UptimeSeconds => clock.GetElapsedTime(_started).TotalSeconds;

    /// <summary>What the mount table shows as the device.</summary>
    internal string SourceOf(string? asked) => string.IsNullOrEmpty(asked) ? stack.Directory.Path : asked;

    private static MountInfo Describe(ServedMount mount) => new(
        mount.Fuse.MountPoint, mount.Fuse.Source, mount.OptionText, mount.Fuse.Completion.IsCompleted ? "gone" : "mounted",
        mount.Fuse.Statistics.Progress().Completed);

    private static BlockRegion Describe(BlockExtent extent) => new(
        extent.FileOffset, extent.LengthBytes, extent.Kind.ToString().ToLowerInvariant(), extent.Volume, extent.VolumeOffset, extent.BadChunks);

    private MemoryInfo Memory()
    {
        lock (_process)
        {
            _process.Refresh();
            return new MemoryInfo(config.Get(ConfigTable.MemoryBudget), _process.WorkingSet64, GC.GetTotalMemory(false), stack.KeyValues.Usage.MemoryBytes);
        }
    }

    private static string Format(Timestamp time) =>
        DateTimeOffset.UnixEpoch.AddSeconds(time.Seconds).ToString("yyyy-MM-dd'T'HH:mm:ss", CultureInfo.InvariantCulture)
        + string.Create(CultureInfo.InvariantCulture, $".{time.Nanoseconds:000000000}Z");
}
