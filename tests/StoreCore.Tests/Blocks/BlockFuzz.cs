using Sim;
using StoreCore.Blocks;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Tests.Blocks;

/// <summary>
/// Random operations on a block store over simulated parts, against byte arrays; kills, power cuts in the midst of operations, and failing flushes in between. For every
/// chunk all versions since the last flush are kept: after a power cut any of them may be there, nothing else. All comes from one seed, which every failure names.
/// </summary>
internal sealed class BlockFuzz
{
    private const int Blocks = 2, Inodes = 3;

    private static readonly byte[] Marker = "fuzz"u8.ToArray();

    // The first segments of a block and its last: what lies between is treated alike.
    private const int WindowBytes = 3 * Limits.SegmentSizeBytes;

    private readonly bool _isTight;
    private readonly Random _random;
    private readonly SimPower _power = new();
    private readonly SimClock _clock = new();
    private readonly Dictionary<BlockId, ModelBlock> _model = [];
    private readonly BlockStoreOptions _options;
    private readonly byte[] _found = new byte[WindowBytes];
    private SimKvStore _kv;
    private SimDisk _disk;
    private BlockStore _store = null!;

    /// <summary>Failures of writes that the disk still holds ready: a write that goes inline does not meet them.</summary>
    private int _writeFaults;

    /// <summary>Likewise a failure of a flush: the store stops at it, and the step ends as with a power cut.</summary>
    private bool _failsSync;
    private bool _interrupts;

    /// <summary>Operations begun.</summary>
    private int _operation;

    public BlockFuzz(int seed)
    {
        _random = new Random(seed);
        _kv = new SimKvStore(_power);

        // Every third store is too small for what is written to it.
        _isTight = seed % 3 == 0;
        _disk = new SimDisk(_isTight ? 3 << 19 : 64 << 20, _power);
        _options = new BlockStoreOptions
        {
            StoreId = new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
            VolumeSizeBytes = 1 << 20,
            ReserveBytes = 1 << 20,
            MapCacheBytes = 1 << (10 + _random.Next(8)),
            LockStripes = 1 + _random.Next(4),
            InlineSyncThresholdBytes = 16 * 1024,
            ColdAfter = TimeSpan.FromSeconds(3),
            PunchAfter = TimeSpan.FromSeconds(1),
            DefragmentRuns = 3,
            SpaceFoldRows = 5,
            SpaceFoldStepGroups = 2,
            MaxWaitingSegments = 4,
            MaxWindowSegments = 3,
        };
        for (ulong inode = 1; inode <= Inodes; inode++)
        {
            for (uint block = 0; block < Blocks; block++)
                _model.Add(new BlockId(new InodeId(inode), block), new ModelBlock());
        }

        Open();
    }

