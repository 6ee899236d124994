using StoreCore.Disk;
using StoreCore.Kv;

namespace StoreCore.Tests.Blocks;

/// <summary>A key-value store that lets a test act while a flush of it is under way, as other threads would.</summary>
internal sealed class InterruptibleKv(IKvStore inner, Action whileFlushing) : IKvStore
{
    public int Get(KvTable table, ReadOnlySpan<byte> key, Span<byte> destination) => inner.Get(table, key, destination);

    public void Write(KvBatch batch) => inner.Write(batch);

    public void Sync()
    {
        whileFlushing();
        inner.Sync();
        whileFlushing();
    }

    public IKvIterator Iterate(KvTable table, ReadOnlySpan<byte> lower, ReadOnlySpan<byte> upper, IKvSnapshot? snapshot = null) =>
        inner.Iterate(table, lower, upper, snapshot);

    public IKvSnapshot Snapshot() => inner.Snapshot();

    public void Checkpoint(string directory) => inner.Checkpoint(directory);

    public KvUsage Usage => inner.Usage;

    public void Dispose() => inner.Dispose();
}

/// <summary>A disk whose files do the same.</summary>
internal sealed class InterruptibleDisk(IDisk inner, Action whileFlushing) : IDisk
{
    public IDiskFile Open(string name, bool create) => new File(inner.Open(name, create), whileFlushing);

    public IReadOnlyList<string> List() => inner.List();

    public void Delete(string name) => inner.Delete(name);

    public DiskSpace Space => inner.Space;

    public void Dispose() => inner.Dispose();

    private sealed class File(IDiskFile inner, Action whileFlushing) : IDiskFile
    {
        public string Name => inner.Name;

        public long LengthBytes => inner.LengthBytes;

        public void Read(long offset, Span<byte> destination) => inner.Read(offset, destination);

        public void Write(long offset, ReadOnlySpan<byte> source) => inner.Write(offset, source);

        public void StartWriteback(long offset, long lengthBytes) => inner.StartWriteback(offset, lengthBytes);

        public void Sync()
        {
            whileFlushing();
            inner.Sync();
            whileFlushing();
        }

        public void PunchHole(long offset, long lengthBytes) => inner.PunchHole(offset, lengthBytes);

        public void EnsureLength(long lengthBytes) => inner.EnsureLength(lengthBytes);

        public void Dispose() => inner.Dispose();
    }
}
