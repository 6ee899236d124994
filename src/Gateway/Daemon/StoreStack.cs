using Gateway.Admin.Contract;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Blocks;
using StoreCore.Disk;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>
/// The store of a data directory, opened from the bottom up: key-value store, metadata, blocks, Vfs. What goes wrong on the way is an operating
/// error with one line; what was opened before it is closed again.
/// </summary>
internal sealed class StoreStack : IDisposable
{
    private readonly Stack<IDisposable> _opened = new();

    private StoreStack(DataDirectory directory) => Directory = directory;

    public DataDirectory Directory { get; }

    public RocksDbStore KeyValues { get; private set; } = null!;

    public MetadataStore Metadata { get; private set; } = null!;

    public PosixDisk Disk { get; private set; } = null!;

    public BlockStore Blocks { get; private set; } = null!;

    public FileSystemVfs Vfs { get; private set; } = null!;

    /// <summary>There is nothing but the root directory: no other file, no export. False too where that cannot be told.</summary>
    public bool IsEmpty =>
        Metadata.InodeCounts.Used == 1 && Metadata.ListExports(out IReadOnlyList<ExportDefinition> exports) == FsStatus.Ok && exports.Count == 0;

    /// <param name="directory">Owned by the caller; it has to outlive the stack.</param>
    /// <param name="create">Make the stores where the directory is new.</param>
    /// <param name="repairVolumes">Accept damaged volumes: for repair only.</param>
    /// <param name="prepare">Called with the key-value store before anything is opened on top of it (repair, load).</param>
    /// <exception cref="OperatingException">A store cannot be opened.</exception>
    public static StoreStack Open(
        DataDirectory directory, MemoryPlan memory, TimeProvider clock, bool create = true, bool repairVolumes = false, Action<IKvStore>? prepare = null)
    {
        var stack = new StoreStack(directory);
        try
        {
            stack.OpenAll(memory, clock, create, repairVolumes, prepare);
            return stack;
        }
        catch (Exception error)
        {
            stack.Dispose();
            if (Explain(error, directory.Path) is { } explained)
                throw explained;
            throw;
        }
    }

    /// <summary>Closes everything from the top down. Nothing is flushed: that is <see cref="FileSystemVfs.SyncAll"/>.</summary>
    public void Dispose()
    {
        while (_opened.TryPop(out IDisposable? part))
            part.Dispose();
    }

    private void OpenAll(MemoryPlan memory, TimeProvider clock, bool create, bool repairVolumes, Action<IKvStore>? prepare)
    {
        Directory.MarkFormat();
        KeyValues = Track(RocksDbStore.Open(Directory.Database, new RocksDbOptions { MemoryBudgetBytes = memory.KeyValueBytes }));
        prepare?.Invoke(KeyValues);
        if (!MetadataStore.IsFormatted(KeyValues))
        {
            if (!Directory.IsNew || !create)
                throw new MetadataException("the key-value store is empty, though the directory has been in use");
            MetadataStore.Format(KeyValues, Guid.NewGuid(), Timestamp.Now(clock));
        }

        Metadata = MetadataStore.Open(KeyValues, new MetadataOptions { CacheBytes = memory.InodeCacheBytes, Clock = clock });
        Disk = Track(new PosixDisk(Directory.Volumes));
        Blocks = Track(BlockStore.Open(
            KeyValues, Disk,
            new BlockStoreOptions { StoreId = Metadata.FileSystemId, MapCacheBytes = memory.BlockMapBytes, RepairVolumes = repairVolumes }, clock));
        Vfs = new FileSystemVfs(Metadata, Blocks, clock);
        Directory.MarkComplete();
    }

    private T Track<T>(T part)
        where T : IDisposable
    {
        _opened.Push(part);
        return part;
    }

    /// <summary>What the stores throw, as one line for people; null for what is none of theirs.</summary>
    internal static OperatingException? Explain(Exception error, string directory)
    {
        string place = $"data directory {directory}";
        return error switch
        {
            DllNotFoundException => new OperatingException(
                ExitCode.Unavailable, "the library librocksdb.so.7.8 is missing; install it with: apt-get install librocksdb7.8", error),
            KvFailedException or MetadataException or BlockStoreException => new OperatingException(
                ExitCode.DataError, $"{place}: {WithMend(OneLine(error.Message), "restore the directory from a backup (nothing was changed)")}", error),
            DiskException => new OperatingException(ExitCode.IoError, $"{place}: {OneLine(error.Message)}; look at that disk (dmesg)", error),
            UnauthorizedAccessException => new OperatingException(ExitCode.NoPermission, $"{place}: {OneLine(error.Message)}; run as root", error),
            IOException => new OperatingException(ExitCode.IoError, $"{place}: {OneLine(error.Message)}; look at that disk (dmesg)", error),
            _ => null,
        };
    }

    /// <summary>What knows better how it is mended says so itself.</summary>
    private static string WithMend(string message, string mend) => message.Contains("; ", StringComparison.Ordinal) ? message : $"{message}; {mend}";

    private static string OneLine(string message) => message.ReplaceLineEndings(" ").TrimEnd('.');
}
