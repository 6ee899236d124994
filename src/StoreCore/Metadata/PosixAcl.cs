using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>
/// POSIX.1e access control lists in the form in which the kernel passes and we store them: the value of the attributes
/// <c>system.posix_acl_access</c> and <c>system.posix_acl_default</c>, version 2. Pure functions over the bytes.
/// </summary>
/// <remarks>
/// Layout (linux/posix_acl_xattr.h), little-endian: version u32 = 2, then entries of tag u16, permissions u16 (r 4, w 2, x 1), id u32. Entries stand in the order owner,
/// users, owning group, groups, mask, others; the mask is required where users or groups are named.
/// </remarks>
public static class PosixAcl
{
    /// <summary>Most entries that are stored (what the NFS ACL protocol can carry): 8 KiB.</summary>
    public const int MaxEntries = 1024;

    /// <summary>Largest list in bytes.</summary>
    public const int MaxBytes = HeaderBytes + MaxEntries * EntryBytes;

    public static ReadOnlySpan<byte> AccessName => "system.posix_acl_access"u8;

    public static ReadOnlySpan<byte> DefaultName => "system.posix_acl_default"u8;

    private const int HeaderBytes = 4;
    private const int EntryBytes = 8;
    private const uint Version = 2;
    private const ushort Owner = 0x01, User = 0x02, OwningGroup = 0x04, Group = 0x08, Mask = 0x10, Other = 0x20;

    /// <summary>Ok for a list that may be stored and for an empty one (a header alone), which stands for none.</summary>
    public static FsStatus Validate(ReadOnlySpan<byte> acl)
    {
        if (acl.Length < HeaderBytes)
            return FsStatus.Invalid;
        if (BinaryPrimitives.ReadUInt32LittleEndian(acl) != Version)
            return FsStatus.NotSupported;
        if ((acl.Length - HeaderBytes) % EntryBytes != 0)
            return FsStatus.Invalid;
        if (IsEmpty(acl))
            return FsStatus.Ok;
        if (acl.Length > MaxBytes)
            return FsStatus.ArgumentTooLong;

        ushort previous = 0;
        bool needsMask = false;
        for (int i = 0; i < Count(acl); i++)
        {
            (ushort tag, ushort permissions, uint id) = Entry(acl, i);
            bool follows = tag switch
            {
                Owner => previous == 0,
                User => previous is Owner or User,
                OwningGroup => previous is Owner or User,
                Group => previous is OwningGroup or Group,
                Mask => previous is OwningGroup or Group,
                Other => previous == Mask || (previous is OwningGroup or Group && !needsMask),
                _ => false,
            };
            if (!follows || (permissions & ~7) != 0 || (tag is User or Group && id == uint.MaxValue))
                return FsStatus.Invalid;
            needsMask |= tag is User or Group;
            previous = tag;
        }

        return previous == Other ? FsStatus.Ok : FsStatus.Invalid;
    }

    public static bool IsEmpty(ReadOnlySpan<byte> acl) => acl.Length <= HeaderBytes;

    /// <summary>
    /// The nine permission bits that a valid list stands for (the group's are the mask's where there is one), and whether they say all of it:
    /// such a list need not be stored.
    /// </summary>
    public static uint ToMode(ReadOnlySpan<byte> acl, out bool isMinimal)
    {
        uint mode = 0;
        isMinimal = true;
        for (int i = 0; i < Count(acl); i++)
        {
            (ushort tag, ushort permissions, _) = Entry(acl, i);
            switch (tag)
            {
                case Owner:
                    mode |= (uint)permissions << 6;
                    break;
                case OwningGroup:
                    mode |= (uint)permissions << 3;
                    break;
                case Mask:
                    mode = (mode & ~0x38u) | ((uint)permissions << 3);
                    isMinimal = false;
                    break;
                case Other:
                    mode |= permissions;
                    break;
                default:
                    isMinimal = false;
                    break;
            }
        }

        return mode;
    }

    /// <summary>chmod: writes the permission bits of a mode into the entries that they stand for.</summary>
    public static void SetMode(Span<byte> acl, uint mode)
    {
        int group = -1;
        for (int i = 0; i < Count(acl); i++)
        {
            switch (Entry(acl, i).Tag)
            {
                case Owner:
                    SetPermissions(acl, i, mode >> 6);
                    break;
                case OwningGroup when group < 0:
                    group = i;
                    break;
                case Mask:
                    group = i;
                    break;
                case Other:
                    SetPermissions(acl, i, mode);
                    break;
            }
        }

        if (group >= 0)
            SetPermissions(acl, group, mode >> 3);
    }

    /// <summary>
    /// Inheritance: turns a directory's default list into the access list of a new entry made with <paramref name="mode"/> (neither grants what the other does
    /// not) and gives the permission bits to match. Returns whether the list says more than those bits.
    /// </summary>
    public static bool Inherit(Span<byte> acl, ref uint mode)
    {
        uint allowed = ToMode(acl, out bool isMinimal);
        mode &= ~0x1FFu | allowed;
        SetMode(acl, mode);
        return !isMinimal;
    }

    /// <summary>Whether the list lets someone who is neither privileged nor the owner do what is wanted; the owner's entry is matched by the mode.</summary>
    public static bool Allows(ReadOnlySpan<byte> acl, in InodeRecord inode, in Caller caller, uint wanted)
    {
        bool inGroup = false;
        for (int i = 0; i < Count(acl); i++)
        {
            (ushort tag, ushort permissions, uint id) = Entry(acl, i);
            switch (tag)
            {
                case User when id == caller.Uid:
                    return AllowsMasked(acl, i, wanted);
                case OwningGroup when caller.InGroup(inode.Gid):
                case Group when caller.InGroup(id):
                    inGroup = true;
                    if ((permissions & wanted) == wanted)
                        return AllowsMasked(acl, i, wanted);
                    break;
                case Other:
                    return !inGroup && (permissions & wanted) == wanted;
            }
        }

        return false;
    }

    private static bool AllowsMasked(ReadOnlySpan<byte> acl, int entry, uint wanted)
    {
        uint permissions = Entry(acl, entry).Permissions;
        for (int i = entry + 1; i < Count(acl); i++)
        {
            if (Entry(acl, i).Tag == Mask)
                permissions &= Entry(acl, i).Permissions;
        }

        return (permissions & wanted) == wanted;
    }

    private static int Count(ReadOnlySpan<byte> acl) => (acl.Length - HeaderBytes) / EntryBytes;

    private static (ushort Tag, ushort Permissions, uint Id) Entry(ReadOnlySpan<byte> acl, int index)
    {
        ReadOnlySpan<byte> entry = acl.Slice(HeaderBytes + index * EntryBytes, EntryBytes);
        return (
            BinaryPrimitives.ReadUInt16LittleEndian(entry), BinaryPrimitives.ReadUInt16LittleEndian(entry[2..]),
            BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]));
    }

    private static void SetPermissions(Span<byte> acl, int index, uint permissions) =>
        BinaryPrimitives.WriteUInt16LittleEndian(acl[(HeaderBytes + index * EntryBytes + 2)..], (ushort)(permissions & 7));
}
