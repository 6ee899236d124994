using Gateway.Admin.Contract;
using StoreCore;
using StoreCore.Blocks;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>
/// fsck: the metadata agrees with itself, the blocks agree with themselves, and both agree with each other, in both directions: every block belongs to an inode, and
/// every inode has the blocks that its record tells of. The check may run while the store serves: each part walks a snapshot of its own, and what the comparison
/// finds is looked at again in the live store before it is reported. Repair needs the store for itself.
/// </summary>
internal sealed class StoreCheck(StoreStack stack, Action<WorkProgress> progress, CancellationToken cancellation, TimeProvider clock)
{
    private readonly List<string> _findings = [];
    private readonly List<(InodeId Inode, long AllocatedBytes)> _orphans = [];
    private readonly long _started = clock.GetTimestamp();
    private long _findingCount, _repaired;
    private bool _repair;

    /// <exception cref="OperatingException">There is nothing that can be checked.</exception>
    public CheckReport Check()
    {
        MetadataCheckCounts counts = CheckMetadata();
        return Report(counts, CompareWithBlocks());
    }

    /// <summary>Mends blocks, and what metadata and blocks tell of each other. The metadata itself is mended before it is opened: <see cref="RepairMetadata"/>.</summary>
    public CheckReport Repair(long metadataRepaired, IReadOnlyCollection<string> metadataFindings)
    {
        _repair = true;
        _findings.AddRange(metadataFindings);
        _findingCount = _repaired = metadataRepaired;
        BlockCheckReport blocks = CompareWithBlocks();
        return Report(CheckMetadata(), blocks);
    }

    /// <summary>Mends the rows of the metadata; before the store on top of them is opened.</summary>
    public static long RepairMetadata(IKvStore keyValues, List<string> findings, Action<WorkProgress> progress, TimeProvider clock) =>
        !MetadataStore.IsFormatted(keyValues) ? 0 : MetadataCheck.Repair(
            keyValues, Timestamp.Now(clock),
            finding =>
            {
                if (findings.Count < CheckReport.FindingsShownAtMost)
                    findings.Add(finding.Text);
            },
            (what, done) => progress(new WorkProgress(what, done, 0, "rows")));

    private MetadataCheckCounts CheckMetadata() => MetadataCheck.Run(
        stack.KeyValues,
        finding =>
        {
            Find(finding.Text);
            return !cancellation.IsCancellationRequested;
        },
        (what, done) => progress(new WorkProgress(what, done, 0, "rows")));

    private BlockCheckReport CompareWithBlocks()
    {
        cancellation.ThrowIfCancellationRequested();
        Compared(0);
        using IKvSnapshot snapshot = stack.KeyValues.Snapshot();
        using var merge = new Merge(this, new SnapshotReader(stack.KeyValues, snapshot).Inodes(InodeId.None));
        BlockCheckReport report = _repair ? stack.Blocks.Repair(merge.Next) : stack.Blocks.Check(merge.Next);
        merge.Finish();

        // Not earlier: the repair of the blocks works on the moment at which it began.
        foreach ((InodeId inode, long allocatedBytes) in _orphans)
            MendOrphan(inode, allocatedBytes);
        foreach (BlockProblem problem in report.Problems)
            Find(problem.Description, mended: _repair);
        long more = report.ProblemCount - report.Problems.Count;
        _findingCount += more;
        _repaired += _repair ? more : 0;
        return report;
    }

    private CheckReport Report(MetadataCheckCounts counts, BlockCheckReport blocks)
    {
        if (blocks.LostChunks > 0)
            Find($"{blocks.LostChunks} chunks are lost: reading them answers with an error; restore those files from a backup");
        return new CheckReport(
            counts.Inodes, counts.Names, blocks.VolumeChunks + blocks.InlineChunks, 0, _findingCount, _repaired, _findings,
            clock.GetElapsedTime(_started).TotalSeconds);
    }

    private void Find(string text, bool mended = false)
    {
        _findingCount++;
        _repaired += mended ? 1 : 0;
        if (_findings.Count < CheckReport.FindingsShownAtMost)
            _findings.Add(text);
    }

