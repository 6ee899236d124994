using System.Buffers.Binary;
using System.Security.Cryptography;
using StoreCore.Metadata;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>
/// Names requests: the same for a retransmission of one, on whichever node it arrives (the key is the cluster's), and another for every other request.
/// Clients repeat the xid and the bytes of the arguments, and their address; the port may be a new one after a reconnect.
/// </summary>
internal sealed class NfsRequestIds(ReadOnlySpan<byte> secret)
{
    /// <summary>Of the arguments so many bytes count; no procedure whose answer is kept has more but SYMLINK with a very long target.</summary>
    private const int MaxArgumentBytes = 2048;

    private readonly byte[] _key = HMACSHA256.HashData(secret, "NFS requests"u8)[..SipHash128.KeyBytes];

    public RequestId Of(in RpcCall call, ReadOnlySpan<byte> arguments)
    {
        // address 16 · xid 4 · program 4 · version 4 · procedure 4 · uid 4 · length of arguments 4 · arguments
        const int headBytes = 40;
        Span<byte> buffer = stackalloc byte[headBytes + MaxArgumentBytes];
        BinaryPrimitives.WriteUInt128BigEndian(buffer, call.Peer.Address);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[16..], call.Xid);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[20..], call.Program);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[24..], call.Version);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[28..], call.Procedure);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[32..], call.Uid);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[36..], (uint)arguments.Length);
        arguments = arguments[..Math.Min(arguments.Length, MaxArgumentBytes)];
        arguments.CopyTo(buffer[headBytes..]);
        UInt128 hash = SipHash128.Compute(_key, buffer[..(headBytes + arguments.Length)]);
        return new RequestId((ulong)(hash >> 64), (ulong)hash);
    }
}
