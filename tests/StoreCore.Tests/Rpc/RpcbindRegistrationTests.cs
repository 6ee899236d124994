using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

/// <summary>Registration with an rpcbind of our own making, which listens on a Unix domain socket as the real one does.</summary>
public sealed class RpcbindRegistrationTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly string _directory = Directory.CreateTempSubdirectory("rpcbind").FullName;

    private string SocketPath => Path.Combine(_directory, "sock");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    /// <summary>Answers SET, UNSET and DUMP of version 4, and remembers the requests.</summary>
    private sealed class Rpcbind : IRpcProgram
    {
        public uint Program => 100000;

        public uint LowestVersion => 4;

        public uint HighestVersion => 4;

        public string Name => "rpcbind";

        public int Procedures => 5;

        public bool Refuses { get; init; }

        public List<string> Requests { get; } = [];

        public List<string> Registered { get; } = [];

        public string ProcedureName(uint procedure) => procedure switch { 1 => "SET", 2 => "UNSET", _ => "DUMP" };

        public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
        {
            if (call.Procedure == 4)
            {
                foreach (string[] fields in Registered.Select(static line => line.Split(' ')))
                {
                    results.Bool(true);
                    results.U32(Convert.ToUInt32(fields[0], 16));
                    results.U32(uint.Parse(fields[1], CultureInfo.InvariantCulture));
                    foreach (string text in fields[2..])
                        results.String(Encoding.ASCII.GetBytes(text));
                    results.String("superuser"u8);
                }

                results.Bool(false);
                return RpcAcceptStatus.Success;
            }

            uint program = arguments.U32();
            uint version = arguments.U32();
            string network = Encoding.ASCII.GetString(arguments.String(100));
            string address = Encoding.ASCII.GetString(arguments.String(100));
            arguments.String(100);
            if (!arguments.AtEnd)
                return RpcAcceptStatus.GarbageArguments;
            Requests.Add($"{ProcedureName(call.Procedure)} {program:X} {version} {network} {address}");
            Registered.RemoveAll(line => line.StartsWith($"{program:X} {version} {network} ", StringComparison.Ordinal));
            if (call.Procedure == 1)
                Registered.Add($"{program:X} {version} {network} {address}");
            results.Bool(!Refuses);
            return RpcAcceptStatus.Success;
        }
    }

    /// <summary>Only its numbers matter.</summary>
    private sealed class ByDatagram : IRpcProgram
    {
        public uint Program => 0x2000_0002;

        public uint LowestVersion => 1;

        public uint HighestVersion => 1;

        public string Name => "by datagram";

        public int Procedures => 1;

        public bool ServesDatagrams => true;

        public string ProcedureName(uint procedure) => "";

        public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results) => RpcAcceptStatus.ProcedureUnavailable;
    }

    /// <summary>Serves connections of a Unix domain socket one after the other, whole records only.</summary>
    private Thread Serve(Rpcbind rpcbind, Socket listener, int connections)
    {
        listener.Bind(new UnixDomainSocketEndPoint(SocketPath));
        listener.Listen();
        var dispatcher = new RpcDispatcher([rpcbind], new RecordedEvents(), TimeProvider.System);
        RpcLane lane = dispatcher.NewLane();
        var thread = new Thread(() =>
        {
            byte[] space = new byte[4096];
            byte[] reply = new byte[4096];
            for (; connections > 0; connections--)
            {
                using Socket socket = listener.Accept();
                int count;
                while ((count = socket.Receive(space)) > 0)
                {
                    dispatcher.Dispatch(lane, new FakeConnection(), space.AsSpan(4, count - 4), reply, out int length);
                    socket.Send(RpcMessages.Record(reply.AsSpan(0, length)));
                }
            }
        });
        thread.Start();
        return thread;
    }

    [Fact]
    public void Every_version_is_registered_once_for_each_kind_of_address_and_taken_back()
    {
        string[] versions =
        [
            "20000001 1 tcp 0.0.0.0.8.1", "20000001 1 tcp6 ::.8.1", "20000001 2 tcp 0.0.0.0.8.1", "20000001 2 tcp6 ::.8.1",
            "20000002 1 tcp 0.0.0.0.8.1", "20000002 1 udp 0.0.0.0.8.1", "20000002 1 tcp6 ::.8.1", "20000002 1 udp6 ::.8.1",
        ];
        var rpcbind = new Rpcbind();
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        Thread server = Serve(rpcbind, listener, connections: 2);
        using (var registration = new RpcbindRegistration(Patience, SocketPath))
        {
            RpcPeer[] endpoints =
            [
                RpcPeer.From(IPAddress.Any, 2049), RpcPeer.From(IPAddress.Loopback, 20490), RpcPeer.From(IPAddress.IPv6Any, 2049),
            ];
            Assert.Null(registration.Register([new EchoProgram(), new ByDatagram()], endpoints));
            Assert.Equal([.. versions.Select(static version => "UNSET " + version), .. versions.Select(static version => "SET " + version)], rpcbind.Requests);
            rpcbind.Requests.Clear();
        }

        server.Join();
        Assert.Equal(versions.Select(static version => "UNSET " + version), rpcbind.Requests);
    }

    [Fact]
    public void What_it_still_has_can_be_asked_and_what_others_have_is_left_to_them()
    {
        var rpcbind = new Rpcbind();
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        Thread server = Serve(rpcbind, listener, connections: 5);
        using (var registration = new RpcbindRegistration(Patience, SocketPath))
        {
            Assert.Null(registration.Register([new ByDatagram()], [RpcPeer.From(IPAddress.Any, 2049)]));
            rpcbind.Registered.Add("100000 4 udp 0.0.0.0.0.111");
            Assert.Equal(RpcbindHolding.Ours, registration.Look(out string? reason));
            Assert.Null(reason);
            Assert.Equal(["20000002 1 tcp 0.0.0.0.8.1", "20000002 1 udp 0.0.0.0.8.1"], rpcbind.Registered.Take(2));
            rpcbind.Registered.RemoveAt(1);
            Assert.Equal(RpcbindHolding.Missing, registration.Look(out reason));
            Assert.Equal("rpcbind has forgotten what was registered", reason);
            rpcbind.Registered.Add("20000002 1 udp 0.0.0.0.9.9");
            Assert.Equal(RpcbindHolding.Others, registration.Look(out reason));
            Assert.Equal("another server has registered program 536870914 version 1 there, at udp 0.0.0.0.9.9", reason);
        }

        server.Join();
        Assert.Equal(["100000 4 udp 0.0.0.0.0.111", "20000002 1 udp 0.0.0.0.9.9"], rpcbind.Registered); // what is not ours stays
    }

    [Fact]
    public void A_refusal_is_said()
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        Thread server = Serve(new Rpcbind { Refuses = true }, listener, connections: 1);
        using var registration = new RpcbindRegistration(Patience, SocketPath);
        Assert.Equal("rpcbind refused to register echo version 1", registration.Register([new EchoProgram()], [RpcPeer.From(IPAddress.Any, 2049)]));
        server.Join();
    }

    [Fact]
    public void An_rpcbind_that_hangs_does_not_hang_us()
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(SocketPath));
        listener.Listen();
        using var registration = new RpcbindRegistration(TimeSpan.FromMilliseconds(200), SocketPath);
        Assert.Equal("rpcbind: no answer in time", registration.Register([new EchoProgram()], [RpcPeer.From(IPAddress.Any, 2049)]));
    }

    [Fact]
    public void Without_rpcbind_a_line_says_so()
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0)); // and does not listen
        using var registration = new RpcbindRegistration(Patience, SocketPath, (IPEndPoint)taken.LocalEndPoint!);
        Assert.StartsWith(
            "rpcbind cannot be reached", registration.Register([new EchoProgram()], [RpcPeer.From(IPAddress.Any, 2049)]), StringComparison.Ordinal);
        Assert.Null(registration.Unregister());
    }

    [Fact]
    public void An_address_is_written_as_RFC_5665_says()
    {
        Assert.Equal("192.0.2.1.8.1", RpcbindRegistration.UniversalAddress(RpcPeer.From(0xC0000201, 2049)));
        Assert.Equal("2001:db8::1.255.254", RpcbindRegistration.UniversalAddress(RpcPeer.From(IPAddress.Parse("2001:db8::1"), 65534)));
    }
}
