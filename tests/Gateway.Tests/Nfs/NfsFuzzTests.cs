using Gateway.Tests.Fuse;

namespace Gateway.Tests.Nfs;

/// <summary>A short run of the fuzzer; <c>Bench nfs-fuzz</c> runs it for as long as one likes.</summary>
[Collection(AloneCollection.Name)]
public sealed class NfsFuzzTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void NoBytesBreakThePrograms(int seed)
    {
        var fuzzer = new NfsFuzzer(seed);
        fuzzer.Run(10_000);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        fuzzer.Run(50_000);
        // Answers kept, waiting locks, clients and mounts must not pile up.
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 64 << 20);

        // Else the calls are too broken to try anything.
        Assert.InRange(fuzzer.Succeeded, 3_000, 60_000);
        Assert.InRange(fuzzer.Refused, 5_000, 60_000);
    }
}
