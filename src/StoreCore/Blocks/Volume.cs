using System.Buffers.Binary;
using StoreCore.Disk;
using StoreCore.Primitives;

namespace StoreCore.Blocks;

/// <summary>
/// A volume file and who uses its chunks. Three bitmaps: <em>used</em> is what the index points to and what <see cref="Kv.KvTable.Space"/> stores
/// (guarded by the index's commit lock); <em>busy</em> is what may not be handed out: used, reserved by a write, freed but not released by a flush, or being
/// punched; <em>stale</em> is free but still holds disk space (both guarded by the allocator's lock).
/// </summary>
internal sealed class Volume : IDisposable
{
    /// <summary>Chunks in one row of <see cref="Kv.KvTable.Space"/>: 1 MiB of data, 32 bytes of bitmap.</summary>
    public const int ChunksPerGroup = 256;

    public const int GroupBytes = ChunksPerGroup / 8;

    private const int WordsPerGroup = ChunksPerGroup / 64;

    /// <summary>What <see cref="SpaceLog"/> still has to write of a group.</summary>
    [Flags]
    public enum GroupState : byte
    {
        None = 0,

        /// <summary>Changed by the commit that is being put together.</summary>
        InCommit = 1,

        /// <summary>Changed since the group's own row was written last.</summary>
        Unfolded = 2,
    }

    private readonly ulong[] _used;
    private readonly GroupState[] _groupStates;

    public Volume(uint id, IDiskFile file, BlockStoreOptions options)
    {
        Id = id;
        File = file;
        WriteBehind = new WriteBehind(options);
        Chunks = options.ChunksPerVolume;
        _used = new ulong[Chunks / 64];
        Busy = new ChunkBitmap(Chunks);
        Stale = new ChunkBitmap(Chunks);
        _groupStates = new GroupState[Groups];
        GroupFree = new ushort[Groups];
        Array.Fill(GroupFree, (ushort)ChunksPerGroup);
        FreeChunks = Chunks;
        Reserve(0, 1); // the header
        SetUsed(0);
    }

    public uint Id { get; }

    public string Name => File.Name;

    public IDiskFile File { get; }

    public WriteBehind WriteBehind { get; }

    public int Chunks { get; }

    public int Groups => Chunks / ChunksPerGroup;

    /// <summary>Set by a commit into this volume, cleared when a sync window takes it along. Guarded by the commit lock.</summary>
    public bool Dirty { get; set; }

    public ChunkBitmap Busy { get; }

    public ChunkBitmap Stale { get; }

    /// <summary>Chunks of each group that are not busy.</summary>
    public ushort[] GroupFree { get; }

    public int FreeChunks { get; private set; }

    /// <summary>The next group whose free chunks are to be punched once after a start, because the stale ones of the last run are not known.</summary>
    public int NextUnknownGroup { get; set; }

    public static string NameOf(uint id) => $"vol-{id:D8}";

    public bool IsUsed(int chunk) => (_used[chunk >> 6] & 1UL << chunk) != 0;

    public void SetUsed(int chunk) => _used[chunk >> 6] |= 1UL << chunk;

    public void ClearUsed(int chunk) => _used[chunk >> 6] &= ~(1UL << chunk);

    /// <summary>Notes the state of a group; true where it was not noted before.</summary>
    public bool MarkChanged(int group, GroupState state)
    {
        bool first = (_groupStates[group] & state) == 0;
        _groupStates[group] |= state;
        return first;
    }

    public void ClearChanged(int group, GroupState state) => _groupStates[group] &= ~state;

