using System.Buffers.Binary;
using System.Text;
using Gateway.Nfs;
using Gateway.Nfs.Nlm;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>
/// Makes calls of all programs: mostly well formed with plausible arguments, then often with bits, words or lengths changed, parts cut out or doubled, or all noise. What it makes
/// follows from the seed and the handles alone.
/// </summary>
internal sealed class NfsCallMaker(int seed)
{
    /// <summary>Room for the longest call.</summary>
    public const int MaxBytes = 32768;

    private static readonly byte[][] Names =
    [
        .. new[] { "a", "b", "c", "dir", "dir2", ".", "..", "", "x/y", "/", "z\0", "\0", new('n', 255), new('n', 256), new('n', 5000) }.Select(Encoding.ASCII.GetBytes),
        [0xFF, 0xFE, 0x80],
    ];

    private readonly Random _random = new(seed);
    private readonly byte[] _buffer = new byte[MaxBytes];

    /// <summary>Handles that the server has given out, or could have.</summary>
    public List<byte[]> Handles { get; } = [];

    /// <summary>The next call; valid until the next one.</summary>
    public ReadOnlySpan<byte> Next()
    {
        int kind = _random.Next(24);
        if (kind == 0)
        {
            int noise = _random.Next(300);
            _random.NextBytes(_buffer.AsSpan(0, noise));
            return _buffer.AsSpan(0, noise);
        }

        int length = WriteCall();
        for (int changes = kind < 12 ? _random.Next(1, 4) : 0; changes > 0; changes--)
            length = Mutate(length);
        return _buffer.AsSpan(0, length);
    }

    private int WriteCall()
    {
        var writer = new XdrWriter(_buffer);
        uint program = _random.Next(12) switch { 0 => 100005, 1 => 100021, 2 => 100024, 3 => 100227, _ => 100003 };
        uint version = program switch { 100021 => 4, 100024 => 1, 100005 => (uint)_random.Next(1, 4), _ => 3 };
        uint procedure = program switch
        {
            100003 => (uint)_random.Next(22),
            100021 => _random.Next(8) == 0 ? (uint)_random.Next(25) : (uint)(_random.Next(2) == 0 ? _random.Next(1, 5) : _random.Next(20, 24)),
            100227 => (uint)_random.Next(3),
            _ => (uint)_random.Next(8),
        };
        writer.U32((uint)_random.Next(_random.Next(50) == 0 ? 4 : int.MaxValue));
        writer.U32(Seldom() ? Word() : 0);
        writer.U32(Seldom() ? Word() : 2);
        writer.U32(Seldom() ? Word() : program);
        writer.U32(Seldom() ? Word() : version);
        writer.U32(Seldom() ? Word() : procedure);
        WriteCredential(ref writer);
        writer.U32(Seldom() ? Word() : 0);
        writer.Opaque(Seldom() ? new byte[_random.Next(420)] : []);
        WriteArguments(ref writer, program, version, procedure);
        return writer.Position;
    }

    private bool Seldom() => _random.Next(200) == 0;

    private int Mutate(int length)
    {
        if (length < 8)
            return length;
        int word = _random.Next(length / 4) * 4;
        switch (_random.Next(9))
        {
            case 0: // a bit
                _buffer[_random.Next(length)] ^= (byte)(1 << _random.Next(8));
                return length;
            case 1: // a byte
                _buffer[_random.Next(length)] = (byte)_random.Next(256);
                return length;
            case 2: // a word: most often a length, a discriminant or a count
                BinaryPrimitives.WriteUInt32BigEndian(_buffer.AsSpan(word), Word());
                return length;
            case 3: // a length that is nearly right
                uint near = BinaryPrimitives.ReadUInt32BigEndian(_buffer.AsSpan(word)) + (uint)_random.Next(-8, 9);
                BinaryPrimitives.WriteUInt32BigEndian(_buffer.AsSpan(word), near);
                return length;
            case 4: // cut off
                return _random.Next(length);
            case 5: // something behind
                int more = Math.Min(_random.Next(1, 24), MaxBytes - length);
                _random.NextBytes(_buffer.AsSpan(length, more));
                return length + more;
            case 6: // a part taken out
                int gone = Math.Min(4 * _random.Next(1, 16), length - word);
                _buffer.AsSpan(word + gone, length - word - gone).CopyTo(_buffer.AsSpan(word));
                return length - gone;
            case 7: // a part there twice
                int twice = Math.Min(Math.Min(4 * _random.Next(1, 16), length - word), MaxBytes - length);
                _buffer.AsSpan(word, length - word).CopyTo(_buffer.AsSpan(word + twice));
                return length + twice;
            default: // the end filled with ones
                _buffer.AsSpan(word, length - word).Fill(0xFF);
                return length;
        }
    }

