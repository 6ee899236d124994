using System.Buffers.Binary;
using System.Net;
using System.Text;
using Gateway.Nfs;
using Gateway.Nfs.Exports;
using Gateway.Nfs.Nlm;
using Gateway.Tests.Fuse;
using Microsoft.Extensions.Logging.Abstractions;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>
/// Throws random and mutated calls at all programs over a file system in memory and checks what must hold for any bytes: no exception, a reply that can be taken apart to
/// its last byte, a status that the procedure has (RFC 1813), and no success for a handle that was never given out or that is not in order for what is asked.
/// </summary>
internal sealed class NfsFuzzer(int seed) : IRpcEvents
{
    private static readonly byte[] Secret = [.. Enumerable.Range(1, 32).Select(static i => (byte)i)];
    private static readonly string[] Names = ["a", "b", "c", "dir", "dir2", ".", "..", "", "x/y", "z\0", new('n', 255), new('n', 256)];

    private readonly Random _random = new(seed);
    private readonly byte[] _buffer = new byte[16384];
    private readonly byte[] _reply = new byte[Nfs3Program.MaxReplyBytes];
    private readonly List<byte[]> _handles = [];
    private readonly Caller _nobody = Caller.System;
    private MemoryVfs _vfs = null!;
    private NfsHandleCodec _codec = null!;
    private NlmState? _locks;
    private RpcDispatcher _dispatcher = null!;
    private RpcLane _lane = null!;
    private Connection _connection = new();
    private Exception? _defect;

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
            int length = Next();
            Check(length, i);
        }

        _locks?.Dispose();
    }

    private void Restart()
    {
        _locks?.Dispose();
        _vfs = new MemoryVfs(discard: true);
        _codec = new NfsHandleCodec(Guid.Empty, Secret);
        var source = new ExportTableSource
        {
            Current = new ExportTable(
                [Export(1, "/", "*(rw,insecure)"), Export(2, "/dir", "*(rw,no_root_squash,insecure,async)"), Export(3, "/ro", "*(ro,insecure)"), Export(4, "/no", "198.51.100.1(rw)")],
                NoHostNames.Instance),
        };
        _handles.Clear();
        AddHandle(InodeId.Root, 1);
        foreach ((string name, uint mode) in new[] { ("a", 0x81B6u), ("dir", 0x41FFu), ("l", 0xA1FFu), ("p", 0x11B6u) })
        {
            var spec = new NewInode { Mode = mode, Target = mode == 0xA1FF ? "target"u8 : default };
            if (_vfs.Make(_nobody, InodeId.Root, Encoding.ASCII.GetBytes(name), spec, out InodeRecord made) != FsStatus.Ok)
                throw new InvalidOperationException($"{name} cannot be made");
            for (uint export = 1; export <= (name == "a" ? 5u : 2u); export++)
                AddHandle(made.Inode, export);
        }

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
        _connection = new Connection();
        _locks = new NlmState(_vfs, new Nobody(), new ForgetfulNsmPeers(), TimeSpan.Zero, TimeProvider.System, NullLogger.Instance);
        _dispatcher = new RpcDispatcher(NfsServer.ProgramsOf(context, _locks), this, TimeProvider.System);
        _lane = _dispatcher.NewLane();

        static Export Export(uint id, string path, string rule) => new(id, path, InodeId.Root, [ClientRule.Parse(rule, out _)!]);
    }

    private void AddHandle(InodeId inode, uint export)
    {
        _vfs.GetAttributes(inode, out InodeRecord record);
        byte[] handle = new byte[NfsHandleCodec.HandleBytes];
        _codec.Write(new NfsFileHandle(export, inode, record.Generation), handle);
        _handles.Add(handle);
    }

    /// <summary>Makes a call: mostly well formed with plausible arguments, then often with some bytes changed, or cut, or all random.</summary>
    private int Next()
    {
        int kind = _random.Next(24);
        if (kind == 0)
        {
            int any = _random.Next(300);
            _random.NextBytes(_buffer.AsSpan(0, any));
            return any;
        }

        var writer = new XdrWriter(_buffer);
        uint program = _random.Next(12) switch { 0 => 100005, 1 => 100021, 2 => 100024, 3 => 100227, _ => 100003 };
        uint version = program switch { 100021 => 4, 100024 => 1, _ => 3 };
        uint procedure = (uint)_random.Next(program switch { 100003 => 22, 100021 => 24, 100227 => 3, _ => 7 });
        writer.U32((uint)_random.Next(_random.Next(50) == 0 ? 4 : int.MaxValue));
        writer.U32(0);
        writer.U32(2);
        writer.U32(_random.Next(200) == 0 ? Word() : program);
        writer.U32(_random.Next(200) == 0 ? Word() : version);
        writer.U32(_random.Next(200) == 0 ? Word() : procedure);
        WriteCredential(ref writer);
        writer.U32(0);
        writer.U32(0);
        WriteArguments(ref writer, program, procedure);
        int length = writer.Position;
        if (kind < 8)
        {
            for (int changes = _random.Next(1, 4); changes > 0; changes--)
                _buffer[_random.Next(length)] = (byte)_random.Next(256);
        }

        return kind == 8 ? _random.Next(length) & ~3 : length;
    }

    private void WriteCredential(ref XdrWriter writer)
    {
        if (_random.Next(10) == 0)
        {
            writer.U32(0);
            writer.U32(0);
            return;
        }

        Span<byte> body = stackalloc byte[128];
        var credential = new XdrWriter(body);
        credential.U32(0);
        credential.String("client"u8);
        credential.U32((uint)_random.Next(3));
        credential.U32((uint)_random.Next(3));
        int groups = _random.Next(4);
        credential.U32((uint)groups);
        for (int i = 0; i < groups; i++)
            credential.U32((uint)_random.Next(5));
        writer.U32(1);
        writer.Opaque(credential.Written);
    }

    private void WriteArguments(ref XdrWriter writer, uint program, uint procedure)
    {
        switch (program)
        {
            case 100005:
                if (procedure is 1 or 3)
                    writer.String(Encoding.ASCII.GetBytes(_random.Next(4) switch { 0 => "/", 1 => "/dir", 2 => "/no", _ => "/dir/" + Name() }));
                return;
            case 100021:
                WriteLockArguments(ref writer, procedure);
                return;
            case 100024:
                writer.String("name"u8);
                writer.U32(Word());
                return;
            case 100227:
                writer.Opaque(Handle());
                writer.U32(Word());
                return;
        }

        if (procedure == 0)
            return;
        writer.Opaque(Handle());
        switch ((Nfs3Procedure)procedure)
        {
            case Nfs3Procedure.SetAttr:
                WriteSettable(ref writer);
                writer.Bool(_random.Next(4) == 0);
                if (writer.Written[^1] == 1)
                    writer.U64(Long());
                break;
            case Nfs3Procedure.Lookup or Nfs3Procedure.Remove or Nfs3Procedure.RmDir:
                WriteName(ref writer);
                break;
            case Nfs3Procedure.Access:
                writer.U32(Word());
                break;
            case Nfs3Procedure.Read:
                writer.U64(Long());
                writer.U32(_random.Next(16) == 0 ? Word() : (uint)_random.Next(8192));
                break;
            case Nfs3Procedure.Write:
                int data = _random.Next(600);
                writer.U64(Long());
                writer.U32(_random.Next(16) == 0 ? Word() : (uint)data);
                writer.U32((uint)_random.Next(3));
                writer.Opaque(new byte[data]);
                break;
            case Nfs3Procedure.Create:
                WriteName(ref writer);
                uint mode = (uint)_random.Next(3);
                writer.U32(mode);
                if (mode == 2)
                    writer.U64(Long());
                else
                    WriteSettable(ref writer);
                break;
            case Nfs3Procedure.MkDir or Nfs3Procedure.Symlink:
                WriteName(ref writer);
                WriteSettable(ref writer);
                if (procedure == (uint)Nfs3Procedure.Symlink)
                    writer.String(new byte[_random.Next(20)]);
                break;
            case Nfs3Procedure.MkNod:
                WriteName(ref writer);
                uint type = (uint)_random.Next(1, 8);
                writer.U32(type);
                if (type is 3 or 4 or 6 or 7)
                    WriteSettable(ref writer);
                if (type is 3 or 4)
                    writer.U64(Long());
                break;
            case Nfs3Procedure.Rename:
                WriteName(ref writer);
                writer.Opaque(Handle());
                WriteName(ref writer);
                break;
            case Nfs3Procedure.Link:
                writer.Opaque(Handle());
                WriteName(ref writer);
                break;
            case Nfs3Procedure.ReadDir or Nfs3Procedure.ReadDirPlus:
                writer.U64(_random.Next(2) == 0 ? 0 : Long());
                writer.U64(_random.Next(8) == 0 ? Long() : 0);
                writer.U32(_random.Next(8) == 0 ? Word() : (uint)_random.Next(3000));
                if (procedure == (uint)Nfs3Procedure.ReadDirPlus)
                    writer.U32(_random.Next(8) == 0 ? Word() : (uint)_random.Next(3000));
                break;
            case Nfs3Procedure.Commit:
                writer.U64(Long());
                writer.U32(Word());
                break;
        }
    }

    private void WriteLockArguments(ref XdrWriter writer, uint procedure)
    {
        if (procedure == NlmProcedure.FreeAll)
        {
            writer.String("host"u8);
            writer.U32(Word());
            return;
        }

        writer.Opaque("ck"u8);
        if (procedure is NlmProcedure.Lock or NlmProcedure.NonMonitoredLock or NlmProcedure.Cancel)
            writer.Bool(_random.Next(2) == 0);
        if (procedure is not (NlmProcedure.Unlock or NlmProcedure.Share or NlmProcedure.Unshare))
            writer.Bool(_random.Next(2) == 0);
        writer.String(_random.Next(2) == 0 ? "host"u8 : "other"u8);
        writer.Opaque(Handle());
        writer.Opaque("owner"u8);
        if (procedure is NlmProcedure.Share or NlmProcedure.Unshare)
        {
            writer.U32((uint)_random.Next(5));
            writer.U32((uint)_random.Next(5));
            writer.Bool(false);
            return;
        }

        writer.U32((uint)_random.Next(4));
        writer.U64(Long());
        writer.U64(Long());
        if (procedure is NlmProcedure.Lock or NlmProcedure.NonMonitoredLock)
        {
            writer.Bool(_random.Next(16) == 0);
            writer.U32((uint)_random.Next(3));
        }
    }

    private void WriteSettable(ref XdrWriter writer)
    {
        for (int i = 0; i < 4; i++)
        {
            bool isSet = _random.Next(3) == 0;
            writer.Bool(isSet);
            if (isSet && i == 3)
                writer.U64(Long());
            else if (isSet)
                writer.U32(Word());
        }

        for (int i = 0; i < 2; i++)
        {
            uint how = (uint)_random.Next(3);
            writer.U32(how);
            if (how == 2)
                writer.U64(Long());
        }
    }

    private void WriteName(ref XdrWriter writer) => writer.String(Encoding.ASCII.GetBytes(Name()));

    private string Name() => Names[_random.Next(_random.Next(3) == 0 ? Names.Length : 5)];

    private byte[] Handle()
    {
        byte[] handle = _handles[_random.Next(_handles.Count)];
        switch (_random.Next(10))
        {
            case 0:
                handle = [.. handle];
                handle[_random.Next(handle.Length)] ^= (byte)(1 << _random.Next(8));
                return handle;
            case 1:
                return new byte[_random.Next(70)];
            default:
                return handle;
        }
    }

    private uint Word() => _random.Next(6) switch
    {
        0 or 1 => 0,
        2 or 3 => (uint)_random.Next(40),
        4 => 1u << _random.Next(32),
        _ => (uint)_random.NextInt64(uint.MaxValue + 1L),
    };

    private ulong Long() => _random.Next(3) == 0 ? ((ulong)Word() << 32) | Word() : (ulong)_random.Next(10_000);

    private void Check(int length, long number)
    {
        string Context() => $"seed {seed}, call {number}: {Convert.ToHexString(_buffer.AsSpan(0, length))}";
        ReadOnlySpan<byte> record = _buffer.AsSpan(0, length);
        RpcOutcome outcome;
        int size;
        try
        {
            outcome = _dispatcher.Dispatch(_lane, _connection, record, _reply, out size);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"an exception got out: {Context()}", e);
        }

        if (_defect is not null)
            throw new InvalidOperationException($"a defect: {Context()}", _defect);
        if (outcome != RpcOutcome.Reply)
            return;

        Answered++;
        var reply = new XdrReader(_reply.AsSpan(0, size));
        uint xid = reply.U32();
        bool isAccepted = reply.U32() == 1 && reply.U32() == 0 && reply.U32() == 0 && reply.U32() == 0 && reply.U32() == 0;
        if (reply.Malformed || size % 4 != 0 || xid != BinaryPrimitives.ReadUInt32BigEndian(record))
            throw new InvalidOperationException($"a reply that is none: {Context()}");
        if (!isAccepted)
        {
            Refused++;
            return;
        }

        uint program = BinaryPrimitives.ReadUInt32BigEndian(record[12..]), procedure = BinaryPrimitives.ReadUInt32BigEndian(record[20..]);
        if (program != Nfs3Program.ProgramNumber || procedure == 0)
            return;

        var status = (Nfs3Status)reply.U32();
        bool isWellFormed = Nfs3ReplyShape.Skip((Nfs3Procedure)procedure, status, ref reply) && reply.AtEnd;
        if (!isWellFormed)
            throw new InvalidOperationException($"a reply of {size} bytes with {status} that cannot be taken apart: {Context()}\n{Convert.ToHexString(_reply.AsSpan(0, Math.Min(size, 400)))}");
        if (!Nfs3ReplyShape.MayAnswer((Nfs3Procedure)procedure, status))
            throw new InvalidOperationException($"{status} is no answer of {(Nfs3Procedure)procedure}: {Context()}");
        if (status == Nfs3Status.Ok)
        {
            Succeeded++;
            if (MustFail(record, (Nfs3Procedure)procedure) is { } reason)
                throw new InvalidOperationException($"a success, though {reason}: {Context()}");
        }
    }

    /// <summary>Why a call with these bytes must not succeed, whatever the state; null if it may.</summary>
    private string? MustFail(ReadOnlySpan<byte> record, Nfs3Procedure procedure)
    {
        var call = new XdrReader(record);
        call.Fixed(24);
        for (int i = 0; i < 2; i++)
        {
            call.U32();
            call.Opaque(400);
        }

        if (!_codec.TryRead(call.Opaque(64), out NfsFileHandle handle))
            return "the handle was never given out";
        if (handle.ExportId is 4 or 5)
            return "the client may not use that export, or there is none";
        if (handle.ExportId == 3 && Nfs3OpTable.Find((uint)procedure)!.Changes)
            return "the export is read-only";
        if (procedure is Nfs3Procedure.Lookup or Nfs3Procedure.Remove or Nfs3Procedure.RmDir or Nfs3Procedure.Create or Nfs3Procedure.MkDir or Nfs3Procedure.Symlink
            or Nfs3Procedure.MkNod or Nfs3Procedure.Rename)
        {
            ReadOnlySpan<byte> name = call.String(int.MaxValue);
            if (name.IsEmpty || name.Length > 255 || name.IndexOfAny((byte)0, (byte)'/') >= 0)
                return "the name cannot be";
            if (procedure != Nfs3Procedure.Lookup && (name.SequenceEqual("."u8) || name.SequenceEqual(".."u8)))
                return "the name is a dot";
        }

        return null;
    }

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

    private sealed class Connection : IRpcConnection
    {
        public long Id => 1;

        public RpcPeer Peer { get; } = RpcPeer.From(IPAddress.Parse("192.0.2.1"), 1000);

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
