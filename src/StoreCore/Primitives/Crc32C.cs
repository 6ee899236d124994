using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace StoreCore.Primitives;

/// <summary>
/// CRC-32C (Castagnoli; RFC 3720 §12.1 and B.4): the checksum of every chunk and log record. Uses the processor's instruction where there is one
/// (some 8 bytes a cycle over three interleaved streams), else a table.
/// </summary>
public static class Crc32C
{
    /// <summary>The checksum of the bytes; <paramref name="seed"/> is the checksum of what stood before them, 0 at the start.</summary>
    public static uint Compute(ReadOnlySpan<byte> data, uint seed = 0)
    {
        uint crc = ~seed;
        ref byte at = ref MemoryMarshal.GetReference(data);
        int rest = data.Length;

        while (rest >= StreamBytes * 3)
        {
            // The instruction has a latency of three cycles and a throughput of one: three independent streams hide it.
            uint a = crc, b = 0, c = 0;
            for (int i = 0; i < StreamBytes; i += 8)
            {
                a = BitOperations.Crc32C(a, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref at, i)));
                b = BitOperations.Crc32C(b, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref at, i + StreamBytes)));
                c = BitOperations.Crc32C(c, Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref at, i + 2 * StreamBytes)));
            }

            crc = Shift(Shift(a) ^ b) ^ c;
            at = ref Unsafe.Add(ref at, StreamBytes * 3);
            rest -= StreamBytes * 3;
        }

        for (; rest >= 8; rest -= 8, at = ref Unsafe.Add(ref at, 8))
            crc = BitOperations.Crc32C(crc, Unsafe.ReadUnaligned<ulong>(ref at));
        for (; rest > 0; rest--, at = ref Unsafe.Add(ref at, 1))
            crc = BitOperations.Crc32C(crc, at);
        return ~crc;
    }

    /// <summary>A third of a chunk, rounded down to whole words.</summary>
    private const int StreamBytes = 1360;

    /// <summary>For each byte of a checksum, what it becomes after <see cref="StreamBytes"/> zero bytes: the map is linear over XOR.</summary>
    private static readonly uint[] ShiftTable = MakeShiftTable();

    private static uint Shift(uint crc)
    {
        ref uint table = ref MemoryMarshal.GetArrayDataReference(ShiftTable);
        return Unsafe.Add(ref table, (byte)crc)
            ^ Unsafe.Add(ref table, 256 + (byte)(crc >> 8))
            ^ Unsafe.Add(ref table, 512 + (byte)(crc >> 16))
            ^ Unsafe.Add(ref table, 768 + (int)(crc >> 24));
    }

    private static uint[] MakeShiftTable()
    {
        var table = new uint[1024];
        for (int place = 0; place < 4; place++)
        {
            for (uint value = 0; value < 256; value++)
            {
                uint crc = value << (8 * place);
                for (int i = 0; i < StreamBytes; i += 8)
                    crc = BitOperations.Crc32C(crc, 0UL);
                table[place * 256 + (int)value] = crc;
            }
        }

        return table;
    }
}
