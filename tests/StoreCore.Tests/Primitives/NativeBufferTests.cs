using StoreCore.Primitives;

namespace StoreCore.Tests.Primitives;

public unsafe class NativeBufferTests
{
    [Fact]
    public void Memory_is_whole_pages_at_page_borders()
    {
        using var buffer = new NativeBuffer((1 << 20) + 1);
        Assert.Equal((1 << 20) + 4096, buffer.SizeBytes);
        Assert.Equal(0, (nint)buffer.Pointer % NativeBuffer.AlignmentBytes);
        buffer.Span.Fill(7);
        Assert.Equal(7, buffer.Pointer[buffer.SizeBytes - 1]);
    }

    [Fact]
    public void After_the_end_of_ownership_it_refuses()
    {
        var buffer = new NativeBuffer(1);
        buffer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => buffer.Span.Length);
        Assert.Throws<InvalidOperationException>(buffer.Dispose);
    }

    [Fact]
    public void A_pool_hands_the_same_memory_out_again_without_allocating()
    {
        using var pool = new NativeBufferPool(1 << 20, maxIdle: 2);
        byte* first;
        using (NativeBuffer buffer = pool.Rent())
        {
            first = buffer.Pointer;
            Assert.Equal(1, pool.RentedCount);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            NativeBuffer buffer = pool.Rent();
            bool same = buffer.Pointer == first;
            buffer.Dispose();
            if (!same)
                throw new InvalidOperationException("another buffer");
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.Equal(0, pool.RentedCount);
    }

    [Fact]
    public void What_goes_beyond_the_idle_limit_or_the_pools_end_goes_back_to_the_system()
    {
        var pool = new NativeBufferPool(4096, maxIdle: 1);
        NativeBuffer a = pool.Rent(), b = pool.Rent(), c = pool.Rent();
        Assert.Equal(3, pool.RentedCount);
        a.Dispose();
        b.Dispose();
        pool.Dispose();
        Assert.Throws<ObjectDisposedException>(() => pool.Rent());
        c.Dispose();
        Assert.Equal(0, pool.RentedCount);
        Assert.Throws<InvalidOperationException>(c.Dispose);
    }

    [Fact]
    public void Threads_share_a_pool()
    {
        using var pool = new NativeBufferPool(4096, maxIdle: 2);
        Parallel.For(0, 4, id =>
        {
            for (int i = 0; i < 2000; i++)
            {
                using NativeBuffer buffer = pool.Rent();
                buffer.Span[0] = (byte)id;
                if (buffer.Span[0] != (byte)id)
                    throw new InvalidOperationException("two owners");
            }
        });
        Assert.Equal(0, pool.RentedCount);
    }
}
