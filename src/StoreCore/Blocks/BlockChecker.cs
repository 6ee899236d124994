using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>What the blocks of one inode hold: bytes of space, and the end of the last byte ever written and not cut since.</summary>
public readonly record struct InodeUsage(InodeId Inode, long AllocatedBytes, ulong EndOfData);

public enum BlockProblemKind
{
    /// <summary>A key or value that is no row of this format.</summary>
    DamagedRow,

    /// <summary>A row points outside of the volumes.</summary>
    BadLocation,

    /// <summary>Two rows point to the same chunk.</summary>
    SharedChunk,

    /// <summary>A row points to a chunk that the space table has as free.</summary>
    ReferencedButFree,

    /// <summary>The space table has a chunk in use that no row points to.</summary>
    Leaked,

    /// <summary>Inline data that no row points to.</summary>
    OrphanInline,

    /// <summary>A row points to inline data that is not there.</summary>
    MissingInline,

    /// <summary>A volume file is gone, cut, or its header is damaged.</summary>
    DamagedVolume,
}

/// <summary>Something that index and space do not agree on, in words. <see cref="Inode"/> is none where it concerns space only.</summary>
public sealed record BlockProblem(BlockProblemKind Kind, InodeId Inode, string Description);

/// <summary>The outcome of a check. Counts are of chunks where nothing else is said.</summary>
public sealed record BlockCheckReport
{
    public long Inodes { get; internal set; }

    public long SegmentRows { get; internal set; }

    public long VolumeChunks { get; internal set; }

    public long InlineChunks { get; internal set; }

    /// <summary>Chunks that an earlier repair found to be gone.</summary>
    public long LostChunks { get; internal set; }

    public long ProblemCount { get; internal set; }

    /// <summary>The first of them.</summary>
    public IReadOnlyList<BlockProblem> Problems => Found;

    internal List<BlockProblem> Found { get; } = [];
}

/// <summary>
/// Verifies that index rows, inline data and space bitmaps agree, both ways, over one snapshot: it may run while the store serves. With repair it sets right what
/// disagrees; then nothing else may use the store. Data is not read (that is scrub), except to decide between two owners of one chunk.
/// </summary>
internal sealed class BlockChecker(IKvStore kv, VolumeSet volumes, ChunkReader reader, bool repair, int maxProblems)
{
    private const int BatchBytes = 1 << 20;

    private readonly BlockCheckReport _report = new();
    private readonly KvBatch _repairs = new();
    private readonly HashSet<SegmentKey> _undone = [];
    private readonly Dictionary<uint, ChunkBitmap> _references = [];
    private Volume[] _volumes = [];
    private InodeUsage _usage;

    public BlockCheckReport Run(Action<InodeUsage>? onInode)
    {
        using IKvSnapshot snapshot = kv.Snapshot();

        // Volumes that are added from here on hold nothing of the snapshot.
        _volumes = volumes.All.ToArray();
        foreach (Volume volume in _volumes)
            _references.Add(volume.Id, new ChunkBitmap(volume.Chunks));
        foreach (string mended in volumes.Mended)
            Add(BlockProblemKind.DamagedVolume, InodeId.None, $"{mended}; data that lay there is lost and answers with an error: gatewayctl scrub finds all of it");
        LoadUndone(snapshot);
        CheckSegments(snapshot, onInode);
        CheckSpace(snapshot);
        if (repair)
            Repair(flush: true);
        return _report;
    }

    private void LoadUndone(IKvSnapshot snapshot)
    {
        using IKvIterator rows = kv.Iterate(KvTable.Undo, [], [], snapshot);
        while (rows.Next())
        {
            if (SegmentKey.TryDecodeUndo(rows.Key, out _, out SegmentKey key))
                _undone.Add(key);
        }
    }

    private void CheckSegments(IKvSnapshot snapshot, Action<InodeUsage>? onInode)
    {
        using IKvIterator rows = kv.Iterate(KvTable.Segments, [], [], snapshot);
        using var inline = new InlineWalker(this, kv.Iterate(KvTable.InlineData, [], [], snapshot));
        while (rows.Next())
        {
            if (!SegmentKey.TryDecode(rows.Key, out SegmentKey key))
            {
                Add(BlockProblemKind.DamagedRow, InodeId.None, $"segment key {Convert.ToHexString(rows.Key)} is damaged");
                if (repair)
                    _repairs.Delete(KvTable.Segments, rows.Key);
                continue;
            }

            if (key.Inode != _usage.Inode.Value)
                NextInode(new InodeId(key.Inode), onInode);

            bool changed = false;
            _report.SegmentRows++;
            if (!SegmentCodec.TryDecode(rows.Value, out SegmentMap map))
            {
                Add(BlockProblemKind.DamagedRow, key.BlockId.Inode, $"the index row of segment {key} is damaged");
                changed = true;
                map = AllLost();
            }

            CheckSegment(key, ref map, inline.Take(key), ref changed);
            _usage = _usage with
            {
                AllocatedBytes = _usage.AllocatedBytes + (long)map.MappedChunks * Limits.ChunkSizeBytes,
                EndOfData = map.End > 0 ? key.FileOffset + (ulong)map.End : _usage.EndOfData,
            };
            if (changed && repair)
                PutRow(key, map);
        }

        NextInode(InodeId.None, onInode);
        inline.TakeRest();
    }

