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
    private readonly byte[] _key = HMACSHA256.HashData(secret, "NFS requests"u8)[..SipHash128.KeyBytes];

    public RequestId Of(in RpcCall call, ReadOnlySpan<byte> arguments)
    {
        // address 16 · xid 4 · program 4 · version 4 · procedure 4 · uid 4 · hash of the arguments 16
        Span<byte> buffer = stackalloc byte[52];
        BinaryPrimitives.WriteUInt128BigEndian(buffer, call.Peer.Address);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[16..], call.Xid);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[20..], call.Program);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[24..], call.Version);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[28..], call.Procedure);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[32..], call.Uid);
        BinaryPrimitives.WriteUInt128BigEndian(buffer[36..], SipHash128.Compute(_key, arguments));
        UInt128 hash = SipHash128.Compute(_key, buffer);
        return new RequestId((ulong)(hash >> 64), (ulong)hash);
    }
}
