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
            uint[] missing = [.. referenced.Where(id => volumes.Find(id) is null).Order()];
            if (missing.Length > 0 && !options.RepairVolumes)
            {
                throw new BlockStoreException(
                    $"volume {string.Join(", ", missing.Select(Volume.NameOf))} is missing, but data lies in it; put the file back (gatewayctl fsck --repair gives up what lay there and keeps the rest)");
            }

            foreach (uint id in missing)
                volumes.Replace(id);

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
        using var table = new SpaceTable(kv);
        while (table.Next())
        {
            if (table.Damaged is { } key)
                throw new BlockStoreException($"a row of the space table is damaged: {Convert.ToHexString(key)}");
            if (table.InUse)
                referenced.Add(table.VolumeId);
        }

        return referenced;
    }

    private static void LoadBitmaps(IKvStore kv, VolumeSet volumes, BlockStoreOptions options)
    {
        using var table = new SpaceTable(kv);
        while (table.Next())
        {
            if (!table.InUse)
                continue;

            Volume volume = volumes[table.VolumeId];
            if (table.Group >= volume.Groups)
                throw new BlockStoreException($"the space table uses group {table.Group} of {volume.Name}, which has {volume.Groups}: volumes were made larger than {options.VolumeSizeBytes} bytes");

            volume.DecodeGroup(table.Group, table.Bitmap);
        }
    }
}
