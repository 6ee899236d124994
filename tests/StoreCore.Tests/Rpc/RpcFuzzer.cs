using System.Buffers.Binary;
using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

/// <summary>
/// Throws random and mutated records at a dispatcher and checks what must hold for any bytes: no exception, no defect, a reply that a client would
/// accept, and success only for calls that are well formed.
/// </summary>
internal sealed class RpcFuzzer
{
    /// <summary>Takes a word, an opaque and a list, and answers with them.</summary>
    private sealed class Program : IRpcProgram
    {
        public const uint Number = 0x2000_0002;

        uint IRpcProgram.Program => Number;

        public uint LowestVersion => 2;

        public uint HighestVersion => 4;

        public string Name => "fuzzed";

        public int Procedures => 8;

        public bool Succeeded { get; set; }

        public string ProcedureName(uint procedure) => $"{procedure}";

        public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
        {
            if (call.Procedure == 7)
                return RpcAcceptStatus.ProcedureUnavailable;

            uint kind = arguments.Enum(3);
            ReadOnlySpan<byte> name = arguments.String(255);
            int words = 0;
            while (arguments.Bool())
            {
                arguments.U64();
                words++;
            }

            if (!arguments.AtEnd)
                return RpcAcceptStatus.GarbageArguments;

            results.U32(kind);
            results.String(name);
            results.U32((uint)words);
            Succeeded = true;
            return call.Procedure == 6 ? RpcAcceptStatus.Drop : RpcAcceptStatus.Success;
        }
    }

    private sealed class CountedEvents : IRpcEvents
    {
        public Exception? First { get; private set; }

        public void Defect(IRpcProgram program, uint version, uint procedure, Exception fault) => First ??= fault;

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

    private sealed class Connection : IRpcConnection
    {
        public long Id => 1;

        public RpcPeer Peer => RpcPeer.From(0x7F000001, 1000);

        public RpcPeer Local => RpcPeer.From(0x7F000001, 2049);

        public object? State => null;

        public object? SetState(object? state, object? expected) => null;
    }

    private readonly int _seed;
    private readonly Random _random;
    private readonly byte[] _record = new byte[4096];
    private readonly byte[] _reply = new byte[4096];
    private readonly Program _program = new();
    private readonly CountedEvents _events = new();
    private readonly Connection _connection = new();
    private readonly RpcDispatcher _dispatcher;
    private readonly RpcLane _lane;

    public RpcFuzzer(int seed)
    {
        _seed = seed;
        _random = new Random(seed);
        _dispatcher = new RpcDispatcher([_program], _events, TimeProvider.System);
        _lane = _dispatcher.NewLane();
    }

    /// <summary>Records that were answered; those of them with success; those that were no calls.</summary>
    public long Answered { get; private set; }

    public long Succeeded { get; private set; }

    public long Hopeless { get; private set; }

    public void Run(long records)
    {
        for (long i = 0; i < records; i++)
        {
            int length = Next(out bool whole);
            Check(length, whole, i);
        }
    }

    /// <summary>The next record: well formed, or with a length, a word or some bytes changed, or noise.</summary>
    /// <param name="intact">Nothing was changed.</param>
    private int Next(out bool intact)
    {
        int kind = _random.Next(10);
        intact = kind < 3;
        if (kind == 9)
        {
            int noise = _random.Next(200);
            _random.NextBytes(_record.AsSpan(0, noise));
            return noise;
        }

        var call = new XdrWriter(_record);
        call.U32((uint)_random.Next());
        call.U32(RpcProtocol.Call);
        call.U32(RpcProtocol.Version);
        call.U32(_random.Next(10) == 0 ? 100003 : Program.Number);
        call.U32((uint)_random.Next(2, _random.Next(10) == 0 ? 9 : 5));
        call.U32((uint)_random.Next(_random.Next(10) == 0 ? 100 : 8));
        Credential(ref call);
        call.U64(0);
        int arguments = call.Position;
        call.U32((uint)_random.Next(4));
        call.String(_record.AsSpan(0, _random.Next(_random.Next(10) == 0 ? 256 : 30)));
        for (int words = _random.Next(4); words > 0; words--)
        {
            call.Bool(true);
            call.U64((ulong)_random.NextInt64());
        }

        call.Bool(false);
        int length = call.Position;
        switch (kind)
        {
            case 3 or 4: // a word becomes another, most often a length or a discriminant
                int at = _random.Next(length / 4) * 4;
                BinaryPrimitives.WriteUInt32BigEndian(_record.AsSpan(at), Word());
                break;
            case 5: // cut off
                return _random.Next(length);
            case 6: // something behind
                int more = _random.Next(1, 20);
                _random.NextBytes(_record.AsSpan(length, more));
                return length + more;
            case 7: // some bytes
                for (int changes = _random.Next(1, 6); changes > 0; changes--)
                    _record[_random.Next(length)] = (byte)_random.Next(256);
                break;
            case 8: // a part is there twice
                int from = _random.Next(arguments, length);
                int count = Math.Min(_random.Next(40), length - from);
                _record.AsSpan(from, length - from).CopyTo(_record.AsSpan(from + count));
                return length + count;
        }

        return length;
    }

