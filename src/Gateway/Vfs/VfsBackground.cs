using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// The thread that bounds the age of unstable changes and frees what was unlinked: a thin shell around <see cref="FileSystemVfs.SyncAll"/> and
/// <see cref="FileSystemVfs.ReapStep"/>. A failure is handed to <paramref name="failed"/> once and ends it: a store that cannot flush is done.
/// </summary>
public sealed class VfsBackground(FileSystemVfs vfs, TimeSpan syncInterval, TimeProvider clock, Action<FsStatus> failed) : IDisposable
{
    /// <summary>How often it looks for unlinked inodes: soon enough that space comes back while a person watches df.</summary>
    private static readonly TimeSpan ReapInterval = TimeSpan.FromMilliseconds(100);

    private readonly ManualResetEventSlim _stop = new();
    private Thread? _thread;

    public void Start()
    {
        _thread = new Thread(Run) { Name = "vfs-background", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Ends the thread; the caller makes the last changes stable itself.</summary>
    public void Dispose()
    {
        _stop.Set();
        _thread?.Join();
        _stop.Dispose();
    }

    /// <summary>Rests after each step as long as it took: whoever deletes a large file is not to be felt by the others.</summary>
    private FsStatus Reap(long lastSync)
    {
        while (true)
        {
            long began = clock.GetTimestamp();
            bool hasMore = vfs.ReapStep(out FsStatus status);
            if (!hasMore || clock.GetElapsedTime(lastSync) >= syncInterval || _stop.Wait(clock.GetElapsedTime(began)))
                return status;
        }
    }

    private void Run()
    {
        TimeSpan wait = syncInterval < ReapInterval ? syncInterval : ReapInterval;
        long lastSync = clock.GetTimestamp();
        while (!_stop.Wait(wait))
        {
            FsStatus status = Reap(lastSync);

            if (status == FsStatus.Ok && clock.GetElapsedTime(lastSync) >= syncInterval)
            {
                lastSync = clock.GetTimestamp();
                status = vfs.SyncAll();
            }

            if (status != FsStatus.Ok)
            {
                failed(status);
                return;
            }
        }
    }
}
