using System.Runtime.InteropServices;
using System.Text;
using StoreCore.Metadata;

namespace Gateway.Fuse;

/// <summary>
/// What stands at a path that is to be a mount point. Looking at a file system whose daemon hangs does not come back, so it is done by a thread that can
/// be left behind.
/// </summary>
/// <param name="Path">Absolute and without symlinks, as the mount table shows it (as it was given where it does not exist).</param>
/// <param name="Errno">Of looking at it; 0: it is there.</param>
/// <param name="Mounted">What is mounted exactly there.</param>
internal sealed record MountPointLook(string Path, int Errno, InodeKind Kind, MountTableEntry? Mounted)
{
    /// <summary>Looks; null where no answer comes within the deadline.</summary>
    public static MountPointLook? At(string path, TimeSpan deadline)
    {
        MountPointLook? look = null;
        string absolute = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path));
        var thread = new Thread(() => look = Look(absolute)) { IsBackground = true, Name = "look at mount point" };
        thread.Start();
        return thread.Join(deadline) ? look : null;
    }

    private static MountPointLook Look(string path)
    {
        // The last name of a dead mount cannot be asked whether it is a symlink; but a mount point is none, and the table knows it.
        string? parent = System.IO.Path.GetDirectoryName(path);
        string resolved = parent is null ? path : System.IO.Path.Combine(Resolve(parent) ?? parent, System.IO.Path.GetFileName(path));
        MountTableEntry? mounted = MountTable.Find(resolved);
        if (mounted is null && Resolve(resolved) is { } target && target != resolved)
        {
            resolved = target;
            mounted = MountTable.Find(resolved);
        }

        (int errno, uint mode) = StatOf(resolved);
        return new MountPointLook(resolved, errno, (InodeKind)(mode >> 12), mounted);
    }

    /// <summary>The path without symlinks; null where it cannot be followed.</summary>
    private static unsafe string? Resolve(string path)
    {
        byte* buffer = stackalloc byte[LibC.PathMax];
        return LibC.RealPath(path, buffer) == null ? null : Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(buffer));
    }

    private static unsafe (int Errno, uint Mode) StatOf(string path)
    {
        // A dead mount still answers from the kernel's attribute cache, for as long as that holds: whether anybody is there must be asked for.
        byte* stat = stackalloc byte[LibC.StatXBytes];
        return LibC.StatX(LibC.AtCurrentDirectory, path, LibC.StatXForceSync, LibC.StatXType, stat) == 0
            ? (0, (uint)*(ushort*)(stat + LibC.StatXModeOffset))
            : (Marshal.GetLastPInvokeError(), 0u);
    }
}
