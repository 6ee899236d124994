using System.Buffers.Binary;
using System.Globalization;
using System.Net;

namespace StoreCore.Rpc;

/// <summary>
/// An Internet address and port as a value: compared and copied without allocation. IPv4 addresses are kept as IPv4-mapped IPv6 ones, so that a
/// client is the same one over either kind of socket.
/// </summary>
/// <param name="Address">The 16 bytes of the IPv6 address as a number, most significant first.</param>
public readonly record struct RpcPeer(UInt128 Address, ushort Port)
{
    private const ulong MappedPrefix = 0xFFFF_0000_0000;

    /// <summary>An IPv4 address.</summary>
    public bool IsV4 => (Address >> 32) == MappedPrefix >> 32;

    /// <summary>The IPv4 address as a number (192.0.2.1 is 0xC0000201); only where <see cref="IsV4"/>.</summary>
    public uint V4 => (uint)Address;

    public static RpcPeer From(uint v4, ushort port) => new(MappedPrefix | v4, port);

    public static RpcPeer From(IPAddress address, int port)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (!address.TryWriteBytes(bytes, out int length))
            throw new ArgumentException("neither IPv4 nor IPv6", nameof(address));
        return length == 4
            ? From(BinaryPrimitives.ReadUInt32BigEndian(bytes), (ushort)port)
            : new RpcPeer(BinaryPrimitives.ReadUInt128BigEndian(bytes), (ushort)port);
    }

    /// <summary>A new object: not for every call.</summary>
    public IPAddress ToIPAddress()
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, Address);
        return new IPAddress(IsV4 ? bytes[12..] : bytes);
    }

    /// <summary>"192.0.2.1:1023" or "[2001:db8::1]:1023".</summary>
    public override string ToString() => IsV4
        ? string.Create(CultureInfo.InvariantCulture, $"{ToIPAddress()}:{Port}")
        : string.Create(CultureInfo.InvariantCulture, $"[{ToIPAddress()}]:{Port}");
}