    /// <summary>The group's bitmap as stored: little endian, bit 0 of byte 0 is its first chunk.</summary>
    public void EncodeGroup(int group, Span<byte> destination)
    {
        for (int i = 0; i < WordsPerGroup; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(destination[(i * 8)..], _used[group * WordsPerGroup + i]);
    }

    public void DecodeGroup(int group, ReadOnlySpan<byte> source)
    {
        for (int i = 0; i < WordsPerGroup; i++)
            _used[group * WordsPerGroup + i] = BinaryPrimitives.ReadUInt64LittleEndian(source[(i * 8)..]);
        SetUsed(0);
    }

    /// <summary>The highest used chunk; 0 where there is only the header.</summary>
    public int LastUsedChunk()
    {
        int word = _used.Length - 1;
        while (word > 0 && _used[word] == 0)
            word--;
        return word * 64 + 63 - System.Numerics.BitOperations.LeadingZeroCount(_used[word]);
    }

    public int CountUsed()
    {
        int count = -1; // without the header
        foreach (ulong word in _used)
            count += System.Numerics.BitOperations.PopCount(word);
        return count;
    }

    /// <summary>Makes busy exactly what is used: at open, and after a repair.</summary>
    public void ResetBusy()
    {
        Busy.CopyFrom(_used);
        Stale.Clear();
        FreeChunks = 0;
        for (int group = 0; group < Groups; group++)
        {
            int free = ChunksPerGroup - Busy.Count(group * ChunksPerGroup, ChunksPerGroup);
            GroupFree[group] = (ushort)free;
            FreeChunks += free;
        }

        NextUnknownGroup = 0;
    }

    public void Reserve(int chunk, int count)
    {
        Busy.Set(chunk, count);
        CountFree(chunk, count, -1);
    }

    public void Release(int chunk, int count)
    {
        Busy.Clear(chunk, count);
        CountFree(chunk, count, 1);
    }

    private void CountFree(int chunk, int count, int sign)
    {
        FreeChunks += sign * count;
        while (count > 0)
        {
            int group = chunk / ChunksPerGroup;
            int part = Math.Min(count, (group + 1) * ChunksPerGroup - chunk);
            GroupFree[group] = (ushort)(GroupFree[group] + sign * part);
            chunk += part;
            count -= part;
        }
    }

    public void Dispose() => File.Dispose();
}

/// <summary>What stands in the first chunk of a volume file, so that a swapped, foreign or cut one is recognised.</summary>
/// <remarks>
/// Layout, little endian: magic 8 bytes "GWVOLUME", version u32 = 1, volume u32, chunks u32, chunk size u32, store id 16 bytes (RFC 4122 order),
/// CRC-32C u32 of all before it. The rest of the chunk is zero.
/// </remarks>
internal static class VolumeHeader
{
    public const int SizeBytes = 44;

    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "GWVOLUME"u8;

    public static void Encode(Span<byte> destination, uint volume, int chunks, Guid store)
    {
        Magic.CopyTo(destination);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[8..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[12..], volume);
        BinaryPrimitives.WriteInt32LittleEndian(destination[16..], chunks);
        BinaryPrimitives.WriteInt32LittleEndian(destination[20..], Limits.ChunkSizeBytes);
        store.TryWriteBytes(destination[24..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[40..], Crc32C.Compute(destination[..40]));
    }

    /// <summary>Null where all is well, else what is wrong; <paramref name="foreign"/> where the header is sound but belongs elsewhere.</summary>
    public static string? Verify(ReadOnlySpan<byte> header, uint volume, int chunks, Guid store, out bool foreign)
    {
        foreign = false;
        if (!header[..8].SequenceEqual(Magic) || BinaryPrimitives.ReadUInt32LittleEndian(header[40..]) != Crc32C.Compute(header[..40]))
            return "its header is damaged";

        foreign = true;
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        if (version != Version)
            return $"it has format version {version}, this program knows {Version}";

        var owner = new Guid(header.Slice(24, 16), bigEndian: true);
        if (owner != store)
            return $"it belongs to store {owner}, this is store {store}";

        uint id = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        if (id != volume)
            return $"it is volume {Volume.NameOf(id)} under another name";

        int size = BinaryPrimitives.ReadInt32LittleEndian(header[16..]);
        if (size != chunks || BinaryPrimitives.ReadInt32LittleEndian(header[20..]) != Limits.ChunkSizeBytes)
            return $"it was made with {size} chunks of {BinaryPrimitives.ReadInt32LittleEndian(header[20..])} bytes, configured are {chunks} of {Limits.ChunkSizeBytes}";

        foreign = false;
        return null;
    }
}
