namespace Gateway.Tests.Fuse;

/// <summary>A short run of the fuzzer; <c>Bench fuse-fuzz</c> runs it for as long as one likes.</summary>
public sealed class FuseFuzzTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void NoBytesBreakTheDispatcher(int seed)
    {
        var fuzzer = new FuseFuzzer(seed);
        fuzzer.Run(100_000);
        Assert.Equal(0, fuzzer.Faults);
        // Else the requests are too broken to try anything.
        Assert.InRange(fuzzer.Answered - fuzzer.Failed, 5_000, 100_000);
    }
}
