using System.Net;
using Gateway.Nfs;
using Gateway.Nfs.Exports;
using Gateway.Nfs.Nlm;
using Microsoft.Extensions.Logging.Abstractions;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>Clients called back over real connections: a portmapper, a lock manager and a status monitor of a client's machine, which answer as they are told.</summary>
public sealed class NlmCallerTests : IDisposable
{
    private readonly NfsExchange _nfs = new();
    private readonly NlmClient _nlm = new();
    private readonly Statd _statd = new();
    private readonly Portmap _portmap = new();
    private readonly RpcServer _client;
    private readonly InodeRecord _file;

    public NlmCallerTests()
    {
        var options = new RpcServerOptions { Listen = [RpcPeer.From(IPAddress.Loopback, 0)] };
        var events = new NfsEvents(NullLogger.Instance);
        _client = RpcServer.Start(options, new RpcDispatcher([_portmap, _nlm, _statd], events, TimeProvider.System), events, TimeProvider.System, out string? error)
            ?? throw new InvalidOperationException(error);
        _portmap.Port = _client.Endpoints[0].Port;
        _nfs.Caller = new NlmCaller(_client.Endpoints[0].Port);
        _nfs.Connection = new FakeConnection(RpcPeer.From(IPAddress.Loopback, 900));
        _nfs.Start();
        _file = _nfs.Fixture!.Make("f");
    }

    public void Dispose()
    {
        _nfs.Dispose();
        _client.Dispose();
    }

    private byte[] LockOf(string owner) => new Xdr().Text("client").Opaque(_nfs.Handle(_file)).Text(owner).U32(7).U64(3).U64(4).Bytes;

    private NlmStatus Lock(string owner, bool block)
    {
        XdrView view = _nfs.Success(_nfs.Message(100021, 4, NlmProcedure.Lock, new Xdr().Text("asked").U32(block ? 1u : 0).U32(1).Raw(LockOf(owner)).U32(0).U32(1).Bytes));
        Assert.Equal("asked", view.Text());
        return (NlmStatus)view.U32();
    }

    /// <summary>One owner waits for another's lock, which then goes.</summary>
    private void LetWaiterHaveIt()
    {
        Assert.Equal(NlmStatus.Granted, Lock("holder", block: false));
        Assert.Equal(NlmStatus.Blocked, Lock("waiter", block: true));
        XdrView view = _nfs.Success(_nfs.Message(100021, 4, NlmProcedure.Unlock, new Xdr().Text("k").Raw(LockOf("holder")).Bytes));
        Assert.Equal(("k", 0u), (view.Text(), view.U32()));
    }

    private void UntilTold() => Assert.True(SpinWait.SpinUntil(() => _nfs.Locks.GrantsPending == 0, TimeSpan.FromSeconds(30)));

    [Fact]
    public void A_client_that_takes_the_lock_is_called_once_with_what_it_asked_for()
    {
        LetWaiterHaveIt();
        UntilTold();
        (string cookie, string arguments) = Assert.Single(_nlm.Calls);
        Assert.NotEmpty(cookie);
        Assert.Equal(Convert.ToHexString([0, 0, 0, 1, .. LockOf("waiter")]), arguments);
        Assert.Equal(NlmStatus.Denied, Lock("holder", block: false));
    }

    [Fact]
    public void A_client_that_refuses_the_lock_has_not_got_it()
    {
        _nlm.Answer = static _ => NlmStatus.Denied;
        LetWaiterHaveIt();
        UntilTold();
        Assert.True(SpinWait.SpinUntil(() => Lock("holder", block: false) == NlmStatus.Granted, TimeSpan.FromSeconds(30)));
        Assert.Single(_nlm.Calls);
    }

    [Fact]
    public void A_client_that_does_not_answer_is_called_again_and_keeps_a_lock_that_it_may_have_taken()
    {
        _nlm.Answer = static call => call == 1 ? null : NlmStatus.Denied;
        LetWaiterHaveIt();
        UntilTold();
        Assert.Equal(2, _nlm.Calls.Count);
        Assert.Equal(_nlm.Calls[0], _nlm.Calls[1]);
        Assert.Equal(NlmStatus.Denied, Lock("holder", block: false));
    }

    [Fact]
    public void A_client_whose_lock_manager_is_not_there_yet_is_called_when_it_is()
    {
        ushort port = _portmap.Port;
        _portmap.Port = 0;
        _portmap.Asked = () => _portmap.Port = port;
        LetWaiterHaveIt();
        UntilTold();
        Assert.Single(_nlm.Calls);
        Assert.Equal(NlmStatus.Denied, Lock("holder", block: false));
    }

    [Fact]
    public void A_client_is_told_of_a_restart_by_its_status_monitor()
    {
        var address = new ClientAddress(RpcPeer.From(IPAddress.Loopback, 0).Address);
        Assert.True(new NlmCaller(_client.Endpoints[0].Port).Restarted(address, address, 5));
        Assert.Equal(("127.0.0.1", 5), Assert.Single(_statd.Told));
        _portmap.Port = 0;
        Assert.False(new NlmCaller(_client.Endpoints[0].Port).Restarted(address, address, 5));
    }

    /// <summary>A program of one procedure, in one version.</summary>
    private abstract class Program(uint program, uint version, uint procedure) : IRpcProgram
    {
        uint IRpcProgram.Program => program;

        public uint LowestVersion => version;

        public uint HighestVersion => version;

        public string Name => "client";

        public int Procedures => (int)procedure + 1;

        public string ProcedureName(uint procedure) => "";

        public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
        {
            Assert.Equal(procedure, call.Procedure);
            lock (this)
                return Carry(ref arguments, ref results) && arguments.AtEnd ? RpcAcceptStatus.Success : RpcAcceptStatus.Drop;
        }

        /// <returns>Whether it answers.</returns>
        protected abstract bool Carry(ref XdrReader arguments, ref XdrWriter results);
    }

    private sealed class Portmap() : Program(100000, 2, 3)
    {
        public ushort Port { get; set; }

        public Action Asked { get; set; } = static () => { };

        protected override bool Carry(ref XdrReader arguments, ref XdrWriter results)
        {
            Assert.Contains(arguments.U32(), new uint[] { 100021, 100024 });
            arguments.U32();
            Assert.Equal(6u, arguments.U32());
            arguments.U32();
            results.U32(Port);
            Asked();
            return true;
        }
    }

    private sealed class NlmClient() : Program(100021, 4, NlmProcedure.Granted)
    {
        /// <summary>Cookie and what stands behind it.</summary>
        public List<(string Cookie, string Arguments)> Calls { get; } = [];

        /// <summary>By the number of the call; null: none.</summary>
        public Func<int, NlmStatus?> Answer { get; set; } = static _ => NlmStatus.Granted;

        protected override bool Carry(ref XdrReader arguments, ref XdrWriter results)
        {
            ReadOnlySpan<byte> cookie = arguments.Opaque(NlmLock.MaxStringBytes);
            Calls.Add((Convert.ToHexString(cookie), Convert.ToHexString(arguments.Rest)));
            arguments.Fixed(arguments.Rest.Length);
            results.Opaque(cookie);
            results.U32((uint)(Answer(Calls.Count) ?? default));
            return Answer(Calls.Count) is not null;
        }
    }

    private sealed class Statd() : Program(100024, 1, 6)
    {
        public List<(string Name, int State)> Told { get; } = [];

        protected override bool Carry(ref XdrReader arguments, ref XdrWriter results)
        {
            Told.Add((System.Text.Encoding.ASCII.GetString(arguments.String(100)), arguments.I32()));
            return true;
        }
    }
}
