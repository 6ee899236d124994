using System.Globalization;
using System.Text;
using Gateway.Admin.Contract;
using Gateway.Fuse;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>Finds the inode that an administrator means: a path below a mount, <c>store:/path</c> from the root of the store, or <c>inode:number</c>.</summary>
internal sealed class StorePaths(IVfs vfs, MountSet mounts)
{
    private const string StorePrefix = "store:/", InodePrefix = "inode:";

    /// <exception cref="OperatingException">There is no such thing.</exception>
    public InodeRecord Find(string path)
    {
        if (path.StartsWith(InodePrefix, StringComparison.Ordinal))
        {
            return ulong.TryParse(path.AsSpan(InodePrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
                && vfs.GetAttributes(new InodeId(number), out InodeRecord record) == FsStatus.Ok
                    ? record
                    : throw new OperatingException(ExitCode.NoInput, $"{path}: there is no such inode; ls -i shows the numbers");
        }

        if (path.StartsWith(StorePrefix, StringComparison.Ordinal))
            return Walk(InodeId.Root, path[StorePrefix.Length..], path);

        FuseMount? mount = mounts.Active.Select(served => served.Fuse)
            .Where(mount => path == mount.MountPoint || path.StartsWith(mount.MountPoint.TrimEnd('/') + "/", StringComparison.Ordinal))
            .MaxBy(mount => mount.MountPoint.Length);
        if (mount is null)
        {
            string known = string.Join(", ", mounts.Active.Select(mount => mount.Fuse.MountPoint));
            throw new OperatingException(
                ExitCode.NoInput, $"{path}: not below a mount of this daemon ({(known.Length > 0 ? known : "it has none")}); write store:/PATH for a path in the store");
        }

        return Walk(InodeId.Root, string.Join('/', mount.Options.Subdirectory) + path[mount.MountPoint.TrimEnd('/').Length..], path);
    }

    private InodeRecord Walk(InodeId from, string relative, string shown)
    {
        Check(vfs.GetAttributes(from, out InodeRecord record), shown);
        foreach (string name in relative.Split('/', StringSplitOptions.RemoveEmptyEntries))
            Check(vfs.Lookup(Caller.System, record.Inode, Encoding.UTF8.GetBytes(name), out record), shown);
        return record;
    }

    private static void Check(FsStatus status, string path)
    {
        if (status == FsStatus.Ok)
            return;
        throw status is FsStatus.NotFound or FsStatus.NotDirectory or FsStatus.NameTooLong
            ? new OperatingException(ExitCode.NoInput, $"{path}: there is no such file or directory; check the path")
            : new OperatingException(ExitCode.IoError, $"{path}: the store answers {status}; look into the daemon's log");
    }
}
