namespace StoreCore.Metadata;

/// <summary>
/// Who asks. FUSE mounts run with default_permissions: there the kernel has checked access already and
/// <see cref="Trusted"/> is set; NFS callers are not trusted and every operation checks mode bits, ACLs and the sticky rule for them.
/// </summary>
public readonly struct Caller(uint uid, uint gid, uint[]? groups = null, bool trusted = false, int origin = 0)
{
    /// <summary>The system itself: recovery, administration.</summary>
    public static readonly Caller System = new(0, 0, trusted: true);

    public uint Uid { get; } = uid;

    public uint Gid { get; } = gid;

    /// <summary>Supplementary groups.</summary>
    public uint[]? Groups { get; } = groups;

    public bool Trusted { get; } = trusted;

    /// <summary>The session (mount or export connection) that asks: invalidations of its own changes are not sent to it. 0: none.</summary>
    public int Origin { get; } = origin;

    public bool InGroup(uint gid) => gid == Gid || (Groups is { } groups && Array.IndexOf(groups, gid) >= 0);
}
