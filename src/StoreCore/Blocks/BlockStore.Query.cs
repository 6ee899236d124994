using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

public sealed partial class BlockStore
{
    public FsStatus Seek(InodeId inode, ulong fileOffset, bool wantHole, out bool found, out ulong position)
    {
        // A hole lies at the offset until the chunks there prove otherwise.
        found = wantHole;
        position = fileOffset;
        if (IsStopped)
            return FsStatus.Stopped;
        if (fileOffset >= Limits.MaxFileSizeBytes)
            return FsStatus.Ok;

        try
        {
            using IKvIterator rows = IterateSegments(SegmentKey.Containing(inode, fileOffset));
            while (rows.Next())
            {
                if (!SegmentKey.TryDecode(rows.Key, out SegmentKey key))
                    return BadKey(rows.Key);
                if (!SegmentCodec.TryDecode(rows.Value, out SegmentMap map))
                    return BadRow(key);

                // A row that does not go on where the last one ended: there is the hole.
                if (wantHole && key.FileOffset > position)
                    return FsStatus.Ok;

                int chunk = position > key.FileOffset ? (int)((position - key.FileOffset) / Limits.ChunkSizeBytes) : 0;
                for (; chunk < Limits.ChunksPerSegment; chunk++)
                {
                    ulong start = key.FileOffset + (ulong)chunk * Limits.ChunkSizeBytes;
                    if (map.Locations[chunk].IsHole == wantHole)
                    {
                        found = true;
                        position = Math.Max(start, fileOffset);
                        return FsStatus.Ok;
                    }
                }

                position = key.FileOffset + Limits.SegmentSizeBytes;
            }

            if (!wantHole)
                position = fileOffset;
            return FsStatus.Ok;
        }
        catch (KvFailedException e)
        {
            return Stop(e.Message);
        }
    }

    public FsStatus Measure(InodeId inode, out long allocatedBytes, out ulong endOfData)
    {
        allocatedBytes = 0;
        endOfData = 0;
        if (IsStopped)
            return FsStatus.Stopped;

        try
        {
            using IKvIterator rows = IterateSegments(new SegmentKey(inode.Value, 0, 0));
            while (rows.Next())
            {
                if (!SegmentKey.TryDecode(rows.Key, out SegmentKey key))
                    return BadKey(rows.Key);
                if (!SegmentCodec.TryDecode(rows.Value, out SegmentMap map))
                    return BadRow(key);

                allocatedBytes += (long)map.MappedChunks * Limits.ChunkSizeBytes;
                if (map.End > 0)
                    endOfData = key.FileOffset + (ulong)map.End;
            }

            return FsStatus.Ok;
        }
        catch (KvFailedException e)
        {
            return Stop(e.Message);
        }
    }

    private FsStatus BadRow(in SegmentKey key)
    {
        Faults.Add(key.BlockId, key.Segment * Limits.ChunksPerSegment, "", 0, "its index row is damaged");
        return FsStatus.IoError;
    }
}
