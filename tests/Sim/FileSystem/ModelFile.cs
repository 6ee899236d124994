using StoreCore;
using StoreCore.Primitives;

namespace Sim.FileSystem;

/// <summary>
/// What a file may hold after a crash: for its size and each of its pages the value at the last sync and every value since. A page is one chunk,
/// which the store changes atomically.
/// </summary>
internal sealed class ModelFile(InodeId inode)
{
    private sealed class Page
    {
        public byte[] Current = new byte[Limits.ChunkSizeBytes];

        /// <summary>Contents since the last sync, the present one last.</summary>
        public readonly List<byte[]> Allowed = [];
    }

    private readonly SortedDictionary<long, Page> _pages = [];
    private readonly List<long> _sizes = [0];

    /// <summary>Writes since the last sync beyond the end that is stable: any number of their chunks may have reached the disk.</summary>
    private readonly List<(long From, long To)> _extensions = [];

    public InodeId Inode { get; } = inode;

    public long Size { get; private set; }

    public void Write(long offset, ReadOnlySpan<byte> data)
    {
        for (int done = 0; done < data.Length;)
        {
            (long index, long within) = Math.DivRem(offset + done, Limits.ChunkSizeBytes);
            int length = (int)Math.Min(data.Length - done, Limits.ChunkSizeBytes - within);
            Page page = Touch(index);
            data.Slice(done, length).CopyTo(page.Current.AsSpan((int)within));
            page.Allowed.Add((byte[])page.Current.Clone());
            done += length;
        }

        // Measured by the size that is stable, not by the present one: of two unsynced writes beyond it the later may reach the disk and the earlier may not.
        long end = offset + data.Length;
        if (end <= _sizes.Min())
            return;

        _extensions.Add((offset / Limits.ChunkSizeBytes * Limits.ChunkSizeBytes, end));
        _sizes.Add(end);
        Size = Math.Max(Size, end);
    }

    public void Punch(long offset, long length) => Zero(offset, Math.Min(offset + length, Size));

    public void Truncate(long size)
    {
        if (size < Size)
            Zero(size, Size);
        SetSize(size);
    }

    public void Synced()
    {
        _sizes.Clear();
        _extensions.Clear();
        _sizes.Add(Size);
        foreach (Page page in _pages.Values)
        {
            page.Allowed.Clear();
            page.Allowed.Add((byte[])page.Current.Clone());
        }
    }

    /// <summary>Bytes of a live file, to be compared with what a read gives.</summary>
    public void Read(long offset, Span<byte> destination)
    {
        destination.Clear();
        for (int done = 0; done < destination.Length;)
        {
            (long index, long within) = Math.DivRem(offset + done, Limits.ChunkSizeBytes);
            int length = (int)Math.Min(destination.Length - done, Limits.ChunkSizeBytes - within);
            if (_pages.TryGetValue(index, out Page? page))
                page.Current.AsSpan((int)within, length).CopyTo(destination[done..]);
            done += length;
        }
    }

    /// <summary>Takes over what stands there after a crash; tells what could not be (null: nothing).</summary>
    public string? Adopt(long size, Func<long, int, byte[]> read)
    {
        bool torn = size % Limits.ChunkSizeBytes == 0 && _extensions.Exists(e => e.From <= size && size < e.To);
        if (!torn && !_sizes.Contains(size))
            return $"inode {Inode}: size {size} is none of {string.Join(", ", _sizes)}";
        foreach ((long index, Page page) in _pages)
        {
            long start = index * Limits.ChunkSizeBytes;
            int length = (int)Math.Clamp(size - start, 0, Limits.ChunkSizeBytes);
            byte[] actual = read(start, length);
            if (!page.Allowed.Exists(a => a.AsSpan(0, length).SequenceEqual(actual)))
                return $"inode {Inode}: page {index} ({length} bytes of it) holds none of its {page.Allowed.Count} contents since the last sync, but "
                    + (actual.AsSpan().IndexOfAnyExcept((byte)0) < 0 ? "zeros" : $"other bytes from {actual.AsSpan().IndexOfAnyExcept((byte)0)} on");
            page.Current = new byte[Limits.ChunkSizeBytes];
            actual.CopyTo(page.Current, 0);
        }

        Size = size;
        Synced();
        return null;
    }

    private void SetSize(long size)
    {
        Size = size;
        _sizes.Add(size);
    }

    private void Zero(long from, long to)
    {
        foreach ((long index, Page page) in _pages)
        {
            long start = Math.Max(from, index * Limits.ChunkSizeBytes), end = Math.Min(to, (index + 1) * Limits.ChunkSizeBytes);
            if (start >= end)
                continue;
            page.Current.AsSpan((int)(start - (index * Limits.ChunkSizeBytes)), (int)(end - start)).Clear();
            page.Allowed.Add((byte[])page.Current.Clone());
        }
    }

    private Page Touch(long index)
    {
        if (_pages.TryGetValue(index, out Page? page))
            return page;
        page = new Page();
        page.Allowed.Add((byte[])page.Current.Clone()); // a hole
        _pages.Add(index, page);
        return page;
    }
}
