using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>The namespaces of extended attributes and who may use them (man 7 xattr). Pure.</summary>
public static class XattrNames
{
    /// <summary>The attribute that gives a program capabilities; a write or chown takes it away.</summary>
    public static ReadOnlySpan<byte> Capability => "security.capability"u8;

    private static ReadOnlySpan<byte> User => "user."u8;

    private static ReadOnlySpan<byte> Trusted => "trusted."u8;

    private static ReadOnlySpan<byte> Security => "security."u8;

    /// <summary>Whether an attribute of this name can exist on an inode of this kind.</summary>
    public static FsStatus Check(ReadOnlySpan<byte> name, InodeKind kind)
    {
        if (name.IsEmpty || name.Length > Limits.MaxXattrNameBytes)
            return FsStatus.OutOfRange;
        if (name.Contains((byte)0))
            return FsStatus.Invalid;
        if (name.StartsWith(User))
        {
            return name.Length == User.Length ? FsStatus.Invalid
                : kind is InodeKind.File or InodeKind.Directory ? FsStatus.Ok : FsStatus.NotPermitted;
        }

        if (name.StartsWith(Trusted) || name.StartsWith(Security))
            return name.Length == (name[0] == (byte)'t' ? Trusted : Security).Length ? FsStatus.Invalid : FsStatus.Ok;
        if (IsAcl(name))
            return kind == InodeKind.Symlink ? FsStatus.NotSupported : FsStatus.Ok;
        return FsStatus.NotSupported;
    }

    public static bool IsAcl(ReadOnlySpan<byte> name) => name.SequenceEqual(PosixAcl.AccessName) || name.SequenceEqual(PosixAcl.DefaultName);

    public static bool IsUser(ReadOnlySpan<byte> name) => name.StartsWith(User);

    /// <summary>Whether the caller may see the attribute at all: those of <c>trusted.</c> are for the privileged alone, also in lists.</summary>
    public static bool IsVisible(ReadOnlySpan<byte> name, uint uid) => uid == 0 || !name.StartsWith(Trusted);

    /// <summary>Whether the caller may change the attribute.</summary>
    /// <param name="mayWrite">Whether the caller has write permission on the inode.</param>
    public static FsStatus CheckChange(ReadOnlySpan<byte> name, in InodeRecord inode, in Caller caller, bool mayWrite)
    {
        if (Permissions.IsPrivileged(caller))
            return FsStatus.Ok;
        if (IsAcl(name))
            return Permissions.IsOwner(inode, caller) ? FsStatus.Ok : FsStatus.NotPermitted;
        if (!IsUser(name))
            return FsStatus.NotPermitted;
        // A sticky directory is everybody's, its attributes are not.
        if (inode.IsDirectory && (inode.Mode & Permissions.Sticky) != 0 && !Permissions.IsOwner(inode, caller))
            return FsStatus.NotPermitted;
        return mayWrite ? FsStatus.Ok : FsStatus.AccessDenied;
    }
}
