using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Kv;

/// <summary>What a file of the write-ahead log holds, from its first byte to the first that is not the log's.</summary>
/// <param name="Path">Of the file.</param>
/// <param name="Number">From its name; files are replayed in this order.</param>
/// <param name="FirstSequence">Of its first change; 0 where there is none.</param>
/// <param name="NextSequence">The one that the change after its last will have; 0 where there is none.</param>
/// <param name="GoodBytes">Where its last whole record ends.</param>
/// <param name="IsTorn">Something other than zeros follows that is no whole record, or a record that does not continue the sequence.</param>
internal sealed record LogFile(string Path, ulong Number, ulong FirstSequence, ulong NextSequence, long GoodBytes, bool IsTorn, long LengthBytes);

/// <summary>
/// Reads a file of RocksDB's write-ahead log without the engine. The engine's own reader passes over a record header of zeros in silence and
/// goes on with the next block; where a crash has left a hole in a preallocated file it would replay what stands behind the hole. This one
/// stops there.
/// </summary>
/// <remarks>
/// Layout (RocksDB db/log_format.h): blocks of 32 KiB; in each, records of CRC-32C u32 LE (masked; over type and payload), payload length u16 LE, type
/// u8 (1 whole, 2 first part, 3 middle, 4 last), payload. A block's last bytes that cannot hold a header are zero. The payload is a write
/// batch (see <see cref="KvBatch"/>): its sequence u64 LE is that of its first change, its count u32 LE is how many sequences it takes.
/// </remarks>
internal static class LogScanner
{
    private const int BlockBytes = 32 * 1024;
    private const int HeaderBytes = 7;
    private const int BatchHeaderBytes = 12;
    private const int BufferBytes = 32 * BlockBytes;

    private const byte Whole = 1, First = 2, Middle = 3, Last = 4;

    public static LogFile Scan(string path, ulong number)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(path);
        long length = RandomAccess.GetLength(file);
        byte[] buffer = GC.AllocateUninitializedArray<byte>((int)Math.Min(BufferBytes, Math.Max(length, 1)));
        Span<byte> batchHeader = stackalloc byte[BatchHeaderBytes];
        int batchHeaderLength = 0;
        bool inside = false, torn = false;
        ulong first = 0, next = 0;
        long good = 0, at = 0, bufferStart = 0;
        int buffered = 0;

        while (at < length && !torn)
        {
            if (at >= bufferStart + buffered)
            {
                bufferStart = at;
                buffered = ReadFully(file, buffer, at);
            }

            int start = (int)(at - bufferStart);
            int blockRest = BlockBytes - (int)(at % BlockBytes);
            ReadOnlySpan<byte> block = buffer.AsSpan(start, Math.Min(blockRest, buffered - start));
            if (blockRest < HeaderBytes)
            {
                at += block.Length;
                continue;
            }

            if (!TryParse(block, out byte type, out ReadOnlySpan<byte> payload))
            {
                // Zeros up to the end were allocated and not written yet: that is how a log ends. Anything else is damage.
                torn = inside || !IsZero(file, at, length);
                break;
            }

            bool begins = type is Whole or First;
            if (begins == inside)
            {
                torn = true;
                break;
            }

            if (begins)
                batchHeaderLength = 0;
            int taken = Math.Min(BatchHeaderBytes - batchHeaderLength, payload.Length);
            payload[..taken].CopyTo(batchHeader[batchHeaderLength..]);
            batchHeaderLength += taken;
            at += HeaderBytes + payload.Length;
            inside = type is First or Middle;
            if (inside)
                continue;

            if (batchHeaderLength < BatchHeaderBytes)
            {
                torn = true;
                break;
            }

            ulong sequence = BinaryPrimitives.ReadUInt64LittleEndian(batchHeader);
            uint count = BinaryPrimitives.ReadUInt32LittleEndian(batchHeader[8..]);
            if (count > 0)
            {
                // A record that does not continue: something between was never written, though it stands in front.
                torn = first != 0 && sequence != next;
                if (torn)
                    break;

                first = first == 0 ? sequence : first;
                next = sequence + count;
            }

            good = at;
        }

        return new LogFile(path, number, first, next, good, torn || inside, length);
    }

    private static bool TryParse(ReadOnlySpan<byte> block, out byte type, out ReadOnlySpan<byte> payload)
    {
        type = 0;
        payload = default;
        if (block.Length < HeaderBytes)
            return false;

        int length = BinaryPrimitives.ReadUInt16LittleEndian(block[4..]);
        type = block[6];
        if (type is < Whole or > Last || length > block.Length - HeaderBytes)
            return false;

        payload = block.Slice(HeaderBytes, length);
        return BinaryPrimitives.ReadUInt32LittleEndian(block) == Mask(Crc32C.Compute(block.Slice(6, 1 + length)));
    }

    /// <summary>The engine stores checksums rotated and offset (util/crc32c.h), so that a checksum over bytes with a checksum in them is no special case.</summary>
    private static uint Mask(uint crc) => ((crc >> 15) | (crc << 17)) + 0xA282EAD8;

    private static bool IsZero(Microsoft.Win32.SafeHandles.SafeFileHandle file, long from, long to)
    {
        byte[] buffer = new byte[64 * 1024];
        while (from < to)
        {
            int count = ReadFully(file, buffer, from);
            if (buffer.AsSpan(0, count).ContainsAnyExcept((byte)0))
                return false;
            from += count;
        }

        return true;
    }

    private static int ReadFully(Microsoft.Win32.SafeHandles.SafeFileHandle file, Span<byte> buffer, long offset)
    {
        int done = 0;
        while (done < buffer.Length)
        {
            int count = RandomAccess.Read(file, buffer[done..], offset + done);
            if (count == 0)
                break;
            done += count;
        }

        return done > 0 ? done : throw new IOException("the file became shorter while it was read");
    }
}
