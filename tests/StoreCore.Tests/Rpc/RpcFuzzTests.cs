namespace StoreCore.Tests.Rpc;

/// <summary>A short run of the fuzzer; <c>Bench rpc-fuzz</c> runs it for as long as one likes.</summary>
public class RpcFuzzTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void No_bytes_break_the_dispatcher(int seed)
    {
        var fuzzer = new RpcFuzzer(seed);
        fuzzer.Run(1_000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        fuzzer.Run(100_000);
        // The fuzzer's own closures are all that is left; the dispatcher allocates nothing whatever comes.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000 * 64);

        // Else the records are too broken to try anything.
        Assert.InRange(fuzzer.Succeeded, 15_000, 60_000);
        Assert.InRange(fuzzer.Answered, 70_000, 100_000);
        Assert.InRange(fuzzer.Hopeless, 1_000, 30_000);
    }
}
