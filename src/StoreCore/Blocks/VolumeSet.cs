using System.Globalization;
using StoreCore.Disk;

namespace StoreCore.Blocks;

/// <summary>
/// The volume files of a store: opened and checked at start, added as space is needed. The list only grows; reading it needs no lock, adding is
/// done under the allocator's, making a file under one of its own.
/// </summary>
internal sealed class VolumeSet : IDisposable
{
    private const string Prefix = "vol-";

    private readonly IDisk _disk;
    private readonly BlockStoreOptions _options;
    private readonly Dictionary<uint, IDiskFile> _unfinished = [];
    private readonly Lock _making = new();
    private Volume? _spare;
    private Volume[] _all = [];

    // By id, with gaps where a volume is missing.
    private Volume?[] _byId = [];

    private readonly List<string> _mended = [];

    private VolumeSet(IDisk disk, BlockStoreOptions options)
    {
        _disk = disk;
        _options = options;
    }

    /// <summary>In order of their ids.</summary>
    public ReadOnlySpan<Volume> All => Volatile.Read(ref _all);

    /// <summary>What was wrong with volumes that <see cref="BlockStoreOptions.RepairVolumes"/> had accepted, a sentence each.</summary>
    public IReadOnlyList<string> Mended => _mended;

    public Volume this[uint id] => Find(id) ?? throw new BlockStoreException($"volume {Volume.NameOf(id)} is not open");

    public Volume? Find(uint id)
    {
        Volume?[] byId = Volatile.Read(ref _byId);
        return id < byId.Length ? byId[id] : null;
    }

    /// <summary>
    /// Opens what is there. A file whose header is not finished (the machine stopped while it was made) is kept aside and made anew when its turn comes,
    /// unless <paramref name="isReferenced"/> says that the index uses it.
    /// </summary>
    /// <exception cref="BlockStoreException">A volume is damaged or belongs to another store.</exception>
    public static VolumeSet Open(IDisk disk, BlockStoreOptions options, Func<uint, bool> isReferenced)
    {
        var set = new VolumeSet(disk, options);
        try
        {
            foreach (string name in disk.List().Order(StringComparer.Ordinal))
            {
                if (TryParseName(name, out uint id))
                    set.OpenOne(id, name, isReferenced(id));
            }

            return set;
        }
        catch
        {
            set.Dispose();
            throw;
        }
    }

    /// <summary>Adds a volume; false where the store has as many as its capacity can fill.</summary>
    /// <exception cref="DiskException">The file could not be made; the disk is full, for one.</exception>
    /// <exception cref="BlockStoreException">It could not be flushed: the store must stop.</exception>
    public bool TryAdd()
    {
        lock (_making)
        {
            if (!MakeSpare())
                return false;

            Add(_spare!);
            _spare = null;
            return true;
        }
    }

    /// <summary>Puts an empty volume in the place of one that is gone, so that only what lay in it answers with an error. For repair, before anything is served.</summary>
    public void Replace(uint id)
    {
        if (!_unfinished.Remove(id, out IDiskFile? file))
            file = _disk.Open(Volume.NameOf(id), create: true);
        _unfinished.Add(id, file);
        Format(id, file);
        _unfinished.Remove(id);
        Add(new Volume(id, file, _options));
        _mended.Add($"volume {Volume.NameOf(id)} was missing");
    }

    /// <summary>Makes the next volume ahead of its need, so that no write waits for the flush of its header. Exceptions as of <see cref="TryAdd"/>.</summary>
    public void Prepare()
    {
        lock (_making)
            MakeSpare();
    }

