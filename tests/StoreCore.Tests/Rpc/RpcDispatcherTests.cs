using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

/// <summary>The answers of RFC 5531 §9, byte by byte.</summary>
public class RpcDispatcherTests
{
    private const string Accepted = "00000007" + "00000001" + "00000000" + "0000000000000000"; // xid 7, REPLY, MSG_ACCEPTED, AUTH_NONE verifier

    private readonly EchoProgram _echo = new();
    private readonly RecordedEvents _events = new();
    private readonly FakeConnection _connection = new();
    private readonly RpcDispatcher _dispatcher;
    private readonly RpcLane _lane;
    private readonly byte[] _reply = new byte[Limits.RpcMaxRecordBytes];

    public RpcDispatcherTests()
    {
        _dispatcher = new RpcDispatcher([_echo], _events, TimeProvider.System);
        _lane = _dispatcher.NewLane();
    }

    private string Answer(ReadOnlySpan<byte> call, RpcOutcome expected = RpcOutcome.Reply)
    {
        RpcOutcome outcome = _dispatcher.Dispatch(_lane, _connection, call, _reply, out int length);
        Assert.Equal(expected, outcome);
        return Convert.ToHexString(_reply.AsSpan(0, length));
    }

    private string Answer(string hex, RpcOutcome expected = RpcOutcome.Reply) => Answer(Convert.FromHexString(hex), expected);

    [Fact]
    public void The_null_procedure_of_every_version_answers()
    {
        Assert.Equal(Accepted + "00000000", Answer("00000007" + "00000000" + "00000002" + "20000001" + "00000001" + "00000000" + "0000000000000000" + "0000000000000000"));
        Assert.Equal(Accepted + "00000000", Answer(RpcMessages.Call(7, 0, version: 2)));
    }

    [Fact]
    public void The_null_procedure_has_no_arguments() => Assert.Equal(Accepted + "00000004", Answer(RpcMessages.Call(7, 0, RpcMessages.Word(1))));

    [Fact]
    public void Results_follow_the_status() =>
        Assert.Equal(Accepted + "00000000" + "0000000361626300", Answer(RpcMessages.Call(7, EchoProgram.Echo, RpcMessages.Opaque("abc"u8))));

    [Fact]
    public void Another_version_of_RPC_is_a_mismatch()
    {
        Assert.Equal("00000007" + "00000001" + "00000001" + "00000000" + "00000002" + "00000002", Answer("00000007" + "00000000" + "00000003"));
        Assert.Equal(1, _dispatcher.Statistics.Faults(RpcFault.RpcMismatch));
    }

    [Fact]
    public void A_program_that_is_not_served_is_unavailable() => Assert.Equal(Accepted + "00000001", Answer(RpcMessages.Call(7, 0, program: 100003)));

    [Fact]
    public void A_promise_is_answered_when_it_has_become_true()
    {
        bool isLive = false;
        _echo.Settling = () => isLive = _dispatcher.Statistics.Live().Count == 1;
        Assert.Equal(Accepted + "00000000" + "00000001", Answer(RpcMessages.Call(7, EchoProgram.Promise)));
        Assert.True(isLive);
        Assert.Equal([1], _echo.Settled);

        _echo.Settling = static () => false;
        Answer(RpcMessages.Call(8, EchoProgram.Promise), RpcOutcome.None);
        _echo.Settling = static () => throw new InvalidOperationException("a defect");
        Answer(RpcMessages.Call(9, EchoProgram.Promise), RpcOutcome.None);
        Assert.Single(_events.Defects);
        Assert.Empty(_dispatcher.Statistics.Live());
    }

    [Fact]
    public void Promises_that_came_together_become_true_together()
    {
        for (uint xid = 1; xid <= RpcLane.MaxUnsettled; xid++)
            Assert.Equal(RpcOutcome.ReplyOnceStable, _dispatcher.DispatchUnsettled(_lane, _connection, RpcMessages.Call(xid, EchoProgram.Promise), _reply, out _));
        Assert.Empty(_echo.Settled);
        Assert.True(_dispatcher.Settle(_lane));
        Assert.Equal([RpcLane.MaxUnsettled], _echo.Settled);
        Assert.Equal(0, _lane.UnsettledCalls);
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(3u)]
    [InlineData(uint.MaxValue)]
    public void Another_version_of_a_program_is_told_the_range(uint version) =>
        Assert.Equal(Accepted + "00000002" + "00000001" + "00000002", Answer(RpcMessages.Call(7, 0, version: version)));

