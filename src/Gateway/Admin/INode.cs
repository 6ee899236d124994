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

    InodeStat Stat(string path);

    TopReport Top();

    TreeSize MeasureTree(string path, Action<WorkProgress> progress, CancellationToken cancellation);
}
