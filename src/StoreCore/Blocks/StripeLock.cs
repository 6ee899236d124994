using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>
/// A reader/writer lock over the blocks that share a stripe. Waiting writers go before new readers, so that a stream of reads cannot starve a
/// write. Not recursive; a thread holds at most one stripe at a time, so there is no order to keep. Own, because ReaderWriterLockSlim keeps a list per thread
/// and lock, which with a thousand locks costs more than the lock.
/// </summary>
internal sealed class StripeLock
{
    // Spinning costs less than the 50-100 µs of a wake-up while the holder only commits (some 10 µs).
    private const int Spins = 20;

    private int _readers;
    private int _waitingWriters;
    private int _sleepers;
    private bool _writing;

    /// <summary>Counts the exclusive holders so far: unchanged means that no map below this stripe has changed. Read while holding the lock.</summary>
    public long Version { get; private set; }

    public void EnterShared()
    {
        var spinner = default(SpinWait);
        while (true)
        {
            lock (this)
            {
                if (!_writing && _waitingWriters == 0)
                {
                    _readers++;
                    return;
                }

                if (spinner.Count >= Spins)
                {
                    Sleep();
                    continue;
                }
            }

            spinner.SpinOnce(sleep1Threshold: -1);
        }
    }

    public void ExitShared()
    {
        lock (this)
        {
            if (--_readers == 0)
                Wake();
        }
    }

    public void EnterExclusive()
    {
        var spinner = default(SpinWait);
        bool announced = false;
        while (true)
        {
            lock (this)
            {
                if (!announced)
                {
                    announced = true;
                    _waitingWriters++;
                }

                if (!_writing && _readers == 0)
                {
                    _waitingWriters--;
                    _writing = true;
                    Version++;
                    return;
                }

                if (spinner.Count >= Spins)
                {
                    Sleep();
                    continue;
                }
            }

            spinner.SpinOnce(sleep1Threshold: -1);
        }
    }

    public void ExitExclusive()
    {
        lock (this)
        {
            _writing = false;
            Wake();
        }
    }

    private void Sleep()
    {
        _sleepers++;
        Monitor.Wait(this);
        _sleepers--;
    }

    private void Wake()
    {
        if (_sleepers > 0)
            Monitor.PulseAll(this);
    }
}

/// <summary>The stripes of a store.</summary>
internal sealed class LockStripes
{
    private readonly StripeLock[] _stripes;

    public LockStripes(int count)
    {
        _stripes = new StripeLock[count];
        for (int i = 0; i < count; i++)
            _stripes[i] = new StripeLock();
    }

    public StripeLock For(BlockId block)
    {
        ulong hash = (block.Inode.Value * 0x9E3779B97F4A7C15UL + block.Index) * 0xC2B2AE3D27D4EB4FUL;
        return _stripes[(int)((hash >> 32) * (uint)_stripes.Length >> 32)];
    }
}
