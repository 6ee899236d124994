using System.Buffers.Binary;
using System.Text;

namespace Gateway.Tests.Nfs;

/// <summary>Makes XDR by hand, independently of the writer under test.</summary>
internal sealed class Xdr
{
    private readonly List<byte> _bytes = [];

    public byte[] Bytes => [.. _bytes];

    public Xdr U32(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        _bytes.AddRange(bytes);
        return this;
    }

    public Xdr U64(ulong value) => U32((uint)(value >> 32)).U32((uint)value);

    public Xdr Raw(params byte[] bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public Xdr Opaque(ReadOnlySpan<byte> bytes)
    {
        U32((uint)bytes.Length);
        _bytes.AddRange(bytes);
        while (_bytes.Count % 4 != 0)
            _bytes.Add(0);
        return this;
    }

    public Xdr Text(string text) => Opaque(Encoding.UTF8.GetBytes(text));

    /// <summary>sattr3; what is null is not set. Times: null not, -1 the server's, else seconds.</summary>
    public Xdr Sattr(uint? mode = null, uint? uid = null, uint? gid = null, ulong? size = null, long? atime = null, long? mtime = null)
    {
        foreach (uint? value in new[] { mode, uid, gid })
        {
            U32(value is null ? 0u : 1u);
            if (value is not null)
                U32(value.Value);
        }

        U32(size is null ? 0u : 1u);
        if (size is not null)
            U64(size.Value);
        foreach (long? time in new[] { atime, mtime })
        {
            U32(time switch { null => 0u, -1 => 1u, _ => 2u });
            if (time is not null and not -1)
                U32((uint)time.Value).U32(5);
        }

        return this;
    }
}

/// <summary>fattr3 as a test sees it.</summary>
internal sealed record Fattr(
    uint Type, uint Mode, uint Links, uint Uid, uint Gid, ulong Size, ulong Used, uint Major, uint Minor, ulong Fsid, ulong FileId,
    (uint S, uint Ns) Atime, (uint S, uint Ns) Mtime, (uint S, uint Ns) Ctime);

/// <summary>wcc_data as a test sees it.</summary>
internal sealed record Wcc((ulong Size, (uint, uint) Mtime, (uint, uint) Ctime)? Before, Fattr? After);

/// <summary>Takes XDR apart by hand; what is left over or missing fails the test.</summary>
internal sealed class XdrView(byte[] bytes)
{
    private int _at;

    public int Remaining => bytes.Length - _at;

    public uint U32()
    {
        uint value = BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(_at));
        _at += 4;
        return value;
    }

    public ulong U64() => ((ulong)U32() << 32) | U32();

    public bool Bool()
    {
        uint value = U32();
        Assert.InRange(value, 0u, 1u);
        return value == 1;
    }

    public byte[] Opaque()
    {
        int length = (int)U32();
        byte[] value = bytes[_at..(_at + length)];
        _at += (length + 3) & ~3;
        Assert.All(bytes[(_at - ((-length) & 3)).._at], static b => Assert.Equal(0, b));
        return value;
    }

    public string Text() => Encoding.UTF8.GetString(Opaque());

    public (uint, uint) Time() => (U32(), U32());

    public Fattr Fattr() => new(
        U32(), U32(), U32(), U32(), U32(), U64(), U64(), U32(), U32(), U64(), U64(), Time(), Time(), Time());

    public Fattr? PostOp() => Bool() ? Fattr() : null;

    public Wcc Wcc()
    {
        (ulong, (uint, uint), (uint, uint))? before = Bool() ? (U64(), Time(), Time()) : null;
        return new Wcc(before, PostOp());
    }

    public XdrView End()
    {
        Assert.Equal(bytes.Length, _at);
        return this;
    }
}
