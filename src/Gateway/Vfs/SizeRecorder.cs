using System.Collections.Concurrent;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// Brings sizes and times that data writes changed into the metadata: many inodes in one operation from the background, one at
/// fsync. What is not recorded when the process dies is measured from the blocks by the next start (<see cref="Recovery"/>).
/// </summary>
internal sealed class SizeRecorder(IMetadata metadata, OpenInodes inodes)
{
    /// <summary>Inodes per operation: some 64 bytes of log record each, so a record stays around 16 KiB.</summary>
    private const int BatchInodes = 256;

    private readonly ConcurrentQueue<InodeState> _queue = new();
    private readonly Lock _recording = new();

    /// <summary>Has work to do at the next <see cref="RecordAll"/>.</summary>
    public bool Pending => !_queue.IsEmpty;

    /// <summary>Under the state's monitor: whatever became dirty is recorded with the next round.</summary>
    public void Enqueue(InodeState state)
    {
        if (state.Queued || !state.NeedsRecording)
            return;
        state.Queued = true;
        _queue.Enqueue(state);
    }

    /// <summary>Records one inode now. Its data must have been applied before.</summary>
    public FsStatus Record(InodeState state)
    {
        lock (state)
        {
            if (!state.NeedsRecording)
                return FsStatus.Ok;
            SizeUpdate update = state.TakeUpdate();
            FsStatus status = metadata.RecordSizes(new ReadOnlySpan<SizeUpdate>(in update));
            if (status == FsStatus.Ok)
                state.Recorded(update);
            return status;
        }
    }

    /// <summary>Records everything that was dirty when the call began.</summary>
    public FsStatus RecordAll()
    {
        lock (_recording)
        {
            FsStatus result = FsStatus.Ok;
            var batch = new List<InodeState>(BatchInodes);
            var updates = new SizeUpdate[BatchInodes];
            for (int left = _queue.Count; left > 0 && result == FsStatus.Ok;)
            {
                batch.Clear();
                while (left > 0 && batch.Count < BatchInodes && _queue.TryDequeue(out InodeState? state))
                {
                    batch.Add(state);
                    left--;
                }

                if (batch.Count == 0)
                    break;
                result = RecordBatch(batch, updates);
            }

            return result;
        }
    }

    /// <summary>
    /// All monitors of the batch are held over the operation, so that no write can mark an inode between the snapshot of its size and the
    /// record that takes the mark away. Everyone else holds one monitor at a time, so no circle can close.
    /// </summary>
    private FsStatus RecordBatch(List<InodeState> batch, SizeUpdate[] updates)
    {
        int held = 0, count = 0;
        try
        {
            foreach (InodeState state in batch)
            {
                Monitor.Enter(state);
                held++;
                state.Queued = false;
                if (state.NeedsRecording && !state.Reaping)
                    updates[count++] = state.TakeUpdate();
            }

            FsStatus status = count == 0 ? FsStatus.Ok : metadata.RecordSizes(updates.AsSpan(0, count));
            for (int i = 0, u = 0; i < batch.Count; i++)
            {
                InodeState state = batch[i];
                if (u < count && updates[u].Inode == state.Inode)
                {
                    if (status == FsStatus.Ok)
                        state.Recorded(updates[u]);
                    else
                        Enqueue(state);
                    u++;
                }

                inodes.RemoveIfIdle(state);
            }

            return status;
        }
        finally
        {
            for (int i = 0; i < held; i++)
                Monitor.Exit(batch[i]);
        }
    }
}
