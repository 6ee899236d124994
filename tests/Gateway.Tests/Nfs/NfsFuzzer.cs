using System.Net;
using System.Text;
using Gateway.Nfs;
using Gateway.Nfs.Exports;
using Gateway.Nfs.Nlm;
using Gateway.Tests.Fuse;
using Gateway.Vfs;
using Microsoft.Extensions.Logging.Abstractions;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>
/// Throws random and mutated calls at all programs over a file system in memory and checks what must hold for any bytes: no exception; exactly the verdict of
/// <see cref="NfsCallOracle"/>; a reply that can be taken apart to its last byte, with a status that the procedure has (RFC 1813); no success for a handle that was never given out, is gone, or is
/// not in order for what is asked; no change of anything by a call that must fail; little memory taken by any call.
/// </summary>
internal sealed class NfsFuzzer(int seed) : IRpcEvents, IVfsObserver
{
    /// <summary>Most managed memory that one call may take: a listing's buffer, and what the file system in memory takes itself.</summary>
    private const long MaxAllocatedBytes = 1 << 20;

    private const uint ReadOnlyExport = 3, LockedExport = 4;

    private static readonly byte[] Secret = [.. Enumerable.Range(1, 32).Select(static i => (byte)i)];

    // The last may use the locked export; the one before comes from its address, but from a port that everybody can have.
    private static readonly RpcPeer[] Peers =
        [Peer("192.0.2.1", 1000), Peer("192.0.2.2", 40000), Peer("198.51.100.1", 5000), Peer("198.51.100.1", 700)];

    private readonly NfsCallMaker _maker = new(seed);
    private readonly byte[] _reply = new byte[Nfs3Program.MaxReplyBytes];
    private MemoryVfs _vfs = null!;
    private NfsHandleCodec _codec = null!;
    private NlmState? _locks;
    private RpcDispatcher _dispatcher = null!;
    private RpcLane _lane = null!;
    private Connection[] _connections = [];
    private Exception? _defect;
    private long _changes;

    /// <summary>Calls that were answered at all.</summary>
    public long Answered { get; private set; }

    /// <summary>Calls of NFS that were answered with OK.</summary>
    public long Succeeded { get; private set; }

    /// <summary>Calls answered as garbage, unknown, denied or the like.</summary>
    public long Refused { get; private set; }

    public void Run(long calls)
    {
        for (long i = 0; i < calls; i++)
        {
            if (i % 20_000 == 0)
                Restart();
            ReadOnlySpan<byte> record = _maker.Next();
            Connection connection = _connections[i % _connections.Length];
            try
            {
                Check(record, connection);
            }
            catch (InvalidOperationException e)
            {
                throw new InvalidOperationException($"seed {seed}, call {i} from {connection.Peer}: {e.Message}; {Convert.ToHexString(record[..Math.Min(record.Length, 400)])}", e);
            }
        }

        _locks?.Dispose();
    }

    private static RpcPeer Peer(string address, int port) => RpcPeer.From(IPAddress.Parse(address), port);

    private void Restart()
    {
        _locks?.Dispose();
        _vfs = new MemoryVfs(discard: true);
        _codec = new NfsHandleCodec(Guid.Empty, Secret);
        var source = new ExportTableSource
        {
            Current = new ExportTable(
                [
                    Export(1, "/", "*(rw,insecure)"), Export(2, "/dir", "*(rw,no_root_squash,insecure,async)"), Export(ReadOnlyExport, "/ro", "*(ro,insecure)"),
                    Export(LockedExport, "/no", "198.51.100.1(rw)"),
                ],
                NoHostNames.Instance),
        };
        MakeFiles();
        _vfs.Subscribe(this);

        var context = new NfsContext
        {
            Vfs = _vfs,
            Exports = source,
            Handles = _codec,
            WriteVerifier = 1,
            RequestIds = new NfsRequestIds(Secret),
            Clock = TimeProvider.System,
            Log = NullLogger.Instance,
        };
        _connections = [.. Peers.Select(static peer => new Connection(peer))];
        _locks = new NlmState(_vfs, new Nobody(), new ForgetfulNsmPeers(), TimeSpan.Zero, TimeProvider.System, NullLogger.Instance);
        _dispatcher = new RpcDispatcher(NfsServer.ProgramsOf(context, _locks), this, TimeProvider.System);
        _lane = _dispatcher.NewLane();

        static Export Export(uint id, string path, string rule) => new(id, path, InodeId.Root, [ClientRule.Parse(rule, out _)!]);
    }

