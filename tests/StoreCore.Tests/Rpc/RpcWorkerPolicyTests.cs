using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

public class RpcWorkerPolicyTests
{
    // One tick is a microsecond.
    private static RpcWorkerPolicy New(int processors = 2) => new(1_000_000, processors, slots: 4);

    [Fact]
    public void The_leader_polls_while_calls_come_soon_and_sleeps_while_they_do_not()
    {
        RpcWorkerPolicy policy = New();
        Assert.Equal(200, policy.PollTicks(0, busy: 0));
        for (int i = 0; i < 50; i++)
            policy.Waited(100_000);
        Assert.Equal(0, policy.PollTicks(0, busy: 0));
        for (int i = 0; i < 50; i++)
            policy.Waited(50);
        Assert.Equal(200, policy.PollTicks(0, busy: 0));
    }

    [Fact]
    public void A_poller_that_was_put_off_its_processor_rests()
    {
        RpcWorkerPolicy policy = New();
        Assert.False(policy.PutOff(60, 1000));
        Assert.True(policy.PutOff(61, 1000));
        Assert.Equal(0, policy.PollTicks(20_999, busy: 0));
        Assert.Equal(200, policy.PollTicks(21_000, busy: 0));
    }

    [Fact]
    public void Before_a_call_that_takes_long_another_worker_is_woken()
    {
        RpcWorkerPolicy policy = New();
        Assert.False(policy.WakeBefore(1, large: false, busy: 1));
        for (int i = 0; i < 50; i++)
            policy.Observe(1, large: false, ticks: 2000);
        Assert.True(policy.WakeBefore(1, large: false, busy: 1));
        Assert.False(policy.WakeBefore(1, large: true, busy: 1)); // another kind of call
        Assert.False(policy.WakeBefore(2, large: false, busy: 1));
        Assert.False(policy.WakeBefore(-1, large: false, busy: 1));
        for (int i = 0; i < 50; i++)
            policy.Observe(1, large: false, ticks: 10);
        Assert.False(policy.WakeBefore(1, large: false, busy: 1));
    }

    [Fact]
    public void Replies_wait_for_short_calls_only()
    {
        RpcWorkerPolicy policy = New();
        Assert.False(policy.MayBatch(1)); // not known yet
        policy.Observe(1, large: false, ticks: 5);
        policy.Observe(3, large: false, ticks: 5);
        Assert.True(policy.MayBatch(1));
        for (int i = 0; i < 50; i++)
            policy.Observe(1, large: false, ticks: 100);
        Assert.False(policy.MayBatch(1));
        Assert.True(policy.MayBatch(3));
    }

    [Fact]
    public void Replies_that_wait_for_the_disk_anyway_wait_for_longer_calls()
    {
        RpcWorkerPolicy policy = New();
        policy.Observe(1, large: false, ticks: 80);
        policy.Observe(2, large: false, ticks: 80);
        for (int i = 0; i < 50; i++)
            policy.Settled(100);
        policy.IsSettled(1);
        Assert.True(policy.MayBatch(1));
        Assert.False(policy.MayBatch(2));
        Assert.False(policy.SettlesLong);
        for (int i = 0; i < 50; i++)
            policy.Settled(5000);
        Assert.True(policy.SettlesLong);
    }

    [Fact]
    public void Nobody_polls_on_the_processor_of_one_that_handles_a_call()
    {
        Assert.Equal(0, New(processors: 2).PollTicks(0, busy: 1));
        Assert.Equal(200, New(processors: 4).PollTicks(0, busy: 2));
    }

    [Fact]
    public void A_backlog_wakes_others_up_to_half_of_the_processors()
    {
        RpcWorkerPolicy policy = New(processors: 8);
        for (int i = 0; i < 50; i++)
            policy.Backlog(waiting: true);
        Assert.True(policy.WakeBefore(1, large: false, busy: 3));
        Assert.False(policy.WakeBefore(1, large: false, busy: 4));
        for (int i = 0; i < 50; i++)
            policy.Backlog(waiting: false);
        Assert.False(policy.WakeBefore(1, large: false, busy: 1));

        policy = New(processors: 2);
        for (int i = 0; i < 50; i++)
            policy.Backlog(waiting: true);
        Assert.False(policy.WakeBefore(1, large: false, busy: 0)); // the other processor is the clients'
    }
}
