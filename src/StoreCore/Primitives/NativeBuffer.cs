using System.Runtime.InteropServices;

namespace StoreCore.Primitives;

/// <summary>
/// Page-aligned memory outside the managed heap, for payloads that the kernel reads and writes: it never moves, costs the collector nothing
/// and suits O_DIRECT. Exactly one owner at a time: whoever takes it over disposes it, once; the content is not cleared. There is no
/// finalizer, so that a buffer that was lost shows in <see cref="LiveCount"/> instead of being mended in silence.
/// </summary>
public sealed unsafe class NativeBuffer : IDisposable
{
    public const int AlignmentBytes = 4096;

    private static long _liveCount;
    private static long _liveBytes;

    private readonly NativeBufferPool? _pool;
    private byte* _pointer;
    private int _owned = 1;

    /// <param name="sizeBytes">Rounded up to whole pages.</param>
    public NativeBuffer(int sizeBytes)
        : this(sizeBytes, null)
    {
    }

    internal NativeBuffer(int sizeBytes, NativeBufferPool? pool)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(sizeBytes);
        SizeBytes = checked(sizeBytes + AlignmentBytes - 1) / AlignmentBytes * AlignmentBytes;
        _pool = pool;
        _pointer = (byte*)NativeMemory.AlignedAlloc((nuint)SizeBytes, AlignmentBytes);
        Interlocked.Increment(ref _liveCount);
        Interlocked.Add(ref _liveBytes, SizeBytes);
    }

    /// <summary>Buffers of the whole process that have memory, idle ones of pools included.</summary>
    public static long LiveCount => Interlocked.Read(ref _liveCount);

    /// <summary>Their memory in bytes, for the process's budget.</summary>
    public static long LiveBytes => Interlocked.Read(ref _liveBytes);

    public int SizeBytes { get; }

    /// <summary>Valid as long as the caller owns the buffer.</summary>
    public byte* Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _owned) == 0, this);
            return _pointer;
        }
    }

    /// <summary>All of it; valid as long as the caller owns the buffer.</summary>
    public Span<byte> Span => new(Pointer, SizeBytes);

    /// <summary>Ends the ownership: the memory goes back to its pool or to the system.</summary>
    /// <exception cref="InvalidOperationException">The buffer has no owner: it was disposed twice, and somebody else may own it by now.</exception>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _owned, 0) == 0)
            throw new InvalidOperationException("the buffer was disposed already");

        if (_pool is null)
            Free();
        else
            _pool.Return(this);
    }

    internal void Own() => Volatile.Write(ref _owned, 1);

    internal void Free()
    {
        NativeMemory.AlignedFree(_pointer);
        _pointer = null;
        Interlocked.Decrement(ref _liveCount);
        Interlocked.Add(ref _liveBytes, -SizeBytes);
    }
}
