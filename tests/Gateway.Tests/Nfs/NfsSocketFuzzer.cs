using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Gateway.Nfs;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>
/// Throws the calls of <see cref="NfsCallMaker"/> at a server over real connections: many at once, cut into fragments and segments anywhere, connections dropped in the middle, marks that lie. Each
/// reply must be what <see cref="NfsCallOracle"/> says, and nothing may succeed with a handle that the server has not given out. One thread each.
/// </summary>
internal sealed class NfsSocketFuzzer : IDisposable
{
    private const int BatchRecords = 64;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly IPEndPoint _server;
    private readonly Random _random;
    private readonly NfsCallMaker _maker;
    private readonly HashSet<string> _genuine = [];
    private readonly HashSet<string> _readOnly = [];
    private readonly Dictionary<uint, byte[]> _asked = [];
    private readonly List<byte> _stream = [];
    private byte[] _reply = new byte[1 << 16];
    private uint _xid;
    private Socket? _socket;

    /// <summary>Takes handles under both exports.</summary>
    /// <param name="writable">An export that this client may write; the files that it makes there are named after the seed.</param>
    /// <param name="readOnly">One that it may read only.</param>
    /// <exception cref="InvalidOperationException">The server refuses what it must grant.</exception>
    public NfsSocketFuzzer(IPEndPoint server, string writable, string readOnly, int seed)
    {
        _server = server;
        _random = new Random(seed);
        _maker = new NfsCallMaker(seed);
        _xid = (uint)seed << 24;
        using RpcClient client = RpcClient.Connect(server, Patience, (uint)_random.Next(), out string? error) ?? throw new InvalidOperationException(error);
        client.Credential = (0, 0);
        byte[] root = Mount(client, writable);
        Add(root, _genuine);
        foreach ((Nfs3Procedure procedure, string name) in new[] { (Nfs3Procedure.MkDir, $"fuzz-{seed}"), (Nfs3Procedure.Create, $"fuzz-{seed}.file") })
            Add(Make(client, procedure, root, name), _genuine);
        Add(Mount(client, readOnly), _genuine, _readOnly);
    }

    /// <summary>Records sent; calls answered as they must be; connections begun.</summary>
    public long Sent { get; private set; }

    public long Answered { get; private set; }

    public long Connections { get; private set; }

    /// <exception cref="InvalidOperationException">The server did what it must not.</exception>
    public void Run(long records)
    {
        while (Sent < records)
        {
            if (_socket is null)
            {
                _asked.Clear();
                _socket = new Socket(_server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = (int)Patience.TotalMilliseconds, SendTimeout = (int)Patience.TotalMilliseconds };
                _socket.Connect(_server);
                Connections++;
            }

            bool goesOn = FillStream();
            int fate = _random.Next(40);
            bool isCut = fate < 2;
            bool isSent = Send(isCut ? _random.Next(_stream.Count + 1) : _stream.Count);
            if (isCut)
                Drop(reset: fate == 0);
            else if (!isSent || !goesOn)
                TakeUntilClosed();
            else
                TakeAll();
        }
    }

    public void Dispose() => _socket?.Dispose();

    /// <summary>A batch of records as they go over the connection; false if there is something among them after which the server must end it.</summary>
    private bool FillStream()
    {
        _stream.Clear();
        for (int i = 0; i < BatchRecords; i++)
        {
            byte[] record = _maker.Next().ToArray();
            Sent++;
            if (record.Length >= 4)
                BinaryPrimitives.WriteUInt32BigEndian(record, ++_xid);
            NfsVerdict verdict = new NfsCallOracle(record).Verdict;

            // What ends the connection is seldom let through, or nothing else would be tried.
            if (verdict == NfsVerdict.Hopeless && _random.Next(16) != 0)
                continue;
            if (_random.Next(4000) == 0)
            {
                AddWord(0x8000_0000 | (uint)_random.Next((1 << 20) + 16384 + 1, int.MaxValue));
                return false;
            }

            if (verdict is not (NfsVerdict.Hopeless or NfsVerdict.Stray))
                _asked.Add(_xid, record);
            AddFragments(record);
            if (verdict == NfsVerdict.Hopeless)
                return false;
        }

        return true;
    }

    private void AddFragments(ReadOnlySpan<byte> record)
    {
        int most = _random.Next(4) switch { 0 => 16, 1 => 500, _ => int.MaxValue };
        for (int fragments = 0; record.Length > 0 && most < int.MaxValue && fragments < 1000; fragments++)
        {
            int length = Math.Min(_random.Next(most), record.Length);
            AddWord((uint)length);
            _stream.AddRange(record[..length]);
            record = record[length..];
        }

        AddWord(0x8000_0000 | (uint)record.Length);
        _stream.AddRange(record);
    }

    private void AddWord(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        _stream.AddRange(bytes);
    }

