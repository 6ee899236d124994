using System.Buffers.Binary;

namespace Gateway.Tests.Nfs;

/// <summary>What a server must do with a record before any file is looked at.</summary>
internal enum NfsVerdict
{
    /// <summary>It is no call: nothing is answered, and the connection is of no use.</summary>
    Hopeless,

    /// <summary>It is a reply, which nobody asked for.</summary>
    Stray,
    RpcMismatch,
    AuthenticationError,
    ProgramUnavailable,
    ProgramMismatch,
    ProcedureUnavailable,
    GarbageArguments,

    /// <summary>All can be decoded: it must be accepted, whatever the program then says of it.</summary>
    Success,
}

/// <summary>
/// Decides from the bytes alone, with a decoder of its own, what RFC 5531 §9 has a server answer, and finds the handles and names in the arguments. The shapes are written down
/// from RFC 1813, XNFS appendix G and chapter 11, and nfsacl.h, independently of the programs.
/// </summary>
internal ref struct NfsCallOracle
{
    private ReadOnlySpan<byte> _rest;
    private bool _isBroken;

    public NfsVerdict Verdict { get; private set; }

    public uint Xid { get; private set; }

    public uint Program { get; private set; }

    public uint Version { get; private set; }

    public uint Procedure { get; private set; }

    /// <summary>The file handles in the arguments, in their order; how many, <see cref="Handles"/> says.</summary>
    public ReadOnlySpan<byte> FirstHandle { get; private set; }

    public ReadOnlySpan<byte> SecondHandle { get; private set; }

    public int Handles { get; private set; }

    /// <summary>Names of entries in the arguments; how many, <see cref="Names"/> says.</summary>
    public ReadOnlySpan<byte> FirstName { get; private set; }

    public ReadOnlySpan<byte> SecondName { get; private set; }

    public int Names { get; private set; }

    /// <summary>What the answer may hold at most, of data or of a listing.</summary>
    public uint Count { get; private set; }

    /// <summary>It asks for a change of files, which a read-only export must refuse.</summary>
    public readonly bool Changes => Program switch
    {
        100003 => Procedure is 2 or (>= 7 and <= 15),
        100227 => Procedure == 2,
        _ => false,
    };

    public NfsCallOracle(ReadOnlySpan<byte> record)
    {
        _rest = record;
        Verdict = Judge();
    }

    private NfsVerdict Judge()
    {
        Xid = U32();
        uint type = U32();
        if (!_isBroken && type == 1)
            return NfsVerdict.Stray;
        uint rpcVersion = U32();
        if (_isBroken || type != 0)
            return NfsVerdict.Hopeless;
        if (rpcVersion != 2)
            return NfsVerdict.RpcMismatch;
        Program = U32();
        Version = U32();
        Procedure = U32();
        if (_isBroken)
            return NfsVerdict.Hopeless;
        if (!IsAuthentic())
            return NfsVerdict.AuthenticationError;

        (uint lowest, uint highest) = Program switch
        {
            100003 or 100227 => (3u, 3u),
            100005 => (1u, 3u),
            100021 => (4u, 4u),
            100024 => (1u, 1u),
            _ => (1u, 0u),
        };
        if (lowest > highest)
            return NfsVerdict.ProgramUnavailable;
        if (Version < lowest || Version > highest)
            return NfsVerdict.ProgramMismatch;
        if (Procedure != 0 && !ReadArguments())
            return NfsVerdict.ProcedureUnavailable;
        return _isBroken || !_rest.IsEmpty ? NfsVerdict.GarbageArguments : NfsVerdict.Success;
    }

    private bool IsAuthentic()
    {
        uint flavor = U32();
        var credential = new NfsCallOracle { _rest = Opaque(400) };
        uint verifierFlavor = U32();
        bool isVerified = Opaque(400).IsEmpty && verifierFlavor == 0;
        if (_isBroken || !isVerified)
            return false;
        if (flavor == 1)
        {
            credential.U32();
            credential.Opaque(255);
            credential.U64();
            uint groups = credential.Enum(16);
            for (uint i = 0; i < groups; i++)
                credential.U32();
        }

        return flavor <= 1 && !credential._isBroken && credential._rest.IsEmpty;
    }

    /// <summary>False where there is no such procedure.</summary>
    private bool ReadArguments() => Program switch
    {
        100003 => ReadNfs(),
        100005 => ReadMount(),
        100021 => ReadLocks(),
        100024 => ReadStatus(),
        _ => ReadAcls(),
    };

    private bool ReadNfs()
    {
        if (Procedure > 21)
            return false;

        Handle(64);
        switch (Procedure)
        {
            case 2: // SETATTR
                Settable();
                if (Bool())
                    U64();
                break;
            case 3 or 12 or 13: // LOOKUP, REMOVE, RMDIR
                Name();
                break;
            case 4: // ACCESS
                U32();
                break;
            case 6: // READ
                U64();
                Count = U32();
                break;
            case 7: // WRITE
                U64();
                Count = U32();
                Enum(2);
                Opaque(uint.MaxValue);
                break;
            case 8: // CREATE
                Name();
                if (Enum(2) == 2)
                    U64();
                else
                    Settable();
                break;
            case 9: // MKDIR
                Name();
                Settable();
                break;
            case 10: // SYMLINK
                Name();
                Settable();
                Opaque(uint.MaxValue);
                break;
            case 11: // MKNOD
                Name();
                uint type = U32();
                _isBroken |= type is 0 or > 7;
                if (type is 3 or 4 or 6 or 7)
                    Settable();
                if (type is 3 or 4)
                    U64();
                break;
            case 14: // RENAME
                Name();
                Handle(64);
                Name();
                break;
            case 15: // LINK
                Handle(64);
                Name();
                break;
            case 16 or 17: // READDIR, READDIRPLUS
                U64();
                U64();
                Count = U32();
                if (Procedure == 17)
                    Count = U32();
                break;
            case 21: // COMMIT
                U64();
                U32();
                break;
        }

        return true;
    }

    private bool ReadMount()
    {
        if (Procedure == 1 && Version == 3) // MNT
            Opaque(uint.MaxValue);
        else if (Procedure == 3) // UMNT
            Opaque(1024); // MNTPATHLEN
        else
            return Procedure is 2 or 4 or 5;
        return true;
    }

    private bool ReadLocks()
    {
        if (Procedure is not ((>= 1 and <= 4) or (>= 20 and <= 23)))
            return false;

        Opaque(1024);
        switch (Procedure)
        {
            case 1: // TEST
                Bool();
                Lock();
                break;
            case 2 or 22: // LOCK, NM_LOCK
                Bool();
                Bool();
                Lock();
                Bool();
                U32();
                break;
            case 3: // CANCEL
                Bool();
                Bool();
                Lock();
                break;
            case 4: // UNLOCK
                Lock();
                break;
            case 20 or 21: // SHARE, UNSHARE
                Opaque(1024);
                Handle(1024);
                Opaque(1024);
                Enum(3);
                Enum(3);
                Bool();
                break;
            case 23: // FREE_ALL
                U32();
                break;
        }

        return true;
    }

    private bool ReadStatus()
    {
        if (Procedure is not (1 or 2 or 3 or 4 or 6))
            return false;

        Opaque(1024);
        if (Procedure is 2 or 3) // MON, UNMON
            Opaque(1024);
        if (Procedure is 2 or 3 or 4) // UNMON_ALL
            Fixed(12);
        if (Procedure == 2)
            Fixed(16);
        if (Procedure == 6) // NOTIFY
            U32();
        return true;
    }

    private bool ReadAcls()
    {
        if (Procedure > 2)
            return false;

        Handle(64);
        U32();
        for (uint typeBit = 0; Procedure == 2 && typeBit <= 0x1000; typeBit += 0x1000)
        {
            U32();
            uint count = Enum(1024);
            for (uint i = 0; i < count && !_isBroken; i++)
            {
                uint type = U32() & ~typeBit;
                U32();
                Enum(7);
                _isBroken |= type is not (1 or 2 or 4 or 8 or 0x10 or 0x20);
            }
        }

        return true;
    }

    private void Lock()
    {
        Opaque(1024);
        Handle(1024);
        Opaque(1024);
        U32();
        U64();
        U64();
    }

    private void Settable()
    {
        for (int i = 0; i < 4; i++)
        {
            if (!Bool())
                continue;
            if (i == 3)
                U64();
            else
                U32();
        }

        for (int i = 0; i < 2; i++)
        {
            if (Enum(2) == 2)
                U64();
        }
    }

    private void Handle(uint maxBytes)
    {
        ReadOnlySpan<byte> handle = Opaque(maxBytes);
        if (Handles++ == 0)
            FirstHandle = handle;
        else
            SecondHandle = handle;
    }

    private void Name()
    {
        ReadOnlySpan<byte> name = Opaque(uint.MaxValue);
        if (Names++ == 0)
            FirstName = name;
        else
            SecondName = name;
    }

    private uint U32()
    {
        ReadOnlySpan<byte> bytes = Take(4);
        return bytes.IsEmpty ? 0 : BinaryPrimitives.ReadUInt32BigEndian(bytes);
    }

    private void U64() => Take(8);

    private bool Bool() => Enum(1) == 1;

    private uint Enum(uint max)
    {
        uint value = U32();
        _isBroken |= value > max;
        return _isBroken ? 0 : value;
    }

    private void Fixed(int bytes) => Take(bytes);

    private ReadOnlySpan<byte> Opaque(uint maxBytes)
    {
        uint length = U32();
        _isBroken |= length > maxBytes || length > (uint)_rest.Length;
        if (_isBroken)
            return default;
        ReadOnlySpan<byte> whole = Take((int)(length + 3) & ~3);
        ReadOnlySpan<byte> padding = _isBroken ? default : whole[(int)length..];
        foreach (byte one in padding)
            _isBroken |= one != 0;
        return _isBroken ? default : whole[..(int)length];
    }

    private ReadOnlySpan<byte> Take(int bytes)
    {
        _isBroken |= bytes > _rest.Length;
        if (_isBroken)
            return default;
        ReadOnlySpan<byte> taken = _rest[..bytes];
        _rest = _rest[bytes..];
        return taken;
    }
}
