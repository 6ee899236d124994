using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace StoreCore.Rpc;

/// <summary>
/// Writes XDR (RFC 4506) into a message buffer that the caller owns. What does not fit sets <see cref="Overflow"/> and is left out, whole; so is
/// everything after it, until <see cref="Rewind"/> goes back to a position before. Never throws for want of room, allocates nothing.
/// </summary>
public ref struct XdrWriter(Span<byte> destination)
{
    private readonly Span<byte> _destination = destination;
    private int _reserved = -1;

    /// <summary>Something did not fit.</summary>
    public bool Overflow { get; private set; }

    /// <summary>Bytes written so far: a position for <see cref="PatchU32"/> and <see cref="Rewind"/>.</summary>
    public int Position { get; private set; }

    /// <summary>Bytes that still fit.</summary>
    public readonly int Free => _destination.Length - Position;

    /// <summary>What was written so far.</summary>
    public readonly Span<byte> Written => _destination[..Position];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void U32(uint value)
    {
        if (Take(4, out Span<byte> place))
            BinaryPrimitives.WriteUInt32BigEndian(place, value);
    }

    public void I32(int value) => U32((uint)value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void U64(ulong value)
    {
        if (Take(8, out Span<byte> place))
            BinaryPrimitives.WriteUInt64BigEndian(place, value);
    }

    public void I64(long value) => U64((ulong)value);

    public void Bool(bool value) => U32(value ? 1u : 0u);

    /// <summary>Fixed-length opaque data, padded with zeros to a multiple of four.</summary>
    public void Fixed(scoped ReadOnlySpan<byte> value)
    {
        int padding = XdrReader.Padding(value.Length);
        if (value.Length > int.MaxValue - 3 || !Take(value.Length + padding, out Span<byte> place))
        {
            Overflow = true;
            return;
        }

        value.CopyTo(place);
        place[value.Length..].Clear();
    }

    /// <summary>Variable-length opaque data: length, bytes, padding.</summary>
    public void Opaque(scoped ReadOnlySpan<byte> value)
    {
        int before = Position;
        U32((uint)value.Length);
        Fixed(value);
        if (Overflow)
            Position = Math.Min(Position, before);
    }

    /// <summary>A string, as the bytes it is.</summary>
    public void String(scoped ReadOnlySpan<byte> value) => Opaque(value);

    /// <summary>
    /// The place of up to <paramref name="maxBytes"/> bytes of variable-length opaque data, for the caller to fill (a file system reads straight into the
    /// reply); <see cref="Commit"/> must follow before anything else is written. Room for the length word and the padding is seen to. Empty, with
    /// <see cref="Overflow"/>, if it does not fit.
    /// </summary>
    public Span<byte> Reserve(int maxBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxBytes);
        if (Overflow || Free < 4 || maxBytes > Free - 4 || XdrReader.Padding(maxBytes) > Free - 4 - maxBytes)
        {
            Overflow = true;
            return default;
        }

        _reserved = maxBytes;
        return _destination.Slice(Position + 4, maxBytes);
    }

    /// <summary>Ends a <see cref="Reserve"/>: the first <paramref name="lengthBytes"/> of the place become the opaque data. Nothing after an overflow.</summary>
    /// <exception cref="InvalidOperationException">There is no reservation, or it was smaller: a defect of the caller.</exception>
    public void Commit(int lengthBytes)
    {
        if (Overflow)
            return;
        if ((uint)lengthBytes > (uint)_reserved || _reserved < 0)
            throw new InvalidOperationException($"{lengthBytes} bytes committed of a reservation of {_reserved}");

        _reserved = -1;
        BinaryPrimitives.WriteUInt32BigEndian(_destination[Position..], (uint)lengthBytes);
        Position += 4 + lengthBytes;
        int padding = XdrReader.Padding(lengthBytes);
        _destination.Slice(Position, padding).Clear();
        Position += padding;
    }

    /// <summary>Overwrites a word that was written before (a count or a status known only later). Nothing if that word did not fit.</summary>
    public readonly void PatchU32(int position, uint value)
    {
        if (position >= 0 && position <= Position - 4)
            BinaryPrimitives.WriteUInt32BigEndian(_destination[position..], value);
    }

    /// <summary>
    /// Forgets everything written from <paramref name="position"/> on, overflow and reservation included: an entry that does not fit is taken back,
    /// a result is replaced by an error.
    /// </summary>
    public void Rewind(int position)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Position);
        Position = position;
        Overflow = false;
        _reserved = -1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Take(int bytes, out Span<byte> place)
    {
        if (Overflow || bytes > Free)
        {
            Overflow = true;
            place = default;
            return false;
        }

        place = _destination.Slice(Position, bytes);
        Position += bytes;
        return true;
    }
}
