using Gateway.Admin.Contract;
using Microsoft.Extensions.Logging;

namespace Gateway.Admin;

/// <summary>
/// What the admin API can ask of the running daemon. Any thread may call any member. What a caller can get wrong (a path that does not exist, a mount
/// point that is taken) is thrown as <see cref="OperatingException"/> and becomes an answer; anything else is an error of the program.
/// </summary>
internal interface INode
{
    NodeStatus Status();

    SpaceInfo Space();

    IReadOnlyList<ConfigValue> Configuration { get; }

    LogLevel LogLevel { get; set; }

    IReadOnlyList<MountInfo> Mounts();

    MountInfo Mount(MountRequest request);

    void Unmount(string directory);

    /// <param name="verify">Read the data and compare its checksums; null: where it is not large.</param>
    InodeStat Stat(string path, bool? verify);

    TopReport Top();

    TreeSize MeasureTree(string path, Action<WorkProgress> progress, CancellationToken cancellation);

    IReadOnlyList<ExportInfo> Exports();

    /// <summary>Takes effect at once, for clients that are connected too.</summary>
    ExportInfo AddExport(ExportRequest request);

    /// <param name="export">Path or number.</param>
    /// <param name="client">Takes this client alone away; null: the whole export.</param>
    void RemoveExport(string export, string? client);

    /// <param name="port">The port that the client comes from.</param>
    ExportCheck CheckExport(string client, string path, int port);

    /// <summary>All of it or, where anything is wrong, nothing.</summary>
    ExportImportReport ImportExports(string text);

    IReadOnlyList<ClientInfo> Clients();

    /// <summary>Closes the connections of a client and drops its locks. It may come back, if the exports let it.</summary>
    EvictReport EvictClient(string address);

    /// <summary>Metadata against itself, blocks against themselves, and both against each other.</summary>
    CheckReport Check(Action<WorkProgress> progress, CancellationToken cancellation);

    /// <summary>The checksums of all data.</summary>
    CheckReport Scrub(Action<WorkProgress> progress, CancellationToken cancellation);

    /// <summary>Writes all metadata as of now, in the format that <see cref="StoreCore.Metadata.MetadataDump"/> describes.</summary>
    void Dump(Stream output, CancellationToken cancellation);
}
