using StoreCore.Disk;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

public sealed partial class BlockStore
{
    private readonly object _flushLock = new();
    private long _flushesStarted;
    private long _flushesDone;
    private bool _flushing;
    private ISyncParticipant? _participant;

    public void Join(ISyncParticipant participant) => _participant = participant;

    /// <summary>
    /// One caller flushes for all who came before it started; who comes later waits for the next. Nothing is retried: after a failure the
    /// kernel may have dropped what it could not write, so the store stops.
    /// </summary>
    public FsStatus Sync()
    {
        if (IsStopped)
            return FsStatus.Stopped;

        lock (_flushLock)
        {
            long needed = _flushesStarted + 1;
            while (_flushing && _flushesDone < needed)
                Monitor.Wait(_flushLock);
            if (_flushesDone >= needed)
                return IsStopped ? FsStatus.Stopped : FsStatus.Ok;

            _flushing = true;
            _flushesStarted++;
        }

        FsStatus status = FsStatus.Stopped;
        try
        {
            if (!IsStopped)
                status = Flush();
            return status;
        }
        finally
        {
            // Whoever waits for this flush must not take it for done, whatever ended it.
            if (status != FsStatus.Ok)
                Stop($"a flush was broken off ({status})");
            lock (_flushLock)
            {
                _flushing = false;
                _flushesDone = _flushesStarted;
                Monitor.PulseAll(_flushLock);
            }
        }
    }

    private FsStatus Flush()
    {
        try
        {
            _participant?.SyncBegins();
            SyncWindow? window = _index.CloseWindow();
            foreach (Volume volume in window?.Dirty ?? [])
                volume.File.Sync();
            FsStatus status = _participant?.DataStable() ?? FsStatus.Ok;
            if (status != FsStatus.Ok)
                return status;
            _kv.Sync();
            if (window is null)
                return FsStatus.Ok;

            _index.FinishWindow(window);
            foreach (ChunkRun run in window.Freed)
                _allocator.Release(run);
            _index.RecycleWindow(window);
            return FsStatus.Ok;
        }
        catch (Exception e) when (IsExpected(e))
        {
            return Stop($"a flush failed, what was not flushed may be lost: {e.Message}");
        }
    }
}
