namespace Gateway.Tests.Fuse;

/// <summary>What measures the memory of the whole process runs when no other test does.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneCollection
{
    public const string Name = "alone";
}

/// <summary>A short run of the fuzzer; <c>Bench fuse-fuzz</c> runs it for as long as one likes.</summary>
[Collection(AloneCollection.Name)]
public sealed class FuseFuzzTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void NoBytesBreakTheDispatcher(int seed)
    {
        var fuzzer = new FuseFuzzer(seed);
        fuzzer.Run(10_000);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        fuzzer.Run(100_000);
        // Waiting locks, opens and names of broken requests must not pile up.
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 64 << 20);
        Assert.Equal(0, fuzzer.Faults);
        // Else the requests are too broken to try anything.
        Assert.InRange(fuzzer.Answered - fuzzer.Failed, 5_000, 110_000);
    }
}
