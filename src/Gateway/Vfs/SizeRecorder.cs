using System.Collections.Concurrent;
using StoreCore.Blocks;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// Brings sizes and times that data writes changed into the metadata: in the middle of each flush, when the data is on the disk and the log is not
/// flushed yet, so that one flush of the log makes both stable and a recorded size never speaks of data that a crash can still take.
/// What is not recorded when the process dies is measured from the blocks by the next start (<see cref="Recovery"/>).
/// </summary>
internal sealed class SizeRecorder(IMetadata metadata, OpenInodes inodes) : ISyncParticipant
{
    /// <summary>Inodes per operation: some 64 bytes of log record each, so a record stays around 16 KiB.</summary>
    private const int BatchInodes = 256;

    /// <summary>Dirty; recorded with the next <see cref="RequestAll"/>.</summary>
    private readonly ConcurrentQueue<InodeState> _queue = new();

    /// <summary>To be recorded by the next flush.</summary>
    private readonly ConcurrentQueue<InodeState> _requested = new();

    // Used by one flush at a time.
    private readonly List<InodeState> _batch = new(BatchInodes);
    private readonly SizeUpdate[] _updates = new SizeUpdate[BatchInodes];

    private long _lastFlush;

    /// <summary>The number of the flush that has begun last.</summary>
    public long LastFlush => Volatile.Read(ref _lastFlush);

    /// <summary>Under the state's monitor: whatever became dirty is recorded with the next <see cref="RequestAll"/>.</summary>
    public void Enqueue(InodeState state)
    {
        if (state.Queued || !state.NeedsRecording)
            return;
        state.Queued = true;
        _queue.Enqueue(state);
    }

    /// <summary>Under the state's monitor: the next flush is to record it.</summary>
    public void Request(InodeState state)
    {
        if (state.NeedsRecording)
            _requested.Enqueue(state);
    }

    /// <summary>The next flush is to record all that is dirty now.</summary>
    public void RequestAll()
    {
        for (int left = _queue.Count; left > 0 && _queue.TryDequeue(out InodeState? state); left--)
        {
            lock (state)
            {
                state.Queued = false;
                Request(state);
                inodes.RemoveIfIdle(state);
            }
        }
    }

    public void SyncBegins() => Interlocked.Increment(ref _lastFlush);

    public FsStatus DataStable()
    {
        FsStatus status = FsStatus.Ok;
        for (int left = _requested.Count; left > 0 && status == FsStatus.Ok;)
        {
            _batch.Clear();
            for (; left > 0 && _batch.Count < BatchInodes && _requested.TryDequeue(out InodeState? state); left--)
                _batch.Add(state);
            status = RecordBatch();
        }

        return status;
    }

    /// <summary>
    /// All monitors of the batch are held over the operation, so that no write can mark an inode between the snapshot of its size and the
    /// record that takes the mark away. Everyone else holds one monitor at a time, so no circle can close.
    /// </summary>
    private FsStatus RecordBatch()
    {
        int held = 0, count = 0;
        try
        {
            _batch.Sort(static (a, b) => a.Inode.CompareTo(b.Inode)); // asked for twice: side by side
            foreach (InodeState state in _batch)
            {
                Monitor.Enter(state);
                held++;
                if (count > 0 && _updates[count - 1].Inode == state.Inode)
                    continue;

                if (state.NeedsRecording && !state.Reaping)
                    _updates[count++] = state.TakeUpdate(_lastFlush);
            }

            FsStatus status = count == 0 ? FsStatus.Ok : metadata.RecordSizes(_updates.AsSpan(0, count));
            for (int i = 0, u = 0; i < _batch.Count; i++)
            {
                InodeState state = _batch[i];
                if (u < count && _updates[u].Inode == state.Inode)
                {
                    if (status == FsStatus.Ok)
                        state.Recorded(_updates[u]);
                    u++;
                }

                Enqueue(state); // written again during the flush, or its mark must wait for the next
                inodes.RemoveIfIdle(state);
            }

            return status;
        }
        finally
        {
            for (int i = 0; i < held; i++)
                Monitor.Exit(_batch[i]);
        }
    }
}
