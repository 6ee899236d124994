using System.Numerics;

namespace StoreCore.Blocks;

/// <summary>One bit for each chunk of a volume, with searches by words. Not locked: its owner is.</summary>
internal sealed class ChunkBitmap(int chunks)
{
    private readonly ulong[] _words = new ulong[chunks / 64];

    public bool this[int chunk] => (_words[chunk >> 6] & 1UL << chunk) != 0;

    public void Set(int chunk, int count)
    {
        for (; count > 0; Advance(ref chunk, ref count))
            _words[chunk >> 6] |= Mask(chunk, count);
    }

    public void Clear(int chunk, int count)
    {
        for (; count > 0; Advance(ref chunk, ref count))
            _words[chunk >> 6] &= ~Mask(chunk, count);
    }

    public void Clear() => Array.Clear(_words);

    public void CopyFrom(ReadOnlySpan<ulong> words) => words.CopyTo(_words);

    public int Count(int chunk, int count)
    {
        int total = 0;
        for (; count > 0; Advance(ref chunk, ref count))
            total += BitOperations.PopCount(_words[chunk >> 6] & Mask(chunk, count));
        return total;
    }

    /// <summary>The first chunk at or after <paramref name="from"/> and below <paramref name="end"/> with the bit as asked; <paramref name="end"/> where there is none.</summary>
    public int Find(bool set, int from, int end)
    {
        ulong flip = set ? 0 : ulong.MaxValue;
        while (from < end)
        {
            ulong word = (_words[from >> 6] ^ flip) >> (from & 63);
            if (word != 0)
                return Math.Min(end, from + BitOperations.TrailingZeroCount(word));
            from = (from | 63) + 1;
        }

        return end;
    }

    private static ulong Mask(int chunk, int count)
    {
        int bit = chunk & 63;
        int width = Math.Min(count, 64 - bit);
        return (width == 64 ? ulong.MaxValue : (1UL << width) - 1) << bit;
    }

    private static void Advance(ref int chunk, ref int count)
    {
        int step = Math.Min(count, 64 - (chunk & 63));
        chunk += step;
        count -= step;
    }
}
