using StoreCore.Disk;
using StoreCore.Kv;

namespace StoreCore.Blocks;

/// <summary>Opens the volumes and fills their bitmaps from <see cref="KvTable.Space"/>.</summary>
internal static class SpaceLoader
{
    /// <exception cref="BlockStoreException">A volume in use is missing, damaged or foreign.</exception>
    public static VolumeSet Load(IKvStore kv, IDisk disk, BlockStoreOptions options)
    {
        HashSet<uint> referenced = ReferencedVolumes(kv);
        VolumeSet volumes = VolumeSet.Open(disk, options, referenced.Contains);
        try
        {
            string[] missing = [.. referenced.Where(id => volumes.Find(id) is null).Order().Select(Volume.NameOf)];
            if (missing.Length > 0)
            {
                throw new BlockStoreException(
                    $"volume {string.Join(", ", missing)} is missing, but data lies in it. Put the file back into the data directory.");
            }

            LoadBitmaps(kv, volumes, options);
            return volumes;
        }
        catch
        {
            volumes.Dispose();
            throw;
        }
    }

    private static HashSet<uint> ReferencedVolumes(IKvStore kv)
    {
        var referenced = new HashSet<uint>();
        using IKvIterator rows = kv.Iterate(KvTable.Space, [], []);
        while (rows.Next())
        {
            if (!SpaceRow.TryDecodeKey(rows.Key, rows.Value, out uint volume, out int group))
                throw new BlockStoreException($"a row of the space table is damaged: {Convert.ToHexString(rows.Key)}. Restore the metadata from a copy.");
            if (SpaceRow.IsInUse(group, rows.Value))
                referenced.Add(volume);
        }

        return referenced;
    }

    private static void LoadBitmaps(IKvStore kv, VolumeSet volumes, BlockStoreOptions options)
    {
        using IKvIterator rows = kv.Iterate(KvTable.Space, [], []);
        while (rows.Next())
        {
            SpaceRow.TryDecodeKey(rows.Key, rows.Value, out uint id, out int group);
            if (!SpaceRow.IsInUse(group, rows.Value))
                continue;

            Volume volume = volumes[id];
            if (group >= volume.Groups)
                throw new BlockStoreException($"the space table uses group {group} of {volume.Name}, which has {volume.Groups}: volumes were made larger than {options.VolumeSizeBytes} bytes");

            volume.DecodeGroup(group, rows.Value);
        }
    }
}
