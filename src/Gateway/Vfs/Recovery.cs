using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>What was found and mended when a file system was opened.</summary>
public readonly record struct RecoveryReport(int Truncated, int Measured, int Unlinked, int Purging);

/// <summary>
/// Brings metadata and blocks together again after a stop: finishes truncations, measures files whose size was not recorded, and hands
/// unlinked inodes and blocks of deleted ones to the reaper. Runs before anything is served.
/// </summary>
internal static class Recovery
{
    private const int BatchInodes = 256;

    public static FsStatus Run(IMetadata metadata, FileData data, Reaper reaper, out RecoveryReport report)
    {
        report = default;
        FsStatus status = FinishTruncations(metadata, data, out int truncated);
        if (status != FsStatus.Ok)
            return status;
        status = MeasureSizes(metadata, data, out int measured);
        if (status != FsStatus.Ok)
            return status;
        int unlinked = ForEach(metadata, PendingKind.Unlinked, reaper.Enqueue);
        int purging = ForEach(metadata, PendingKind.Purging, reaper.EnqueuePurge);
        report = new RecoveryReport(truncated, measured, unlinked, purging);
        return FsStatus.Ok;
    }

    private static FsStatus FinishTruncations(IMetadata metadata, FileData data, out int count)
    {
        count = 0;
        var batch = new (InodeId Inode, ulong Value)[BatchInodes];
        for (InodeId after = InodeId.None; ;)
        {
            int found = metadata.ListPending(PendingKind.Truncating, after, batch);
            foreach ((InodeId inode, ulong size) in batch.AsSpan(0, found))
            {
                FsStatus status = data.Truncate(inode, size, out _);
                if (status != FsStatus.Ok)
                    return status;
                status = data.Measure(inode, out long allocated, out _);
                if (status != FsStatus.Ok)
                    return status;
                status = metadata.TruncateDone(inode, allocated);
                if (status != FsStatus.Ok)
                    return status;
                after = inode;
                count++;
            }

            if (found < batch.Length)
                return FsStatus.Ok;
        }
    }

    private static FsStatus MeasureSizes(IMetadata metadata, FileData data, out int count)
    {
        count = 0;
        var batch = new (InodeId Inode, ulong Value)[BatchInodes];
        var updates = new SizeUpdate[BatchInodes];
        for (InodeId after = InodeId.None; ;)
        {
            int found = metadata.ListPending(PendingKind.SizeUnrecorded, after, batch);
            int filled = 0;
            foreach ((InodeId inode, _) in batch.AsSpan(0, found))
            {
                after = inode;
                if (metadata.GetInode(inode, out InodeRecord record) != FsStatus.Ok)
                    continue;
                FsStatus status = data.Measure(inode, out long allocated, out ulong end);
                if (status != FsStatus.Ok)
                    return status;
                updates[filled++] = new SizeUpdate
                {
                    Inode = inode,
                    SizeBytes = Math.Max(record.SizeBytes, end),
                    AllocatedBytes = allocated,
                    Accessed = record.Accessed,
                    Modified = record.Modified,
                    Changed = record.Changed,
                    Final = true,
                };
            }

            if (filled > 0)
            {
                FsStatus status = metadata.RecordSizes(updates.AsSpan(0, filled));
                if (status != FsStatus.Ok)
                    return status;
                count += filled;
            }

            if (found < batch.Length)
                return FsStatus.Ok;
        }
    }

    private static int ForEach(IMetadata metadata, PendingKind kind, Action<InodeId> action)
    {
        var batch = new (InodeId Inode, ulong Value)[BatchInodes];
        int count = 0;
        for (InodeId after = InodeId.None; ;)
        {
            int found = metadata.ListPending(kind, after, batch);
            foreach ((InodeId inode, _) in batch.AsSpan(0, found))
            {
                action(inode);
                after = inode;
                count++;
            }

            if (found < batch.Length)
                return count;
        }
    }
}
