using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

public class RpcBudgetTests
{
    private sealed class Holder : IRpcBudgetWaiter
    {
        public long HeldBytes { get; set; }

        public int WantedBytes { get; set; }

        public int Grants { get; private set; }

        public void Granted() => Grants++;
    }

    [Fact]
    public void One_alone_may_have_half()
    {
        var budget = new RpcBudget(100);
        var one = new Holder();
        int units = 0;
        while (budget.TryTake(one, 10))
            units++;
        Assert.Equal(5, units);
        Assert.Equal(50, budget.UsedBytes);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(9)]
    public void Greedy_ones_leave_a_share_for_the_next(int greedy)
    {
        var budget = new RpcBudget(1000);
        Holder[] holders = [.. Enumerable.Range(0, greedy).Select(static _ => new Holder())];
        bool more = true;
        while (more)
        {
            more = false;
            foreach (Holder holder in holders)
                more |= budget.TryTake(holder, 1);
        }

        long free = 1000 - budget.UsedBytes;
        Assert.InRange(free, 1000 / (greedy + 1) - greedy, 1000 / (greedy + 1) + greedy);
        Assert.True(budget.TryTake(new Holder(), (int)free));
    }

    [Fact]
    public void Those_who_wait_are_served_in_their_order()
    {
        var budget = new RpcBudget(100);
        var first = new Holder();
        var second = new Holder();
        var third = new Holder();
        Assert.True(budget.TryTake(first, 80));
        Assert.False(budget.TakeOrWait(second, 60));
        Assert.False(budget.TakeOrWait(third, 60));
        Assert.Equal(2, budget.Waiting);
        budget.Give(first, 80);
        Assert.Equal((1, 0), (second.Grants, third.Grants));
        Assert.Equal((60, 0), (second.HeldBytes, second.WantedBytes));
        budget.Give(second, 60);
        Assert.Equal(1, third.Grants);
        Assert.Equal(60, budget.UsedBytes);
    }

    [Fact]
    public void One_who_holds_too_much_is_passed_over()
    {
        var budget = new RpcBudget(100);
        var other = new Holder();
        var greedy = new Holder();
        var modest = new Holder();
        budget.Charge(greedy, 40);
        budget.Charge(other, 50);
        Assert.False(budget.TakeOrWait(greedy, 20));
        Assert.False(budget.TakeOrWait(modest, 20));
        budget.Give(other, 20);
        Assert.Equal((0, 1), (greedy.Grants, modest.Grants));
        Assert.True(budget.Withdraw(greedy));
        Assert.False(budget.Withdraw(greedy));
        Assert.Equal(0, budget.Waiting);
    }

    [Fact]
    public void In_the_last_quarter_there_is_no_plenty()
    {
        var budget = new RpcBudget(100);
        var holder = new Holder();
        budget.Charge(holder, 60);
        Assert.True(budget.Plenty(15));
        Assert.False(budget.Plenty(16));
        Assert.Throws<InvalidOperationException>(() => budget.Give(holder, 61));
        budget.Give(holder, 60);
        Assert.Equal(0, budget.UsedBytes);
    }
}
