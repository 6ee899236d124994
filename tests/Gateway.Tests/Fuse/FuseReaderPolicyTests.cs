using Gateway.Fuse;

namespace Gateway.Tests.Fuse;

public sealed class FuseReaderPolicyTests
{
    private static FuseReaderPolicy Policy(int processors = 2) => new(1_000_000, processors) { BulkMicroseconds = 150, LongMicroseconds = 250, PollMicroseconds = 100, WakeMicroseconds = 50, BulkReaders = 2, ShortMicroseconds = 0 };

    [Fact]
    public void ShortOperationsHaveOnePollingReader()
    {
        FuseReaderPolicy policy = Policy();
        for (int i = 0; i < 100; i++)
            policy.Observe(FuseOpcode.Lookup, 40, 10);
        Assert.Equal((1, 100, false), (policy.Receivers, policy.PollTicks(0), policy.ReleaseBefore(FuseOpcode.Lookup)));
    }

    [Fact]
    public void LongOperationsHaveSeveralSleepingReadersUntilTheyBecomeShort()
    {
        FuseReaderPolicy policy = Policy();
        for (int i = 0; i < 100; i++)
            policy.Observe(FuseOpcode.Write, 4096, 600);
        Assert.Equal((2, 0, true), (policy.Receivers, policy.PollTicks(0), policy.ReleaseBefore(FuseOpcode.Lookup)));
        for (int i = 0; i < 100; i++)
            policy.Observe(FuseOpcode.Write, 4096, 10);
        Assert.Equal((1, 100), (policy.Receivers, policy.PollTicks(0)));
    }

    [Fact]
    public void ARareLongOperationIsRememberedByItsKind()
    {
        FuseReaderPolicy policy = Policy();
        for (int i = 0; i < 30; i++)
        {
            policy.Observe(FuseOpcode.FSync, 40, 5000);
            for (int j = 0; j < 100; j++)
                policy.Observe(FuseOpcode.Write, 4096, 10);
        }

        Assert.False(policy.Bulk);
        Assert.True(policy.ReleaseBefore(FuseOpcode.FSync));
        Assert.False(policy.ReleaseBefore(FuseOpcode.Write));
        Assert.False(policy.ReleaseBefore((FuseOpcode)9999));
    }

    [Fact]
    public void PollingIsLeftOffWhereItCannotPay()
    {
        FuseReaderPolicy policy = Policy();
        policy.Observe(FuseOpcode.Write, 1 << 20, 10);
        Assert.Equal(0, policy.PollTicks(0)); // large transfers
        policy.Observe(FuseOpcode.Write, 4096, 10);
        Assert.Equal(100, policy.PollTicks(0));

        policy.Waited(10_000_000);
        Assert.Equal(100, policy.PollTicks(0)); // one pause
        for (int i = 0; i < 10; i++)
            policy.Waited(2000);
        Assert.Equal(0, policy.PollTicks(0)); // applications that do something else between requests
        for (int i = 0; i < 20; i++)
            policy.Waited(90);
        Assert.Equal(100, policy.PollTicks(0));

        Assert.False(policy.PutOff(5, 1000));
        Assert.True(policy.PutOff(3000, 1000)); // another ran on this processor
        Assert.Equal(0, policy.PollTicks(1001));
        Assert.Equal(100, policy.PollTicks(1000 + 20_000));
    }

    [Fact]
    public void HandlersShorterThanASwitchOfThreadsAreNotPolledFor()
    {
        var policy = new FuseReaderPolicy(1_000_000_000, 2) { PollMicroseconds = 100, ShortMicroseconds = 8 };
        for (int i = 0; i < 100; i++)
            policy.Observe(FuseOpcode.Lookup, 40, 4_000);
        Assert.Equal(0, policy.PollTicks(0));
        for (int i = 0; i < 100; i++)
            policy.Observe(FuseOpcode.Write, 4096, 20_000);
        Assert.Equal(100_000, policy.PollTicks(0));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(8, 4)]
    [InlineData(128, 16)]
    public void ABacklogHasMoreReadersWhereThereAreProcessors(int processors, int readers)
    {
        FuseReaderPolicy policy = Policy(processors);
        for (int i = 0; i < 100; i++)
            policy.Waited(1);
        Assert.Equal(readers, policy.Receivers);
        Assert.Equal(readers > 1, policy.ReleaseBefore(FuseOpcode.Lookup));
        for (int i = 0; i < 100; i++)
            policy.Waited(50);
        Assert.Equal(1, policy.Receivers);
    }
}