    public static void Run(int seed, int steps)
    {
        var fuzz = new BlockFuzz(seed);
        try
        {
            fuzz.Run(steps);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"seed {seed}: {e.Message}", e);
        }
    }

    private void Run(int steps)
    {
        for (int step = 0; step < steps; step++)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(_random.Next(1000)));
            if (_random.Next(12) == 0)
                _power.CutAfter(_random.Next(12));
            try
            {
                Step();
                if (_random.Next(40) == 0)
                    Kill();
            }
            catch (SimPowerCutException)
            {
            }

            if (_power.IsCut)
                Crash();
            else if (_store.StopReason is not null)
                Restart();
        }

        _power.Restore();
        Kill(); // and with it the faults that nothing has met
        Drain();
        Compare(afterCrash: false);
        for (ulong inode = 1; inode <= Inodes; inode++)
            Truncate(new BlockId(new InodeId(inode), 0), 0);
        Drain();
        Compare(afterCrash: false);
        True(_store.Space.UsedBytes == 0, $"{_store.Space.UsedBytes} bytes used by nothing");
    }

    private void Step()
    {
        _interrupts = false;
        int kind = _random.Next(20);
        if (kind is 14 or 15)
            Sync();
        else
            Change(kind);
    }

    private void Change(int kind)
    {
        _operation++;
        ChangeBlock(kind);

        // So that a crash tells which operations the log still has.
        var marker = new KvBatch();
        marker.Put(KvTable.System, Marker, BitConverter.GetBytes(_operation));
        _kv.Write(marker);
    }

    private void ChangeBlock(int kind)
    {
        BlockId block = new(new InodeId(1 + (ulong)_random.Next(Inodes)), (uint)_random.Next(Blocks));
        ModelBlock model = _model[block];
        switch (kind)
        {
            case < 10:
                Write(block, model);
                break;
            case < 12:
                {
                    (int offset, int length) = Range(WindowBytes);
                    model.Cut(offset, length, lowersEnd: false, _operation);
                    Expect(FsStatus.Ok, _store.Punch(block, offset, length, out long delta));
                    model.AllocatedBytes += delta;
                    break;
                }

            case < 14:
                Truncate(block, _random.Next(4) == 0 ? 0 : Range(WindowBytes).Offset);
                break;
            case < 18:
                {
                    (int offset, int length) = Range(WindowBytes);
                    byte[] data = new byte[length];
                    Expect(FsStatus.Ok, _store.Read(block, offset, data));
                    True(data.AsSpan().SequenceEqual(model.Current.AsSpan(offset, length)), $"block {block} reads wrong in {offset}+{length}");
                    break;
                }

            default:
                {
                    Maintain(1 << 18, out _);
                    break;
                }
        }
    }

    private void Maintain(long budgetBytes, out MaintenanceReport report)
    {
        FsStatus status = _store.RunMaintenance(budgetBytes, out report);
        if (status is FsStatus.IoError or FsStatus.NoSpace && _writeFaults-- > 0)
            report = report with { HasMore = true };
        else if (_isTight && status == FsStatus.NoSpace)
            report = report with { HasMore = true };
        else
            Expect(FsStatus.Ok, status);
    }

    private void Write(BlockId block, ModelBlock model)
    {
        (int offset, int length) = Range(WindowBytes);
        byte[] data = new byte[length];
        _random.NextBytes(data);
        if (_random.Next(4) == 0)
            data.AsSpan(_random.Next(length)).Clear();
        WriteHint hint = _random.Next(2) == 0 ? WriteHint.Buffered : WriteHint.SyncSoon;
        if (_random.Next(60) == 0)
        {
            _disk.Fail(SimDiskOperation.Write, _random.Next(2) == 0 ? 5 : 28);
            _writeFaults++;
        }

        int mark = model.Mark();
        model.Write(offset, data);
        FsStatus status = _store.Write(block, offset, data, hint, out long delta);
        if (status is FsStatus.IoError or FsStatus.NoSpace)
        {
            True((_isTight && status == FsStatus.NoSpace) || _writeFaults-- > 0, $"write: {status}");
            True(delta == 0, "a failed write allocates");
            model.Rollback(mark);
            return;
        }

        Expect(FsStatus.Ok, status);
        model.AllocatedBytes += delta;
    }

    private void Truncate(BlockId block, int from)
    {
        foreach ((BlockId id, ModelBlock model) in _model)
        {
            if (id.Inode != block.Inode || id.Index < block.Index)
                continue;

            int cut = id.Index == block.Index ? from : 0;
            model.Cut(cut, Limits.BlockSizeBytes - cut, lowersEnd: true, _operation);
        }

        // Only the sum of an inode is compared.
        if (block.Index == 0 && from == 0 && _random.Next(2) == 0)
        {
            bool isDone = false;
            for (uint next = 0; !isDone;)
                Expect(FsStatus.Ok, _store.Purge(block.Inode, ref next, maxBlocks: 1, out isDone));
            foreach ((BlockId id, ModelBlock model) in _model)
                model.AllocatedBytes = id.Inode == block.Inode ? 0 : model.AllocatedBytes;
            return;
        }

        Expect(FsStatus.Ok, _store.Truncate(block.Inode, (ulong)block.Index * Limits.BlockSizeBytes + (ulong)from, out long delta));
        _model[block].AllocatedBytes += delta;
    }

    private void Sync()
    {
        if (_random.Next(60) == 0)
        {
            _disk.Fail(SimDiskOperation.Sync);
            _failsSync = true;
        }

        // What changes while the flush runs need not be in it.
        foreach (ModelBlock model in _model.Values)
            model.BeginFlush();
        _interrupts = !_isTight; // a writer who waits for space waits for the flush, here for itself
        FsStatus status = _store.Sync();
        _interrupts = false;
        Expect(FsStatus.Ok, status);
        foreach (ModelBlock model in _model.Values)
            model.EndFlush();
    }

    /// <summary>Other threads go on during a flush.</summary>
    private void WhileFlushing()
    {
        if (!_interrupts || _random.Next(2) == 0)
            return;

        _interrupts = false;
        for (int changes = 1 + _random.Next(3); changes > 0; changes--)
            Change(_random.Next(14));
        _interrupts = true;
    }

    private (int Offset, int Length) Range(int limit)
    {
        int offset = _random.Next(6) switch
        {
            0 => 0,
            2 or 3 => Limits.SegmentSizeBytes + _random.Next(6) * Limits.ChunkSizeBytes, // hot: where changes meet
            1 => _random.Next(limit / Limits.ChunkSizeBytes) * Limits.ChunkSizeBytes,
            _ => _random.Next(limit),
        };
        int length = _random.Next(5) switch
        {
            0 => 1 + _random.Next(300),
            1 => Limits.ChunkSizeBytes,
            2 => Limits.ChunkSizeBytes * (1 + _random.Next(48)),
            _ => 1 + _random.Next(40_000),
        };
        return (offset, Math.Min(length, limit - offset));
    }

    private void Kill()
    {
        _store.Dispose();
        (_kv, _disk) = (_kv.Kill(), _disk.Kill());
        Open();
        foreach (ModelBlock model in _model.Values)
            model.Flushed();
        Compare(afterCrash: false);
    }

    /// <summary>After a failed flush: whether the machine goes down as well or only the process is started again, what it finds must stay.</summary>
    private void Restart()
    {
        if (_random.Next(2) == 0)
        {
            Crash();
            return;
        }

        try
        {
            _store.Dispose();
            (_kv, _disk) = (_kv.Kill(), _disk.Kill());
            Open();
            Compare(afterCrash: true);
        }
        catch (SimPowerCutException)
        {
            Crash();
        }
    }

    private void Crash()
    {
        while (true)
        {
            _power.Restore();
            (_kv, _disk) = (_kv.Crash(_random), _disk.Crash(_random));

            // Recovery may be cut off as well.
            if (_random.Next(4) == 0)
                _power.CutAfter(_random.Next(6));
            try
            {
                Open();
                _power.Restore();
                break;
            }
            catch (SimPowerCutException)
            {
            }
        }

        Compare(afterCrash: true);
    }

    private void Open()
    {
        _writeFaults = 0;
        _failsSync = _interrupts = false;
        _store = BlockStore.Open(
            new InterruptibleKv(_kv, WhileFlushing), new InterruptibleDisk(_disk, WhileFlushing), _options, _clock);
    }

    private void Drain()
    {
        Expect(FsStatus.Ok, _store.Sync());
        for (int i = 0; i < 200; i++)
        {
            _clock.Advance(TimeSpan.FromSeconds(10));
            Maintain(1 << 20, out MaintenanceReport report);
            Expect(FsStatus.Ok, _store.Sync());
            if (!report.HasMore)
                break;
        }

        foreach (ModelBlock model in _model.Values)
            model.Flushed();
        // On a tight disk moving may have failed in the last round and left what it took to be punched.
        _clock.Advance(TimeSpan.FromSeconds(10));
        Maintain(0, out _);
        BlockCheckReport check = _store.Check();
        int volumes = _disk.List().Count;
        long expected = (check.VolumeChunks + volumes) * Limits.ChunkSizeBytes;
        True(_disk.UsedBytes <= expected, $"{_disk.UsedBytes} bytes of disk are taken where {expected} are needed");
    }

    private void Compare(bool afterCrash)
    {
        BlockCheckReport check = _store.Check();
        True(check.ProblemCount == 0, string.Join("; ", check.Problems.Take(5).Select(problem => problem.Description)));
        byte[] data = _found;
        byte[] marker = new byte[4];
        int survived = _kv.Get(KvTable.System, Marker, marker) > 0 ? BitConverter.ToInt32(marker) : 0;
        for (ulong inode = 1; inode <= Inodes; inode++)
        {
            var id = new InodeId(inode);
            Expect(FsStatus.Ok, _store.Measure(id, out long allocated, out ulong end));
            long modelAllocated = 0;
            ulong modelEnd = 0;
            for (uint index = 0; index < Blocks; index++)
            {
                var block = new BlockId(id, index);
                ModelBlock model = _model[block];
                Expect(FsStatus.Ok, _store.Read(block, 0, data));
                True(model.Accepts(data, afterCrash ? survived : null, out int chunk), $"chunk {chunk} of block {block} is none of its versions (after crash: {afterCrash})");
                modelAllocated += model.AllocatedBytes;
                if (model.End > 0)
                    modelEnd = (ulong)index * Limits.BlockSizeBytes + (ulong)model.End;

                long endInBlock = Math.Clamp((long)end - (long)index * Limits.BlockSizeBytes, 0, WindowBytes);
                True(!data.AsSpan((int)endInBlock).ContainsAnyExcept((byte)0), $"block {block} has data behind the measured end {end}");
            }

            if (!afterCrash)
            {
                True(end == modelEnd, $"inode {id} ends at {end}, written was up to {modelEnd}");
                True(allocated == modelAllocated, $"inode {id} has {allocated} bytes allocated, the changes sum up to {modelAllocated}");
            }
        }

        if (afterCrash)
            Adopt();
        True(_store.Faults.Count == 0 || !afterCrash, _store.Faults.Remembered.FirstOrDefault()?.ToString() ?? "faults");
    }

    /// <summary>What was found after the crash is what is from now on.</summary>
    private void Adopt()
    {
        byte[] data = _found;
        foreach ((BlockId block, ModelBlock model) in _model)
        {
            Expect(FsStatus.Ok, _store.Read(block, 0, data));
            model.Adopt(data, segment => EndOfSegment(block, segment));
        }

        for (ulong inode = 1; inode <= Inodes; inode++)
        {
            Expect(FsStatus.Ok, _store.Measure(new InodeId(inode), out long allocated, out _));
            for (uint index = 0; index < Blocks; index++)
                _model[new BlockId(new InodeId(inode), index)].AllocatedBytes = index == 0 ? allocated : 0;
        }
    }

    /// <summary>What the index says, for Measure tells only of the whole inode.</summary>
    private int EndOfSegment(BlockId block, int segment)
    {
        Span<byte> key = stackalloc byte[SegmentKey.SizeBytes];
        Span<byte> row = stackalloc byte[SegmentCodec.MaxSizeBytes];
        int length = _kv.Get(KvTable.Segments, new SegmentKey(block, segment).Encode(key), row);
        return length > 0 && SegmentCodec.TryDecode(row[..length], out SegmentMap map) ? map.End : 0;
    }

    private void Expect(FsStatus expected, FsStatus status)
    {
        if (_power.IsCut || (_failsSync && status == FsStatus.Stopped && _store.StopReason is not null))
            throw new SimPowerCutException();
        True(status == expected, $"{status} where {expected} was expected ({_store.StopReason}; {_store.Faults.Remembered.FirstOrDefault()})");
    }

    private static void True(bool condition, string message)
    {
        if (!condition)
            throw new InvalidOperationException(message);
    }

    /// <summary>A block as bytes, and for each chunk what it was since the last flush.</summary>
    private sealed class ModelBlock
    {
        private readonly List<Version> _history = [];

        private int _beforeFlush;

        public byte[] Current { get; } = new byte[WindowBytes];

        /// <summary>For each segment where the last byte written and not cut ends, within the segment.</summary>
        private readonly int[] _ends = new int[WindowBytes / Limits.SegmentSizeBytes];

        private readonly int[] _endsBefore = new int[WindowBytes / Limits.SegmentSizeBytes];

        public int End
        {
            get
            {
                int last = Array.FindLastIndex(_ends, end => end > 0);
                return last < 0 ? 0 : last * Limits.SegmentSizeBytes + _ends[last];
            }
        }

        public long AllocatedBytes { get; set; }

        public int Mark()
        {
            _ends.CopyTo(_endsBefore, 0);
            return _history.Count;
        }

        public void Rollback(int mark)
        {
            for (int i = _history.Count - 1; i >= mark; i--)
                _history[i].Data.CopyTo(Current, _history[i].Chunk * Limits.ChunkSizeBytes);
            _history.RemoveRange(mark, _history.Count - mark);
            _endsBefore.CopyTo(_ends, 0);
        }

        public void Write(int offset, ReadOnlySpan<byte> data)
        {
            Keep(offset, data.Length);
            data.CopyTo(Current.AsSpan(offset));
            for (int i = offset / Limits.SegmentSizeBytes; i * Limits.SegmentSizeBytes < offset + data.Length; i++)
                _ends[i] = Math.Max(_ends[i], Math.Min(offset + data.Length - i * Limits.SegmentSizeBytes, Limits.SegmentSizeBytes));
        }

        /// <summary>What a cut has taken must not come back once the log has the cut.</summary>
        public void Cut(int offset, int length, bool lowersEnd, int operation)
        {
            length = Math.Min(length, WindowBytes - offset);
            Keep(offset, length);
            foreach (Version version in _history)
            {
                int start = version.Chunk * Limits.ChunkSizeBytes;
                if (start < offset + length && start + Limits.ChunkSizeBytes > offset)
                    version.CutBy = Math.Min(version.CutBy, operation);
            }

            Current.AsSpan(offset, length).Clear();
            for (int i = 0; lowersEnd && i < _ends.Length; i++)
                _ends[i] = Math.Min(_ends[i], Math.Max(0, offset - i * Limits.SegmentSizeBytes));
        }

        public void Flushed() => _history.Clear();

        public void BeginFlush() => _beforeFlush = _history.Count;

        public void EndFlush() => _history.RemoveRange(0, _beforeFlush);

        public void Adopt(ReadOnlySpan<byte> data, Func<int, int> endOfSegment)
        {
            data.CopyTo(Current);
            for (int i = 0; i < _ends.Length; i++)
                _ends[i] = endOfSegment(i);
            _history.Clear();
        }

        /// <param name="data">What was found.</param>
        /// <param name="survived">After a crash the last operation that the log has; otherwise only the current version will do.</param>
        /// <param name="chunk">The first chunk that is not accepted.</param>
        public bool Accepts(ReadOnlySpan<byte> data, int? survived, out int chunk)
        {
            for (chunk = 0; chunk < WindowBytes / Limits.ChunkSizeBytes; chunk++)
            {
                ReadOnlySpan<byte> found = data.Slice(chunk * Limits.ChunkSizeBytes, Limits.ChunkSizeBytes);
                if (found.SequenceEqual(Current.AsSpan(chunk * Limits.ChunkSizeBytes, Limits.ChunkSizeBytes)))
                    continue;

                bool accepted = false;
                for (int i = 0; i < _history.Count && !accepted; i++)
                    accepted = _history[i].Chunk == chunk && _history[i].CutBy > survived && found.SequenceEqual(_history[i].Data);
                if (!accepted)
                    return false;
            }

            return true;
        }

        private void Keep(int offset, int length)
        {
            if (length <= 0)
                return;

            for (int chunk = offset / Limits.ChunkSizeBytes; chunk <= (offset + length - 1) / Limits.ChunkSizeBytes; chunk++)
                _history.Add(new Version(chunk, Current.AsSpan(chunk * Limits.ChunkSizeBytes, Limits.ChunkSizeBytes).ToArray()));
        }

        private sealed class Version(int chunk, byte[] data)
        {
            public int Chunk => chunk;

            public byte[] Data => data;

            /// <summary>The first operation that cut it, in part or in whole.</summary>
            public int CutBy { get; set; } = int.MaxValue;
        }
    }
}
