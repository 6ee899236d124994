using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace StoreCore.Primitives;

/// <summary>
/// Writes fixed and variable width values one after the other into a span that the caller owns: keys (big endian, so that byte order is
/// numeric order) and rows (little endian, or varints where small values are the rule). Allocates nothing; what does not fit throws
/// <see cref="ArgumentException"/>, for a row's greatest size is known before it is written.
/// </summary>
public ref struct SpanWriter(Span<byte> destination)
{
    private readonly Span<byte> _destination = destination;

    /// <summary>Most bytes that <see cref="VarUInt"/> and <see cref="VarInt"/> take.</summary>
    public const int MaxVarIntBytes = 10;

    /// <summary>Bytes written so far.</summary>
    public int Length { get; private set; }

    /// <summary>Bytes that still fit.</summary>
    public readonly int Free => _destination.Length - Length;

    /// <summary>What was written so far; a view into the destination.</summary>
    public readonly Span<byte> Written => _destination[..Length];

    public void U8(byte value) => Next(1)[0] = value;

    public void U16Big(ushort value) => BinaryPrimitives.WriteUInt16BigEndian(Next(2), value);

    public void U32Big(uint value) => BinaryPrimitives.WriteUInt32BigEndian(Next(4), value);

    public void U64Big(ulong value) => BinaryPrimitives.WriteUInt64BigEndian(Next(8), value);

    public void U16Little(ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(Next(2), value);

    public void U32Little(uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Next(4), value);

    public void U64Little(ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Next(8), value);

    public void I64Little(long value) => BinaryPrimitives.WriteInt64LittleEndian(Next(8), value);

    /// <summary>Base 128, least significant group first, the high bit set on all bytes but the last (LEB128).</summary>
    public void VarUInt(ulong value)
    {
        while (value >= 0x80)
        {
            U8((byte)(value | 0x80));
            value >>= 7;
        }

        U8((byte)value);
    }

    /// <summary>A signed value as <see cref="VarUInt"/> of its zigzag code (0, -1, 1, -2 … as 0, 1, 2, 3 …).</summary>
    public void VarInt(long value) => VarUInt((ulong)(value << 1) ^ (ulong)(value >> 63));

    /// <summary>The bytes as they are, without a length.</summary>
    public void Bytes(scoped ReadOnlySpan<byte> value) => value.CopyTo(Next(value.Length));

    /// <summary>The length as <see cref="VarUInt"/>, then the bytes.</summary>
    public void LengthAndBytes(scoped ReadOnlySpan<byte> value)
    {
        VarUInt((ulong)value.Length);
        Bytes(value);
    }

    /// <summary>Takes the next <paramref name="count"/> bytes for the caller to fill; they are not cleared.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Span<byte> Next(int count)
    {
        if ((uint)count > (uint)Free)
            throw new ArgumentException($"{count} bytes do not fit: {Free} of {_destination.Length} are free");

        Span<byte> next = _destination.Slice(Length, count);
        Length += count;
        return next;
    }
}
