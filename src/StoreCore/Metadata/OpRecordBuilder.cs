using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Writes one op record after the other into a buffer that it keeps. One thread at a time. Layout: <see cref="OpRecord"/>.</summary>
internal sealed class OpRecordBuilder
{
    private byte[] _buffer = new byte[4096];
    private int _length;
    private int _requestBytes;

    /// <summary>Whether any effect was written since <see cref="Begin"/>.</summary>
    public bool HasEffects => _length > OpRecord.HeaderBytes + _requestBytes;

    public int SizeBytes => _length;

    public void Begin()
    {
        _length = OpRecord.HeaderBytes;
        _requestBytes = 0;
    }

    /// <summary>Begins the record of a request whose answer is to be kept; <paramref name="number"/> counts them.</summary>
    public void Begin(RequestId id, ulong number)
    {
        Begin();
        Number(id.High);
        Number(id.Low);
        Number(number);
        Number(InodeId.None.Value);
        _requestBytes = _length - OpRecord.HeaderBytes;
    }

    /// <summary>The inode that the request is answered with, if one is kept.</summary>
    public void Answer(InodeId inode)
    {
        if (_requestBytes > 0)
            BinaryPrimitives.WriteUInt64LittleEndian(_buffer.AsSpan(OpRecord.HeaderBytes + _requestBytes - sizeof(ulong)), inode.Value);
    }

    /// <summary>Completes the header and the checksum; the bytes are valid until the next <see cref="Begin"/>.</summary>
    public ReadOnlySpan<byte> Finish(OpKind kind, LogIndex sequence, Term term, Timestamp time, ulong nextInode, ulong inodes)
    {
        Span<byte> record = Grow(OpRecord.ChecksumBytes, out int end);
        record = _buffer.AsSpan(0, _length);
        BinaryPrimitives.WriteUInt16LittleEndian(record, OpRecord.Version);
        record[2] = (byte)kind;
        record[3] = 0;
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], (uint)_length);
        BinaryPrimitives.WriteUInt64LittleEndian(record[8..], sequence.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[16..], term.Value);
        InodeRow.WriteTime(record[24..], time);
        BinaryPrimitives.WriteUInt32LittleEndian(record[36..], (uint)_requestBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(record[40..], nextInode);
        BinaryPrimitives.WriteUInt64LittleEndian(record[48..], inodes);
        BinaryPrimitives.WriteUInt32LittleEndian(record[end..], Crc32C.Compute(record[..end]));
        return record;
    }

    public void PutInode(in InodeRecord inode)
    {
        Span<byte> row = stackalloc byte[InodeRow.MaxBytes];
        PutInode(inode.Inode, InodeRow.Encode(row, inode));
    }

    public void PutInode(InodeId inode, ReadOnlySpan<byte> row)
    {
        Tag(OpEffect.PutInode);
        Number(inode.Value);
        Short(row);
    }

    public void DeleteInode(InodeId inode)
    {
        Tag(OpEffect.DeleteInode);
        Number(inode.Value);
    }

    public void PutEntry(InodeId directory, ulong cookie, InodeId child, InodeKind kind, ReadOnlySpan<byte> name)
    {
        Tag(OpEffect.PutEntry);
        Number(directory.Value);
        Number(cookie);
        Number(child.Value);
        Byte((byte)kind);
        Short(name);
    }

    public void DeleteEntry(InodeId directory, ulong cookie, ReadOnlySpan<byte> name)
    {
        Tag(OpEffect.DeleteEntry);
        Number(directory.Value);
        Number(cookie);
        Short(name);
    }

    public void PutXattr(InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        Tag(OpEffect.PutXattr);
        Number(inode.Value);
        Short(name);
        BinaryPrimitives.WriteUInt32LittleEndian(Grow(4, out _), (uint)value.Length);
        value.CopyTo(Grow(value.Length, out _));
    }

    public void DeleteXattr(InodeId inode, ReadOnlySpan<byte> name)
    {
        Tag(OpEffect.DeleteXattr);
        Number(inode.Value);
        Short(name);
    }

    public void PutPending(PendingKind kind, InodeId inode, ulong value = 0)
    {
        Tag(OpEffect.PutPending);
        Byte((byte)kind);
        Number(inode.Value);
        Number(value);
    }

    public void DeletePending(PendingKind kind, InodeId inode)
    {
        Tag(OpEffect.DeletePending);
        Byte((byte)kind);
        Number(inode.Value);
    }

    public void Format(Guid fileSystemId)
    {
        Tag(OpEffect.Format);
        fileSystemId.TryWriteBytes(Grow(16, out _), bigEndian: true, out _);
    }

    public void DeleteRow(KvTable table, ReadOnlySpan<byte> key)
    {
        Tag(OpEffect.DeleteRow);
        Byte((byte)table);
        BinaryPrimitives.WriteUInt16LittleEndian(Grow(2, out _), (ushort)key.Length);
        key.CopyTo(Grow(key.Length, out _));
    }

    public void PutCluster(ClusterKind kind, uint number, ReadOnlySpan<byte> row)
    {
        Tag(OpEffect.PutCluster);
        Byte((byte)kind);
        BinaryPrimitives.WriteUInt32LittleEndian(Grow(4, out _), number);
        BinaryPrimitives.WriteUInt32LittleEndian(Grow(4, out _), (uint)row.Length);
        row.CopyTo(Grow(row.Length, out _));
    }

    public void DeleteCluster(ClusterKind kind, uint number)
    {
        Tag(OpEffect.DeleteCluster);
        Byte((byte)kind);
        BinaryPrimitives.WriteUInt32LittleEndian(Grow(4, out _), number);
    }

    private void Tag(OpEffect effect) => Byte((byte)effect);

    private void Byte(byte value) => Grow(1, out _)[0] = value;

    private void Number(ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Grow(sizeof(ulong), out _), value);

    /// <summary>Bytes behind their length in one byte.</summary>
    private void Short(ReadOnlySpan<byte> bytes)
    {
        Span<byte> to = Grow(1 + bytes.Length, out _);
        to[0] = checked((byte)bytes.Length);
        bytes.CopyTo(to[1..]);
    }

    private Span<byte> Grow(int bytes, out int at)
    {
        at = _length;
        if (_buffer.Length - _length < bytes)
            Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, _length + bytes));
        _length += bytes;
        return _buffer.AsSpan(at, bytes);
    }
}
