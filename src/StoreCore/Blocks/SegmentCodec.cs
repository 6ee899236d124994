using System.Buffers.Binary;

namespace StoreCore.Blocks;

/// <summary>Index rows as bytes.</summary>
/// <remarks>
/// Layout, version 1, all numbers little endian:
/// <code>
/// u8   version = 1
/// u32  end (0 to 131072)
/// runs in chunk order until the value ends; chunks behind the last run are holes:
///   u8   kind in bits 7-6 (0 hole, 1 volume, 2 inline, 3 lost), number of chunks (1 to 32) in bits 5-0
///   volume only: u32 volume, u32 first chunk in the volume (the run is consecutive there)
///   unless hole: one u32 CRC-32C for each chunk
/// </code>
/// A segment without mapped chunks and with end 0 has no row. A value of length 0 stands for that in <see cref="Kv.KvTable.Undo"/>.
/// </remarks>
internal static class SegmentCodec
{
    public const byte Version = 1;

    /// <summary>Header, and every chunk a run of its own.</summary>
    public const int MaxSizeBytes = 5 + Limits.ChunksPerSegment * (1 + 8 + 4);

    private const int KindShift = 6, KindHole = 0, KindVolume = 1, KindInline = 2, KindLost = 3, CountMask = 0x3F;

    /// <summary>Writes the row and returns its bytes; none for an empty map.</summary>
    public static Span<byte> Encode(in SegmentMap map, Span<byte> destination)
    {
        if (map.IsEmpty)
            return destination[..0];

        destination[0] = Version;
        BinaryPrimitives.WriteInt32LittleEndian(destination[1..], map.End);
        int at = 5;
        int end = Limits.ChunksPerSegment;
        while (end > 0 && map.Locations[end - 1].IsHole)
            end--;

        for (int chunk = 0; chunk < end;)
        {
            ChunkLocation location = map.Locations[chunk];
            int count = map.RunLength(chunk, end);
            int kind = location.IsVolume ? KindVolume : location.IsInline ? KindInline : location.IsLost ? KindLost : KindHole;
            destination[at++] = (byte)(kind << KindShift | count);
            if (kind == KindVolume)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(destination[at..], location.Volume);
                BinaryPrimitives.WriteInt32LittleEndian(destination[(at + 4)..], location.Chunk);
                at += 8;
            }

            for (int i = 0; kind != KindHole && i < count; i++, at += 4)
                BinaryPrimitives.WriteUInt32LittleEndian(destination[at..], map.Checksums[chunk + i]);
            chunk += count;
        }

        return destination[..at];
    }

    /// <summary>False where the bytes are no row of a version known here. Every length is checked before it is used.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> row, out SegmentMap map)
    {
        map = default;
        if (row.IsEmpty)
            return true;
        if (row.Length < 5 || row[0] != Version)
            return false;

        map.End = BinaryPrimitives.ReadInt32LittleEndian(row[1..]);
        if ((uint)map.End > Limits.SegmentSizeBytes)
            return false;

        row = row[5..];
        int chunk = 0;
        while (!row.IsEmpty)
        {
            int kind = row[0] >> KindShift;
            int count = row[0] & CountMask;
            row = row[1..];
            if (count == 0 || chunk + count > Limits.ChunksPerSegment)
                return false;

            ChunkLocation location = kind switch
            {
                KindInline => ChunkLocation.Inline,
                KindLost => ChunkLocation.Lost,
                _ => ChunkLocation.Hole,
            };
            if (kind == KindVolume)
            {
                if (row.Length < 8)
                    return false;

                location = new ChunkLocation(BinaryPrimitives.ReadUInt32LittleEndian(row), BinaryPrimitives.ReadInt32LittleEndian(row[4..]));
                row = row[8..];

                // Chunk 0 of a volume is its header.
                if (!location.IsVolume || location.Chunk <= 0 || location.Chunk > int.MaxValue - count)
                    return false;
            }

            if (kind != KindHole)
            {
                if (row.Length < count * 4)
                    return false;

                for (int i = 0; i < count; i++, row = row[4..])
                    map.Set(chunk + i, kind == KindVolume ? location.Plus(i) : location, BinaryPrimitives.ReadUInt32LittleEndian(row));
            }

            chunk += count;
        }

        return true;
    }
}
