using System.Runtime.CompilerServices;

namespace StoreCore.Blocks;

/// <summary>Where a chunk lies: nowhere (it reads as zeros), in the key-value store, or at a chunk of a volume file.</summary>
internal readonly record struct ChunkLocation(ulong Value)
{
    /// <summary>Never written, punched or cut: reads as zeros.</summary>
    public static readonly ChunkLocation Hole = new(0);

    /// <summary>In <see cref="Kv.KvTable.InlineData"/>.</summary>
    public static readonly ChunkLocation Inline = new(1);

    /// <summary>Repair found that its data is gone: answers with an error until it is written anew, never with zeros.</summary>
    public static readonly ChunkLocation Lost = new(2);

    /// <summary>Volumes count from 1, so every volume location is above the special values.</summary>
    public ChunkLocation(uint volume, int chunk)
        : this((ulong)volume << 32 | (uint)chunk)
    {
    }

    public bool IsVolume => Value > uint.MaxValue;

    public bool IsHole => Value == 0;

    public bool IsInline => Value == 1;

    public bool IsLost => Value == 2;

    public uint Volume => (uint)(Value >> 32);

    public int Chunk => (int)(uint)Value;

    /// <summary>Byte offset in the volume file.</summary>
    public long Offset => (long)Chunk * Limits.ChunkSizeBytes;

    public ChunkLocation Plus(int chunks) => new(Value + (uint)chunks);
}

[InlineArray(Limits.ChunksPerSegment)]
internal struct LocationArray
{
    private ChunkLocation _first;
}

[InlineArray(Limits.ChunksPerSegment)]
internal struct ChecksumArray
{
    private uint _first;
}

/// <summary>A decoded index row. A plain value of some 390 bytes: copied between cache and stack, so that nobody shares a mutable map.</summary>
internal struct SegmentMap
{
    public LocationArray Locations;

    /// <summary>CRC-32C over the whole chunk, zeros behind the data included; 0 for holes.</summary>
    public ChecksumArray Checksums;

    /// <summary>One behind the highest byte ever written and not cut since, 0 to <see cref="Limits.SegmentSizeBytes"/>. All bytes from here on are zero.</summary>
    public int End;

    /// <summary>True where the segment has no row.</summary>
    public readonly bool IsEmpty => End == 0 && MappedChunks == 0;

    public readonly int MappedChunks
    {
        get
        {
            int count = 0;
            foreach (ref readonly ChunkLocation location in (ReadOnlySpan<ChunkLocation>)Locations)
                count += location.IsHole ? 0 : 1;
            return count;
        }
    }

    public void Set(int chunk, ChunkLocation location, uint checksum)
    {
        Locations[chunk] = location;
        Checksums[chunk] = checksum;
    }

    public void SetHole(int chunk) => Set(chunk, ChunkLocation.Hole, 0);

    /// <summary>How many chunks from <paramref name="chunk"/> on, below <paramref name="end"/>, lie one behind the other in the same volume (or are alike, where not in a volume).</summary>
    public readonly int RunLength(int chunk, int end)
    {
        ChunkLocation first = Locations[chunk];
        int count = 1;
        while (chunk + count < end && Locations[chunk + count] == (first.IsVolume ? first.Plus(count) : first))
            count++;
        return count;
    }

    /// <summary>How many separate places in volumes hold the segment. Holes between chunks that lie one behind the other do not count.</summary>
    public readonly int CountPieces()
    {
        int pieces = 0;
        ChunkLocation next = default;
        foreach (ref readonly ChunkLocation location in (ReadOnlySpan<ChunkLocation>)Locations)
        {
            if (!location.IsVolume)
                continue;

            pieces += location == next ? 0 : 1;
            next = location.Plus(1);
        }

        return pieces;
    }

    public readonly bool HasInline => ((ReadOnlySpan<ChunkLocation>)Locations).Contains(ChunkLocation.Inline);
}
