using System.Buffers;
using StoreCore.Primitives;

namespace StoreCore.Rpc;

/// <summary>
/// Native buffers as the memory of <see cref="System.IO.Pipelines"/>: segments of one size, kept with their managed owners, so that renting allocates
/// nothing once there have been enough. Any thread.
/// </summary>
internal sealed class NativeMemoryPool : MemoryPool<byte>
{
    private readonly Lock _lock = new();
    private readonly Stack<Segment> _idle = new();
    private readonly NativeBufferPool _buffers;
    private readonly int _maxIdle;

    /// <param name="buffers">Where the memory comes from; not disposed with this.</param>
    /// <param name="maxIdle">Segments that are kept with their memory.</param>
    public NativeMemoryPool(NativeBufferPool buffers, int maxIdle)
    {
        _buffers = buffers;
        _maxIdle = maxIdle;
    }

    public override int MaxBufferSize => _buffers.SizeBytes;

    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, _buffers.SizeBytes);
        lock (_lock)
        {
            if (_idle.TryPop(out Segment? segment))
                return segment;
        }

        return new Segment(this, _buffers.Rent());
    }

    protected override void Dispose(bool disposing)
    {
        lock (_lock)
        {
            while (_idle.TryPop(out Segment? segment))
                segment.Buffer.Dispose();
        }
    }

    private void Return(Segment segment)
    {
        lock (_lock)
        {
            if (_idle.Count < _maxIdle)
            {
                _idle.Push(segment);
                return;
            }
        }

        segment.Buffer.Dispose();
    }

    private sealed unsafe class Segment(NativeMemoryPool pool, NativeBuffer buffer) : MemoryManager<byte>
    {
        public NativeBuffer Buffer => buffer;

        public override Span<byte> GetSpan() => buffer.Span;

        public override MemoryHandle Pin(int elementIndex = 0) => new(buffer.Pointer + elementIndex);

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing) => pool.Return(this);
    }
}
