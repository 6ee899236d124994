using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Gateway.Fuse;
using Microsoft.Extensions.Logging.Abstractions;

namespace Gateway.Tests.Fuse;

/// <summary>
/// Throws random and mutated requests at a dispatcher over a file system in memory and checks what must hold for any bytes: no exception,
/// and a reply that the kernel would accept (its length, the unique echoed, an errno in range, none where none belongs).
/// </summary>
internal sealed class FuseFuzzer(int seed)
{
    private static readonly FuseOpcode[] Opcodes = [.. FuseOpTable.All.Select(static operation => operation.Opcode).Where(static o => o != FuseOpcode.Init)];

    private static readonly string[] Names = ["a", "b", "c", "d", "dir", ".", "..", "", "x/y", new('n', 255), new('n', 256), "user.k", "system.posix_acl_access"];

    private readonly Random _random = new(seed);
    private readonly byte[] _request = new byte[8192];
    private readonly byte[] _reply = new byte[FuseProtocol.MaxReplyBytes];
    private readonly Sink _channel = new();
    private FuseDispatcher _dispatcher = null!;
    private FuseLane _lane = null!;
    private FuseStatistics _statistics = null!;

    public long Answered { get; private set; }

    public long Failed { get; private set; }

    public long Faults { get; private set; }

    /// <summary>Sends this many requests. The file system is made anew from time to time, so that it stays small.</summary>
    public void Run(long requests)
    {
        for (long i = 0; i < requests; i++)
        {
            if (i % 100_000 == 0)
                Restart();
            int length = Next();
            Check(length, i);
        }

        Faults += _statistics.Progress().Faults;
        _dispatcher.Close();
    }

    private void Restart()
    {
        if (_dispatcher is not null)
        {
            Faults += _statistics.Progress().Faults;
            _dispatcher.Close();
        }

        _statistics = new FuseStatistics();
        _dispatcher = new FuseDispatcher(new MemoryVfs(discard: true), new FuseDispatcherOptions { Session = 1 }, _statistics, NullLogger.Instance);
        _lane = new FuseLane(_channel, TimeProvider.System);
        _statistics.Add(_lane);
        uint[] init = [104, (uint)FuseOpcode.Init, 2, 0, 0, 0, 0, 0, 0, 0, 7, 45, 131072, uint.MaxValue, uint.MaxValue, .. new uint[11]];
        _dispatcher.Dispatch(_lane, MemoryMarshal.AsBytes<uint>(init), _reply);
    }

    /// <summary>Makes a request: mostly well formed with plausible fields, then often with some bytes changed, or cut, or all random.</summary>
    private int Next()
    {
        Span<byte> request = _request;
        int kind = _random.Next(16);
        if (kind == 0)
        {
            int any = _random.Next(200);
            _random.NextBytes(request[..any]);
            return any;
        }

        FuseOpcode opcode = _random.Next(64) == 0 ? (FuseOpcode)_random.Next(-1, 5000) : Opcodes[_random.Next(Opcodes.Length)];
        int least = FuseOpTable.Find(opcode)?.LeastBytes ?? 64;
        int length = FuseProtocol.InHeaderBytes;
        for (int end = length + least; length < end; length += 4)
            BinaryPrimitives.WriteUInt32LittleEndian(request[length..], Word());
        length = FuseProtocol.InHeaderBytes + (least & ~7);
        for (int names = _random.Next(3); names > 0; names--)
        {
            string name = Names[_random.Next(Names.Length)];
            foreach (char letter in name)
                request[length++] = (byte)letter;
            request[length++] = 0;
        }

        int data = _random.Next(4) == 0 ? _random.Next(4096) : 0;
        length += data;
        int extension = 0;
        if (_random.Next(8) == 0)
        {
            extension = _random.Next(1, 5) * 8;
            BinaryPrimitives.WriteUInt32LittleEndian(request[length..], (uint)_random.Next(40));
            BinaryPrimitives.WriteUInt32LittleEndian(request[(length + 4)..], 32);
            BinaryPrimitives.WriteUInt32LittleEndian(request[(length + 8)..], (uint)_random.Next(6));
            length += extension;
        }

        BinaryPrimitives.WriteUInt32LittleEndian(request, (uint)length);
        BinaryPrimitives.WriteUInt32LittleEndian(request[4..], (uint)opcode);
        BinaryPrimitives.WriteUInt64LittleEndian(request[8..], (ulong)_random.NextInt64(1, long.MaxValue));
        BinaryPrimitives.WriteUInt64LittleEndian(request[16..], (ulong)_random.Next(40));
        BinaryPrimitives.WriteUInt32LittleEndian(request[24..], (uint)_random.Next(3));
        BinaryPrimitives.WriteUInt32LittleEndian(request[28..], (uint)_random.Next(3));
        BinaryPrimitives.WriteUInt32LittleEndian(request[32..], (uint)_random.Next(3));
        BinaryPrimitives.WriteUInt16LittleEndian(request[36..], (ushort)(extension / 8));

        if (kind < 6)
        {
            for (int changes = _random.Next(1, 4); changes > 0; changes--)
                request[_random.Next(length)] = (byte)_random.Next(256);
        }

        return kind == 6 ? _random.Next(length) : length;
    }

    private uint Word() => _random.Next(6) switch
    {
        0 or 1 => 0,
        2 or 3 => (uint)_random.Next(40),
        4 => 1u << _random.Next(32),
        _ => (uint)_random.NextInt64(uint.MaxValue + 1L),
    };

    private void Check(int length, long number)
    {
        ReadOnlySpan<byte> request = _request.AsSpan(0, length);
        string Context() => $"seed {seed}, request {number}: {Convert.ToHexString(_request.AsSpan(0, length))}";

        ulong unique = length >= 16 ? BinaryPrimitives.ReadUInt64LittleEndian(request[8..]) : 0;
        uint opcode = length >= 8 ? BinaryPrimitives.ReadUInt32LittleEndian(request[4..]) : 0;
        int size;
        try
        {
            size = _dispatcher.Dispatch(_lane, request, _reply);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"an exception got out: {Context()}", e);
        }

        if (size == 0)
        {
            bool none = length < FuseProtocol.InHeaderBytes || unique == 0
                || FuseOpTable.Find((FuseOpcode)opcode) is { Reply: FuseReplyKind.None } || (FuseOpcode)opcode == FuseOpcode.SetLkW;
            if (!none)
                throw new InvalidOperationException($"not answered: {Context()}");
            return;
        }

        Answered++;
        int error = BinaryPrimitives.ReadInt32LittleEndian(_reply.AsSpan(4));
        if (error != 0)
            Failed++;
        if (size < FuseProtocol.OutHeaderBytes || size > FuseProtocol.MaxReplyBytes
            || BinaryPrimitives.ReadUInt32LittleEndian(_reply) != (uint)size
            || error is > 0 or < -FuseErrno.Max
            || (error != 0 && size != FuseProtocol.OutHeaderBytes)
            || BinaryPrimitives.ReadUInt64LittleEndian(_reply.AsSpan(8)) != unique
            || FuseOpTable.Find((FuseOpcode)opcode) is { Reply: FuseReplyKind.None })
        {
            throw new InvalidOperationException($"a reply of {size} bytes, error {error}, that the kernel would refuse: {Context()}");
        }
    }

    private sealed class Sink : IFuseReplyChannel
    {
        public void Send(ReadOnlySpan<byte> reply)
        {
        }
    }
}
