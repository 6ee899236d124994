using System.Buffers.Binary;
using StoreCore.Kv;

namespace StoreCore.Blocks;

/// <summary>
/// Walks <see cref="KvTable.Space"/> as it counts: each group once, with its newest bitmap, whether that stands in the group's own row or in a change row. One thread at a time.
/// </summary>
/// <remarks>
/// Rows of a group: key volume u32 BE, group u32 BE; value: 32 bytes, one bit for each of the group's 256 chunks, bit 0 of byte 0 the first; set means that the
/// index points to the chunk. A group without a row is free. The bit of a volume's first chunk, its header, has no meaning.
/// <para>Change rows: key 0 u32 BE (no volume has that number), sequence u64 BE; value: volume u32 LE, group u32 LE and bitmap for each group that one commit has changed. A newer change row
/// hides older ones and the group's own row. <see cref="SpaceLog"/> writes them.</para>
/// </remarks>
internal sealed class SpaceTable : IDisposable
{
    private const int KeyBytes = 8;

    public const int ChangeKeyBytes = 12;

    /// <summary>One group in a change row.</summary>
    public const int ChangeBytes = 8 + Volume.GroupBytes;

    private readonly IKvIterator _rows;
    private readonly Dictionary<(uint Volume, int Group), byte[]> _changes = [];
    private readonly HashSet<(uint Volume, int Group)> _replaced = [];
    private readonly Queue<byte[]> _damagedChanges = [];
    private IEnumerator<KeyValuePair<(uint Volume, int Group), byte[]>>? _rest;
    private byte[]? _newer;
    private bool _hasRow;
    private bool _begun;

    public SpaceTable(IKvStore kv, IKvSnapshot? snapshot = null)
    {
        _rows = kv.Iterate(KvTable.Space, [], [], snapshot);

        // Change rows come first, the oldest ahead.
        while ((_hasRow = _rows.Next()) && _rows.Key.Length == ChangeKeyBytes && BinaryPrimitives.ReadUInt32BigEndian(_rows.Key) == 0)
        {
            if (!TryAddChanges(_rows.Value))
                _damagedChanges.Enqueue(_rows.Key.ToArray());
        }
    }

    /// <summary>False where the row has not the form of one: what stands in its parts says nothing reliable either.</summary>
    private bool TryAddChanges(ReadOnlySpan<byte> row)
    {
        if (row.IsEmpty || row.Length % ChangeBytes != 0)
            return false;
        for (ReadOnlySpan<byte> rest = row; !rest.IsEmpty; rest = rest[ChangeBytes..])
        {
            if (!TryDecodeChange(rest, out _))
                return false;
        }

        for (ReadOnlySpan<byte> rest = row; !rest.IsEmpty; rest = rest[ChangeBytes..])
        {
            TryDecodeChange(rest, out (uint Volume, int Group) place);
            _changes[place] = rest[8..ChangeBytes].ToArray();
        }

        return true;
    }

    private static bool TryDecodeChange(ReadOnlySpan<byte> change, out (uint Volume, int Group) place)
    {
        place = (BinaryPrimitives.ReadUInt32LittleEndian(change), BinaryPrimitives.ReadInt32LittleEndian(change[4..]));
        return place.Volume != 0 && place.Group >= 0;
    }

    /// <summary>Groups that stand in change rows.</summary>
    public IReadOnlyCollection<(uint Volume, int Group)> Changed => _changes.Keys;

    public uint VolumeId { get; private set; }

    public int Group { get; private set; }

    /// <summary>Valid until the next call of <see cref="Next"/>.</summary>
    public ReadOnlySpan<byte> Bitmap => _newer ?? _rows.Value;

    /// <summary>The key of a row that has not the form of one; null where the row is sound. Such a row has neither group nor bitmap.</summary>
    public byte[]? Damaged { get; private set; }

    /// <summary>True where the bitmap marks any chunk but the header.</summary>
    public bool InUse => (Group == 0 && (Bitmap[0] & ~1) != 0) || Bitmap[(Group == 0 ? 1 : 0)..].ContainsAnyExcept((byte)0);

    public bool Next()
    {
        if (_damagedChanges.TryDequeue(out byte[]? damaged))
        {
            Damaged = damaged;
            return true;
        }

        // The constructor has stepped onto the first row of a group already.
        _hasRow = _hasRow && (!_begun || _rows.Next());
        _begun = true;
        Damaged = null;
        if (!_hasRow)
            return NextNew();

        _newer = null;
        if (!TryDecodeKey(_rows.Key, out uint volume, out int group) || _rows.Value.Length != Volume.GroupBytes)
        {
            Damaged = _rows.Key.ToArray();
            return true;
        }

        (VolumeId, Group) = (volume, group);
        if (_changes.TryGetValue((volume, group), out _newer))
            _replaced.Add((volume, group));
        return true;
    }

    /// <summary>Behind the rows: groups that have only change rows.</summary>
    private bool NextNew()
    {
        _rest ??= _changes.GetEnumerator();
        while (_rest.MoveNext())
        {
            if (_replaced.Contains(_rest.Current.Key))
                continue;
            ((VolumeId, Group), _newer) = _rest.Current;
            return true;
        }

        return false;
    }

    private static bool TryDecodeKey(ReadOnlySpan<byte> key, out uint volume, out int group)
    {
        (volume, group) = key.Length == KeyBytes ? (BinaryPrimitives.ReadUInt32BigEndian(key), BinaryPrimitives.ReadInt32BigEndian(key[4..])) : default;
        return volume != 0 && group >= 0;
    }

    /// <summary>Puts the row of a group as the volume has it in memory.</summary>
    public static void PutRow(KvBatch batch, Volume volume, int group)
    {
        Span<byte> key = stackalloc byte[KeyBytes];
        Span<byte> bitmap = stackalloc byte[Volume.GroupBytes];
        volume.EncodeGroup(group, bitmap);
        if (bitmap.ContainsAnyExcept((byte)0))
            batch.Put(KvTable.Space, RowKey(key, volume.Id, group), bitmap);
        else
            DeleteRow(batch, volume.Id, group);
    }

    public static void DeleteRow(KvBatch batch, uint volume, int group)
    {
        Span<byte> key = stackalloc byte[KeyBytes];
        batch.Delete(KvTable.Space, RowKey(key, volume, group));
    }

    private static ReadOnlySpan<byte> RowKey(Span<byte> key, uint volume, int group)
    {
        BinaryPrimitives.WriteUInt32BigEndian(key, volume);
        BinaryPrimitives.WriteInt32BigEndian(key[4..], group);
        return key;
    }

    /// <summary>The key of a change row.</summary>
    public static ReadOnlySpan<byte> ChangeKey(Span<byte> key, ulong sequence)
    {
        BinaryPrimitives.WriteUInt32BigEndian(key, 0);
        BinaryPrimitives.WriteUInt64BigEndian(key[4..], sequence);
        return key[..ChangeKeyBytes];
    }

    /// <summary>One group of a change row.</summary>
    public static void EncodeChange(Span<byte> destination, Volume volume, int group)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(destination, volume.Id);
        BinaryPrimitives.WriteInt32LittleEndian(destination[4..], group);
        volume.EncodeGroup(group, destination[8..]);
    }

    public void Dispose()
    {
        _rest?.Dispose();
        _rows.Dispose();
    }
}
