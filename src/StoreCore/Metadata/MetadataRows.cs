using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>A row of the Inodes table.</summary>
/// <remarks>
/// Layout, little-endian: version u16 = 1, mode u16, generation u32, uid u32, gid u32, links u32, flags u32, size u64, allocated i64,
/// then four times (accessed, modified, changed, born) of seconds i64 and nanoseconds u32: 88 bytes. A directory adds parent u64 and next cookie u64,
/// a device node its device u32.
/// </remarks>
internal static class InodeRow
{
    public const int MaxBytes = CommonBytes + 16;

    private const ushort Version = 1;
    private const int CommonBytes = 88;

    public static ReadOnlySpan<byte> Encode(Span<byte> row, in InodeRecord inode)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(row, Version);
        BinaryPrimitives.WriteUInt16LittleEndian(row[2..], (ushort)inode.Mode);
        BinaryPrimitives.WriteUInt32LittleEndian(row[4..], inode.Generation);
        BinaryPrimitives.WriteUInt32LittleEndian(row[8..], inode.Uid);
        BinaryPrimitives.WriteUInt32LittleEndian(row[12..], inode.Gid);
        BinaryPrimitives.WriteUInt32LittleEndian(row[16..], inode.Links);
        BinaryPrimitives.WriteUInt32LittleEndian(row[20..], (uint)inode.Flags);
        BinaryPrimitives.WriteUInt64LittleEndian(row[24..], inode.SizeBytes);
        BinaryPrimitives.WriteInt64LittleEndian(row[32..], inode.AllocatedBytes);
        WriteTime(row[40..], inode.Accessed);
        WriteTime(row[52..], inode.Modified);
        WriteTime(row[64..], inode.Changed);
        WriteTime(row[76..], inode.Born);
        switch (inode.Kind)
        {
            case InodeKind.Directory:
                BinaryPrimitives.WriteUInt64LittleEndian(row[CommonBytes..], inode.Parent.Value);
                BinaryPrimitives.WriteUInt64LittleEndian(row[(CommonBytes + 8)..], inode.NextCookie);
                return row[..(CommonBytes + 16)];
            case InodeKind.CharacterDevice or InodeKind.BlockDevice:
                BinaryPrimitives.WriteUInt32LittleEndian(row[CommonBytes..], inode.Device);
                return row[..(CommonBytes + 4)];
            default:
                return row[..CommonBytes];
        }
    }

    /// <exception cref="MetadataException">The row is not one of this version.</exception>
    public static InodeRecord Decode(InodeId id, ReadOnlySpan<byte> row)
    {
        if (row.Length < CommonBytes || BinaryPrimitives.ReadUInt16LittleEndian(row) != Version)
            throw Malformed(id, row.Length);

        var inode = new InodeRecord
        {
            Inode = id,
            Mode = BinaryPrimitives.ReadUInt16LittleEndian(row[2..]),
            Generation = BinaryPrimitives.ReadUInt32LittleEndian(row[4..]),
            Uid = BinaryPrimitives.ReadUInt32LittleEndian(row[8..]),
            Gid = BinaryPrimitives.ReadUInt32LittleEndian(row[12..]),
            Links = BinaryPrimitives.ReadUInt32LittleEndian(row[16..]),
            Flags = (InodeFlags)BinaryPrimitives.ReadUInt32LittleEndian(row[20..]),
            SizeBytes = BinaryPrimitives.ReadUInt64LittleEndian(row[24..]),
            AllocatedBytes = BinaryPrimitives.ReadInt64LittleEndian(row[32..]),
            Accessed = ReadTime(row[40..]),
            Modified = ReadTime(row[52..]),
            Changed = ReadTime(row[64..]),
            Born = ReadTime(row[76..]),
        };
        int expected = CommonBytes;
        switch (inode.Kind)
        {
            case InodeKind.Directory when row.Length == CommonBytes + 16:
                inode.Parent = new InodeId(BinaryPrimitives.ReadUInt64LittleEndian(row[CommonBytes..]));
                inode.NextCookie = BinaryPrimitives.ReadUInt64LittleEndian(row[(CommonBytes + 8)..]);
                expected += 16;
                break;
            case InodeKind.CharacterDevice or InodeKind.BlockDevice when row.Length == CommonBytes + 4:
                inode.Device = BinaryPrimitives.ReadUInt32LittleEndian(row[CommonBytes..]);
                expected += 4;
                break;
            case InodeKind.Directory or InodeKind.CharacterDevice or InodeKind.BlockDevice:
                expected = -1;
                break;
        }

        return row.Length == expected ? inode : throw Malformed(id, row.Length);
    }

    public static void WriteTime(Span<byte> to, Timestamp time)
    {
        BinaryPrimitives.WriteInt64LittleEndian(to, time.Seconds);
        BinaryPrimitives.WriteUInt32LittleEndian(to[8..], time.Nanoseconds);
    }

    public static Timestamp ReadTime(ReadOnlySpan<byte> from) =>
        new(BinaryPrimitives.ReadInt64LittleEndian(from), BinaryPrimitives.ReadUInt32LittleEndian(from[8..]));

    private static MetadataException Malformed(InodeId id, int length) =>
        new($"metadata is damaged: the row of inode {id} ({length} bytes) is not one that this version writes; run gatewayctl fsck --repair");
}

/// <summary>What a name in a directory leads to: a row of the Names table.</summary>
/// <remarks>Layout, little-endian: child u64, cookie u64, kind u8.</remarks>
internal readonly record struct NameRow(InodeId Child, ulong Cookie, InodeKind Kind)
{
    public const int Bytes = 17;

    public ReadOnlySpan<byte> Encode(Span<byte> row)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(row, Child.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(row[8..], Cookie);
        row[16] = (byte)Kind;
        return row[..Bytes];
    }

    /// <exception cref="MetadataException">The length is wrong.</exception>
    public static NameRow Decode(InodeId directory, ReadOnlySpan<byte> row) => row.Length == Bytes
        ? new NameRow(
            new InodeId(BinaryPrimitives.ReadUInt64LittleEndian(row)), BinaryPrimitives.ReadUInt64LittleEndian(row[8..]), (InodeKind)row[16])
        : throw new MetadataException($"metadata is damaged: a name of directory {directory} has a row of {row.Length} bytes; run gatewayctl fsck --repair");
}

/// <summary>A row of the Entries table.</summary>
/// <remarks>Layout, little-endian: child u64, kind u8, then the name to the end.</remarks>
internal readonly ref struct EntryRow(InodeId child, InodeKind kind, ReadOnlySpan<byte> name)
{
    public const int MaxBytes = HeaderBytes + Limits.MaxNameBytes;

    private const int HeaderBytes = 9;

    public InodeId Child { get; } = child;

    public InodeKind Kind { get; } = kind;

    public ReadOnlySpan<byte> Name { get; } = name;

    public ReadOnlySpan<byte> Encode(Span<byte> row)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(row, Child.Value);
        row[8] = (byte)Kind;
        Name.CopyTo(row[HeaderBytes..]);
        return row[..(HeaderBytes + Name.Length)];
    }

    /// <exception cref="MetadataException">The length is wrong.</exception>
    public static EntryRow Decode(InodeId directory, ReadOnlySpan<byte> row) => row.Length is > HeaderBytes and <= MaxBytes
        ? new EntryRow(new InodeId(BinaryPrimitives.ReadUInt64LittleEndian(row)), (InodeKind)row[8], row[HeaderBytes..])
        : throw new MetadataException($"metadata is damaged: an entry of directory {directory} has a row of {row.Length} bytes; run gatewayctl fsck --repair");
}
