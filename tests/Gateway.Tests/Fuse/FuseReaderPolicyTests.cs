using Gateway.Fuse;

namespace Gateway.Tests.Fuse;

public sealed class FuseReaderPolicyTests
{
    private static FuseReaderPolicy Policy() => new(1_000_000) { BulkMicroseconds = 150, LongMicroseconds = 250, PollMicroseconds = 100, BulkReaders = 2 };

    [Fact]
    public void ShortOperationsHaveOnePollingReader()
    {
        FuseReaderPolicy policy = Policy();
        for (int i = 0; i < 100; i++)
            policy.Observe(FuseOpcode.Lookup, 10);
        Assert.Equal((1, 100, false), (policy.Receivers, policy.PollTicks, policy.ReleaseBefore(FuseOpcode.Lookup)));
    }

    [Fact]
    public void LongOperationsHaveSeveralSleepingReadersUntilTheyBecomeShort()
    {
        FuseReaderPolicy policy = Policy();
        for (int i = 0; i < 100; i++)
            policy.Observe(FuseOpcode.Write, 600);
        Assert.Equal((2, 0, true), (policy.Receivers, policy.PollTicks, policy.ReleaseBefore(FuseOpcode.Lookup)));
        for (int i = 0; i < 100; i++)
            policy.Observe(FuseOpcode.Write, 10);
        Assert.Equal((1, 100), (policy.Receivers, policy.PollTicks));
    }

    [Fact]
    public void ARareLongOperationIsRememberedByItsKind()
    {
        FuseReaderPolicy policy = Policy();
        for (int i = 0; i < 30; i++)
        {
            policy.Observe(FuseOpcode.FSync, 5000);
            for (int j = 0; j < 100; j++)
                policy.Observe(FuseOpcode.Write, 10);
        }

        Assert.False(policy.Bulk);
        Assert.True(policy.ReleaseBefore(FuseOpcode.FSync));
        Assert.False(policy.ReleaseBefore(FuseOpcode.Write));
        Assert.False(policy.ReleaseBefore((FuseOpcode)9999));
    }
}