    [Fact]
    public void Programs_may_share_a_number()
    {
        var dispatcher = new RpcDispatcher(
            [new EchoProgram { LowestVersion = 1, HighestVersion = 1 }, new EchoProgram { LowestVersion = 3, HighestVersion = 4 }], _events, TimeProvider.System);
        RpcLane lane = dispatcher.NewLane();
        string AnswerTo(uint version)
        {
            dispatcher.Dispatch(lane, _connection, RpcMessages.Call(7, 0, version: version), _reply, out int length);
            return Convert.ToHexString(_reply.AsSpan(0, length));
        }

        Assert.Equal(Accepted + "00000000", AnswerTo(1));
        Assert.Equal(Accepted + "00000002" + "00000001" + "00000004", AnswerTo(2));
        Assert.Equal(Accepted + "00000000", AnswerTo(4));
        Assert.Throws<ArgumentException>(() => new RpcDispatcher([new EchoProgram(), new EchoProgram()], _events, TimeProvider.System));
    }

    [Theory]
    [InlineData(12u)] // above the table
    [InlineData(63u)]
    [InlineData(64u)]
    [InlineData(uint.MaxValue)]
    public void A_procedure_that_is_not_there_is_unavailable(uint procedure) => Assert.Equal(Accepted + "00000003", Answer(RpcMessages.Call(7, procedure)));

    [Theory]
    [InlineData("")] // no argument
    [InlineData("000000")]
    [InlineData("00000001")] // length without data
    [InlineData("0000000000000000")] // more than an argument
    [InlineData("0000000161000001")] // padding
    public void Arguments_that_cannot_be_decoded_are_garbage(string hex)
    {
        byte[] call = [.. RpcMessages.Call(7, EchoProgram.Echo), .. Convert.FromHexString(hex)];
        Assert.Equal(Accepted + "00000004", Answer(call));
        Assert.Equal(1, _dispatcher.Statistics.Faults(RpcFault.GarbageArguments));
    }

    [Fact]
    public void A_program_sees_who_asks()
    {
        Assert.Equal(
            Accepted + "00000000" + "00000001" + "000003E8" + "00000064" + "00000002" + "00000005" + "00000006" + "000002BC",
            Answer(RpcMessages.Call(7, EchoProgram.WhoAsks, groups: [5, 6])));
        Assert.Equal(
            Accepted + "00000000" + "00000000" + "0000FFFE" + "0000FFFE" + "00000000" + "000002BC", Answer(RpcMessages.Call(7, EchoProgram.WhoAsks)));
        uint[] most = [.. Enumerable.Range(0, 16).Select(static i => (uint)i)];
        Assert.StartsWith(
            Accepted + "00000000" + "00000001" + "000003E8" + "00000064" + "00000010" + "00000000" + "00000001",
            Answer(RpcMessages.Call(7, EchoProgram.WhoAsks, groups: most)), StringComparison.Ordinal);
    }

    public static TheoryData<string, string, int> BadAuthentication => new()
    {
        { "17 groups", Head + "00000001" + "00000058" + "00000000" + "00000000" + "00000001" + "00000001" + "00000011" + Zeros(68) + "0000000000000000", 1 },
        { "a flavor that nobody knows", Head + "00000063" + "00000000" + "0000000000000000", 1 },
        { "AUTH_NONE with a body", Head + "00000000" + "00000004" + "00000000" + "0000000000000000", 1 },
        { "AUTH_SYS that ends early", Head + "00000001" + "00000010" + Zeros(16) + "0000000000000000", 1 },
        { "AUTH_SYS with something behind it", Head + "00000001" + "00000018" + Zeros(24) + "0000000000000000", 1 },
        { "a machine name of 256 bytes", Head + "00000001" + "00000114" + "00000000" + "00000100" + Zeros(268) + "0000000000000000", 1 },
        { "a body of 404 bytes", Head + "00000000" + "00000194" + Zeros(404) + "0000000000000000", 1 },
        { "a credential that is cut off", Head + "00000001" + "00000014" + Zeros(8), 1 },
        { "no credential", Head, 1 },
        { "no verifier", Head + "0000000000000000", 3 },
        { "a verifier with a body", Head + "0000000000000000" + "00000000" + "00000004" + "00000000", 3 },
        { "a verifier of another flavor", Head + "00000001" + "00000014" + Zeros(20) + "00000001" + "00000000", 3 },
    };