    private void NextInode(InodeId next, Action<InodeUsage>? onInode)
    {
        if (_usage.Inode != InodeId.None)
        {
            _report.Inodes++;
            onInode?.Invoke(_usage);
        }

        _usage = new InodeUsage(next, 0, 0);
    }

    private void CheckSegment(in SegmentKey key, ref SegmentMap map, uint inlineRows, ref bool changed)
    {
        for (int chunk = 0; chunk < Limits.ChunksPerSegment; chunk++)
        {
            ChunkLocation location = map.Locations[chunk];
            bool hasInline = (inlineRows & 1u << chunk) != 0;
            if (location.IsVolume)
            {
                changed |= CheckReference(key, ref map, chunk);
                _report.VolumeChunks++;
            }
            else if (location.IsLost)
            {
                _report.LostChunks++;
            }
            else if (location.IsInline)
            {
                _report.InlineChunks++;
                if (!hasInline)
                {
                    Add(BlockProblemKind.MissingInline, key.BlockId.Inode, $"chunk {chunk} of segment {key} has lost its inline data");
                    map.Set(chunk, ChunkLocation.Lost, 0);
                    changed = true;
                }
            }

            // A segment of an open window keeps inline data until the volume that took it over is flushed.
            if (hasInline && !location.IsInline && !_undone.Contains(key))
                Orphan(key, chunk);
        }
    }

    /// <summary>True where the map was changed.</summary>
    private bool CheckReference(in SegmentKey key, ref SegmentMap map, int chunk)
    {
        ChunkLocation location = map.Locations[chunk];
        if (!_references.TryGetValue(location.Volume, out ChunkBitmap? references) || location.Chunk >= volumes[location.Volume].Chunks)
        {
            Add(BlockProblemKind.BadLocation, key.BlockId.Inode,
                $"chunk {chunk} of segment {key} points to chunk {location.Chunk} of {Volume.NameOf(location.Volume)}, which does not exist");
            map.Set(chunk, ChunkLocation.Lost, 0);
            return true;
        }

        if (!references[location.Chunk])
        {
            references.Set(location.Chunk, 1);
            return false;
        }

        Add(BlockProblemKind.SharedChunk, key.BlockId.Inode,
            $"chunk {chunk} of segment {key} points to chunk {location.Chunk} of {Volume.NameOf(location.Volume)}, which another row has already");
        if (!repair)
            return false;

        // If the data is this owner's it gets a copy of its own; the other owner's checksum decides over the rest.
        byte[] data = new byte[Limits.ChunkSizeBytes];
        if (reader.ReadChunk(key, map, chunk, data) == FsStatus.Ok)
        {
            Span<byte> inlineKey = stackalloc byte[SegmentKey.InlineSizeBytes];
            _repairs.Put(KvTable.InlineData, key.EncodeInline(inlineKey, chunk), data);
            map.Locations[chunk] = ChunkLocation.Inline;
        }
        else
        {
            map.Set(chunk, ChunkLocation.Lost, 0);
        }

        return true;
    }

    private void CheckSpace(IKvSnapshot snapshot)
    {
        var marked = new Dictionary<uint, ChunkBitmap>();
        foreach (Volume volume in _volumes)
            marked.Add(volume.Id, new ChunkBitmap(volume.Chunks));

        using (var table = new SpaceTable(kv, snapshot))
        {
            while (table.Next())
            {
                if (table.Damaged is { } key)
                {
                    Add(BlockProblemKind.DamagedRow, InodeId.None, $"space row {Convert.ToHexString(key)} is damaged");
                    continue;
                }

                if (!table.InUse)
                    continue;
                if (volumes.Find(table.VolumeId) is not { } volume || table.Group >= volume.Groups)
                {
                    Add(BlockProblemKind.BadLocation, InodeId.None,
                        $"the space table has group {table.Group} of {Volume.NameOf(table.VolumeId)}, which does not exist");
                    if (repair)
                        SpaceTable.DeleteRow(_repairs, table.VolumeId, table.Group);
                    continue;
                }

                for (int i = 0; i < Volume.ChunksPerGroup; i++)
                {
                    if ((table.Bitmap[i >> 3] & 1 << (i & 7)) != 0)
                        marked[volume.Id].Set(table.Group * Volume.ChunksPerGroup + i, 1);
                }
            }
        }

        foreach (Volume volume in _volumes)
            CompareSpace(volume, _references[volume.Id], marked[volume.Id]);
    }

