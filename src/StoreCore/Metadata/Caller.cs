namespace StoreCore.Metadata;

/// <summary>
/// Who asks. FUSE mounts run with default_permissions: there the kernel has checked access already and
/// <see cref="Trusted"/> is set; NFS callers are not trusted and every operation checks mode bits, ACLs and the sticky rule for them.
/// </summary>
public readonly struct Caller(uint uid, uint gid, uint[]? groups = null, bool trusted = false, int origin = 0, ClientRequest? request = null, bool leavesAccessTime = false)
{
    /// <summary>The system itself: recovery, administration.</summary>
    public static readonly Caller System = new(0, 0, trusted: true, leavesAccessTime: true);

    public uint Uid { get; } = uid;

    public uint Gid { get; } = gid;

    /// <summary>Supplementary groups.</summary>
    public uint[]? Groups { get; } = groups;

    public bool Trusted { get; } = trusted;

    /// <summary>The session (mount or export connection) that asks: invalidations of its own changes are not sent to it. 0: none.</summary>
    public int Origin { get; } = origin;

    /// <summary>Of a client that repeats requests and is told of attributes before and after; null for others.</summary>
    public ClientRequest? Request { get; } = request;

    /// <summary>What it reads keeps its access time (noatime, nodiratime, O_NOATIME); that of others is kept as relatime has it.</summary>
    public bool LeavesAccessTime { get; } = leavesAccessTime;

    /// <summary>The same caller where the right to what follows has been established already.</summary>
    public Caller AsTrusted() => new(Uid, Gid, Groups, trusted: true, Origin, Request, LeavesAccessTime);

    public bool InGroup(uint gid) => gid == Gid || (Groups is { } groups && Array.IndexOf(groups, gid) >= 0);
}
