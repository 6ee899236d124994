using StoreCore.Blocks;

namespace StoreCore.Tests.Blocks;

public class WriteBehindTests
{
    private readonly WriteBehind _writes = new(new BlockStoreOptions { StoreId = Guid.Empty, WriteBehindLeastBytes = 10, WriteBehindStepBytes = 100 });

    [Fact]
    public void A_stream_is_written_back_in_steps()
    {
        var begun = new List<(long, long)>();
        for (long offset = 1000; offset < 1300; offset += 30)
        {
            if (_writes.Add(offset, 30, out long start, out long length))
                begun.Add((start, length));
        }

        Assert.Equal([(1000, 120), (1120, 120)], begun);
    }

    [Fact]
    public void Small_and_scattered_writes_are_left_to_the_kernel()
    {
        for (long offset = 0; offset < 10_000; offset += 9)
            Assert.False(_writes.Add(offset, 9, out _, out _));
        for (long offset = 0; offset < 10_000; offset += 100)
            Assert.False(_writes.Add(offset, 60, out _, out _));
    }
}