    private const string Head = "00000007" + "00000000" + "00000002" + "20000001" + "00000001" + "00000000";

    private static string Zeros(int bytes) => new('0', 2 * bytes);

    [Theory]
    [MemberData(nameof(BadAuthentication))]
    public void Bad_authentication_is_denied_with_its_reason(string what, string call, int reason)
    {
        Assert.Equal("00000007" + "00000001" + "00000001" + "00000001" + $"{reason:X8}", Answer(call));
        Assert.True(_dispatcher.Statistics.Faults(RpcFault.Authentication) == 1, what);
    }

    [Theory]
    [InlineData("")]
    [InlineData("00000007")]
    [InlineData("0000000700000000")] // no RPC version
    [InlineData("000000070000000000000002")] // no program
    [InlineData("000000070000000000000002200000010000000100")] // half a procedure
    [InlineData("000000070000000200000002")] // neither call nor reply
    [InlineData("FFFFFFFFFFFFFFFFFFFFFFFF")]
    public void What_is_no_call_is_hopeless(string hex)
    {
        Assert.Equal("", Answer(hex, RpcOutcome.Hopeless));
        Assert.Equal(1, _dispatcher.Statistics.Faults(RpcFault.NotACall));
    }

    [Fact]
    public void A_reply_is_not_answered() => Assert.Equal("", Answer("00000007" + "00000001" + "00000000", RpcOutcome.None));

    [Theory]
    [InlineData(EchoProgram.Throw)]
    [InlineData(EchoProgram.OverflowResults)]
    [InlineData(EchoProgram.IgnoreMalformed)]
    public void A_defect_of_a_program_is_a_system_error_and_is_reported(uint procedure)
    {
        Assert.Equal(Accepted + "00000005", Answer(RpcMessages.Call(7, procedure)));
        Assert.Single(_events.Defects);
        Assert.Equal(1, _dispatcher.Statistics.Faults(RpcFault.Defect));
        Assert.Equal(1, _dispatcher.Statistics.Faults(RpcFault.SystemError));
    }

    [Theory]
    [InlineData(RpcAcceptStatus.ProcedureUnavailable, Accepted + "00000003")]
    [InlineData(RpcAcceptStatus.GarbageArguments, Accepted + "00000004")]
    [InlineData(RpcAcceptStatus.SystemError, Accepted + "00000005")]
    [InlineData(RpcAcceptStatus.AuthTooWeak, "00000007" + "00000001" + "00000001" + "00000001" + "00000005")]
    [InlineData(RpcAcceptStatus.ProgramMismatch, Accepted + "00000005")] // not a program's to say: a defect
    [InlineData((RpcAcceptStatus)42, Accepted + "00000005")]
    public void What_a_program_answers_replaces_what_it_wrote(RpcAcceptStatus status, string expected) =>
        Assert.Equal(expected, Answer(RpcMessages.Call(7, EchoProgram.Answer, RpcMessages.Word((uint)status))));

    [Fact]
    public void A_dropped_call_has_no_reply()
    {
        Assert.Equal("", Answer(RpcMessages.Call(7, EchoProgram.Answer, RpcMessages.Word(unchecked((uint)RpcAcceptStatus.Drop))), RpcOutcome.None));
        Assert.Equal(1, _dispatcher.Statistics.Faults(RpcFault.Dropped));
    }

