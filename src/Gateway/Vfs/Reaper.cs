using System.Collections.Concurrent;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// Deletes unlinked inodes once nobody has them open, and then their blocks. Every step is on the metadata's pending list before it
/// begins, so a crash at any point leaves work to be done again and never a leak.
/// </summary>
internal sealed class Reaper(IMetadata metadata, FileData data, OpenInodes inodes, LockTable locks)
{
    private const int BatchInodes = 256;

    /// <summary>Blocks of one inode that a step purges: some 10 ms where they were written at random, far less where they were not.</summary>
    private const int BlocksPerStep = 4;

    private readonly ConcurrentQueue<InodeId> _unlinked = new();
    private readonly ConcurrentQueue<(InodeId Inode, uint FromBlock)> _purging = new();
    private readonly Lock _stepping = new();

    /// <summary>Inodes that wait here: unlinked ones and ones whose blocks are to be purged.</summary>
    public int Backlog => _unlinked.Count + _purging.Count;

    /// <summary>The inode has no name any more; it goes as soon as it is not open.</summary>
    public void Enqueue(InodeId inode) => _unlinked.Enqueue(inode);

    public void EnqueuePurge(InodeId inode) => _purging.Enqueue((inode, 0));

    /// <summary>Does a bounded piece of work; true where there is more.</summary>
    public bool Step(out FsStatus status)
    {
        lock (_stepping)
        {
            status = ReapSome();
            if (status == FsStatus.Ok)
                status = PurgeSome();
            return status == FsStatus.Ok && Backlog > 0;
        }
    }

    private FsStatus ReapSome()
    {
        Span<InodeId> batch = stackalloc InodeId[BatchInodes];
        var states = new InodeState[BatchInodes];
        int count = 0;
        while (count < BatchInodes && _unlinked.TryDequeue(out InodeId inode))
        {
            InodeState state = inodes.Pin(inode);
            bool isFree;
            lock (state)
            {
                // Open again, or another open left: the last close enqueues it once more.
                isFree = state.Opens == 0 && !state.Reaping;
                state.Reaping |= isFree;
            }

            if (!isFree)
            {
                inodes.Unpin(state);
                continue;
            }

            batch[count] = inode;
            states[count++] = state;
        }

        if (count == 0)
            return FsStatus.Ok;
        FsStatus status = metadata.Reap(batch[..count]);
        for (int i = 0; i < count; i++)
        {
            InodeState state = states[i];
            lock (state)
            {
                // Linked again in the meantime (O_TMPFILE and linkat): the core has passed it over.
                bool gone = status == FsStatus.Ok && metadata.GetInode(state.Inode, out _) != FsStatus.Ok;
                if (gone)
                {
                    state.SizeDirty = state.TimesDirty = state.Marked = false;
                    locks.Forget(state.Inode);
                    EnqueuePurge(state.Inode);
                }
                else
                {
                    state.Reaping = false;
                }
            }

            inodes.Unpin(state);
        }

        return status;
    }

    private FsStatus PurgeSome()
    {
        Span<InodeId> batch = stackalloc InodeId[BatchInodes];
        int count = 0;
        FsStatus status = FsStatus.Ok;
        while (count < BatchInodes && _purging.TryDequeue(out (InodeId Inode, uint FromBlock) next))
        {
            status = data.Purge(next.Inode, ref next.FromBlock, BlocksPerStep, out bool isDone);
            if (!isDone)
            {
                _purging.Enqueue(next);
                break;
            }

            batch[count++] = next.Inode;
        }

        if (count == 0)
            return status;
        FsStatus done = metadata.PurgeDone(batch[..count]);
        return status == FsStatus.Ok ? done : status;
    }
}