    private void CompareSpace(Volume volume, ChunkBitmap references, ChunkBitmap marked)
    {
        for (int group = 0; group < volume.Groups; group++)
        {
            bool differs = false;
            int first = group * Volume.ChunksPerGroup;
            for (int chunk = Math.Max(first, 1); chunk < first + Volume.ChunksPerGroup; chunk++)
            {
                if (references[chunk] == marked[chunk])
                    continue;

                differs = true;
                Add(references[chunk] ? BlockProblemKind.ReferencedButFree : BlockProblemKind.Leaked, InodeId.None,
                    $"chunk {chunk} of {volume.Name} is {(references[chunk] ? "in use but free in the space table" : "taken in the space table but not in use")}");
            }

            if (!differs || !repair)
                continue;

            for (int chunk = first; chunk < first + Volume.ChunksPerGroup; chunk++)
            {
                if (references[chunk])
                    volume.SetUsed(chunk);
                else
                    volume.ClearUsed(chunk);
            }

            volume.SetUsed(0);
            SpaceTable.PutRow(_repairs, volume, group);
            Repair(flush: false);
        }
    }

    private static SegmentMap AllLost()
    {
        SegmentMap map = default;
        map.End = Limits.SegmentSizeBytes;
        for (int chunk = 0; chunk < Limits.ChunksPerSegment; chunk++)
            map.Set(chunk, ChunkLocation.Lost, 0);
        return map;
    }

    private void PutRow(in SegmentKey key, in SegmentMap map)
    {
        Span<byte> keyBytes = stackalloc byte[SegmentKey.SizeBytes];
        Span<byte> row = stackalloc byte[SegmentCodec.MaxSizeBytes];
        _repairs.Put(KvTable.Segments, key.Encode(keyBytes), SegmentCodec.Encode(map, row));
        Repair(flush: false);
    }

    private void Orphan(in SegmentKey key, int chunk)
    {
        Add(BlockProblemKind.OrphanInline, key.BlockId.Inode, $"inline data of chunk {chunk} of segment {key} belongs to no row");
        if (!repair)
            return;

        Span<byte> inlineKey = stackalloc byte[SegmentKey.InlineSizeBytes];
        _repairs.Delete(KvTable.InlineData, key.EncodeInline(inlineKey, chunk));
        Repair(flush: false);
    }

    private void Repair(bool flush)
    {
        if (_repairs.Count == 0 || (!flush && _repairs.SizeBytes < BatchBytes))
            return;

        kv.Write(_repairs);
        _repairs.Clear();
    }

    private void Add(BlockProblemKind kind, InodeId inode, string description)
    {
        _report.ProblemCount++;
        if (_report.Found.Count < maxProblems)
            _report.Found.Add(new BlockProblem(kind, inode, description));
    }

    /// <summary>Walks the inline rows beside the segments: both are in file order.</summary>
    private sealed class InlineWalker : IDisposable
    {
        private readonly BlockChecker _checker;
        private readonly IKvIterator _rows;
        private SegmentKey _key;
        private int _chunk;
        private bool _valid;

        public InlineWalker(BlockChecker checker, IKvIterator rows)
        {
            _checker = checker;
            _rows = rows;
            Advance();
        }

        /// <summary>One bit for each inline row of the segment; rows before it belong to none.</summary>
        public uint Take(in SegmentKey segment)
        {
            uint found = 0;
            for (; _valid && Compare(_key, segment) <= 0; Advance())
            {
                if (_key == segment)
                    found |= 1u << _chunk;
                else
                    Unclaimed();
            }

            return found;
        }

        public void TakeRest()
        {
            for (; _valid; Advance())
                Unclaimed();
        }

        private void Unclaimed()
        {
            if (!_checker._undone.Contains(_key))
                _checker.Orphan(_key, _chunk);
        }

        private void Advance()
        {
            while ((_valid = _rows.Next()) && !SegmentKey.TryDecodeInline(_rows.Key, out _key, out _chunk))
                _checker.Add(BlockProblemKind.DamagedRow, InodeId.None, $"inline key {Convert.ToHexString(_rows.Key)} is damaged");
        }

        private static int Compare(in SegmentKey a, in SegmentKey b) =>
            a.Inode != b.Inode ? a.Inode.CompareTo(b.Inode) : a.Block != b.Block ? a.Block.CompareTo(b.Block) : a.Segment.CompareTo(b.Segment);

        public void Dispose() => _rows.Dispose();
    }
}
