using System.Buffers.Binary;
using System.Net;
using System.Text;
using Gateway.Nfs;
using Gateway.Nfs.Exports;
using Gateway.Nfs.Nlm;
using Gateway.Tests.Vfs;
using Gateway.Vfs;
using Microsoft.Extensions.Logging.Abstractions;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>
/// The programs behind a real dispatcher over the product's Vfs, driven by the bytes of whole RPC messages. The caller is <see cref="Uid"/> from
/// <see cref="Peer"/>; <c>/</c> is export 1, rw and without squash, unless a test says otherwise.
/// </summary>
internal sealed class NfsExchange : IRpcEvents, IDisposable
{
    public const ulong Verifier = 0x1122334455667788;

    private static readonly byte[] Secret = [.. Enumerable.Range(1, 32).Select(static i => (byte)i)];

    private readonly byte[] _reply = new byte[Nfs3Program.MaxReplyBytes];
    private uint _xid = 100;

    public NfsExchange(IVfs? vfs = null)
    {
        Vfs = vfs ?? (Fixture = new VfsFixture()).Vfs;
        Exports("/ *(rw,no_root_squash)");
        Start();
    }

    public VfsFixture? Fixture { get; }

    public IVfs Vfs { get; }

    public ExportTableSource Table { get; } = new();

    public NfsHandleCodec Handles { get; } = new(new Guid("4b0d2f5e-8f4a-4f6b-a6c9-0c9d6a0e1f22"), Secret);

    public NfsContext Context { get; private set; } = null!;

    public NlmState Locks { get; private set; } = null!;

    public FakeNlmCaller Callbacks { get; } = new();

    /// <summary>In place of <see cref="Callbacks"/>, from the next <see cref="Start"/> on.</summary>
    public INlmCaller? Caller { get; set; }

    /// <summary>What the locks go by, from the next <see cref="Start"/> on.</summary>
    public TimeProvider Clock { get; set; } = TimeProvider.System;

    public INsmPeers Peers { get; set; } = new ForgetfulNsmPeers();

    public RpcDispatcher Dispatcher { get; private set; } = null!;

    public RpcLane Lane { get; private set; } = null!;

    public FakeConnection Connection { get; set; } = new(RpcPeer.From(IPAddress.Parse("192.0.2.7"), 900));

    public List<Exception> Defects { get; } = [];

    public uint Uid { get; set; }

    public uint Gid { get; set; }

    public uint[] Groups { get; set; } = [];

    public bool WithoutCredential { get; set; }

    public byte[] Root => Handle(InodeId.Root);

    /// <summary>The server's process begins anew: what it held in memory is gone.</summary>
    public void Start()
    {
        Context = new NfsContext
        {
            Vfs = Vfs,
            Exports = Table,
            Handles = Handles,
            WriteVerifier = Verifier,
            RequestIds = new NfsRequestIds(Secret),
            Clock = TimeProvider.System,
            Log = NullLogger.Instance,
        };
        Connection = new FakeConnection(Connection.Peer);
        Locks?.Dispose();
        Locks = new NlmState(Vfs, Caller ?? Callbacks, Peers, TimeSpan.FromMinutes(1), Clock, NullLogger.Instance);
        Dispatcher = new RpcDispatcher(NfsServer.ProgramsOf(Context, Locks), this, TimeProvider.System);
        Lane = Dispatcher.NewLane();
    }

    /// <summary>Replaces all exports: each a line of exports(5); they are numbered from 1.</summary>
    public void Exports(params string[] lines)
    {
        IReadOnlyList<ExportsEntry> entries = ExportsFile.Parse(string.Join('\n', lines), out IReadOnlyList<ExportsError> errors);
        Assert.Empty(errors);
        List<Export> exports = [];
        foreach (ExportsEntry entry in entries)
        {
            NfsPaths.Walk(Vfs, InodeId.Root, Encoding.UTF8.GetBytes(entry.Path), out InodeRecord root);
            exports.Add(new Export((uint)exports.Count + 1, entry.Path, root.Inode, entry.Rules));
        }

        Table.Current = new ExportTable(exports, NoHostNames.Instance);
    }

    public byte[] Handle(InodeId inode, uint export = 1)
    {
        Assert.Equal(FsStatus.Ok, Vfs.GetAttributes(inode, out InodeRecord record));
        byte[] bytes = new byte[NfsHandleCodec.HandleBytes];
        Handles.Write(new NfsFileHandle(export, inode, record.Generation), bytes);
        return bytes;
    }

    public byte[] Handle(in InodeRecord record, uint export = 1) => Handle(record.Inode, export);

