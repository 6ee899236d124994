using Gateway.Vfs;
using StoreCore.Rpc;

namespace Gateway.Nfs.Nlm;

/// <summary>nlm4_stats (X/Open CAE "Protocols for Interworking: XNFS", appendix G).</summary>
internal enum NlmStatus : uint
{
    Granted = 0,
    Denied = 1,

    /// <summary>The server has no room for it.</summary>
    NoLocks = 2,

    /// <summary>It waits; GRANTED follows.</summary>
    Blocked = 3,

    /// <summary>After a restart only locks held before it are given, and only then.</summary>
    GracePeriod = 4,
    Deadlock = 5,
    ReadOnly = 6,
    StaleHandle = 7,
    TooBig = 8,
    Failed = 9,
}

/// <summary>Procedures of program 100021, version 4.</summary>
internal static class NlmProcedure
{
    public const uint Test = 1, Lock = 2, Cancel = 3, Unlock = 4, Granted = 5, Share = 20, Unshare = 21, NonMonitoredLock = 22, FreeAll = 23;

    private static readonly string[] Names =
    [
        "NULL", "TEST", "LOCK", "CANCEL", "UNLOCK", "GRANTED", "TEST_MSG", "LOCK_MSG", "CANCEL_MSG", "UNLOCK_MSG", "GRANTED_MSG", "TEST_RES", "LOCK_RES",
        "CANCEL_RES", "UNLOCK_RES", "GRANTED_RES", "SM_NOTIFY", "17", "18", "19", "SHARE", "UNSHARE", "NM_LOCK", "FREE_ALL",
    ];

    public static int Count => Names.Length;

    public static string NameOf(uint procedure) => procedure < (uint)Names.Length ? Names[procedure] : "unknown";
}

/// <summary>nlm4_lock: caller_name, file handle, owner handle, svid, l_offset, l_len. Views into the arguments.</summary>
internal readonly ref struct NlmLock
{
    /// <summary>LM_MAXSTRLEN; also the most that a netobj may have.</summary>
    public const int MaxStringBytes = 1024;

    public ReadOnlySpan<byte> Caller { get; init; }

    public ReadOnlySpan<byte> Handle { get; init; }

    public ReadOnlySpan<byte> Owner { get; init; }

    public uint Svid { get; init; }

    public ulong Offset { get; init; }

    /// <summary>0: to the end of the file.</summary>
    public ulong Length { get; init; }

    public static NlmLock Read(ref XdrReader arguments) => new()
    {
        Caller = arguments.String(MaxStringBytes),
        Handle = arguments.Opaque(MaxStringBytes),
        Owner = arguments.Opaque(MaxStringBytes),
        Svid = arguments.U32(),
        Offset = arguments.U64(),
        Length = arguments.U64(),
    };

    /// <summary>The range in the terms of the lock table; false beyond the largest offset of a file.</summary>
    public bool TryRange(out ulong start, out ulong end)
    {
        start = Offset;
        end = Length == 0 || Length - 1 >= long.MaxValue - Math.Min(Offset, long.MaxValue) ? ulong.MaxValue : Offset + Length - 1;
        return Offset <= long.MaxValue;
    }

    /// <summary>l_len of a lock that somebody holds.</summary>
    public static ulong LengthOf(in VfsLock held) => held.End >= long.MaxValue ? 0 : held.End - held.Start + 1;
}
