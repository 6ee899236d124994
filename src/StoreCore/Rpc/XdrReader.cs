using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace StoreCore.Rpc;

/// <summary>
/// Reads XDR (RFC 4506) from a message. Every length is checked against its maximum and against what remains before it is used; the first
/// thing that does not hold sets <see cref="Malformed"/> for good, and from then on zeros and empty spans are returned. So arguments are read
/// one after the other and <see cref="Malformed"/> is asked once, before any of them is acted on. Never throws, allocates nothing; what it returns are views into the source.
/// </summary>
public ref struct XdrReader(ReadOnlySpan<byte> source)
{
    private readonly ReadOnlySpan<byte> _source = source;

    /// <summary>Something did not hold: too short, a length above its maximum, a boolean other than 0 and 1, padding that is not zero.</summary>
    public bool Malformed { get; private set; }

    /// <summary>Bytes read so far, padding included.</summary>
    public int Position { get; private set; }

    public readonly int Remaining => _source.Length - Position;

    /// <summary>Everything was read and was well formed: what must hold behind the last argument of a procedure.</summary>
    public readonly bool AtEnd => !Malformed && Position == _source.Length;

    /// <summary>All bytes not read yet; does not move.</summary>
    public readonly ReadOnlySpan<byte> Rest => _source[Position..];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint U32()
    {
        if (Malformed || Remaining < 4)
        {
            Malformed = true;
            return 0;
        }

        uint value = BinaryPrimitives.ReadUInt32BigEndian(_source[Position..]);
        Position += 4;
        return value;
    }

    public int I32() => (int)U32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong U64()
    {
        if (Malformed || Remaining < 8)
        {
            Malformed = true;
            return 0;
        }

        ulong value = BinaryPrimitives.ReadUInt64BigEndian(_source[Position..]);
        Position += 8;
        return value;
    }

    public long I64() => (long)U64();

    /// <summary>A boolean; also the "value follows" of optional data and lists.</summary>
    public bool Bool() => Enum(1) == 1;

    /// <summary>An enumeration or union discriminant of the values 0 to <paramref name="max"/>; any other is malformed.</summary>
    public uint Enum(uint max)
    {
        uint value = U32();
        if (value <= max)
            return value;

        Malformed = true;
        return 0;
    }

    /// <summary>Fixed-length opaque data; its padding to a multiple of four must be there and be zero.</summary>
    public ReadOnlySpan<byte> Fixed(int lengthBytes)
    {
        // Remaining is at most int.MaxValue, so that the padded length is compared without overflow.
        if (Malformed || lengthBytes < 0 || lengthBytes > Remaining || Padding(lengthBytes) > Remaining - lengthBytes)
        {
            Malformed = true;
            return default;
        }

        ReadOnlySpan<byte> bytes = _source.Slice(Position, lengthBytes);
        ReadOnlySpan<byte> padding = _source.Slice(Position + lengthBytes, Padding(lengthBytes));
        if (padding.ContainsAnyExcept((byte)0))
        {
            Malformed = true;
            return default;
        }

        Position += lengthBytes + padding.Length;
        return bytes;
    }

    /// <summary>Variable-length opaque data of at most <paramref name="maxBytes"/> bytes.</summary>
    public ReadOnlySpan<byte> Opaque(int maxBytes)
    {
        uint length = U32();
        if (length <= (uint)maxBytes)
            return Fixed((int)length);

        Malformed = true;
        return default;
    }

    /// <summary>A string of at most <paramref name="maxBytes"/> bytes, as the bytes it is.</summary>
    public ReadOnlySpan<byte> String(int maxBytes) => Opaque(maxBytes);

    /// <summary>Says that a value that was read is none that may be there (a mode, a union arm): the same as if it had been cut off.</summary>
    public void Refuse() => Malformed = true;

    internal static int Padding(int lengthBytes) => -lengthBytes & 3;
}
