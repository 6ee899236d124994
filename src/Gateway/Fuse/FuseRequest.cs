using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Gateway.Fuse;

/// <summary>
/// Reads one request after its header. Nothing throws: what does not fit sets <see cref="Malformed"/> and yields zeros, and the
/// handler asks once at the end of its arguments. Names and data are views into the request buffer.
/// </summary>
internal ref struct FuseRequest(FuseInHeader header, ReadOnlySpan<byte> body, ReadOnlySpan<byte> extensions)
{
    public readonly FuseInHeader Header = header;

    /// <summary><see cref="FuseKnownNodes.PassedOver"/> when it came.</summary>
    public long PassedOver { get; init; }

    private readonly ReadOnlySpan<byte> _extensions = extensions;
    private ReadOnlySpan<byte> _rest = body;

    /// <summary>An argument was missing, too long or not well formed.</summary>
    public bool Malformed { get; private set; }

    /// <summary>Arguments not read yet.</summary>
    public readonly int Remaining => _rest.Length;

    /// <summary>The next fixed structure.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>()
        where T : unmanaged
    {
        if (!MemoryMarshal.TryRead(_rest, out T value))
        {
            Malformed = true;
            return default;
        }

        _rest = _rest[Unsafe.SizeOf<T>()..];
        return value;
    }

    /// <summary>
    /// A structure that older kernels send shorter: at most <paramref name="bytes"/> of it, at least <paramref name="leastBytes"/>; what is
    /// missing is zero.
    /// </summary>
    public T ReadUpTo<T>(int leastBytes, int bytes)
        where T : unmanaged
    {
        T value = default;
        int take = Math.Min(Math.Min(bytes, Unsafe.SizeOf<T>()), _rest.Length);
        if (take < leastBytes)
        {
            Malformed = true;
            return value;
        }

        _rest[..take].CopyTo(MemoryMarshal.AsBytes(new Span<T>(ref value)));
        _rest = _rest[take..];
        return value;
    }

    /// <summary>Bytes up to a zero byte, which is passed over (symlink targets).</summary>
    public ReadOnlySpan<byte> Text()
    {
        int end = _rest.IndexOf((byte)0);
        if (end < 0)
        {
            Malformed = true;
            return default;
        }

        ReadOnlySpan<byte> text = _rest[..end];
        _rest = _rest[(end + 1)..];
        return text;
    }

    /// <summary>The name of a directory entry: as <see cref="Text"/>, and a '/' in it makes the request malformed.</summary>
    public ReadOnlySpan<byte> Name()
    {
        ReadOnlySpan<byte> name = Text();
        if (name.Contains((byte)'/'))
            Malformed = true;
        return name;
    }

    /// <summary>The next <paramref name="count"/> bytes.</summary>
    public ReadOnlySpan<byte> Data(uint count)
    {
        if (count > (uint)_rest.Length)
        {
            Malformed = true;
            return default;
        }

        ReadOnlySpan<byte> data = _rest[..(int)count];
        _rest = _rest[(int)count..];
        return data;
    }

    /// <summary>
    /// The caller's supplementary groups as far as they matter for what is created (FUSE_CREATE_SUPP_GROUP). Extensions are
    /// fuse_ext_header { u32 size, u32 type } and, of type 32, { u32 count, u32 groups[count] }, each padded to 8 bytes.
    /// </summary>
    public uint[]? Groups()
    {
        ReadOnlySpan<byte> rest = _extensions;
        uint[]? groups = null;
        while (rest.Length >= 8)
        {
            uint size = MemoryMarshal.Read<uint>(rest);
            uint type = MemoryMarshal.Read<uint>(rest[4..]);
            if (size < 8 || size > (uint)rest.Length)
            {
                Malformed = true;
                return null;
            }

            if (type == FuseFlag.ExtensionGroups)
            {
                ReadOnlySpan<byte> body = rest[8..(int)size];
                uint count = body.Length >= 4 ? MemoryMarshal.Read<uint>(body) : uint.MaxValue;
                if (count > (uint)(body.Length - 4) / 4)
                {
                    Malformed = true;
                    return null;
                }

                groups = count == 0 ? null : MemoryMarshal.Cast<byte, uint>(body.Slice(4, (int)count * 4)).ToArray();
            }

            rest = rest[Math.Min((int)((size + 7) & ~7u), rest.Length)..];
        }

        return groups;
    }
}
