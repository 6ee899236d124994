using System.Buffers.Binary;
using StoreCore.Kv;

namespace StoreCore.Blocks;

/// <summary>Rows of <see cref="KvTable.Space"/>.</summary>
/// <remarks>
/// Key: volume u32 BE, group u32 BE. Value: 32 bytes, one bit for each of the group's 256 chunks, bit 0 of byte 0 the first; set means that the
/// index points to the chunk. A group without a row is free. The bit of a volume's first chunk, its header, has no meaning.
/// </remarks>
internal static class SpaceRow
{
    public const int KeyBytes = 8;

    public static void Stage(KvBatch batch, Volume volume, int group)
    {
        Span<byte> key = stackalloc byte[KeyBytes];
        Span<byte> bitmap = stackalloc byte[Volume.GroupBytes];
        BinaryPrimitives.WriteUInt32BigEndian(key, volume.Id);
        BinaryPrimitives.WriteInt32BigEndian(key[4..], group);
        volume.EncodeGroup(group, bitmap);
        if (bitmap.ContainsAnyExcept((byte)0))
            batch.Put(KvTable.Space, key, bitmap);
        else
            batch.Delete(KvTable.Space, key);
    }

    /// <summary>False where the row has not the form of one.</summary>
    public static bool TryDecodeKey(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, out uint volume, out int group)
    {
        volume = 0;
        group = 0;
        if (key.Length != KeyBytes || value.Length != Volume.GroupBytes)
            return false;

        volume = BinaryPrimitives.ReadUInt32BigEndian(key);
        group = BinaryPrimitives.ReadInt32BigEndian(key[4..]);
        return volume != 0 && group >= 0;
    }

    /// <summary>True where the row marks any chunk but the header.</summary>
    public static bool IsInUse(int group, ReadOnlySpan<byte> value) =>
        (group == 0 && (value[0] & ~1) != 0) || value[(group == 0 ? 1 : 0)..].ContainsAnyExcept((byte)0);
}
