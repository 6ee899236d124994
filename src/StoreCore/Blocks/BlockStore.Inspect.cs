namespace StoreCore.Blocks;

public sealed partial class BlockStore
{
    /// <summary>
    /// Verifies that index, inline data and space agree, both ways, as of one moment; the store may serve meanwhile. <paramref name="onInode"/> gets every inode
    /// that has blocks, in ascending order, for the comparison with the metadata.
    /// </summary>
    /// <exception cref="Kv.KvFailedException">The key-value store failed.</exception>
    public BlockCheckReport Check(Action<InodeUsage>? onInode = null, int maxProblems = 1000) =>
        new BlockChecker(_kv, _volumes, _reader, repair: false, maxProblems).Run(onInode);

    /// <summary>
    /// As <see cref="Check"/>, and sets right what disagrees: space bitmaps follow the rows, orphaned inline data goes, chunks whose data is gone answer with an
    /// error from then on. No other call may be running.
    /// </summary>
    /// <exception cref="Kv.KvFailedException">The key-value store failed.</exception>
    public BlockCheckReport Repair(Action<InodeUsage>? onInode = null, int maxProblems = 1000)
    {
        BlockCheckReport report = new BlockChecker(_kv, _volumes, _reader, repair: true, maxProblems).Run(onInode);
        _kv.Sync();
        _allocator.Reset();
        _index.Reset();
        return report;
    }
}
