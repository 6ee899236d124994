using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

public sealed class RpcClientTests
{
    private static readonly TimeSpan Patience = RpcServerFixture.Patience;

    [Fact]
    public void A_call_has_its_results()
    {
        using var fixture = new RpcServerFixture();
        using RpcClient client = Connect(fixture.Endpoint);
        foreach (int bytes in new[] { 0, 5, 100_000, 1 << 20 })
        {
            byte[] arguments = RpcMessages.Opaque(new byte[bytes]);
            RpcClientResult result = client.Call(EchoProgram.Number, 1, EchoProgram.Echo, arguments, Patience, out ReadOnlySpan<byte> results);
            Assert.True(result.Succeeded, result.Text);
            Assert.Equal(arguments, results);
        }

        client.Credential = (7, 8);
        client.Call(EchoProgram.Number, 1, EchoProgram.WhoAsks, [], Patience, out ReadOnlySpan<byte> who);
        Assert.Equal("00000001" + "00000007" + "00000008" + "00000000", Convert.ToHexString(who[..16]));
    }

    [Fact]
    public void A_privileged_port_that_was_used_to_there_a_moment_ago_is_passed_over()
    {
        using var fixture = new RpcServerFixture();
        for (int i = 0; i < 3; i++)
        {
            using RpcClient? client = RpcClient.Connect(fixture.Endpoint, Patience, firstXid: 1, out string? error, privileged: true);
            Assert.True(client is not null, error);
            Assert.True(client.Call(EchoProgram.Number, 1, 0, [], Patience, out _).Succeeded);
        }
    }

    [Fact]
    public void Errors_come_as_words()
    {
        using var fixture = new RpcServerFixture();
        using RpcClient client = Connect(fixture.Endpoint);
        RpcClientResult CallOf(uint program, uint version, uint procedure, uint argument = 0) =>
            client.Call(program, version, procedure, RpcMessages.Word(argument), Patience, out _);

        Assert.Equal(new RpcClientResult(RpcClientStatus.Refused, "ProgramUnavailable"), CallOf(5, 1, 0));
        Assert.Equal(new RpcClientResult(RpcClientStatus.Refused, "ProgramMismatch"), CallOf(EchoProgram.Number, 9, 0));
        Assert.Equal(new RpcClientResult(RpcClientStatus.Refused, "ProcedureUnavailable"), CallOf(EchoProgram.Number, 1, 60));
        Assert.Equal(new RpcClientResult(RpcClientStatus.Refused, "GarbageArguments"), CallOf(EchoProgram.Number, 1, EchoProgram.Echo, 1));
        Assert.Equal(
            new RpcClientResult(RpcClientStatus.Refused, "authentication refused: TooWeak"),
            CallOf(EchoProgram.Number, 1, EchoProgram.Answer, unchecked((uint)RpcAcceptStatus.AuthTooWeak)));
    }

    [Fact]
    public void A_late_answer_is_passed_over()
    {
        using var fixture = new RpcServerFixture();
        using RpcClient client = Connect(fixture.Endpoint);
        Assert.Equal(
            RpcClientStatus.TimedOut,
            client.Call(EchoProgram.Number, 1, EchoProgram.Wait, RpcMessages.Opaque("late"u8), TimeSpan.FromMilliseconds(50), out _).Status);
        fixture.Echo.Gate.Set();
        Assert.True(client.Call(EchoProgram.Number, 1, EchoProgram.Echo, RpcMessages.Opaque("new"u8), Patience, out ReadOnlySpan<byte> results).Succeeded);
        Assert.Equal(RpcMessages.Opaque("new"u8), results);
    }

    [Fact]
    public void A_server_that_is_not_there_or_says_nothing_is_noticed_in_time()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var endpoint = (IPEndPoint)listener.LocalEndPoint!;
        Assert.Null(RpcClient.Connect(endpoint, Patience, 1, out string? error));
        Assert.Equal($"{endpoint}: Connection refused", error);

        listener.Listen();
        using RpcClient client = Connect(endpoint);
        long began = Stopwatch.GetTimestamp();
        Assert.Equal(RpcClientStatus.TimedOut, client.Call(1, 1, 0, [], TimeSpan.FromMilliseconds(100), out _).Status);
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.FromMilliseconds(90), Patience);
        listener.Accept().Dispose();
        Assert.Equal(RpcClientStatus.Broken, client.Call(1, 1, 0, [], Patience, out _).Status);
        Assert.Equal(RpcClientStatus.Broken, client.Call(1, 1, 0, [], Patience, out _).Status);
    }

    [Theory]
    [InlineData("FFFFFFFF")] // longer than any
    [InlineData("8000000800000002" + "00000000")] // a call
    [InlineData("8000001000000002" + "00000001" + "00000000" + "00000000")] // cut off
    [InlineData("8000000C00000002" + "00000001" + "00000007")] // neither accepted nor denied
    public void An_answer_that_is_none_breaks_the_connection(string hex)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using RpcClient client = Connect((IPEndPoint)listener.LocalEndPoint!);
        using Socket server = listener.Accept();
        server.Send(Convert.FromHexString(hex));
        Assert.Equal(RpcClientStatus.Broken, client.Call(1, 1, 0, [], Patience, out _).Status);
    }

    private static RpcClient Connect(IPEndPoint endpoint)
    {
        RpcClient? client = RpcClient.Connect(endpoint, Patience, firstXid: 1, out string? error);
        Assert.Null(error);
        return client!;
    }
}
