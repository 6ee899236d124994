using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>A chunk that could not be read right.</summary>
/// <param name="Time">When it was first seen.</param>
/// <param name="Block">The block.</param>
/// <param name="Chunk">Its chunk within the block.</param>
/// <param name="Volume">The volume file; empty where the data lies in the key-value store.</param>
/// <param name="Offset">Byte offset in the volume file.</param>
/// <param name="Reason">In words: checksums, or what the disk said.</param>
public sealed record BlockFault(DateTimeOffset Time, BlockId Block, int Chunk, string Volume, long Offset, string Reason)
{
    public override string ToString() => Volume.Length == 0
        ? $"inode {Block.Inode} block {Block.Index} chunk {Chunk}: {Reason}"
        : $"inode {Block.Inode} block {Block.Index} chunk {Chunk} at {Volume} offset {Offset}: {Reason}";
}

/// <summary>The faults met since the start: the first ones in full, all of them counted. Any thread may call any member.</summary>
public sealed class BlockFaults(int maxRemembered, TimeProvider clock)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(BlockId, int, string), BlockFault> _faults = [];
    private long _count;

    /// <summary>Raised once for every chunk that is remembered, on the thread that met it: it must only queue.</summary>
    public event Action<BlockFault>? Found;

    /// <summary>Failed reads so far, repeated ones included.</summary>
    public long Count => Interlocked.Read(ref _count);

    public IReadOnlyList<BlockFault> Remembered
    {
        get
        {
            lock (_lock)
                return [.. _faults.Values];
        }
    }

    internal void Add(BlockId block, int chunk, string volume, long offset, string reason)
    {
        Interlocked.Increment(ref _count);
        BlockFault fault;
        lock (_lock)
        {
            if (_faults.Count >= maxRemembered || _faults.ContainsKey((block, chunk, volume)))
                return;

            fault = new BlockFault(clock.GetUtcNow(), block, chunk, volume, offset, reason);
            _faults.Add((block, chunk, volume), fault);
        }

        Found?.Invoke(fault);
    }
}
