using StoreCore;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>What a name may be: 1 to 255 bytes without '/' and zero (POSIX.1-2017 §3.170, §3.282).</summary>
internal static class Names
{
    public static bool IsDot(ReadOnlySpan<byte> name) => name.SequenceEqual("."u8);

    public static bool IsDotDot(ReadOnlySpan<byte> name) => name.SequenceEqual(".."u8);

    /// <summary>Checks everything but the two special names.</summary>
    public static FsStatus Check(ReadOnlySpan<byte> name)
    {
        if (name.Length > Limits.MaxNameBytes)
            return FsStatus.NameTooLong;
        return name.IsEmpty || name.IndexOfAny((byte)0, (byte)'/') >= 0 ? FsStatus.Invalid : FsStatus.Ok;
    }

    /// <summary>For operations that make, take away or move a name; <paramref name="forDots"/> is the answer to "." and "..".</summary>
    public static FsStatus CheckOrdinary(ReadOnlySpan<byte> name, FsStatus forDots) =>
        IsDot(name) || IsDotDot(name) ? forDots : Check(name);
}
