using System.Runtime.InteropServices;
using StoreCore.Primitives;

namespace StoreCore.Kv;

/// <summary>
/// A small file beside the engine's that says up to which change the log had been flushed: the engine keeps no such note of the log it
/// writes to, and so could not tell damage to what was promised from the ragged end of what was not. Written after each flush without a flush
/// of its own: after the death of the process it is exact, after the death of the machine it lags behind, never ahead.
/// </summary>
/// <remarks>Two slots at offsets 0 and 512 (a sector each, written in turn): magic u64 LE, sequence u64 LE, CRC-32C of both u32 LE.</remarks>
internal sealed unsafe class StableMark : IDisposable
{
    public const string FileName = "STABLE";

    private const ulong Magic = 0x31_454C42_41545347; // "GSTABLE1"
    private const int SlotBytes = 20;
    private const int SlotDistance = 512;

    private readonly string _path;
    private readonly int _descriptor;
    private int _slot;

    /// <summary>Opens or makes the file and locks it: whoever inspects a log or writes it holds this lock, in this process or another.</summary>
    /// <exception cref="KvFailedException">The store is open elsewhere, or the file cannot be used.</exception>
    public StableMark(string directory)
    {
        _path = Path.Combine(directory, FileName);
        _descriptor = Libc.Open(_path, Libc.O_RDWR | Libc.O_CREAT | Libc.O_CLOEXEC, 0x180); // 0600
        if (_descriptor < 0)
            throw Failure("open");

        try
        {
            if (Libc.TryLock(_descriptor) != 0)
            {
                throw Marshal.GetLastPInvokeError() == Libc.EAGAIN
                    ? new KvFailedException($"open {directory}: the store is in use by another process")
                    : Failure("lock");
            }

            Sequence = Read();
            Allocate();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The last sequence that is known to have been flushed; 0 where there is no note.</summary>
    public ulong Sequence { get; private set; }

    /// <summary>One caller at a time.</summary>
    public void Write(ulong sequence)
    {
        byte* slot = stackalloc byte[SlotBytes];
        var writer = new SpanWriter(new Span<byte>(slot, SlotBytes));
        writer.U64Little(Magic);
        writer.U64Little(sequence);
        writer.U32Little(Crc32C.Compute(writer.Written));
        _slot ^= 1;
        if (Libc.Pwrite(_descriptor, slot, SlotBytes, _slot * SlotDistance) != SlotBytes)
            throw Failure("write");
        Sequence = sequence;
    }

    public void Dispose() => _ = Libc.Close(_descriptor);

    /// <summary>Both slots get their space at once, so that no later note finds the disk full.</summary>
    private void Allocate()
    {
        for (int i = 0; i < 2 && Libc.Seek(_descriptor, 0, Libc.SEEK_END) < SlotDistance + SlotBytes; i++)
            Write(Sequence);
    }

    private ulong Read()
    {
        ulong sequence = 0;
        byte* slot = stackalloc byte[SlotBytes];
        for (int i = 0; i < 2; i++)
        {
            nint count = Libc.Pread(_descriptor, slot, SlotBytes, i * SlotDistance);
            if (count < 0)
                throw Failure("read");
            if (count < SlotBytes)
                continue;

            var reader = new SpanReader(new ReadOnlySpan<byte>(slot, SlotBytes));
            ulong magic = reader.U64Little(), noted = reader.U64Little();
            bool whole = magic == Magic && reader.U32Little() == Crc32C.Compute(new ReadOnlySpan<byte>(slot, SlotBytes - sizeof(uint)));
            if (!whole || noted < sequence)
                continue;

            // The next note goes to the other slot: the newest is never overwritten.
            sequence = noted;
            _slot = i;
        }

        return sequence;
    }

    private KvFailedException Failure(string operation) => new($"{operation} {_path}: {Libc.Describe(Marshal.GetLastPInvokeError())}");
}
