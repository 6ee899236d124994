using Gateway.Admin;
using Gateway.Admin.Contract;
using Gateway.Configuration;
using Microsoft.Extensions.Logging;

namespace Gateway.Tests.Admin;

/// <summary>A node without a store: answers fixed figures, and knows the path /known only.</summary>
internal sealed class FakeNode : INode
{
    public static readonly SpaceInfo SomeSpace = new(1000, 300, 600, 7, 93, 50, 2000, 1200);

    public IReadOnlyList<ConfigValue> Configuration { get; } = GatewayConfig.Default.Describe();

    public LogLevel LogLevel { get; set; } = LogLevel.Information;

    public List<MountRequest> Mounted { get; } = [];

    public NodeStatus Status() => new(
        "serving", "", "1.2.3", 42, 1.5, "/data", "id", SomeSpace, new MemoryInfo(100, 50, 20, 10), Mounts(), 12, 3, 2, 1, 0, new RecoveryInfo(0, 1, 2, 3, 4.5));

    public SpaceInfo Space() => SomeSpace;

    public IReadOnlyList<MountInfo> Mounts() => [.. Mounted.Select(mount => new MountInfo(mount.Directory, "/data", mount.Options ?? "", "mounted", 0))];

    public MountInfo Mount(MountRequest request)
    {
        if (Mounted.Exists(mount => mount.Directory == request.Directory))
            throw new OperatingException(ExitCode.Busy, $"{request.Directory}: mounted already; umount it first");
        Mounted.Add(request);
        return Mounts()[^1];
    }

    public void Unmount(string directory)
    {
        if (Mounted.RemoveAll(mount => mount.Directory == directory) == 0)
            throw new OperatingException(ExitCode.NoInput, $"{directory}: nothing mounted; look again");
    }

    public InodeStat Stat(string path, bool? verify) => path == "/known"
        ? new InodeStat(path, 16, 1, "File", "0644", 0, 0, 1, 5, 4096, "a", "m", "c", "b", verify ?? true, [new BlockRegion(0, 4096, "inline", "", 0, 0)], 1)
        : path == "/defect" ? throw new InvalidOperationException("a defect") : throw new OperatingException(ExitCode.NoInput, $"{path}: no such file; check it");

    public TopReport Top() => new(2.5, [new OperationStat("READ", 10, 1, 1000, 64, 128, 256)], [new LiveOperation("/mnt", "READ", 16, 99, 0.5)]);

    public List<ExportInfo> Exported { get; } = [];

    public IReadOnlyList<ExportInfo> Exports() => Exported;

    public ExportInfo AddExport(ExportRequest request)
    {
        var export = new ExportInfo((uint)Exported.Count + 1, request.Path, "served", [.. request.Clients.Select(client => new ExportClientInfo(client, "ro", ""))]);
        Exported.Add(export);
        return export;
    }

    public void RemoveExport(string export, string? client)
    {
        if (Exported.RemoveAll(one => one.Path == export) == 0)
            throw new OperatingException(ExitCode.NoInput, $"there is no export {export}; look again");
    }

    public ExportCheck CheckExport(string client, string path, int port) => new(port < 1024, path, client, "ro", "a reason");

    public ExportImportReport ImportExports(string text) =>
        text.Length > 0 ? new ExportImportReport(Exported, ["a note"]) : throw new OperatingException(ExitCode.DataError, "line 1: empty; mend it");

    public IReadOnlyList<ClientInfo> Clients() => [new ClientInfo("10.0.0.1", 1, ["/"], 10, 1, 100, 200, 1000, 0.5, "LOOKUP NoEntry")];

    public EvictReport EvictClient(string address) =>
        address == "10.0.0.1" ? new EvictReport(address, 1) : throw new OperatingException(ExitCode.NoInput, $"{address}: no such client; look again");

    public CheckReport Check(Action<WorkProgress> progress, CancellationToken cancellation) => new(1, 2, 3, 0, 1, 0, ["a finding"], 0.5);

    public CheckReport Scrub(Action<WorkProgress> progress, CancellationToken cancellation) => new(0, 0, 1, 4096, 0, 0, [], 0.5);

    public void Dump(Stream output, CancellationToken cancellation) => output.Write("gateway-metadata 2\n"u8);

    public TreeSize MeasureTree(string path, Action<WorkProgress> progress, CancellationToken cancellation)
    {
        if (path == "/endless")
            cancellation.WaitHandle.WaitOne();
        cancellation.ThrowIfCancellationRequested();
        progress(new WorkProgress("measuring", 1, 2, "inodes"));
        return path == "/known" ? new TreeSize(path, 1, 2, 3, 4, 5) : throw new OperatingException(ExitCode.NoInput, $"{path}: no such file; check it");
    }
}