    /// <summary>Under the lock of making; true where there is a spare volume now.</summary>
    private bool MakeSpare()
    {
        if (_spare is not null)
            return true;

        long capacity = Math.Min(_options.CapacityLimitBytes, _disk.Space.TotalBytes);
        if (_all.Length >= capacity / _options.VolumeSizeBytes + 1)
            return false;

        uint id = 1;
        while (Find(id) is not null)
            id++;

        if (!_unfinished.Remove(id, out IDiskFile? file))
            file = _disk.Open(Volume.NameOf(id), create: true);
        try
        {
            Format(id, file);
        }
        catch
        {
            _unfinished.Add(id, file);
            throw;
        }

        _spare = new Volume(id, file, _options);
        return true;
    }

    public static bool TryParseName(string name, out uint id)
    {
        id = 0;
        return name.StartsWith(Prefix, StringComparison.Ordinal)
            && uint.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out id)
            && id != 0
            && name == Volume.NameOf(id);
    }

    private void OpenOne(uint id, string name, bool referenced)
    {
        IDiskFile file = _disk.Open(name, create: false);
        bool kept = false;
        try
        {
            if (Check(id, file, referenced))
                Add(new Volume(id, file, _options));
            else
                _unfinished.Add(id, file);
            kept = true;
        }
        finally
        {
            if (!kept)
                file.Dispose();
        }
    }

    /// <summary>True where the volume can be used, false where it was never finished.</summary>
    private bool Check(uint id, IDiskFile file, bool referenced)
    {
        Span<byte> header = stackalloc byte[VolumeHeader.SizeBytes];
        bool foreign = false;
        string? wrong = "it is cut within its header";
        if (file.LengthBytes >= Limits.ChunkSizeBytes)
        {
            file.Read(0, header);
            wrong = VolumeHeader.Verify(header, id, _options.ChunksPerVolume, _options.StoreId, out foreign);
        }

        if (foreign)
        {
            throw new BlockStoreException(
                $"volume {file.Name} is refused: {wrong}; put the right file in its place");
        }

        if (wrong is null && file.LengthBytes < _options.VolumeSizeBytes)
            wrong = $"it is cut: {file.LengthBytes} bytes are there, {_options.VolumeSizeBytes} were made";
        if (!referenced)
        {
            // Its first flush may have failed, which stops the store, and left a header in the page cache that is not on the disk.
            if (wrong is null)
                Format(id, file);
            return wrong is null;
        }

        if (wrong is null)
            return true;
        if (!_options.RepairVolumes)
        {
            throw new BlockStoreException(
                $"volume {file.Name} is refused: {wrong}; restore the file (gatewayctl fsck --repair gives up what lay there and keeps the rest)");
        }

        Format(id, file);
        _mended.Add($"volume {file.Name}: {wrong}");
        return true;
    }

    private void Format(uint id, IDiskFile file)
    {
        Span<byte> chunk = stackalloc byte[Limits.ChunkSizeBytes];
        chunk.Clear();
        VolumeHeader.Encode(chunk, id, _options.ChunksPerVolume, _options.StoreId);
        file.EnsureLength(_options.VolumeSizeBytes);
        file.Write(0, chunk);
        try
        {
            file.Sync();
        }
        catch (DiskException e)
        {
            throw new BlockStoreException($"a new volume could not be flushed: {e.Message}", e);
        }
    }

    private void Add(Volume volume)
    {
        if (_byId.Length <= volume.Id)
        {
            var grown = new Volume?[Math.Max(volume.Id + 1, (uint)_byId.Length * 2)];
            _byId.CopyTo(grown, 0);
            grown[volume.Id] = volume;
            Volatile.Write(ref _byId, grown);
        }
        else
        {
            Volatile.Write(ref _byId[volume.Id], volume);
        }

        Volume[] all = [.. _all, volume];
        Array.Sort(all, static (a, b) => a.Id.CompareTo(b.Id));
        Volatile.Write(ref _all, all);
    }

    public void Dispose()
    {
        foreach (Volume volume in _all)
            volume.Dispose();
        _spare?.Dispose();
        foreach (IDiskFile file in _unfinished.Values)
            file.Dispose();
    }
}
