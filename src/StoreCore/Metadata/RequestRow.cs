using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What a client's request was answered, in terms of the metadata: it was carried out by this operation and is about this inode.</summary>
public readonly record struct RequestAnswer(OpKind Kind, InodeId Inode, LogIndex Sequence);

/// <summary>
/// A row of the Requests table, written with the operation itself: after a crash either both are there or neither. Rows go by generations of
/// <see cref="Limits.RequestsPerGeneration"/>, of which the last two are kept; the record alone decides that, so every server keeps the same.
/// </summary>
/// <remarks>Layout, little-endian: op kind u8, inode u64, sequence of the operation u64.</remarks>
internal readonly record struct RequestRow(OpKind Kind, InodeId Inode, LogIndex Sequence)
{
    public const int Bytes = 17;

    /// <summary>The generation of the request with this number (they count from 1).</summary>
    public static ulong GenerationOf(ulong number) => number == 0 ? 0 : (number - 1) / Limits.RequestsPerGeneration;

    public ReadOnlySpan<byte> Encode(Span<byte> row)
    {
        row[0] = (byte)Kind;
        BinaryPrimitives.WriteUInt64LittleEndian(row[1..], Inode.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(row[9..], Sequence.Value);
        return row[..Bytes];
    }

    public static bool TryDecode(ReadOnlySpan<byte> row, out RequestAnswer answer)
    {
        answer = default;
        if (row.Length != Bytes)
            return false;
        answer = new RequestAnswer(
            (OpKind)row[0], new InodeId(BinaryPrimitives.ReadUInt64LittleEndian(row[1..])), new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(row[9..])));
        return true;
    }
}
