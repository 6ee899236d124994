using System.Runtime.InteropServices;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>Turns what a person typed into a path that the daemon can find: absolute, symlinks resolved except the last name's.</summary>
internal static partial class ServerPath
{
    public static string Of(string typed)
    {
        if (typed.StartsWith("store:/", StringComparison.Ordinal) || typed.StartsWith("inode:", StringComparison.Ordinal))
            return typed;
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(typed));
        return Path.GetDirectoryName(full) is not { } parent ? full : Path.Combine(RealPath(parent), Path.GetFileName(full));
    }

    private static unsafe string RealPath(string path)
    {
        nint resolved = RealPath(path, 0);
        if (resolved == 0)
            throw new OperatingException(ExitCode.NoInput, $"{path}: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}; check the path");
        try
        {
            return Marshal.PtrToStringUTF8(resolved)!;
        }
        finally
        {
            NativeMemory.Free((void*)resolved);
        }
    }

    [LibraryImport("libc", EntryPoint = "realpath", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint RealPath(string path, nint buffer);
}
