using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>A segment: <see cref="Limits.ChunksPerSegment"/> chunks of one block, the unit of the index.</summary>
/// <remarks>
/// As key of <see cref="Kv.KvTable.Segments"/>: inode u64 BE, block u32 BE, segment u8. Of <see cref="Kv.KvTable.InlineData"/>: inode u64 BE,
/// block u32 BE, chunk within the block u16 BE. Of <see cref="Kv.KvTable.Undo"/>: window u64 BE, then as in Segments. Byte order is file order.
/// </remarks>
internal readonly record struct SegmentKey(ulong Inode, uint Block, byte Segment)
{
    public const int SizeBytes = 13;

    public const int InlineSizeBytes = 14;

    public const int UndoSizeBytes = 8 + SizeBytes;

    public SegmentKey(BlockId block, int segment)
        : this(block.Inode.Value, block.Index, (byte)segment)
    {
    }

    public BlockId BlockId => new(new InodeId(Inode), Block);

    /// <summary>The file offset of the segment's first byte.</summary>
    public ulong FileOffset => (ulong)Block * Limits.BlockSizeBytes + (ulong)Segment * Limits.SegmentSizeBytes;

    public static SegmentKey Containing(InodeId inode, ulong fileOffset) => new(
        inode.Value, (uint)(fileOffset / Limits.BlockSizeBytes), (byte)(fileOffset % Limits.BlockSizeBytes / Limits.SegmentSizeBytes));

    public Span<byte> Encode(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, Inode);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], Block);
        destination[12] = Segment;
        return destination[..SizeBytes];
    }

    public Span<byte> EncodeInline(Span<byte> destination, int chunkInSegment)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, Inode);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], Block);
        BinaryPrimitives.WriteUInt16BigEndian(destination[12..], (ushort)(Segment * Limits.ChunksPerSegment + chunkInSegment));
        return destination[..InlineSizeBytes];
    }

    public Span<byte> EncodeUndo(Span<byte> destination, ulong window)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, window);
        Encode(destination[8..]);
        return destination[..UndoSizeBytes];
    }

    /// <summary>False where the bytes are no key of a segment.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, out SegmentKey key)
    {
        if (bytes.Length != SizeBytes || bytes[12] >= Limits.SegmentsPerBlock)
        {
            key = default;
            return false;
        }

        key = new SegmentKey(BinaryPrimitives.ReadUInt64BigEndian(bytes), BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]), bytes[12]);
        return true;
    }

    public static bool TryDecodeInline(ReadOnlySpan<byte> bytes, out SegmentKey key, out int chunkInSegment)
    {
        key = default;
        chunkInSegment = 0;
        if (bytes.Length != InlineSizeBytes)
            return false;

        int chunk = BinaryPrimitives.ReadUInt16BigEndian(bytes[12..]);
        if (chunk >= Limits.ChunksPerBlock)
            return false;

        key = new SegmentKey(
            BinaryPrimitives.ReadUInt64BigEndian(bytes), BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]), (byte)(chunk / Limits.ChunksPerSegment));
        chunkInSegment = chunk % Limits.ChunksPerSegment;
        return true;
    }

    public static bool TryDecodeUndo(ReadOnlySpan<byte> bytes, out ulong window, out SegmentKey key)
    {
        window = 0;
        key = default;
        if (bytes.Length != UndoSizeBytes)
            return false;

        window = BinaryPrimitives.ReadUInt64BigEndian(bytes);
        return TryDecode(bytes[8..], out key);
    }

    public override string ToString() => $"{Inode}.{Block}.{Segment}";
}
