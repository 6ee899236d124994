using System.Buffers.Binary;
using System.Net;

namespace Gateway.Nfs.Exports;

/// <summary>
/// The address of a client as rules compare it: 128 bits, IPv4 as IPv6 maps it (::ffff:a.b.c.d, RFC 4291 §2.5.5.2), so that a client that reaches
/// an IPv6 socket over IPv4 is the same client. Made from an <see cref="IPAddress"/> without allocation.
/// </summary>
public readonly record struct ClientAddress(UInt128 Bits)
{
    /// <summary>Prefix bits that an IPv4 network has before its own ones.</summary>
    public const int MappedPrefixBits = 96;

    private static readonly UInt128 Mapped = (UInt128)0xFFFF << 32;

    public bool IsIPv4 => Bits >> 32 == 0xFFFF;

    /// <summary>127.0.0.0/8 and ::1.</summary>
    public bool IsLoopback => IsIPv4 ? (byte)(Bits >> 24) == 127 : Bits == UInt128.One;

    public static ClientAddress From(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out int length);
        return new ClientAddress(length == 4 ? Mapped | BinaryPrimitives.ReadUInt32BigEndian(bytes) : BinaryPrimitives.ReadUInt128BigEndian(bytes));
    }

    /// <summary>A dotted IPv4 or an IPv6 address; nothing shortened as inet_aton would have it, no zone.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out ClientAddress address)
    {
        address = default;
        bool isIPv4 = text.Count('.') == 3 && !text.Contains(':');
        if ((!isIPv4 && !text.Contains(':')) || text.ContainsAny('%', '[') || !IPAddress.TryParse(text, out IPAddress? parsed))
            return false;

        address = From(parsed);
        return true;
    }

    public IPAddress ToIPAddress()
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, Bits);
        return new IPAddress(IsIPv4 ? bytes[12..] : bytes);
    }

    /// <summary>Whether the first <paramref name="prefixBits"/> of 128 are those of the network.</summary>
    public bool IsIn(ClientAddress network, int prefixBits) => prefixBits == 0 || (Bits ^ network.Bits) >> (128 - prefixBits) == UInt128.Zero;

    /// <summary>The address with all bits behind the prefix cleared.</summary>
    public ClientAddress Network(int prefixBits) => new(prefixBits == 0 ? UInt128.Zero : Bits >> (128 - prefixBits) << (128 - prefixBits));

    public override string ToString() => ToIPAddress().ToString();
}
