namespace StoreCore.Tests.Rpc;

/// <summary>Replies that promise that something is stable, through the whole server.</summary>
public sealed class RpcSettlingTests
{
    [Fact]
    public void A_wait_for_the_disk_that_turns_out_long_holds_up_nobody()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        for (uint i = 0; i < 20; i++) // what is expected of such calls is learnt from some
        {
            client.Call(i, EchoProgram.Promise);
            Assert.Equal(i, client.ReceiveXid());
        }

        using var stable = new ManualResetEventSlim();
        fixture.Echo.Settling = () => stable.Wait(RpcServerFixture.Patience);
        client.Call(100, EchoProgram.Promise);
        RpcServerFixture.Until(() => fixture.Echo.Settled.Count == 21, "it waits for the disk");
        client.Call(101, EchoProgram.Echo, RpcMessages.Opaque("x"u8));
        Assert.Equal(101u, client.ReceiveXid());
        stable.Set();
        Assert.Equal(100u, client.ReceiveXid());
    }

    [Fact]
    public void What_cannot_be_made_stable_is_not_answered()
    {
        using var fixture = new RpcServerFixture();
        using RpcStream client = fixture.Connect();
        fixture.Echo.Settling = static () => false;
        client.Call(1, EchoProgram.Promise);
        Assert.Null(client.Receive());
        RpcServerFixture.Until(() => fixture.Events.ReasonOf(1) is not null, "its end is reported");
        Assert.Equal("what its calls did could not be made stable", fixture.Events.ReasonOf(1));
    }
}
