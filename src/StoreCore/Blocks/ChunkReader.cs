using StoreCore.Disk;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>
/// Reads mapped chunks and verifies each before anyone sees it. The caller holds the block's stripe, so what the map names cannot be reused meanwhile.
/// Allocates nothing unless something is wrong.
/// </summary>
internal sealed class ChunkReader(IKvStore kv, VolumeSet volumes, BlockFaults faults)
{
    /// <summary>
    /// Reads part of a segment. Whole chunks go straight to the destination, one disk read for each run of them; a chunk that is asked for in part
    /// is read whole into <paramref name="scratch"/> first. On failure the destination's content is undefined.
    /// </summary>
    public FsStatus Read(in SegmentKey key, in SegmentMap map, int offset, Span<byte> destination, Span<byte> scratch)
    {
        while (!destination.IsEmpty)
        {
            int chunk = offset / Limits.ChunkSizeBytes;
            int within = offset % Limits.ChunkSizeBytes;
            int length = Math.Min(destination.Length, Limits.ChunkSizeBytes - within);
            FsStatus status;
            if (length < Limits.ChunkSizeBytes)
            {
                status = ReadChunk(key, map, chunk, scratch);
                scratch.Slice(within, length).CopyTo(destination);
            }
            else
            {
                int run = map.RunLength(chunk, chunk + destination.Length / Limits.ChunkSizeBytes);
                length = run * Limits.ChunkSizeBytes;
                status = ReadRun(key, map, chunk, run, destination[..length]);
            }

            if (status != FsStatus.Ok)
                return status;
            offset += length;
            destination = destination[length..];
        }

        return FsStatus.Ok;
    }

    /// <summary>Reads one whole chunk.</summary>
    public FsStatus ReadChunk(in SegmentKey key, in SegmentMap map, int chunk, Span<byte> destination) =>
        ReadRun(key, map, chunk, 1, destination[..Limits.ChunkSizeBytes]);

    /// <summary>Reads chunks that <see cref="SegmentMap.RunLength"/> counted as one run.</summary>
    private FsStatus ReadRun(in SegmentKey key, in SegmentMap map, int chunk, int count, Span<byte> destination)
    {
        ChunkLocation location = map.Locations[chunk];
        if (location.IsHole)
        {
            destination.Clear();
            return FsStatus.Ok;
        }

        if (location.IsLost)
            return Report(key, chunk, location, "its data was lost; write the range anew or restore the file");
        if (location.IsVolume)
        {
            Volume? volume = volumes.Find(location.Volume);
            if (volume is null)
                return Report(key, chunk, location, "the volume is missing");

            try
            {
                volume.File.Read(location.Offset, destination);
            }
            catch (DiskException e)
            {
                return Report(key, chunk, location, e.Message);
            }
        }

        for (int i = 0; i < count; i++)
        {
            Span<byte> data = destination.Slice(i * Limits.ChunkSizeBytes, Limits.ChunkSizeBytes);
            if (location.IsInline && !TryReadInline(key, chunk + i, data))
                return Report(key, chunk + i, location, "its inline data is missing");

            uint found = Crc32C.Compute(data);
            uint expected = map.Checksums[chunk + i];
            if (found != expected)
                return Report(key, chunk + i, location.IsVolume ? location.Plus(i) : location, $"checksum {found:x8} where {expected:x8} was written");
        }

        return FsStatus.Ok;
    }

    /// <summary>False where there is no such row or it is too long.</summary>
    public bool TryReadInline(in SegmentKey key, int chunk, Span<byte> destination)
    {
        Span<byte> keyBytes = stackalloc byte[SegmentKey.InlineSizeBytes];
        int length = kv.Get(KvTable.InlineData, key.EncodeInline(keyBytes, chunk), destination);
        if ((uint)length > (uint)destination.Length)
            return false;

        destination[length..].Clear();
        return true;
    }

    private FsStatus Report(in SegmentKey key, int chunk, ChunkLocation location, string reason)
    {
        string volume = location.IsVolume ? Volume.NameOf(location.Volume) : "";
        faults.Add(key.BlockId, key.Segment * Limits.ChunksPerSegment + chunk, volume, location.IsVolume ? location.Offset : 0, reason);
        return FsStatus.IoError;
    }
}
