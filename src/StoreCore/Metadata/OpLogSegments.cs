using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using StoreCore.Kv;

namespace StoreCore.Metadata;

/// <summary>
/// Where the parts of the op log begin by which it is trimmed. Part of the state, decided by the records alone: every server trims at the same record.
/// </summary>
internal struct OpLogSegments
{
    private Starts _starts;
    private int _count;

    /// <summary>Bytes of records in the last segment so far.</summary>
    public ulong LastBytes { get; set; }

    /// <summary>The oldest record that is kept; 0 where there is none yet.</summary>
    public readonly ulong First => _count == 0 ? 0 : _starts[0];

    // A row of its own, since it changes rarely: the first sequence of each segment, u64 LE.
    private static ReadOnlySpan<byte> Key => "metadata-log"u8;

    /// <summary>Counts a record; begins a segment and drops the oldest where it is time, adding the row changes to the batch.</summary>
    public void Add(ulong sequence, int recordBytes, KvBatch batch)
    {
        if (_count == 0 || LastBytes >= Limits.OpLogSegmentBytes)
            Begin(sequence, batch);
        LastBytes += (ulong)recordBytes;
    }

    /// <summary>Drops all records before this one, which comes next and becomes the first.</summary>
    public void Restart(ulong sequence, KvBatch batch)
    {
        Drop(0, ulong.MaxValue, batch);
        _count = 0;
        Begin(sequence, batch);
    }

    public void Load(RowGetter get)
    {
        ReadOnlySpan<byte> row = get(KvTable.System, Key);
        if (row.IsEmpty || row.Length > Limits.OpLogSegments * sizeof(ulong) || row.Length % sizeof(ulong) != 0)
            throw new MetadataException("the list of the op log's segments is damaged or missing");
        _count = row.Length / sizeof(ulong);
        for (int i = 0; i < _count; i++)
            _starts[i] = BinaryPrimitives.ReadUInt64LittleEndian(row[(i * sizeof(ulong))..]);
    }

    private void Begin(ulong sequence, KvBatch batch)
    {
        if (_count == Limits.OpLogSegments)
        {
            Drop(_starts[0], _starts[1], batch);
            for (int i = 1; i < _count; i++)
                _starts[i - 1] = _starts[i];
            _count--;
        }

        _starts[_count++] = sequence;
        LastBytes = 0;
        Span<byte> row = stackalloc byte[Limits.OpLogSegments * sizeof(ulong)];
        for (int i = 0; i < _count; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(row[(i * sizeof(ulong))..], _starts[i]);
        batch.Put(KvTable.System, Key, row[..(_count * sizeof(ulong))]);
    }

    private static void Drop(ulong from, ulong to, KvBatch batch)
    {
        Span<byte> lower = stackalloc byte[sizeof(ulong)], upper = stackalloc byte[sizeof(ulong)];
        if (from < to)
            batch.DeleteRange(KvTable.OpLog, MetadataKeys.LogRecord(lower, from), MetadataKeys.LogRecord(upper, to));
    }

    [InlineArray(Limits.OpLogSegments)]
    private struct Starts
    {
        private ulong _first;
    }
}
