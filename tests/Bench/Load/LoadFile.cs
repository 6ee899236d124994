using System.Runtime.InteropServices;

namespace Bench.Load;

/// <summary>
/// What a file of the load is to contain: pages of 4 KiB, each filled from the file's seed, its own number and how often it was written. So whatever is
/// read back is known to its last byte without being kept. One thread.
/// </summary>
internal sealed class LoadFile(ulong seed, int pages)
{
    public const int PageBytes = 4096;

    private const ulong Odd = 0x9E37_79B9_7F4A_7C15;

    private readonly uint[] _versions = new uint[pages];

    public int Pages => pages;

    /// <summary>Makes new contents for pages from <paramref name="first"/> on.</summary>
    public void Rewrite(int first, Span<byte> data)
    {
        for (int at = 0; at < data.Length; at += PageBytes, first++)
        {
            _versions[first]++;
            ulong value = Start(first);
            foreach (ref ulong word in MemoryMarshal.Cast<byte, ulong>(data.Slice(at, PageBytes)))
                word = value += Odd;
        }
    }

    /// <summary>The first page that is not as it was written; -1: all are.</summary>
    public int Differs(int first, ReadOnlySpan<byte> data)
    {
        for (int at = 0; at < data.Length; at += PageBytes, first++)
        {
            ulong value = Start(first);
            ulong wrong = 0;
            foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(data.Slice(at, PageBytes)))
                wrong |= word ^ (value += Odd);
            if (wrong != 0)
                return first;
        }

        return -1;
    }

    private ulong Start(int page) => (seed ^ ((ulong)page << 32) ^ _versions[page]) * Odd;
}
