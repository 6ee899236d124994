using StoreCore.Kv;

namespace StoreCore.Blocks;

internal delegate void SegmentCommitted(in SegmentKey key, in SegmentMap map);

/// <summary>
/// The index over all segments: reads rows through the cache and commits changes, each as one batch of rows, inline data, space bitmaps and undo
/// rows. Every rule of what must be written together stands in <see cref="Commit"/>. The caller holds the block's stripe: shared for <see cref="TryLoad"/>,
/// exclusively for <see cref="Commit"/>.
/// </summary>
internal sealed class BlockIndex(IKvStore kv, VolumeSet volumes, BlockStoreOptions options)
{
    // Commits are one at a time: a row of the space table is shared by many blocks, and its versions must reach the log in the order they were made.
    private readonly Lock _commit = new();
    private readonly SegmentCache _cache = new(options.MapCacheBytes);
    private readonly SpaceLog _space = new(options.SpaceFoldRows, options.SpaceFoldStepGroups);
    private readonly byte[] _row = new byte[SegmentCodec.MaxSizeBytes];
    private readonly KvBatch _finishBatch = new();
    private SyncWindow _open = new() { Number = 1 };
    private SyncWindow? _closing;
    private SyncWindow _spare = new();
    private long _usedChunks;
    private long _deletedInlineChunks;

    /// <summary>Chunks in volumes that the index points to.</summary>
    public long UsedChunks => Volatile.Read(ref _usedChunks);

    /// <summary>Chunks freed but not released by a flush yet.</summary>
    public long PendingChunks
    {
        get
        {
            lock (_commit)
                return _open.FreedChunks + (_closing?.FreedChunks ?? 0);
        }
    }

    /// <summary>Bytes of inline data deleted so far, at most: the key-value store gives them back to the disk only when it is told to, or in its own time.</summary>
    public long DeletedInlineBytes => Volatile.Read(ref _deletedInlineChunks) * Limits.ChunkSizeBytes;

    /// <summary>Segments whose older rows the open window keeps.</summary>
    public int OpenSegments
    {
        get
        {
            lock (_commit)
                return _open.Undo.Count;
        }
    }

    /// <summary>Told of every segment after a commit that left inline data or scattered pieces in it. Called under the commit lock.</summary>
    public SegmentCommitted? Committed { get; set; }

    /// <summary>False where the row is damaged.</summary>
    public bool TryLoad(in SegmentKey key, out SegmentMap map)
    {
        if (_cache.TryGet(key, out map))
            return true;
        if (!TryRead(key, out map))
            return false;

        _cache.Fill(key, map);
        return true;
    }

    private bool TryRead(in SegmentKey key, out SegmentMap map)
    {
        Span<byte> keyBytes = stackalloc byte[SegmentKey.SizeBytes];
        Span<byte> row = stackalloc byte[SegmentCodec.MaxSizeBytes];
        int length = kv.Get(KvTable.Segments, key.Encode(keyBytes), row);
        if (length <= 0)
        {
            map = default;
            return length < 0;
        }

        map = default;
        return length <= row.Length && SegmentCodec.TryDecode(row[..length], out map);
    }

    /// <summary>Applies the change; returns by how many chunks the block has grown.</summary>
    /// <exception cref="KvFailedException">Nothing is known about the state any more; the store must stop.</exception>
    /// <exception cref="BlockStoreException">Bitmaps and rows disagree; likewise.</exception>
    public int Commit(BlockChange change)
    {
        int grown = 0;
        lock (_commit)
        {
            foreach (ref SegmentChange segment in change.Segments)
                grown += Stage(ref segment, change.Batch);
            _space.Stage(change.Batch);
            if (change.Batch.Count > 0)
                kv.Write(change.Batch);
            foreach (ref SegmentChange segment in change.Segments)
            {
                _cache.Put(segment.Key, segment.New);
                Committed?.Invoke(segment.Key, segment.New);
            }
        }

        return grown;
    }

