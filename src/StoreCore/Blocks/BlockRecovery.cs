using System.Runtime.InteropServices;
using StoreCore.Disk;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>
/// Brings the index together with what the volumes really hold after a crash. The log may have reached the disk before the data: every segment that got volume
/// space since the last flush has an undo row for each open window. A chunk whose data is not there falls back to the newest version that is; after the mere death
/// of the process all data is there and nothing falls back. Runs before anything else, on one thread; it can be interrupted and run again.
/// </summary>
internal sealed class BlockRecovery(IKvStore kv, VolumeSet volumes, ChunkReader reader)
{
    private const int BatchBytes = 1 << 20;

    private readonly KvBatch _batch = new();

    /// <summary>What only may go when the volumes are flushed: until then a further crash may need it.</summary>
    private readonly KvBatch _afterFlush = new();

    private readonly byte[] _data = new byte[Limits.ChunkSizeBytes];
    private readonly byte[] _row = new byte[SegmentCodec.MaxSizeBytes];
    private readonly HashSet<(Volume Volume, int Group)> _changedGroups = [];
    private readonly HashSet<Volume> _unflushed = [];

    /// <summary>Chunks that fell back to an older version.</summary>
    public int FellBack { get; private set; }

    public void Run()
    {
        FoldSpace();
        List<(SegmentKey Key, List<SegmentMap> Versions)> suspects = LoadUndoRows();
        foreach ((SegmentKey key, List<SegmentMap> versions) in suspects)
        {
            RecoverSegment(key, versions);
            if (_batch.SizeBytes >= BatchBytes)
                Apply();
        }

        Apply();

        // What verified may still be in the page cache only, and space freed by commits that are not stable must not be reused.
        foreach (Volume volume in _unflushed)
            volume.File.Sync();
        kv.Sync();
        if (suspects.Count == 0)
            return;

        _afterFlush.DeleteRange(KvTable.Undo, [], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        kv.Write(_afterFlush);
    }

    /// <summary>No change row of the space table is left: rows that recovery, repair and <see cref="SpaceLog"/> write from here on are not hidden by older ones.</summary>
    private void FoldSpace()
    {
        using (var table = new SpaceTable(kv))
        {
            foreach ((uint volume, int group) in table.Changed)
            {
                if (volumes.Find(volume) is { } found && group < found.Groups)
                    SpaceTable.PutRow(_batch, found, group);
                else
                    SpaceTable.DeleteRow(_batch, volume, group); // all free, or the volume would have been missed
            }

            if (table.Changed.Count == 0)
                return;
        }

        Span<byte> lower = stackalloc byte[SpaceTable.ChangeKeyBytes];
        Span<byte> upper = stackalloc byte[SpaceTable.ChangeKeyBytes];
        _batch.DeleteRange(KvTable.Space, SpaceTable.ChangeKey(lower, 0), SpaceTable.ChangeKey(upper, ulong.MaxValue));
        Apply();
    }

    /// <summary>For each segment its older versions, the newest first.</summary>
    private List<(SegmentKey Key, List<SegmentMap> Versions)> LoadUndoRows()
    {
        var bySegment = new Dictionary<SegmentKey, List<SegmentMap>>();
        using IKvIterator rows = kv.Iterate(KvTable.Undo, [], []);
        while (rows.Next())
        {
            if (!SegmentKey.TryDecodeUndo(rows.Key, out _, out SegmentKey key) || !SegmentCodec.TryDecode(rows.Value, out SegmentMap map))
                throw new BlockStoreException($"undo row {Convert.ToHexString(rows.Key)} is damaged");

            ref List<SegmentMap>? versions = ref CollectionsMarshal.GetValueRefOrAddDefault(bySegment, key, out _);
            (versions ??= []).Insert(0, map);
        }

        return [.. bySegment.OrderBy(pair => pair.Key.Inode).ThenBy(pair => pair.Key.Block).ThenBy(pair => pair.Key.Segment)
            .Select(pair => (pair.Key, pair.Value))];
    }

    private void RecoverSegment(SegmentKey key, List<SegmentMap> older)
    {
        Span<byte> keyBytes = stackalloc byte[SegmentKey.SizeBytes];
        int length = kv.Get(KvTable.Segments, key.Encode(keyBytes), _row);
        SegmentMap current = default;
        if (length > _row.Length || (length >= 0 && !SegmentCodec.TryDecode(_row.AsSpan(0, length), out current)))
            throw new BlockStoreException($"index row of segment {key} is damaged");

        SegmentMap result = current;
        int end = 0;
        bool fell = false;
        for (int chunk = 0; chunk < Limits.ChunksPerSegment; chunk++)
        {
            // -1: the current version stays.
            int version = Choose(key, current, older, chunk);
            SegmentMap chosen = version < 0 ? current : older[version];
            // The end within this chunk is that of the version it has now.
            int start = chunk * Limits.ChunkSizeBytes;
            int endInChunk = Math.Clamp(chosen.End - start, 0, Limits.ChunkSizeBytes);
            if (version >= 0)
            {
                fell = true;
                endInChunk = Math.Max(endInChunk, FallBack(key, chunk, chosen, ref result));
            }

            if (endInChunk > 0)
                end = Math.Max(end, start + endInChunk);
        }

        if (fell)
        {
            result.End = end;
            Span<byte> row = SegmentCodec.Encode(result, _row);
            if (row.IsEmpty)
                _batch.Delete(KvTable.Segments, keyBytes);
            else
                _batch.Put(KvTable.Segments, keyBytes, row);
        }

        DropOrphans(key, result);
    }

    /// <summary>The newest version of a chunk whose data is there: -1 for the current one, else the index of an older one.</summary>
    private int Choose(in SegmentKey key, in SegmentMap current, List<SegmentMap> older, int chunk)
    {
        ChunkLocation location = current.Locations[chunk];
        if (!location.IsVolume || location == older[^1].Locations[chunk])
            return -1; // in the key-value store, or flushed before the oldest window

        if (Verifies(location, current.Checksums[chunk]))
        {
            // A flush that failed before this start has left the page clean without writing it: writing it again makes the coming flush count.
            Volume volume = volumes[location.Volume];
            volume.File.Write(location.Offset, _data);
            _unflushed.Add(volume);
            return -1;
        }

        for (int version = 0; version < older.Count; version++)
        {
            SegmentMap map = older[version];
            ChunkLocation candidate = map.Locations[chunk];
            if (candidate == location)
                continue;
            if (candidate.IsHole || candidate.IsLost)
                return version;
            if (candidate.IsInline ? reader.TryReadInline(key, chunk, _data) : IsFree(candidate) && Verifies(candidate, map.Checksums[chunk]))
                return version;
        }

        // Flushed data that has rotted since, not data that was never written: it stays, and answers with an error.
        return -1;
    }

    /// <summary>An older version's space was freed by the newer; if it is in use, somebody else got it after a flush.</summary>
    private bool IsFree(ChunkLocation location) =>
        volumes.Find(location.Volume) is { } volume && location.Chunk < volume.Chunks && !volume.IsUsed(location.Chunk);

    private bool Verifies(ChunkLocation location, uint checksum)
    {
        if (volumes.Find(location.Volume) is not { } volume)
            return false;

        try
        {
            volume.File.Read(location.Offset, _data);
        }
        catch (DiskException)
        {
            // Unreadable is as good as not written: an older version is tried, and if there is none, the reader meets the error again.
            return false;
        }

        return Crc32C.Compute(_data) == checksum;
    }

    /// <summary>Takes the chosen version; returns where its data ends at least, as far as the data itself tells.</summary>
    private int FallBack(in SegmentKey key, int chunk, in SegmentMap chosen, ref SegmentMap result)
    {
        FellBack++;
        Mark(result.Locations[chunk], used: false);
        ChunkLocation location = chosen.Locations[chunk];
        uint checksum = chosen.Checksums[chunk];
        int end = 0;
        if (location.IsVolume)
        {
            Mark(location, used: true);
        }
        else if (location.IsInline && reader.TryReadInline(key, chunk, _data))
        {
            // It may have been rewritten after the undo row was made: that row knows neither its checksum nor its end.
            checksum = Crc32C.Compute(_data);
            end = _data.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
        }

        result.Set(chunk, location, checksum);
        return end;
    }

    private void Mark(ChunkLocation location, bool used)
    {
        Volume volume = volumes[location.Volume];
        if (used)
        {
            volume.SetUsed(location.Chunk);
            _unflushed.Add(volume);
        }
        else
        {
            volume.ClearUsed(location.Chunk);
        }

        _changedGroups.Add((volume, location.Chunk / Volume.ChunksPerGroup));
    }

    /// <summary>Inline data that was kept for the undo row and that the segment does not use (any more).</summary>
    private void DropOrphans(in SegmentKey key, in SegmentMap map)
    {
        Span<byte> lower = stackalloc byte[SegmentKey.InlineSizeBytes];
        Span<byte> upper = stackalloc byte[SegmentKey.InlineSizeBytes + 1];
        key.EncodeInline(lower, 0);
        key.EncodeInline(upper, Limits.ChunksPerSegment - 1);
        upper[^1] = 0; // the first key behind the last chunk's
        using IKvIterator rows = kv.Iterate(KvTable.InlineData, lower, upper);
        while (rows.Next())
        {
            if (SegmentKey.TryDecodeInline(rows.Key, out _, out int chunk) && !map.Locations[chunk].IsInline)
                _afterFlush.Delete(KvTable.InlineData, rows.Key);
        }
    }

    private void Apply()
    {
        foreach ((Volume volume, int group) in _changedGroups)
            SpaceTable.PutRow(_batch, volume, group);
        _changedGroups.Clear();
        if (_batch.Count > 0)
            kv.Write(_batch);
        _batch.Clear();
    }
}