    private void WriteCredential(ref XdrWriter writer)
    {
        int kind = _random.Next(40);
        if (kind < 4)
        {
            writer.U32(kind == 3 ? (uint)_random.Next(8) : 0);
            writer.Opaque(kind == 2 ? new byte[_random.Next(12)] : []);
            return;
        }

        Span<byte> body = stackalloc byte[1024];
        var credential = new XdrWriter(body);
        credential.U32(Word());
        credential.String(kind == 4 ? new byte[_random.Next(250, 260)] : "client"u8);
        credential.U32((uint)_random.Next(3));
        credential.U32((uint)_random.Next(3));
        int groups = kind == 5 ? _random.Next(15, 100) : _random.Next(4);
        credential.U32(kind == 6 ? Word() : (uint)groups);
        for (int i = 0; i < groups; i++)
            credential.U32((uint)_random.Next(5));
        writer.U32(1);
        writer.Opaque(credential.Written);
    }

    private void WriteArguments(ref XdrWriter writer, uint program, uint version, uint procedure)
    {
        switch (program)
        {
            case 100003:
                WriteNfsArguments(ref writer, procedure);
                return;
            case 100005:
                if (procedure == 3 || (procedure == 1 && version == 3))
                    WritePath(ref writer);
                return;
            case 100021:
                WriteLockArguments(ref writer, procedure);
                return;
            case 100024:
                WriteStatusArguments(ref writer, procedure);
                return;
            default:
                WriteAclArguments(ref writer, procedure);
                return;
        }
    }

    private void WriteNfsArguments(ref XdrWriter writer, uint procedure)
    {
        if (procedure == 0)
            return;
        writer.Opaque(Handle());
        switch ((Nfs3Procedure)procedure)
        {
            case Nfs3Procedure.SetAttr:
                WriteSettable(ref writer);
                bool isGuarded = _random.Next(4) == 0;
                writer.Bool(isGuarded);
                if (isGuarded)
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
                    writer.String(new byte[_random.Next(20) == 0 ? _random.Next(4000, 4200) : _random.Next(20)]);
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
        if (procedure == 0)
            return;
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
        writer.String(_random.Next(8) switch { < 4 => "host"u8, < 7 => "other"u8, _ => new byte[_random.Next(1020, 1030)] });
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

    // SM_STAT: name. SM_MON: name, my_id, 16 bytes. SM_UNMON: name, my_id. SM_UNMON_ALL: my_id. SM_NOTIFY: name, state.
    private void WriteStatusArguments(ref XdrWriter writer, uint procedure)
    {
        if (procedure is 0 or 5 or > 6)
            return;
        writer.String(_random.Next(2) == 0 ? "host"u8 : "other"u8);
        if (procedure is 2 or 3)
            writer.String("localhost"u8);
        if (procedure is 2 or 3 or 4)
            writer.Fixed(new byte[12]);
        if (procedure == 2)
            writer.Fixed(new byte[16]);
        if (procedure == 6)
            writer.U32(Word());
    }

    private void WriteAclArguments(ref XdrWriter writer, uint procedure)
    {
        if (procedure == 0)
            return;
        writer.Opaque(Handle());
        writer.U32(_random.Next(4) == 0 ? Word() : (uint)_random.Next(16));
        for (uint typeBit = 0; procedure == 2 && typeBit <= 0x1000; typeBit += 0x1000)
        {
            int count = _random.Next(30) == 0 ? _random.Next(1000, 1030) : _random.Next(6);
            writer.U32((uint)count);
            writer.U32(_random.Next(30) == 0 ? Word() : (uint)count);
            for (int i = 0; i < count; i++)
            {
                writer.U32((1u << _random.Next(6)) | typeBit);
                writer.U32(Word());
                writer.U32((uint)_random.Next(8));
            }
        }
    }

    private void WritePath(ref XdrWriter writer)
    {
        writer.String(_random.Next(8) switch
        {
            0 => "/"u8,
            1 => "/dir"u8,
            2 => "/no"u8,
            3 => "/ro/../dir"u8,
            4 => "dir"u8,
            5 => new byte[_random.Next(1020, 1030)],
            _ => [.. "/dir/"u8, .. Name()],
        });
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

    private void WriteName(ref XdrWriter writer) => writer.String(Name());

    private byte[] Name() => Names[_random.Next(_random.Next(3) == 0 ? Names.Length : 5)];

    /// <summary>A handle, one in five of them altered, cut, lengthened, put together of two, or nothing but zeros.</summary>
    private byte[] Handle()
    {
        byte[] handle = Handles[_random.Next(Handles.Count)];
        switch (_random.Next(20))
        {
            case 0:
                handle = [.. handle];
                handle[_random.Next(handle.Length)] ^= (byte)(1 << _random.Next(8));
                return handle;
            case 1:
                return new byte[_random.Next(70)];
            case 2:
                int at = _random.Next(handle.Length);
                return [.. handle[..at], .. Handles[_random.Next(Handles.Count)][at..]];
            case 3:
                return _random.Next(2) == 0 ? handle[.._random.Next(handle.Length)] : [.. handle, .. new byte[_random.Next(1, 20)]];
            default:
                return handle;
        }
    }

    private uint Word() => _random.Next(7) switch
    {
        0 or 1 => 0,
        2 or 3 => (uint)_random.Next(40),
        4 => 1u << _random.Next(32),
        5 => uint.MaxValue - (uint)_random.Next(4),
        _ => (uint)_random.NextInt64(uint.MaxValue + 1L),
    };

    private ulong Long() => _random.Next(3) == 0 ? ((ulong)Word() << 32) | Word() : (ulong)_random.Next(10_000);
}