    private int Stage(ref SegmentChange segment, KvBatch batch)
    {
        Span<byte> keyBytes = stackalloc byte[SegmentKey.InlineSizeBytes];
        int grown = 0;
        bool fresh = false;
        bool same = segment.Old.End == segment.New.End;
        uint kept = 0;
        for (int chunk = 0; chunk < Limits.ChunksPerSegment; chunk++)
        {
            ChunkLocation old = segment.Old.Locations[chunk];
            ChunkLocation now = segment.New.Locations[chunk];
            same &= segment.Old.Checksums[chunk] == segment.New.Checksums[chunk];
            if (old == now)
                continue;

            same = false;
            if (now.IsHole)
                segment.Severed |= 1u << chunk;
            grown += (now.IsHole ? 0 : 1) - (old.IsHole ? 0 : 1);
            if (old.IsVolume)
                Free(old);
            if (now.IsVolume)
            {
                Use(now);
                fresh = true;
            }

            if (!old.IsInline)
                continue;

            // Moved to a volume that is not flushed yet: the inline data is what recovery falls back to.
            if (now.IsVolume)
            {
                kept |= 1u << chunk;
                continue;
            }

            batch.Delete(KvTable.InlineData, segment.Key.EncodeInline(keyBytes, chunk));
            _deletedInlineChunks++;
        }

        if (fresh)
            StageUndo(segment, kept, batch);
        if (segment.Severed != 0 || segment.New.End < segment.Old.End)
        {
            StageSeverance(segment, _open, batch);
            if (_closing is not null)
                StageSeverance(segment, _closing, batch);
        }

        if (same)
            return 0;

        Span<byte> row = SegmentCodec.Encode(segment.New, _row);
        if (row.IsEmpty)
            batch.Delete(KvTable.Segments, segment.Key.Encode(keyBytes));
        else
            batch.Put(KvTable.Segments, segment.Key.Encode(keyBytes), row);
        return grown;
    }

    private void Use(ChunkLocation location)
    {
        Volume volume = volumes[location.Volume];
        if (volume.IsUsed(location.Chunk))
            throw new BlockStoreException($"chunk {location.Chunk} of {volume.Name} is used twice; run gatewayctl fsck --repair");

        volume.SetUsed(location.Chunk);
        _usedChunks++;
        _space.Touch(volume, location.Chunk);
        if (volume.Dirty)
            return;

        volume.Dirty = true;
        _open.Dirty.Add(volume);
    }

    private void Free(ChunkLocation location)
    {
        Volume volume = volumes[location.Volume];
        if (!volume.IsUsed(location.Chunk))
            throw new BlockStoreException($"chunk {location.Chunk} of {volume.Name} is freed twice; run gatewayctl fsck --repair");

        volume.ClearUsed(location.Chunk);
        _usedChunks--;
        _space.Touch(volume, location.Chunk);
        _open.AddFreed(location);
    }

    /// <summary>The first time a window gives a segment new volume space, its row before goes to the undo table.</summary>
    private void StageUndo(in SegmentChange segment, uint kept, KvBatch batch)
    {
        ref uint inline = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_open.Undo, segment.Key, out bool exists);
        inline |= kept;
        if (exists)
            return;

