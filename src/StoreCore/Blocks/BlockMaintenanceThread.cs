using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>
/// The thin shell around <see cref="BlockStore.RunMaintenance"/>: one thread of low weight that runs a step now and then, never more than a share of the time. Dispose ends it
/// after the step that is under way.
/// </summary>
public sealed class BlockMaintenanceThread : IDisposable
{
    private readonly BlockStore _store;
    private readonly TimeProvider _clock;
    private readonly TimeSpan _interval;
    private readonly long _bytesPerSecond;
    private readonly ManualResetEventSlim _end = new();
    private readonly Thread _thread;
    private volatile bool _paused;
    private Exception? _failure;

    /// <param name="store">Its caller disposes it after this.</param>
    /// <param name="clock">Measures what a step took.</param>
    /// <param name="interval">Between two steps.</param>
    /// <param name="bytesPerSecond">Data that background work may move at most.</param>
    public BlockMaintenanceThread(BlockStore store, TimeProvider clock, TimeSpan interval, long bytesPerSecond)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(interval, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(bytesPerSecond, 0);
        (_store, _clock, _interval, _bytesPerSecond) = (store, clock, interval, bytesPerSecond);
        _thread = new Thread(Run) { Name = "block-maintenance", IsBackground = true, Priority = ThreadPriority.BelowNormal };
        _thread.Start();
    }

    /// <summary>While set no step begins; one that runs ends.</summary>
    public bool Paused
    {
        get => _paused;
        set => _paused = value;
    }

    /// <summary>What ended the thread before its time, if anything did.</summary>
    public Exception? Failure => Volatile.Read(ref _failure);

    private void Run()
    {
        long budget = Math.Max(1, (long)(_bytesPerSecond * _interval.TotalSeconds));
        TimeSpan pause = _interval;
        try
        {
            while (!_end.Wait(pause))
            {
                pause = _interval;
                if (_paused)
                    continue;

                long start = _clock.GetTimestamp();
                if (_store.RunMaintenance(budget, out _) == FsStatus.Stopped)
                    return;

                // A slow disk is a busy one: it gets at least as much rest as the step took, several times over.
                TimeSpan rest = _clock.GetElapsedTime(start) * 4;
                if (rest > pause)
                    pause = rest;
            }
        }
        catch (Exception e)
        {
            Volatile.Write(ref _failure, e);
        }
    }

    public void Dispose()
    {
        _end.Set();
        _thread.Join();
        _end.Dispose();
    }
}