    /// <summary>Files of some kinds, with handles: under each export and one that there is not, of another life, of another file system and of another cluster.</summary>
    private void MakeFiles()
    {
        _maker.Handles.Clear();
        AddHandle(_codec, InodeId.Root, 1, 0);
        var strangers = new NfsHandleCodec(Guid.Empty, [.. Secret.Reverse()]);
        var otherFileSystem = new NfsHandleCodec(new Guid(Secret[..16]), Secret);
        foreach ((string name, uint mode) in new[] { ("a", 0x81B6u), ("dir", 0x41FFu), ("l", 0xA1FFu), ("p", 0x11B6u) })
        {
            var spec = new NewInode { Mode = mode, Target = mode == 0xA1FF ? "target"u8 : default };
            if (_vfs.Make(Caller.System, InodeId.Root, Encoding.ASCII.GetBytes(name), spec, out InodeRecord made) != FsStatus.Ok)
                throw new InvalidOperationException($"{name} cannot be made");
            for (uint export = 1; export <= (name is "a" or "dir" ? 5u : 2u); export++)
            {
                // Most calls are to have a chance.
                for (int times = export <= 2 ? 5 : 1; times > 0; times--)
                    AddHandle(_codec, made.Inode, export, made.Generation);
            }

            AddHandle(_codec, made.Inode, 1, made.Generation + 1);
            AddHandle(strangers, made.Inode, 1, made.Generation);
            AddHandle(otherFileSystem, made.Inode, 1, made.Generation);
        }
    }

    private void AddHandle(NfsHandleCodec codec, InodeId inode, uint export, uint generation)
    {
        if (inode == InodeId.Root && _vfs.GetAttributes(inode, out InodeRecord root) == FsStatus.Ok)
            generation = root.Generation;
        byte[] handle = new byte[NfsHandleCodec.HandleBytes];
        codec.Write(new NfsFileHandle(export, inode, generation), handle);
        _maker.Handles.Add(handle);
    }

    private void Check(ReadOnlySpan<byte> record, Connection connection)
    {
        var asked = new NfsCallOracle(record);
        string? mustFail = asked.Verdict == NfsVerdict.Success ? WhyMustFail(asked, connection) : $"{asked.Verdict}";
        long changes = _changes;
        long allocated = GC.GetAllocatedBytesForCurrentThread();
        RpcOutcome outcome = _dispatcher.Dispatch(_lane, connection, record, _reply, out int size);
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        Demand(_defect is null, $"a defect: {_defect}");
        Demand(allocated <= MaxAllocatedBytes, $"the call took {allocated} bytes of memory");
        Demand(mustFail is null || changes == _changes, $"something was changed, though {mustFail}");
        if (outcome == RpcOutcome.Reply)
            Answered++;

        var reply = new XdrReader(_reply.AsSpan(0, size));
        NfsVerdict verdict = outcome switch
        {
            RpcOutcome.Hopeless => NfsVerdict.Hopeless,
            RpcOutcome.None => NfsVerdict.Stray,
            _ => NfsReplies.ReadVerdict(ref reply, asked),
        };
        Demand(verdict == asked.Verdict, $"{verdict}, where {asked.Verdict} is right");
        Demand(!reply.Malformed && (verdict == NfsVerdict.Success || reply.AtEnd), $"a malformed reply of {size} bytes");
        if (verdict != NfsVerdict.Success)
        {
            Refused++;
            return;
        }

        bool succeeded = asked.Procedure == 0 ? reply.AtEnd : ReadResults(ref reply, asked);
        Demand(!succeeded || mustFail is null, $"a success, though {mustFail}");
    }

    private static void Demand(bool holds, string otherwise)
    {
        if (!holds)
            throw new InvalidOperationException(otherwise);
    }

    /// <summary>Takes the results apart; true if they say that what was asked was done.</summary>
    private bool ReadResults(ref XdrReader reply, in NfsCallOracle asked)
    {
        switch (asked.Program)
        {
            case Nfs3Program.ProgramNumber:
                return ReadNfsResults(ref reply, asked);
            case NfsAclProgram.ProgramNumber:
                return reply.U32() == 0;
            case NlmProgram.ProgramNumber:
                if (asked.Procedure == NlmProcedure.FreeAll)
                    return reply.AtEnd;
                reply.Opaque(1024);
                var status = (NlmStatus)reply.Enum((uint)NlmStatus.Failed);
                Demand(!reply.Malformed, "no status of NLM");
                return status is NlmStatus.Granted or NlmStatus.Blocked or NlmStatus.Denied or NlmStatus.Deadlock;
            case MountProgram.ProgramNumber when asked.Procedure == 1:
                if ((MountStatus)reply.U32() != MountStatus.Ok)
                    return false;
                Demand(_codec.TryRead(reply.Opaque(64), out NfsFileHandle handle) && handle.ExportId is >= 1 and <= 4, "a handle of no export");
                return true;
            default:
                return true;
        }
    }