        Span<byte> key = stackalloc byte[SegmentKey.UndoSizeBytes];
        batch.Put(KvTable.Undo, segment.Key.EncodeUndo(key, _open.Number), SegmentCodec.Encode(segment.Old, _row));
    }

    /// <summary>Takes what was cut out of the undo row as well.</summary>
    private void StageSeverance(in SegmentChange segment, SyncWindow window, KvBatch batch)
    {
        if (!window.Undo.ContainsKey(segment.Key))
            return;

        Span<byte> key = stackalloc byte[SegmentKey.UndoSizeBytes];
        segment.Key.EncodeUndo(key, window.Number);
        int length = kv.Get(KvTable.Undo, key, _row);
        if (length < 0 || length > _row.Length || !SegmentCodec.TryDecode(_row.AsSpan(0, length), out SegmentMap undo))
            throw new KvFailedException($"the undo row of segment {segment.Key} in window {window.Number} is missing or damaged");

        for (int chunk = 0; chunk < Limits.ChunksPerSegment; chunk++)
        {
            if ((segment.Severed & 1u << chunk) != 0)
                undo.Set(chunk, segment.New.Locations[chunk], segment.New.Checksums[chunk]);
        }

        undo.End = Math.Min(undo.End, segment.New.End);
        batch.Put(KvTable.Undo, key, SegmentCodec.Encode(undo, _row));
    }

    /// <summary>
    /// Closes the open window for a flush: what is committed afterwards belongs to the next. Null where nothing but rows changed. One flush at a time.
    /// </summary>
    public SyncWindow? CloseWindow()
    {
        lock (_commit)
        {
            if (_open.IsEmpty)
                return null;

            SyncWindow closing = _open;
            _open = _spare;
            _open.Number = closing.Number + 1;
            _closing = closing;
            foreach (Volume volume in closing.Dirty)
                volume.Dirty = false;
            return closing;
        }
    }

    /// <summary>The window's volumes and the log are flushed: its undo rows and the inline data kept for them go. Returns when its freed chunks may be released.</summary>
    public void FinishWindow(SyncWindow window)
    {
        const int BatchRows = 1024;
        Span<byte> key = stackalloc byte[SegmentKey.UndoSizeBytes];

        // No deletion needs a flush of its own: an undo row that comes back after a crash finds its successor's data flushed.
        KvBatch batch = _finishBatch;
        batch.Clear();
        lock (_commit)
        {
            foreach ((SegmentKey segment, uint kept) in window.Undo)
            {
                if (kept == 0)
                    continue;

                // The cache or the table holds what is committed. A chunk that went inline again in the meantime keeps its data.
                bool loaded = TryLoad(segment, out SegmentMap map);
                for (uint rest = loaded ? kept : 0; rest != 0; rest &= rest - 1)
                {
                    int chunk = System.Numerics.BitOperations.TrailingZeroCount(rest);
                    bool needed = map.Locations[chunk].IsInline || (_open.Undo.TryGetValue(segment, out uint open) && (open & 1u << chunk) != 0);
                    if (needed)
                        continue;

                    batch.Delete(KvTable.InlineData, segment.EncodeInline(key, chunk));
                    _deletedInlineChunks++;
                }

                if (batch.Count >= BatchRows)
                {
                    kv.Write(batch);
                    batch.Clear();
                }
            }

            if (window.Undo.Count <= 16)
            {
                foreach (SegmentKey segment in window.Undo.Keys)
                    batch.Delete(KvTable.Undo, segment.EncodeUndo(key, window.Number));
            }
            else
            {
                Span<byte> lower = stackalloc byte[8];
                Span<byte> upper = stackalloc byte[8];
                System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(lower, window.Number);
                System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(upper, window.Number + 1);
                batch.DeleteRange(KvTable.Undo, lower, upper);
            }

            if (batch.Count > 0)
                kv.Write(batch);
            _closing = null;
            window.Undo.Clear();
        }

        FoldSpace(all: false);
    }

    /// <summary>
    /// Brings the space table's change rows into the groups' rows: where many have gathered, or <paramref name="all"/> of them. Needs no flush: both say the same.
    /// </summary>
    public void FoldSpace(bool all)
    {
        while (true)
        {
            lock (_commit)
            {
                if (all ? !_space.HasRows : !_space.NeedsFold)
                    return;

                _finishBatch.Clear();
                _space.FoldStep(_finishBatch);
                kv.Write(_finishBatch);
            }
        }
    }

    /// <summary>The window's chunks were released; its object serves again.</summary>
    public void RecycleWindow(SyncWindow window)
    {
        lock (_commit)
        {
            window.Clear();
            _spare = window;
        }
    }

    /// <summary>Takes the space bitmaps as they are now, after they were loaded or repaired.</summary>
    public void Reset()
    {
        lock (_commit)
        {
            _cache.Clear();
            _usedChunks = 0;
            foreach (Volume volume in volumes.All)
                _usedChunks += volume.CountUsed();
        }
    }
}
