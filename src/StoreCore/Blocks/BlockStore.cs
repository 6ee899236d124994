using System.Runtime.CompilerServices;
using StoreCore.Disk;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>
/// The block store over one disk: an index in the key-value store, data in volume files. Everything is copy-on-write: what the index points to is never
/// overwritten. The README of this folder tells how a write, a flush and a recovery go. Any thread may call any member; no thread is started here.
/// </summary>
/// <remarks>
/// Lock order: a block's stripe, then the commit lock of the index, then the allocator's. Data is written to fresh space before the stripe is taken; the
/// exclusive stripe covers reading what a partial chunk held and the commit; readers hold the stripe shared until their data is verified.
/// </remarks>
public sealed partial class BlockStore : IBlockStore
{
    private readonly IKvStore _kv;
    private readonly BlockStoreOptions _options;
    private readonly TimeProvider _clock;
    private readonly VolumeSet _volumes;
    private readonly SpaceAllocator _allocator;
    private readonly BlockIndex _index;
    private readonly ChunkReader _reader;
    private readonly SpaceGuard _guard;
    private readonly LockStripes _stripes;
    private readonly SettleQueue _settleQueue;
    private string? _stopReason;
    private volatile bool _disposed;

    private BlockStore(IKvStore kv, IDisk disk, VolumeSet volumes, BlockStoreOptions options, TimeProvider clock)
    {
        _kv = kv;
        _options = options;
        _clock = clock;
        _volumes = volumes;
        Faults = new BlockFaults(options.MaxRememberedFaults, clock);
        _allocator = new SpaceAllocator(volumes, clock);
        _index = new BlockIndex(kv, volumes, options);
        _reader = new ChunkReader(kv, volumes, Faults);
        _guard = new SpaceGuard(disk, _index, _allocator, options, clock);
        _stripes = new LockStripes(options.LockStripes);
        _settleQueue = new SettleQueue(options, clock);
        _index.Committed = _settleQueue.Note;
    }

    /// <summary>Why the store has stopped itself, with the evidence; null while it serves.</summary>
    public string? StopReason => Volatile.Read(ref _stopReason);

    /// <summary>Raised once, on the thread that met the failure: it must only queue.</summary>
    public event Action<string>? Stopped;

    /// <summary>Chunks that did not read right.</summary>
    public BlockFaults Faults { get; }

    public BlockSpace Space => _guard.Space;

    /// <summary>
    /// Opens the store, brings index and volumes together after a crash, and makes that stable before anything is served.
    /// Neither the key-value store nor the disk is disposed with it.
    /// </summary>
    /// <exception cref="BlockStoreException">Something is missing, damaged or foreign; the message says what and how to mend it.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    /// <exception cref="KvFailedException">The key-value store failed.</exception>
    public static BlockStore Open(IKvStore kv, IDisk disk, BlockStoreOptions options, TimeProvider clock)
    {
        options.Validate();
        VolumeSet volumes = SpaceLoader.Load(kv, disk, options);
        try
        {
            var store = new BlockStore(kv, disk, volumes, options, clock);
            new BlockRecovery(kv, volumes, store._reader).Run();
            store._allocator.Reset();
            store._index.Reset();
            return store;
        }
        catch
        {
            volumes.Dispose();
            throw;
        }
    }

    public FsStatus Read(BlockId block, int offset, Span<byte> destination)
    {
        CheckRange(offset, destination.Length);
        if (IsStopped)
            return FsStatus.Stopped;

        StripeLock stripe = _stripes.For(block);
        stripe.EnterShared();
        try
        {
            return ReadUnderLock(block, offset, destination);
        }
        catch (KvFailedException e)
        {
            return Stop(e.Message);
        }
        finally
        {
            stripe.ExitShared();
        }
    }

    [SkipLocalsInit]
    private FsStatus ReadUnderLock(BlockId block, int offset, Span<byte> destination)
    {
        Span<byte> scratch = stackalloc byte[Limits.ChunkSizeBytes];
        while (!destination.IsEmpty)
        {
            var key = new SegmentKey(block, offset / Limits.SegmentSizeBytes);
            int within = offset % Limits.SegmentSizeBytes;
            int length = Math.Min(destination.Length, Limits.SegmentSizeBytes - within);
            FsStatus status = Load(key, out SegmentMap map);
            if (status == FsStatus.Ok)
                status = _reader.Read(key, map, within, destination[..length], scratch);
            if (status != FsStatus.Ok)
                return status;

            offset += length;
            destination = destination[length..];
        }

        return FsStatus.Ok;
    }

    /// <summary>The segment's map; under the block's stripe.</summary>
    private FsStatus Load(in SegmentKey key, out SegmentMap map)
    {
        if (_index.TryLoad(key, out map))
            return FsStatus.Ok;

        Faults.Add(key.BlockId, key.Segment * Limits.ChunksPerSegment, "", 0, "its index row is damaged");
        return FsStatus.IoError;
    }

    private bool IsStopped => _disposed || Volatile.Read(ref _stopReason) is not null;

    /// <summary>Nothing is served any more: what the disk or the index holds is not known.</summary>
    private FsStatus Stop(string reason)
    {
        if (Interlocked.CompareExchange(ref _stopReason, reason, null) is null)
            Stopped?.Invoke(reason);
        return FsStatus.Stopped;
    }

    /// <summary>What an exception of the layers below means to the caller; fatal ones stop the store.</summary>
    private FsStatus Handle(Exception exception)
    {
        if (exception is not DiskException disk)
            return Stop(exception.Message);
        if (disk.Errno != Libc.ENOSPC)
            return FsStatus.IoError;

        _guard.Distrust();
        return FsStatus.NoSpace;
    }

    private static bool IsExpected(Exception exception) => exception is DiskException or KvFailedException or BlockStoreException;

    private static void CheckRange(int offset, int lengthBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(lengthBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(lengthBytes, Limits.BlockSizeBytes - offset, nameof(offset));
    }

    /// <summary>Closes the volume files. Nothing is flushed: that is <see cref="Sync"/>. No other call may be running.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;

        _disposed = true;
        _volumes.Dispose();
    }
}