    private bool ReadNfsResults(ref XdrReader reply, in NfsCallOracle asked)
    {
        var procedure = (Nfs3Procedure)asked.Procedure;
        var status = (Nfs3Status)reply.U32();
        int before = reply.Remaining;
        bool isWellFormed = Nfs3ReplyShape.Skip(procedure, status, ref reply) && reply.AtEnd;
        Demand(isWellFormed, $"{status} with results of {before} bytes that cannot be taken apart");
        Demand(Nfs3ReplyShape.MayAnswer(procedure, status), $"{status} is no answer of {procedure}");
        if (status != Nfs3Status.Ok)
            return false;

        // READ: post_op_attr, count, eof and length stand before the data.
        const int readFrameBytes = 100;
        if (procedure == Nfs3Procedure.Read)
            Demand(before - readFrameBytes <= ((long)asked.Count + 3 & ~3), $"more data than the {asked.Count} bytes that were asked for");
        if (procedure is Nfs3Procedure.ReadDir or Nfs3Procedure.ReadDirPlus)
            Demand(before <= asked.Count, $"a listing of {before} bytes, {asked.Count} were asked for");
        Succeeded++;
        return true;
    }

    /// <summary>Why a call that can be decoded must not succeed; null if it may.</summary>
    private string? WhyMustFail(in NfsCallOracle asked, Connection connection)
    {
        // A retransmission gets its first answer, whatever has become of the handle; only small xids come twice.
        bool mayBeRepeated = asked.Xid < 4;
        uint firstExport = 0;
        for (int i = 0; i < asked.Handles; i++)
        {
            if (!_codec.TryRead(i == 0 ? asked.FirstHandle : asked.SecondHandle, out NfsFileHandle handle))
                return "the handle was never given out";
            if (handle.ExportId is 0 or > LockedExport || (handle.ExportId == LockedExport && connection.Peer != Peers[^1]))
                return "the client may not use that export, or there is none";
            if (handle.ExportId == ReadOnlyExport && asked.Changes)
                return "the export is read-only";
            if (i == 1 && handle.ExportId != firstExport)
                return "the handles are of two exports";
            firstExport = handle.ExportId;
            FsStatus status = _vfs.GetAttributes(handle.Inode, out InodeRecord record);
            if (!mayBeRepeated && (status != FsStatus.Ok || record.Generation != handle.Generation))
                return "the file is gone";
        }

        bool isLookup = asked.Program == Nfs3Program.ProgramNumber && asked.Procedure == (uint)Nfs3Procedure.Lookup;
        for (int i = 0; i < asked.Names; i++)
        {
            ReadOnlySpan<byte> name = i == 0 ? asked.FirstName : asked.SecondName;
            if (name.IsEmpty || name.Length > 255 || name.IndexOfAny((byte)0, (byte)'/') >= 0)
                return "the name cannot be";
            if (!isLookup && (name.SequenceEqual("."u8) || name.SequenceEqual(".."u8)))
                return "the name is a dot";
        }

        return null;
    }

    public void InodeChanged(InodeId inode, long offset, long lengthBytes, int origin) => _changes++;

    public void EntryChanged(InodeId directory, ReadOnlySpan<byte> name, InodeId child, int origin) => _changes++;

    public void Defect(IRpcProgram program, uint version, uint procedure, Exception fault) => _defect = fault;

    public void ConnectionOpened(IRpcConnection connection)
    {
    }

    public void ConnectionClosed(IRpcConnection connection, string reason)
    {
    }

    public void ServerFault(string what, Exception? fault)
    {
    }

    private sealed class Connection(RpcPeer peer) : IRpcConnection
    {
        public long Id => peer.Port;

        public RpcPeer Peer => peer;

        public RpcPeer Local { get; } = RpcPeer.From(IPAddress.Loopback, 2049);

        public object? State { get; private set; }

        public object? SetState(object? state, object? expected) => State = ReferenceEquals(State, expected) ? state : State;
    }

    /// <summary>Clients that cannot be called back.</summary>
    private sealed class Nobody : INlmCaller
    {
        public NlmGrantAnswer Granted(ClientAddress client, ClientAddress server, ReadOnlySpan<byte> cookie, ReadOnlySpan<byte> arguments) => NlmGrantAnswer.Refused;

        public bool Restarted(ClientAddress client, ClientAddress server, int state) => true;
    }
}
