namespace Sim;

/// <summary>
/// The content of a simulated file, twice: as the running system sees it (the page cache) and as it stands on the medium. What was changed since the
/// last sync is kept as a list, from which a crash picks sectors. Not thread safe: the disk's lock guards it.
/// </summary>
internal sealed class SimFile
{
    private const int PageBytes = 4096;
    private const int SectorBytes = 512;

    private readonly Dictionary<long, byte[]> _cache = [];
    private readonly Dictionary<long, byte[]> _medium = [];
    private readonly List<Change> _unsynced = [];
    private long _mediumLength;

    /// <summary>A write (<c>Data</c>), a hole (without), or a growth (length 0); <c>FileLength</c> is the file's length after it.</summary>
    private readonly record struct Change(long Offset, long LengthBytes, byte[]? Data, long FileLength);

    public long LengthBytes { get; private set; }

    public long AllocatedBytes => (long)_cache.Count * PageBytes;

    public void Read(long offset, Span<byte> destination) => Copy(_cache, offset, destination);

    /// <summary>How many of these bytes can be written when so much space is free.</summary>
    public int Fitting(long offset, int lengthBytes, long freeBytes)
    {
        for (long at = offset; at < offset + lengthBytes; at = (at / PageBytes + 1) * PageBytes)
        {
            if (_cache.ContainsKey(at / PageBytes))
                continue;

            freeBytes -= PageBytes;
            if (freeBytes < 0)
                return (int)(at - offset);
        }

        return lengthBytes;
    }

    public void Write(long offset, ReadOnlySpan<byte> source)
    {
        if (source.IsEmpty)
            return;

        LengthBytes = Math.Max(LengthBytes, offset + source.Length);
        _unsynced.Add(new Change(offset, source.Length, source.ToArray(), LengthBytes));
        Store(_cache, offset, source);
    }

    public void Punch(long offset, long lengthBytes)
    {
        if (lengthBytes <= 0)
            return;

        _unsynced.Add(new Change(offset, lengthBytes, null, LengthBytes));
        Clear(_cache, offset, lengthBytes);
    }

    public void EnsureLength(long lengthBytes)
    {
        if (lengthBytes <= LengthBytes)
            return;

        LengthBytes = lengthBytes;
        _unsynced.Add(new Change(lengthBytes, 0, null, lengthBytes));
    }

    public void Sync()
    {
        foreach (Change change in _unsynced)
            Apply(change);
        _mediumLength = LengthBytes;
        _unsynced.Clear();
    }

    /// <summary>A sync has failed: the kernel counts all as clean, the medium has none of it.</summary>
    public void DropUnsynced() => _unsynced.Clear();

    public void FlipBit(long offset, int bit)
    {
        Span<byte> one = stackalloc byte[1];
        foreach (Dictionary<long, byte[]> pages in (ReadOnlySpan<Dictionary<long, byte[]>>)[_cache, _medium])
        {
            Copy(pages, offset, one);
            one[0] ^= (byte)(1 << bit);
            Store(pages, offset, one);
        }
    }

    public void Cut(long lengthBytes)
    {
        Sync();
        if (lengthBytes < LengthBytes)
        {
            Clear(_cache, lengthBytes, LengthBytes - lengthBytes);
            Clear(_medium, lengthBytes, LengthBytes - lengthBytes);
        }

        LengthBytes = _mediumLength = lengthBytes;
    }

    /// <summary>The file as it stands on the medium when the machine dies now.</summary>
    public SimFile AfterCrash(Random random)
    {
        // How far the kernel's own writing back had come: not at all, all, or some share of the sectors in any order.
        double share = random.Next(4) switch
        {
            0 => 0,
            1 => 1,
            _ => random.NextDouble(),
        };
        long length = _mediumLength;
        foreach (Change change in _unsynced)
        {
            if (random.NextDouble() < share)
                length = Math.Max(length, change.FileLength);

            long end = change.Offset + change.LengthBytes;
            for (long at = change.Offset; at < end;)
            {
                long next = Math.Min(end, (at / SectorBytes + 1) * SectorBytes);
                if (random.NextDouble() < share)
                    Apply(change, at, next - at);
                at = next;
            }
        }

        var file = new SimFile { LengthBytes = length, _mediumLength = length };
        foreach ((long page, byte[] bytes) in _medium)
        {
            long start = page * PageBytes;
            if (start >= length)
                continue;

            if (start + PageBytes > length)
                bytes.AsSpan((int)(length - start)).Clear();
            file._cache.Add(page, (byte[])bytes.Clone());
            file._medium.Add(page, bytes);
        }

        return file;
    }

    private void Apply(Change change) => Apply(change, change.Offset, change.LengthBytes);

    private void Apply(Change change, long offset, long lengthBytes)
    {
        if (change.Data is { } data)
            Store(_medium, offset, data.AsSpan((int)(offset - change.Offset), (int)lengthBytes));
        else
            Clear(_medium, offset, lengthBytes);
    }

    private static void Copy(Dictionary<long, byte[]> pages, long offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            int within = (int)(offset % PageBytes);
            int count = Math.Min(PageBytes - within, destination.Length);
            if (pages.TryGetValue(offset / PageBytes, out byte[]? page))
                page.AsSpan(within, count).CopyTo(destination);
            else
                destination[..count].Clear();
            destination = destination[count..];
            offset += count;
        }
    }

    private static void Store(Dictionary<long, byte[]> pages, long offset, ReadOnlySpan<byte> source)
    {
        while (!source.IsEmpty)
        {
            int within = (int)(offset % PageBytes);
            int count = Math.Min(PageBytes - within, source.Length);
            if (!pages.TryGetValue(offset / PageBytes, out byte[]? page))
                pages.Add(offset / PageBytes, page = new byte[PageBytes]);
            source[..count].CopyTo(page.AsSpan(within));
            source = source[count..];
            offset += count;
        }
    }

    /// <summary>Whole pages are given back, the parts at the ends become zeros.</summary>
    private static void Clear(Dictionary<long, byte[]> pages, long offset, long lengthBytes)
    {
        long end = offset + lengthBytes;
        if (lengthBytes / PageBytes > pages.Count)
        {
            // A hole far larger than what is stored: look at what is stored.
            long first = (offset + PageBytes - 1) / PageBytes, last = end / PageBytes;
            foreach (long page in pages.Keys.Where(page => page >= first && page < last).ToArray())
                pages.Remove(page);
            ClearWithin(pages, offset, Math.Min(end, first * PageBytes));
            ClearWithin(pages, Math.Max(offset, last * PageBytes), end);
            return;
        }

        while (offset < end)
        {
            long next = Math.Min(end, (offset / PageBytes + 1) * PageBytes);
            if (next - offset == PageBytes)
                pages.Remove(offset / PageBytes);
            else
                ClearWithin(pages, offset, next);
            offset = next;
        }
    }

    private static void ClearWithin(Dictionary<long, byte[]> pages, long offset, long end)
    {
        if (offset < end && pages.TryGetValue(offset / PageBytes, out byte[]? page))
            page.AsSpan((int)(offset % PageBytes), (int)(end - offset)).Clear();
    }
}
