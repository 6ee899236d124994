using Gateway.Admin.Contract;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>
/// Sums sizes and space over a tree, while it may change. Hard links count once. Works through directories one at a time, so that memory
/// grows with the number of directories waiting and of inodes with several links, not with the size of the tree.
/// </summary>
internal sealed class TreeMeasure(IVfs vfs, Action<WorkProgress> progress, CancellationToken cancellation) : IDirectorySink
{
    private readonly Stack<InodeId> _waiting = new();
    private readonly HashSet<InodeId> _linkedSeen = [];
    private long _files, _directories, _others, _allocatedBytes;
    private ulong _sizeBytes;
    private ulong _cookie;

    public TreeSize Run(string path, in InodeRecord top)
    {
        Count(top);
        while (_waiting.TryPop(out InodeId directory))
        {
            ReadWhole(directory);
            progress(new WorkProgress("measuring", _files + _directories + _others, 0, "inodes"));
        }

        return new TreeSize(path, _files, _directories, _others, _sizeBytes, _allocatedBytes);
    }

    public bool Add(ulong cookie, InodeId inode, InodeKind kind, ReadOnlySpan<byte> name, in InodeRecord attributes)
    {
        _cookie = cookie;
        if (cookie >= StoreCore.Limits.FirstEntryCookie)
            Count(attributes);
        return !cancellation.IsCancellationRequested;
    }

    private void ReadWhole(InodeId directory)
    {
        _cookie = 0;
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            ulong before = _cookie;
            FsStatus status = vfs.ReadDirectory(Caller.System, directory, before, withAttributes: true, this);

            // A directory that was deleted meanwhile is no longer part of the tree.
            if (status is FsStatus.NotFound or FsStatus.Stale)
                return;
            if (status != FsStatus.Ok)
                throw new OperatingException(ExitCode.IoError, $"inode {directory}: reading the directory answers {status}; look into the daemon's log");
            if (_cookie == before)
                return;
        }
    }

    private void Count(in InodeRecord record)
    {
        if (record.Kind != InodeKind.Directory && record.Links > 1 && !_linkedSeen.Add(record.Inode))
            return;
        switch (record.Kind)
        {
            case InodeKind.Directory:
                _directories++;
                _waiting.Push(record.Inode);
                return;
            case InodeKind.File:
                _files++;
                break;
            default:
                _others++;
                break;
        }

        _sizeBytes += record.SizeBytes;
        _allocatedBytes += record.AllocatedBytes;
    }
}