    /// <summary>A call of NFS version 3; its results behind the RPC header.</summary>
    public XdrView Nfs(Nfs3Procedure procedure, Xdr arguments, Nfs3Status expected = Nfs3Status.Ok)
    {
        XdrView view = Success(Message(100003, 3, (uint)procedure, arguments.Bytes));
        Assert.Equal(expected, (Nfs3Status)view.U32());
        return view;
    }

    public XdrView Mount(uint procedure, Xdr arguments, uint version = 3) => Success(Message(100005, version, procedure, arguments.Bytes));

    /// <summary>The results of an accepted, successful call.</summary>
    public XdrView Success(byte[] message)
    {
        byte[] reply = Raw(message) ?? throw new InvalidOperationException("no reply");
        Assert.Empty(Defects);
        var view = new XdrView(reply);
        Assert.Equal(BinaryPrimitives.ReadUInt32BigEndian(message), view.U32());
        Assert.Equal((1u, 0u, 0u, 0u, 0u), (view.U32(), view.U32(), view.U32(), view.U32(), view.U32()));
        return view;
    }

    /// <summary>accept_stat of a call.</summary>
    public uint AcceptStatus(byte[] message) => BinaryPrimitives.ReadUInt32BigEndian(Raw(message)!.AsSpan(20));

    public byte[]? Raw(byte[] message)
    {
        RpcOutcome outcome = Dispatcher.Dispatch(Lane, Connection, message, _reply, out int length);
        return outcome == RpcOutcome.Reply ? _reply[..length] : null;
    }

    public byte[] Message(uint program, uint version, uint procedure, byte[] arguments, uint? xid = null)
    {
        Xdr message = new Xdr().U32(xid ?? _xid++).U32(0).U32(2).U32(program).U32(version).U32(procedure);
        if (WithoutCredential)
        {
            message.U32(0).U32(0);
        }
        else
        {
            Xdr body = new Xdr().U32(0).Text("client").U32(Uid).U32(Gid).U32((uint)Groups.Length);
            foreach (uint group in Groups)
                body.U32(group);
            message.U32(1).Opaque(body.Bytes);
        }

        return message.U32(0).U32(0).Raw(arguments).Bytes;
    }

    public void Dispose()
    {
        Assert.Empty(Defects);
        Locks.Dispose();
        Fixture?.Dispose();
    }

    public void Defect(IRpcProgram program, uint version, uint procedure, Exception fault) => Defects.Add(fault);

    public void ConnectionOpened(IRpcConnection connection)
    {
    }

    public void ConnectionClosed(IRpcConnection connection, string reason)
    {
    }

    public void ServerFault(string what, Exception? fault)
    {
    }
}

internal sealed class FakeConnection(RpcPeer peer, bool isDatagram = false) : IRpcConnection
{
    private static long s_ids;

    public long Id { get; } = Interlocked.Increment(ref s_ids);

    public RpcPeer Peer { get; } = peer;

    public RpcPeer Local { get; } = RpcPeer.From(IPAddress.Loopback, 2049);

    public bool IsDatagram => isDatagram;

    public object? State { get; private set; }

    public object? SetState(object? state, object? expected)
    {
        if (ReferenceEquals(State, expected))
            State = state;
        return State;
    }
}

/// <summary>Clients that are called back: answers as told, and remembers what was asked.</summary>
internal sealed class FakeNlmCaller : INlmCaller
{
    private readonly Lock _gate = new();
    private readonly List<(ClientAddress Client, string Arguments)> _granted = [];

    public Func<NlmGrantAnswer> Answer { get; set; } = static () => NlmGrantAnswer.Accepted;

    public List<(ClientAddress Client, ClientAddress Server, int State)> Restarts { get; } = [];

    public IReadOnlyList<(ClientAddress Client, string Arguments)> Grants
    {
        get
        {
            lock (_gate)
                return [.. _granted];
        }
    }

    public NlmGrantAnswer Granted(ClientAddress client, ClientAddress server, ReadOnlySpan<byte> cookie, ReadOnlySpan<byte> arguments)
    {
        lock (_gate)
            _granted.Add((client, Convert.ToHexString(arguments)));
        return Answer();
    }

    public bool Restarted(ClientAddress client, ClientAddress server, int state)
    {
        lock (_gate)
            Restarts.Add((client, server, state));
        return true;
    }

    /// <summary>Waits until so many calls have come.</summary>
    public void WaitFor(int count) => Assert.True(SpinWait.SpinUntil(() => Grants.Count >= count, TimeSpan.FromSeconds(20)));
}
