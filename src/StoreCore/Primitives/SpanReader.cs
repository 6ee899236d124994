using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace StoreCore.Primitives;

/// <summary>
/// Reads what <see cref="SpanWriter"/> wrote. Every length is checked against what remains before it is used: bytes that end too early or
/// are not well formed throw <see cref="InvalidDataException"/>, and nothing outside the source is ever touched. Allocates nothing.
/// </summary>
public ref struct SpanReader(ReadOnlySpan<byte> source)
{
    private readonly ReadOnlySpan<byte> _source = source;

    /// <summary>Bytes read so far.</summary>
    public int Position { get; private set; }

    /// <summary>Bytes not read yet.</summary>
    public readonly int Remaining => _source.Length - Position;

    public readonly bool AtEnd => Position == _source.Length;

    /// <summary>All bytes not read yet; does not move.</summary>
    public readonly ReadOnlySpan<byte> Rest => _source[Position..];

    public byte U8() => Bytes(1)[0];

    public ushort U16Big() => BinaryPrimitives.ReadUInt16BigEndian(Bytes(2));

    public uint U32Big() => BinaryPrimitives.ReadUInt32BigEndian(Bytes(4));

    public ulong U64Big() => BinaryPrimitives.ReadUInt64BigEndian(Bytes(8));

    public ushort U16Little() => BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2));

    public uint U32Little() => BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4));

    public ulong U64Little() => BinaryPrimitives.ReadUInt64LittleEndian(Bytes(8));

    public long I64Little() => BinaryPrimitives.ReadInt64LittleEndian(Bytes(8));

    /// <summary>See <see cref="SpanWriter.VarUInt"/>; more than 64 bits are refused.</summary>
    public ulong VarUInt()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte next = U8();
            if (shift == 63 && next > 1)
                break;

            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
                return value;
        }

        throw new InvalidDataException($"the varint that ends at byte {Position} has more than 64 bits");
    }

    /// <summary>See <see cref="SpanWriter.VarInt"/>.</summary>
    public long VarInt()
    {
        ulong code = VarUInt();
        return (long)(code >> 1) ^ -(long)(code & 1);
    }

    /// <summary>See <see cref="SpanWriter.LengthAndBytes"/>; a view into the source.</summary>
    public ReadOnlySpan<byte> LengthAndBytes()
    {
        ulong length = VarUInt();
        return Bytes(length <= int.MaxValue ? (int)length : int.MaxValue);
    }

    /// <summary>The next <paramref name="count"/> bytes; a view into the source.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ReadOnlySpan<byte> Bytes(int count)
    {
        if ((uint)count > (uint)Remaining)
            throw new InvalidDataException($"{count} bytes wanted at byte {Position}, but only {_source.Length} are there");

        ReadOnlySpan<byte> bytes = _source.Slice(Position, count);
        Position += count;
        return bytes;
    }
}
