using System.Buffers.Binary;

namespace StoreCore.Kv;

/// <summary>
/// Changes that are applied together or not at all. Built as the bytes of a RocksDB write batch in one managed buffer, so that
/// handing it over is a single native call; a batch is reused with <see cref="Clear"/> and allocates only while it grows. One thread at a time.
/// </summary>
/// <remarks>
/// Layout (RocksDB db/write_batch.cc): sequence u64 LE = 0, count u32 LE, then records of
/// tag u8, column family varint32 (absent for family 0), key length varint32, key [, value length varint32, value].
/// </remarks>
public sealed class KvBatch
{
    private const int HeaderBytes = 12;

    // Tags of db/dbformat.h, each without and with a column family.
    private const byte TagDelete = 0x00, TagPut = 0x01, TagDeleteIn = 0x04, TagPutIn = 0x05, TagDeleteRangeIn = 0x0E, TagDeleteRange = 0x0F;

    private byte[] _buffer = new byte[1024];
    private int _length = HeaderBytes;

    /// <summary>Number of changes.</summary>
    public int Count { get; private set; }

    public int SizeBytes => _length;

    public void Put(KvTable table, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        Tag(table, TagPut, TagPutIn);
        Append(key);
        Append(value);
    }

    public void Delete(KvTable table, ReadOnlySpan<byte> key)
    {
        Tag(table, TagDelete, TagDeleteIn);
        Append(key);
    }

    /// <summary>Deletes the keys from <paramref name="lower"/> (inclusive) to <paramref name="upper"/> (exclusive). For long ranges: it slows reads nearby until compaction.</summary>
    public void DeleteRange(KvTable table, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper)
    {
        // The engine takes a reversed range for a failure to write, and that is final: refused before it gets there.
        int order = lower.SequenceCompareTo(upper);
        if (order > 0)
            throw new ArgumentException("the lower key of a range lies behind its upper key", nameof(lower));
        if (order == 0)
            return;

        Tag(table, TagDeleteRange, TagDeleteRangeIn);
        Append(lower);
        Append(upper);
    }

    /// <summary>Appends all changes of another batch.</summary>
    public void Append(KvBatch other)
    {
        Reserve(other._length);
        other._buffer.AsSpan(HeaderBytes, other._length - HeaderBytes).CopyTo(_buffer.AsSpan(_length));
        _length += other._length - HeaderBytes;
        Count += other.Count;
    }

    public void Clear()
    {
        _length = HeaderBytes;
        Count = 0;
    }

    /// <summary>The finished bytes; valid until the batch is changed.</summary>
    public ReadOnlySpan<byte> Encoded
    {
        get
        {
            BinaryPrimitives.WriteUInt32LittleEndian(_buffer.AsSpan(8), (uint)Count);
            return _buffer.AsSpan(0, _length);
        }
    }

    public Reader GetReader() => new(_buffer.AsSpan(HeaderBytes, _length - HeaderBytes));

    private void Tag(KvTable table, byte plain, byte inFamily)
    {
        Reserve(6);
        if (table == KvTable.System)
        {
            _buffer[_length++] = plain;
        }
        else
        {
            _buffer[_length++] = inFamily;
            _buffer[_length++] = (byte)table; // below 128: a varint of one byte
        }

        Count++;
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        Reserve(bytes.Length + 5);
        uint length = (uint)bytes.Length;
        while (length >= 0x80)
        {
            _buffer[_length++] = (byte)(length | 0x80);
            length >>= 7;
        }

        _buffer[_length++] = (byte)length;
        bytes.CopyTo(_buffer.AsSpan(_length));
        _length += bytes.Length;
    }

    private void Reserve(int bytes)
    {
        if (_buffer.Length - _length < bytes)
            Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, _length + bytes));
    }

    public enum Change : byte
    {
        Put,
        Delete,

        /// <summary><see cref="Reader.Value"/> is the exclusive upper key.</summary>
        DeleteRange,
    }

    /// <summary>Walks the changes of a batch in order.</summary>
    public ref struct Reader(ReadOnlySpan<byte> records)
    {
        private ReadOnlySpan<byte> _rest = records;

        public Change Change { get; private set; }

        public KvTable Table { get; private set; }

        public ReadOnlySpan<byte> Key { get; private set; }

        public ReadOnlySpan<byte> Value { get; private set; }

        public bool Next()
        {
            if (_rest.IsEmpty)
                return false;

            byte tag = _rest[0];
            _rest = _rest[1..];
            Table = KvTable.System;
            if (tag is TagPutIn or TagDeleteIn or TagDeleteRangeIn)
            {
                Table = (KvTable)_rest[0];
                _rest = _rest[1..];
            }

            Change = tag switch
            {
                TagPut or TagPutIn => Change.Put,
                TagDelete or TagDeleteIn => Change.Delete,
                _ => Change.DeleteRange,
            };
            Key = Take();
            Value = Change == Change.Delete ? default : Take();
            return true;
        }

        private ReadOnlySpan<byte> Take()
        {
            int length = 0, shift = 0, at = 0;
            byte b;
            do
            {
                b = _rest[at++];
                length |= (b & 0x7F) << shift;
                shift += 7;
            }
            while (b >= 0x80);

            ReadOnlySpan<byte> taken = _rest.Slice(at, length);
            _rest = _rest[(at + length)..];
            return taken;
        }
    }
}
