using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What an access needs, as the three bits of a mode.</summary>
[Flags]
public enum AccessKinds : uint
{
    None = 0,
    Execute = 1,
    Write = 2,
    Read = 4,
}

/// <summary>
/// Who may do what to an inode, from its mode, owner and access ACL, as Linux decides it (fs/namei.c, fs/posix_acl.c). Pure. Callers that are
/// <see cref="Caller.Trusted"/> were checked already and may do everything; uid 0 passes as one with all capabilities would.
/// </summary>
public static class Permissions
{
    /// <summary>S_ISUID, S_ISGID, S_ISVTX and S_IXGRP.</summary>
    internal const uint SetUid = 0x800, SetGid = 0x400, Sticky = 0x200, GroupExecute = 8;

    /// <summary>S_IXUSR, S_IXGRP and S_IXOTH.</summary>
    private const uint AnyExecute = 0x49;

    /// <summary>The permission bits of a mode with setuid, setgid and sticky.</summary>
    internal const uint ModeBits = 0xFFF;

    /// <summary>Whether the caller may do all of what is wanted; one that is trusted always may.</summary>
    /// <param name="accessAcl">The value of the access ACL; empty where the inode has none (<see cref="InodeFlags.HasAccessAcl"/>).</param>
    public static bool Allows(in InodeRecord inode, ReadOnlySpan<byte> accessAcl, in Caller caller, AccessKinds wanted) =>
        caller.Trusted || Grants(inode, accessAcl, caller, wanted);

    /// <summary>Which of the three kinds of access mode and ACL grant, each asked for by itself, whether the caller is trusted or not.</summary>
    public static AccessKinds Granted(in InodeRecord inode, ReadOnlySpan<byte> accessAcl, in Caller caller)
    {
        AccessKinds granted = AccessKinds.None;
        for (uint bit = 1; bit <= (uint)AccessKinds.Read; bit <<= 1)
        {
            if (Grants(inode, accessAcl, caller, (AccessKinds)bit))
                granted |= (AccessKinds)bit;
        }

        return granted;
    }

    private static bool Grants(in InodeRecord inode, ReadOnlySpan<byte> accessAcl, in Caller caller, AccessKinds wanted)
    {
        if (caller.Uid == 0)
            return (wanted & AccessKinds.Execute) == 0 || inode.IsDirectory || (inode.Mode & AnyExecute) != 0;

        uint bits = (uint)wanted;
        if (caller.Uid == inode.Uid)
            return (inode.Mode >> 6 & bits) == bits;
        if (!PosixAcl.IsEmpty(accessAcl))
            return PosixAcl.Allows(accessAcl, inode, caller, bits);
        uint granted = caller.InGroup(inode.Gid) ? inode.Mode >> 3 : inode.Mode;
        return (granted & bits) == bits;
    }

    /// <summary>The owner or root: who may change mode, times and ACLs.</summary>
    public static bool IsOwner(in InodeRecord inode, in Caller caller) => caller.Trusted || caller.Uid == 0 || caller.Uid == inode.Uid;

    /// <summary>Holds every capability (here: uid 0).</summary>
    public static bool IsPrivileged(in Caller caller) => caller.Trusted || caller.Uid == 0;

    /// <summary>In the group or privileged: whose chmod and ACLs leave setgid alone.</summary>
    public static bool MayKeepSetGid(uint gid, in Caller caller) => IsPrivileged(caller) || caller.InGroup(gid);

    /// <summary>Whether the sticky bit of a directory keeps the caller from removing or renaming an entry.</summary>
    public static bool IsStickyBarred(in InodeRecord directory, in InodeRecord child, in Caller caller) =>
        (directory.Mode & Sticky) != 0 && !IsOwner(child, caller) && caller.Uid != directory.Uid;

    /// <summary>The mode after what takes privileges away (write, truncate, chown): no setuid, no setgid where the group may execute.</summary>
    public static uint WithoutPrivileges(uint mode) =>
        mode & ~SetUid & ((mode & GroupExecute) != 0 ? ~SetGid : uint.MaxValue);
}