    /// <summary>
    /// Compares one inode with its blocks in the live store. While an inode is on the pending list the two may differ: the next start (or the running
    /// gateway) brings them together. An inode that changes while it is looked at is in use, so its writer keeps its books.
    /// </summary>
    private void Compare(InodeId inode)
    {
        cancellation.ThrowIfCancellationRequested();
        if (IsPending(PendingKind.Purging, inode) || IsPending(PendingKind.Truncating, inode))
            return;
        bool exists = stack.Metadata.GetInode(inode, out InodeRecord before) == FsStatus.Ok;
        if (exists && (before.Flags & InodeFlags.SizeUnrecorded) != 0)
            return;
        if (stack.Blocks.Measure(inode, out long allocatedBytes, out ulong endOfData) != FsStatus.Ok)
        {
            Find($"inode {inode}: its blocks cannot be read");
            return;
        }

        bool existsStill = stack.Metadata.GetInode(inode, out InodeRecord after) == FsStatus.Ok;
        bool quiet = exists == existsStill && before.Flags == after.Flags && before.SizeBytes == after.SizeBytes && before.AllocatedBytes == after.AllocatedBytes;
        if (!quiet)
            return;
        if (!exists && allocatedBytes > 0)
            _orphans.Add((inode, allocatedBytes));
        else if (exists && (allocatedBytes != after.AllocatedBytes || endOfData > after.SizeBytes))
            FindDifference(after, allocatedBytes, endOfData);
    }

    private void MendOrphan(InodeId inode, long allocatedBytes)
    {
        bool mended = _repair && stack.Blocks.Truncate(inode, 0, out _) == FsStatus.Ok;
        Find($"{allocatedBytes} bytes in blocks belong to inode {inode}, which does not exist", mended);
    }

    private void FindDifference(in InodeRecord record, long allocatedBytes, ulong endOfData)
    {
        string text = allocatedBytes < record.AllocatedBytes
            ? $"inode {record.Inode}: {record.AllocatedBytes - allocatedBytes} bytes of its data are missing; restore the file from a backup"
            : endOfData > record.SizeBytes
                ? $"inode {record.Inode}: there is data up to {endOfData}, beyond its size of {record.SizeBytes}"
                : $"inode {record.Inode}: it uses {allocatedBytes} bytes, its record says {record.AllocatedBytes}";
        SizeUpdate update = new()
        {
            Inode = record.Inode,
            SizeBytes = Math.Max(record.SizeBytes, endOfData),
            AllocatedBytes = allocatedBytes,
            Accessed = record.Accessed,
            Modified = record.Modified,
            Changed = record.Changed,
            Final = true,
        };
        Find(text, mended: _repair && stack.Metadata.RecordSizes([update]) == FsStatus.Ok);
    }

    private void Compared(long inodes) => progress(new WorkProgress("blocks", inodes, (long)stack.Metadata.InodeCounts.Used, "inodes"));

    private bool IsPending(PendingKind kind, InodeId inode)
    {
        Span<(InodeId Inode, ulong Value)> found = stackalloc (InodeId, ulong)[1];
        return stack.Metadata.ListPending(kind, new InodeId(inode.Value - 1), found) == 1 && found[0].Inode == inode;
    }

    /// <summary>Walks the inodes beside the blocks: both are in the order of their numbers.</summary>
    private sealed class Merge : IDisposable
    {
        private readonly StoreCheck _check;
        private readonly IEnumerator<InodeRecord> _inodes;
        private bool _more;
        private long _done;

        public Merge(StoreCheck check, IEnumerable<InodeRecord> inodes)
        {
            _check = check;
            _inodes = inodes.GetEnumerator();
            Advance();
        }

        /// <summary>The next inode that has blocks.</summary>
        public void Next(InodeUsage usage)
        {
            SkipTo(usage.Inode);
            bool found = _more && _inodes.Current.Inode == usage.Inode;
            bool agrees = found && _inodes.Current.AllocatedBytes == usage.AllocatedBytes && usage.EndOfData <= _inodes.Current.SizeBytes;
            if (!agrees)
                _check.Compare(usage.Inode);
            if (found)
                Advance();
        }

        public void Finish() => SkipTo(new InodeId(ulong.MaxValue));

        public void Dispose() => _inodes.Dispose();

        /// <summary>Passes inodes without blocks.</summary>
        private void SkipTo(InodeId inode)
        {
            for (; _more && _inodes.Current.Inode.CompareTo(inode) < 0; Advance())
            {
                if (_inodes.Current.AllocatedBytes != 0)
                    _check.Compare(_inodes.Current.Inode);
            }
        }

        private void Advance()
        {
            const int Often = 1 << 14;
            if (++_done % Often == 0)
                _check.Compared(_done);
            try
            {
                _more = _inodes.MoveNext();
            }
            catch (MetadataException error)
            {
                // The check of the metadata has named the row; what stands behind it is compared after the repair.
                _check.Find($"the comparison with the blocks ends early: {error.Message}");
                _more = false;
            }
        }
    }
}
