namespace StoreCore.Primitives;

/// <summary>
/// Buffers of one size that are used again and again: renting one allocates nothing once there have been enough. Any thread may rent, and
/// any other may dispose what was rented.
/// </summary>
public sealed class NativeBufferPool : IDisposable
{
    private readonly Lock _lock = new();
    private readonly NativeBuffer[] _idle;
    private int _idleCount;
    private int _rentedCount;
    private bool _disposed;

    /// <param name="sizeBytes">Of each buffer; rounded up to whole pages.</param>
    /// <param name="maxIdle">Buffers kept for the next time; further ones go back to the system, so that a peak does not stay.</param>
    public NativeBufferPool(int sizeBytes, int maxIdle)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(sizeBytes);
        ArgumentOutOfRangeException.ThrowIfNegative(maxIdle);
        SizeBytes = sizeBytes;
        _idle = new NativeBuffer[maxIdle];
    }

    public int SizeBytes { get; }

    /// <summary>Buffers that are with their renters: 0 when all work is over.</summary>
    public int RentedCount => Volatile.Read(ref _rentedCount);

    /// <summary>A buffer that belongs to the caller until disposed; its content is what the last one left.</summary>
    public NativeBuffer Rent()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _rentedCount++;
            if (_idleCount > 0)
            {
                NativeBuffer buffer = _idle[--_idleCount];
                buffer.Own();
                return buffer;
            }
        }

        try
        {
            return new NativeBuffer(SizeBytes, this);
        }
        catch
        {
            lock (_lock)
                _rentedCount--;
            throw;
        }
    }

    internal void Return(NativeBuffer buffer)
    {
        lock (_lock)
        {
            _rentedCount--;
            if (!_disposed && _idleCount < _idle.Length)
            {
                _idle[_idleCount++] = buffer;
                return;
            }
        }

        buffer.Free();
    }

    /// <summary>Gives the idle buffers back; rented ones go when their owners dispose them.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            while (_idleCount > 0)
                _idle[--_idleCount].Free();
        }
    }
}
