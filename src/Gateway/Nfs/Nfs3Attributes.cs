using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>Attributes as NFSv3 sends them: fattr3, wcc_data, sattr3 (RFC 1813 §2.5, §2.6).</summary>
internal static class Nfs3Attributes
{
    /// <summary>fattr3.</summary>
    public const int FattrBytes = 84;

    /// <summary>The permission bits with set-id and sticky: all that a client may set of a mode.</summary>
    public const uint ModeBits = 0xFFF;

    // ftype3
    private const uint TypeFile = 1, TypeDirectory = 2, TypeBlockDevice = 3, TypeCharacterDevice = 4, TypeSymlink = 5, TypeSocket = 6, TypeFifo = 7;

    // time_how
    private const uint DontChange = 0, ToServerTime = 1, ToClientTime = 2;

    /// <summary>
    /// fattr3: type, mode, nlink, uid, gid u32 · size, used u64 · rdev 2×u32 · fsid, fileid u64 · atime, mtime, ctime 2×u32.
    /// </summary>
    public static void Write(ref XdrWriter writer, in InodeRecord record, ulong fileSystem)
    {
        writer.U32(TypeOf(record.Kind));
        writer.U32(record.Mode & ModeBits);
        writer.U32(record.Links);
        writer.U32(record.Uid);
        writer.U32(record.Gid);
        writer.U64(record.SizeBytes);
        writer.U64((ulong)Math.Max(0, record.AllocatedBytes));
        writer.U32(NfsDevice.Major(record.Device));
        writer.U32(NfsDevice.Minor(record.Device));
        writer.U64(fileSystem);
        writer.U64(record.Inode.Value);
        WriteTime(ref writer, record.Accessed);
        WriteTime(ref writer, record.Modified);
        WriteTime(ref writer, record.Changed);
    }

    /// <summary>nfstime3 has 32 bits without a sign: what lies outside is shown as the nearest end.</summary>
    public static void WriteTime(ref XdrWriter writer, Timestamp time)
    {
        writer.U32(SecondsOf(time));
        writer.U32(time.Seconds is < 0 or > uint.MaxValue ? 0 : time.Nanoseconds);
    }

    /// <summary>Whether a time that a client got from us is this one.</summary>
    public static bool IsSameTime(Timestamp time, uint seconds, uint nanoseconds) =>
        SecondsOf(time) == seconds && (time.Seconds is < 0 or > uint.MaxValue ? 0 : time.Nanoseconds) == nanoseconds;

    /// <summary>sattr3: for mode, uid, gid, size a boolean and the value; for both times time_how and the time. What the RFC leaves to the server's time is set to it.</summary>
    public static AttributeChange ReadSettable(ref XdrReader reader)
    {
        var change = new AttributeChange();
        if (reader.Bool())
        {
            change.Mask |= AttributeMask.Mode;
            change.Mode = reader.U32() & ModeBits;
        }

        if (reader.Bool())
        {
            change.Mask |= AttributeMask.Uid;
            change.Uid = reader.U32();
        }

        if (reader.Bool())
        {
            change.Mask |= AttributeMask.Gid;
            change.Gid = reader.U32();
        }

        if (reader.Bool())
        {
            change.Mask |= AttributeMask.Size;
            change.SizeBytes = reader.U64();
        }

        change.Accessed = ReadTimeHow(ref reader, ref change.Mask, AttributeMask.AccessedNow, AttributeMask.Accessed);
        change.Modified = ReadTimeHow(ref reader, ref change.Mask, AttributeMask.ModifiedNow, AttributeMask.Modified);
        return change;
    }

    /// <summary>Whether the values can be: nanoseconds below a second, and no uid or gid of 2^32-1, which stands for none.</summary>
    public static bool IsValid(in AttributeChange change)
    {
        const uint nanosecondsPerSecond = 1_000_000_000;
        AttributeMask mask = change.Mask;
        return ((mask & AttributeMask.Uid) == 0 || change.Uid != uint.MaxValue)
            && ((mask & AttributeMask.Gid) == 0 || change.Gid != uint.MaxValue)
            && ((mask & AttributeMask.Accessed) == 0 || change.Accessed.Nanoseconds < nanosecondsPerSecond)
            && ((mask & AttributeMask.Modified) == 0 || change.Modified.Nanoseconds < nanosecondsPerSecond);
    }

    private static Timestamp ReadTimeHow(ref XdrReader reader, ref AttributeMask mask, AttributeMask now, AttributeMask given)
    {
        switch (reader.Enum(ToClientTime))
        {
            case ToServerTime:
                mask |= now;
                return default;
            case ToClientTime:
                mask |= given;
                uint seconds = reader.U32();
                return new Timestamp(seconds, reader.U32());
            default:
                return default;
        }
    }

    private static uint SecondsOf(Timestamp time) => (uint)Math.Clamp(time.Seconds, 0, uint.MaxValue);

    private static uint TypeOf(InodeKind kind) => kind switch
    {
        InodeKind.File => TypeFile,
        InodeKind.Directory => TypeDirectory,
        InodeKind.BlockDevice => TypeBlockDevice,
        InodeKind.CharacterDevice => TypeCharacterDevice,
        InodeKind.Symlink => TypeSymlink,
        InodeKind.Socket => TypeSocket,
        _ => TypeFifo,
    };

    /// <summary>The kind that MKNOD asks for; <see cref="InodeKind.Unknown"/> for those that it cannot make, null for no ftype3 at all.</summary>
    public static InodeKind? SpecialKind(uint type) => type switch
    {
        TypeBlockDevice => InodeKind.BlockDevice,
        TypeCharacterDevice => InodeKind.CharacterDevice,
        TypeSocket => InodeKind.Socket,
        TypeFifo => InodeKind.Fifo,
        TypeFile or TypeDirectory or TypeSymlink => InodeKind.Unknown,
        _ => null,
    };
}

/// <summary>Device numbers in the kernel's encoding of 32 bits (include/linux/kdev_t.h): 12 bits of major, 20 of minor, the low 8 of it apart.</summary>
internal static class NfsDevice
{
    private const uint MaxMajor = 0xFFF, MaxMinor = 0xFFFFF;

    public static uint Major(uint device) => (device >> 8) & MaxMajor;

    public static uint Minor(uint device) => (device & 0xFF) | ((device >> 12) & 0xFFF00);

    /// <summary>False for numbers that do not fit.</summary>
    public static bool TryEncode(uint major, uint minor, out uint device)
    {
        device = (minor & 0xFF) | (major << 8) | ((minor & ~0xFFu) << 12);
        return major <= MaxMajor && minor <= MaxMinor;
    }
}
