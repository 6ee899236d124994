using System.Buffers.Binary;
using System.Security.Cryptography;
using StoreCore.Primitives;

namespace Gateway.Nfs;

/// <summary>
/// What a file handle says: an object, the life of its number, and the export under which the client got it. The same on every node and
/// for ever. <see cref="NfsHandleCodec"/> makes and checks its bytes.
/// </summary>
public readonly record struct NfsFileHandle(uint ExportId, InodeId Inode, uint Generation);

/// <summary>
/// Bytes of handles. A client cannot make one itself nor carry one over to another export: a MAC with the cluster's key covers all of it. Any
/// thread; nothing is allocated.
/// </summary>
/// <remarks>
/// Layout, 48 bytes, little endian (a client compares the bytes and looks at nothing):
/// 0 version u8 = 1 · 1 zero, 3 bytes · 4 export id u32 · 8 file system u64 · 16 inode u64 · 24 generation u32 · 28 zero u32 · 32 MAC of bytes 0 to 31, 16 bytes.
/// </remarks>
public sealed class NfsHandleCodec
{
    /// <summary>Bytes of every handle; RFC 1813 allows 64.</summary>
    public const int HandleBytes = 48;

    private const byte Version = 1;
    private const int MacOffset = 32;

    private readonly byte[] _key;

    /// <param name="fileSystem">The identity given to the file system at its creation.</param>
    /// <param name="secret">The cluster's secret, at least 16 bytes, the same on every node. Another one makes all handles given out so far void.</param>
    public NfsHandleCodec(Guid fileSystem, ReadOnlySpan<byte> secret)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(secret.Length, SipHash128.KeyBytes);
        _key = HMACSHA256.HashData(secret, "NFS file handles"u8)[..SipHash128.KeyBytes];
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(fileSystem.ToByteArray(bigEndian: true), hash);
        FileSystem = BinaryPrimitives.ReadUInt64LittleEndian(hash);
    }

    /// <summary>Stands for the file system in handles and as fsid in attributes.</summary>
    public ulong FileSystem { get; }

    /// <summary>Writes <see cref="HandleBytes"/> bytes.</summary>
    public void Write(in NfsFileHandle handle, Span<byte> destination)
    {
        Span<byte> bytes = destination[..HandleBytes];
        bytes.Clear();
        bytes[0] = Version;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[4..], handle.ExportId);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[8..], FileSystem);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[16..], handle.Inode.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[24..], handle.Generation);
        BinaryPrimitives.WriteUInt128LittleEndian(bytes[MacOffset..], SipHash128.Compute(_key, bytes[..MacOffset]));
    }

    /// <summary>
    /// False for bytes that no node of this cluster ever gave out (BADHANDLE). That the object is still there is not known yet: the caller compares
    /// <see cref="NfsFileHandle.Generation"/> with the inode's.
    /// </summary>
    public bool TryRead(ReadOnlySpan<byte> bytes, out NfsFileHandle handle)
    {
        handle = default;
        if (bytes.Length != HandleBytes)
            return false;

        // Compared as two whole words: what a forger can time says nothing about single bytes.
        if (BinaryPrimitives.ReadUInt128LittleEndian(bytes[MacOffset..]) != SipHash128.Compute(_key, bytes[..MacOffset]))
            return false;
        if (bytes[0] != Version || BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]) != FileSystem)
            return false;

        handle = new NfsFileHandle(
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]), new InodeId(BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..])),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[24..]));
        return true;
    }
}
