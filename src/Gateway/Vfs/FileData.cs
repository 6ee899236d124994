using StoreCore;
using StoreCore.Blocks;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// Maps byte ranges of a file to blocks. Knows neither sizes nor times: the caller has cut ranges to the file's size and holds the data lock.
/// </summary>
internal sealed class FileData(IBlockStore blocks)
{
    public FsStatus Read(InodeId inode, ulong offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            BlockId block = Locate(inode, offset, (ulong)destination.Length, out int within, out int length);
            FsStatus status = blocks.Read(block, within, destination[..length]);
            if (status != FsStatus.Ok)
                return status;
            destination = destination[length..];
            offset += (ulong)length;
        }

        return FsStatus.Ok;
    }

    /// <summary>Writes as far as it can; <paramref name="written"/> tells how far that was, also where the status is not Ok.</summary>
    public FsStatus Write(InodeId inode, ulong offset, ReadOnlySpan<byte> data, WriteHint hint, out int written, out long allocatedDelta)
    {
        written = 0;
        allocatedDelta = 0;
        while (written < data.Length)
        {
            BlockId block = Locate(inode, offset + (ulong)written, (ulong)(data.Length - written), out int within, out int length);
            FsStatus status = blocks.Write(block, within, data.Slice(written, length), hint, out long delta);
            if (status != FsStatus.Ok)
                return status;
            allocatedDelta += delta;
            written += length;
        }

        return FsStatus.Ok;
    }

    public FsStatus Truncate(InodeId inode, ulong offset, out long allocatedDelta) => blocks.Truncate(inode, offset, out allocatedDelta);

    public FsStatus Purge(InodeId inode, ref uint fromBlock, int maxBlocks, out bool isDone) => blocks.Purge(inode, ref fromBlock, maxBlocks, out isDone);

    /// <summary>Makes a range read as zeros; only blocks that hold data are visited, so a range may be as large as it likes.</summary>
    public FsStatus Punch(InodeId inode, ulong offset, ulong lengthBytes, out long allocatedDelta)
    {
        allocatedDelta = 0;
        ulong end = offset + lengthBytes;
        while (offset < end)
        {
            FsStatus status = blocks.Seek(inode, offset, wantHole: false, out bool found, out ulong data);
            if (status != FsStatus.Ok)
                return status;
            if (!found || data >= end)
                break;
            offset = data;
            BlockId block = Locate(inode, offset, end - offset, out int within, out int length);
            status = blocks.Punch(block, within, length, out long delta);
            if (status != FsStatus.Ok)
                return status;
            allocatedDelta += delta;
            offset += (ulong)length;
        }

        return FsStatus.Ok;
    }

    public FsStatus Seek(InodeId inode, ulong offset, bool wantHole, out bool found, out ulong position) =>
        blocks.Seek(inode, offset, wantHole, out found, out position);

    /// <summary>Bytes of a range that take no space yet, in whole chunks.</summary>
    public FsStatus MeasureHoles(InodeId inode, ulong offset, ulong lengthBytes, out ulong holeBytes)
    {
        holeBytes = 0;
        ulong end = offset + lengthBytes;
        for (ulong at = offset; at < end;)
        {
            FsStatus status = blocks.Seek(inode, at, wantHole: true, out _, out ulong hole);
            if (status != FsStatus.Ok || hole >= end)
                return status;
            status = blocks.Seek(inode, hole, wantHole: false, out bool found, out ulong data);
            if (status != FsStatus.Ok)
                return status;
            at = found ? Math.Min(data, end) : end;
            holeBytes += at - hole;
        }

        return FsStatus.Ok;
    }

    public FsStatus Measure(InodeId inode, out long allocatedBytes, out ulong endOfData) => blocks.Measure(inode, out allocatedBytes, out endOfData);

    public FsStatus Sync() => blocks.Sync();

    public void Join(ISyncParticipant participant) => blocks.Join(participant);

    public BlockSpace Space => blocks.Space;

    /// <summary>The block that holds an offset, the place within it, and how much of <paramref name="lengthBytes"/> lies in it.</summary>
    private static BlockId Locate(InodeId inode, ulong offset, ulong lengthBytes, out int within, out int length)
    {
        (ulong index, ulong rest) = Math.DivRem(offset, Limits.BlockSizeBytes);
        within = (int)rest;
        length = (int)Math.Min(lengthBytes, (ulong)(Limits.BlockSizeBytes - within));
        return new BlockId(inode, checked((uint)index));
    }
}