    /// <summary>Sends so many bytes in pieces of any length; false if the server has ended the connection.</summary>
    private bool Send(int bytes)
    {
        ReadOnlySpan<byte> rest = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_stream)[..bytes];
        bool inPieces = _random.Next(4) == 0;
        while (rest.Length > 0)
        {
            int piece = inPieces ? Math.Min(_random.Next(1, 4000), rest.Length) : rest.Length;
            int sent = _socket!.Send(rest[..piece], SocketFlags.None, out SocketError error);
            if (error is SocketError.ConnectionReset or SocketError.Shutdown)
                return false;
            Demand(error == SocketError.Success, $"sending: {error}");
            rest = rest[sent..];
        }

        return true;
    }

    private void TakeAll()
    {
        while (_asked.Count > 0)
            Demand(TryTake(), $"the server ended the connection before {_asked.Count} calls were answered");
    }

    private void TakeUntilClosed()
    {
        while (TryTake())
        {
            // Until it is.
        }

        Drop(reset: false);
    }

    private void Drop(bool reset)
    {
        if (reset)
            _socket!.LingerState = new LingerOption(true, 0);
        _socket!.Dispose();
        _socket = null;
    }

    /// <summary>One reply; false at the end of the connection.</summary>
    private bool TryTake()
    {
        if (!TryFill(4))
            return false;
        uint mark = BinaryPrimitives.ReadUInt32BigEndian(_reply);
        int length = (int)(mark & int.MaxValue);
        Demand(mark > int.MaxValue && length <= Nfs3Program.MaxReplyBytes, $"a reply with the mark {mark:X8}");
        if (_reply.Length < length)
            _reply = new byte[length];
        if (!TryFill(length))
            return false;

        var reply = new XdrReader(_reply.AsSpan(0, length));
        uint xid = length >= 4 ? BinaryPrimitives.ReadUInt32BigEndian(_reply) : 0;
        if (!_asked.Remove(xid, out byte[]? record))
            throw new InvalidOperationException("a reply to what was not asked");
        Check(ref reply, record);
        Answered++;
        return true;
    }

    private bool TryFill(int bytes)
    {
        int have = 0;
        while (have < bytes)
        {
            int count = _socket!.Receive(_reply, have, bytes - have, SocketFlags.None, out SocketError error);
            if (count == 0 && error is SocketError.Success or SocketError.ConnectionReset)
                return false;
            Demand(error == SocketError.Success, $"receiving: {error}, with {_asked.Count} calls not answered");
            have += count;
        }

        return true;
    }

    private void Check(ref XdrReader reply, ReadOnlySpan<byte> record)
    {
        var asked = new NfsCallOracle(record);
        NfsVerdict verdict = NfsReplies.ReadVerdict(ref reply, asked);
        Demand(verdict == asked.Verdict, $"{verdict}, where {asked.Verdict} is right: {Convert.ToHexString(record)}");
        if (verdict != NfsVerdict.Success || asked.Handles == 0 || asked.Program is not (Nfs3Program.ProgramNumber or NfsAclProgram.ProgramNumber))
            return;

        bool isOk = reply.U32() == 0;
        string first = Convert.ToHexString(asked.FirstHandle);
        bool isGenuine = _genuine.Contains(first) && (asked.Handles == 1 || _genuine.Contains(Convert.ToHexString(asked.SecondHandle)));
        Demand(!isOk || isGenuine, $"a success with a handle that was not given out: {Convert.ToHexString(record)}");
        Demand(!isOk || !asked.Changes || !_readOnly.Contains(first), $"a change under a read-only export: {Convert.ToHexString(record)}");
    }

    private static void Demand(bool holds, string otherwise)
    {
        if (!holds)
            throw new InvalidOperationException(otherwise);
    }

    private void Add(byte[] handle, params ReadOnlySpan<HashSet<string>> sets)
    {
        _maker.Handles.Add(handle);
        foreach (HashSet<string> set in sets)
            set.Add(Convert.ToHexString(handle));
    }

    private static byte[] Mount(RpcClient client, string path)
    {
        var arguments = new XdrWriter(new byte[1024]);
        arguments.String(Encoding.UTF8.GetBytes(path));
        return Call(client, MountProgram.ProgramNumber, 1, arguments.Written).Opaque(64).ToArray();
    }

    private static byte[] Make(RpcClient client, Nfs3Procedure procedure, byte[] directory, string name)
    {
        var arguments = new XdrWriter(new byte[1024]);
        arguments.Opaque(directory);
        arguments.String(Encoding.UTF8.GetBytes(name));
        if (procedure == Nfs3Procedure.Create)
            arguments.U32(0); // UNCHECKED
        arguments.Bool(true);
        arguments.U32(0x1FF);
        arguments.Fixed(new byte[20]); // nothing else set
        XdrReader results = Call(client, Nfs3Program.ProgramNumber, (uint)procedure, arguments.Written);
        return results.Bool() ? results.Opaque(64).ToArray() : throw new InvalidOperationException($"{procedure} gave no handle");
    }

    private static XdrReader Call(RpcClient client, uint program, uint procedure, ReadOnlySpan<byte> arguments)
    {
        RpcClientResult result = client.Call(program, 3, procedure, arguments, Patience, out ReadOnlySpan<byte> answer);
        var results = new XdrReader(answer);
        uint status = results.U32();
        Demand(result.Succeeded && status == 0, $"program {program}, procedure {procedure}: {result.Text} status {status}");
        return results;
    }
}