    [Fact]
    public void A_further_authenticator_judges_its_flavor_and_writes_the_verifier()
    {
        var dispatcher = new RpcDispatcher([_echo], _events, TimeProvider.System, new Sealed());
        RpcLane lane = dispatcher.NewLane();
        byte[] call = Convert.FromHexString(
            "00000007" + "00000000" + "00000002" + "20000001" + "00000001" + "00000004" + "00000006" + "00000004" + "0000002A" + "00000006" + "00000004" + "00000007");
        Assert.Equal(RpcOutcome.Reply, dispatcher.Dispatch(lane, _connection, call, _reply, out int length));
        Assert.Equal(
            "00000007" + "00000001" + "00000000" + "00000006" + "00000004" + "0000002A" + "00000000"
            + "00000006" + "00000005" + "0000FFFE" + "00000000" + "000002BC",
            Convert.ToHexString(_reply.AsSpan(0, length)));
    }

    private sealed class Sealed : IRpcAuthenticator
    {
        public RpcAuthFlavor Flavor => RpcAuthFlavor.Gss;

        public RpcAuthStatus Authenticate(in RpcAuthInput input, ref RpcIdentity identity, ref XdrWriter replyVerifier)
        {
            if (input.SignedHeader.Length != 36 || input.Verifier.Length != 4)
                return RpcAuthStatus.GssCredentialProblem;
            identity.Uid = 5;
            replyVerifier.U32((uint)RpcAuthFlavor.Gss);
            replyVerifier.Opaque(input.Credential);
            return RpcAuthStatus.Ok;
        }
    }

    [Fact]
    public void Calls_are_counted_by_procedure()
    {
        Answer(RpcMessages.Call(7, EchoProgram.Echo, RpcMessages.Opaque("abcd"u8)));
        Answer(RpcMessages.Call(7, EchoProgram.Echo));
        RpcProcedureStatistics echo = Assert.Single(_dispatcher.Statistics.Procedures());
        Assert.Equal(("echo", "echo 1", 2, 1), (echo.Program, echo.Procedure, echo.Count, echo.Failed));
        Assert.Equal(48 + 40, echo.BytesIn);
        Assert.Equal(32 + 24, echo.BytesOut);
        Assert.Equal(2, echo.Buckets.Sum());
        Assert.Equal(new RpcProgress(2, 2, 0, TimeSpan.Zero), _dispatcher.Statistics.Progress());
    }

    [Fact]
    public void A_call_in_progress_is_seen()
    {
        var thread = new Thread(() => Answer(RpcMessages.Call(7, EchoProgram.Wait, RpcMessages.Opaque([]))));
        thread.Start();
        Assert.True(SpinWait.SpinUntil(() => _echo.Waiting == 1, TimeSpan.FromSeconds(10)));
        RpcLiveCall live = Assert.Single(_dispatcher.Statistics.Live());
        Assert.Equal((7u, EchoProgram.Wait, "echo 5"), (live.Xid, live.Procedure, live.Name));
        Assert.Same(_connection, live.Connection);
        RpcProgress progress = _dispatcher.Statistics.Progress();
        Assert.Equal((1, 0, 1), (progress.Accepted, progress.Completed, progress.InFlight));
        Assert.True(progress.OldestInFlight > TimeSpan.Zero);
        _echo.Gate.Set();
        thread.Join();
        Assert.Empty(_dispatcher.Statistics.Live());
    }

    [Fact]
    public void A_call_allocates_nothing()
    {
        byte[] echo = RpcMessages.Call(7, EchoProgram.Echo, RpcMessages.Opaque(new byte[4096]), groups: [1, 2, 3]);
        byte[] produce = RpcMessages.Call(7, EchoProgram.Produce, RpcMessages.Word(65536), groups: [1, 2, 3]);
        byte[] unknown = RpcMessages.Call(7, 0, program: 3);
        byte[] denied = RpcMessages.Call(7, 0, groups: new uint[17]);
        byte[][] calls = [echo, produce, unknown, denied];
        void Round()
        {
            foreach (byte[] call in calls)
                _dispatcher.Dispatch(_lane, _connection, call, _reply, out _);
        }

        for (int i = 0; i < 100; i++)
            Round();

        // A collection that another test causes counts the rest of this thread's allocation context, once: the least of several is the calls' own.
        long least = long.MaxValue;
        for (int attempt = 0; attempt < 5; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++)
                Round();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }
}