    private void Credential(ref XdrWriter call)
    {
        if (_random.Next(3) == 0)
        {
            call.U64(0);
            return;
        }

        int machine = _random.Next(20);
        int groups = _random.Next(_random.Next(10) == 0 ? 30 : 17);
        call.U32((uint)RpcAuthFlavor.Sys);
        call.U32((uint)(20 + ((machine + 3) & ~3) + 4 * groups));
        call.U32(0);
        call.String(_record.AsSpan(0, machine));
        call.U32((uint)_random.Next());
        call.U32((uint)_random.Next());
        call.U32((uint)groups);
        for (int i = 0; i < groups; i++)
            call.U32((uint)i);
    }

    private uint Word() => _random.Next(5) switch
    {
        0 => 0,
        1 => (uint)_random.Next(20),
        2 => 1u << _random.Next(32),
        3 => uint.MaxValue - (uint)_random.Next(8),
        _ => (uint)_random.NextInt64(uint.MaxValue + 1L),
    };

    private void Check(int length, bool intact, long number)
    {
        ReadOnlySpan<byte> record = _record.AsSpan(0, length);
        string Context() => $"seed {_seed}, record {number}: {Convert.ToHexString(_record.AsSpan(0, length))}";

        _program.Succeeded = false;
        RpcOutcome outcome;
        int bytes;
        try
        {
            outcome = _dispatcher.Dispatch(_lane, _connection, record, _reply, out bytes);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"an exception got out: {Context()}", e);
        }

        if (_events.First is not null)
            throw new InvalidOperationException($"a defect: {Context()}", _events.First);
        if (intact && outcome == RpcOutcome.Hopeless)
            throw new InvalidOperationException($"a whole call was given up: {Context()}");
        if (outcome == RpcOutcome.Hopeless)
            Hopeless++;
        if (outcome != RpcOutcome.Reply)
            return;

        Answered++;
        var reply = new XdrReader(_reply.AsSpan(0, bytes));
        bool sound = reply.U32() == BinaryPrimitives.ReadUInt32BigEndian(record) && reply.U32() == RpcProtocol.Reply;
        bool success = false;
        if (reply.Enum(1) == RpcProtocol.MessageDenied)
        {
            sound &= reply.Enum(1) == RpcProtocol.AuthError ? reply.U32() is >= 1 and <= 14 : reply.U32() == 2 && reply.U32() == 2;
        }
        else
        {
            sound &= reply.U64() == 0; // the verifier
            uint status = reply.Enum(5);
            success = status == 0;
            if (status == (uint)RpcAcceptStatus.ProgramMismatch)
                sound &= reply.U32() == 2 && reply.U32() == 4;
            bool none = BinaryPrimitives.ReadUInt32BigEndian(record[20..]) == RpcProtocol.NullProcedure;
            if (success && !none)
            {
                sound &= _program.Succeeded;
                reply.Enum(3);
                reply.String(255);
                reply.U32();
            }
        }

        if (!sound || !reply.AtEnd)
            throw new InvalidOperationException($"a reply of {bytes} bytes that no client would take, {Convert.ToHexString(_reply.AsSpan(0, bytes))}: {Context()}");
        if (success)
            Succeeded++;
    }
}
