using StoreCore.Blocks;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// The file system: names and attributes from the metadata, data from the blocks, and what only a running gateway knows (opens, sizes not
/// recorded yet, locks, observers). This part holds names and attributes; FileSystemVfs.Files.cs open files, FileSystemVfs.Data.cs what happens to their data under the locks.
/// </summary>
public sealed partial class FileSystemVfs : IVfs
{
    private readonly IMetadata _metadata;
    private readonly TimeProvider _clock;
    private readonly FileData _data;
    private readonly OpenInodes _inodes = new();
    private readonly LockTable _locks = new();
    private readonly Observers _observers = new();
    private readonly SizeRecorder _recorder;
    private readonly Reaper _reaper;

    public FileSystemVfs(IMetadata metadata, IBlockStore blocks, TimeProvider clock)
    {
        _metadata = metadata;
        _clock = clock;
        _data = new FileData(blocks);
        _recorder = new SizeRecorder(metadata, _inodes);
        _data.Join(_recorder);
        _reaper = new Reaper(metadata, _data, _inodes, _locks);
    }

    /// <summary>Inodes that are open, dirty or in use.</summary>
    public int ActiveInodes => _inodes.Count;

    /// <summary>Unlinked inodes and blocks of deleted ones that wait to be freed.</summary>
    public int ReaperBacklog => _reaper.Backlog;

    public int LocksHeld => _locks.Count;

    /// <summary>To be run once, before anything is served.</summary>
    public FsStatus Recover(out RecoveryReport report) => Recovery.Run(_metadata, _data, _reaper, out report);

    /// <summary>Records what is dirty and makes all that was applied stable: what bounds the age of unstable data.</summary>
    public FsStatus SyncAll()
    {
        _recorder.RequestAll();
        return _data.Sync();
    }

    public bool TryFindRequest(RequestId id, out RequestAnswer answer) => _metadata.TryFindRequest(id, out answer);

    public FsStatus SyncNames() => _metadata.Sync();

    /// <summary>Frees some of what was unlinked; true where there is more to do.</summary>
    public bool ReapStep(out FsStatus status) => _reaper.Step(out status);

    public FsStatus Lookup(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord attributes)
    {
        FsStatus status;
        if (Names.IsDot(name))
        {
            status = GetAttributes(parent, out attributes);
            return status == FsStatus.Ok && IsForgotten(attributes) ? FsStatus.Stale : status;
        }

        if (Names.IsDotDot(name))
        {
            status = GetAttributes(parent, out attributes);
            if (status != FsStatus.Ok)
                return status;
            return attributes.IsDirectory ? GetAttributes(attributes.Parent, out attributes) : FsStatus.NotDirectory;
        }

        attributes = default;
        status = Names.Check(name);
        if (status != FsStatus.Ok)
            return status;
        status = _metadata.Lookup(caller, parent, name, out attributes);
        if (status == FsStatus.Ok)
            Overlay(ref attributes);
        return status;
    }

    public FsStatus GetAttributes(InodeId inode, out InodeRecord attributes)
    {
        if (_inodes.Find(inode) is { } state)
        {
            // One hold of the monitor over both: between them the recorder could clear what makes the record stale.
            lock (state)
            {
                FsStatus status = _metadata.GetInode(inode, out attributes);
                state.Overlay(ref attributes);
                return Gone(status);
            }
        }

        return Gone(_metadata.GetInode(inode, out attributes));
    }

    public FsStatus GetAttributes(InodeId inode, uint generation, out InodeRecord attributes)
    {
        FsStatus status = GetAttributes(inode, out attributes);
        if (status != FsStatus.Ok || (attributes.Generation == generation && !IsForgotten(attributes)))
            return status;
        attributes = default;
        return FsStatus.Stale;
    }

    /// <summary>Without a name and not open: the reaper will take it, and nobody is to find it by its number until then.</summary>
    private bool IsForgotten(in InodeRecord record)
    {
        if (record.Links > 0)
            return false;
        if (_inodes.Find(record.Inode) is not { } state)
            return true;
        lock (state)
            return state.Opens == 0;
    }

    public FsStatus SetAttributes(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord attributes)
    {
        FsStatus status = Gone(_metadata.GetInode(inode, out attributes));
        if (status != FsStatus.Ok)
            return status;
        bool resize = (change.Mask & AttributeMask.Size) != 0;
        if (attributes.Kind != InodeKind.File)
        {
            if (resize)
                return attributes.IsDirectory ? FsStatus.IsDirectory : FsStatus.Invalid;
            status = _metadata.SetAttributes(caller, inode, change, out attributes);
        }
        else
        {
            status = resize ? Resize(caller, inode, change, out attributes) : ChangeFile(caller, inode, change, out attributes);
        }

        if (status == FsStatus.Ok)
            _observers.DataChanged(inode, resize ? (long)change.SizeBytes : 0, resize ? -1 : 0, caller.Origin);
        return status;
    }

    public FsStatus Access(in Caller caller, InodeId inode, VfsAccess wanted, out VfsAccess granted)
    {
        FsStatus status = Gone(_metadata.Access(caller, inode, (uint)wanted, out uint bits));
        granted = (VfsAccess)bits;
        return status;
    }

    public FsStatus ReadLink(in Caller caller, InodeId inode, Span<byte> target, out int lengthBytes) =>
        Gone(_metadata.ReadLink(inode, target, out lengthBytes));

    public FsStatus Make(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, out InodeRecord attributes)
    {
        attributes = default;
        FsStatus status = Names.CheckOrdinary(name, FsStatus.Exists);
        if (status == FsStatus.Ok)
            status = _metadata.Create(caller, parent, name, spec, out attributes);
        if (status == FsStatus.Ok)
            NameChanged(parent, name, InodeId.None, caller.Origin);
        return status;
    }

    public FsStatus Link(in Caller caller, InodeId inode, InodeId newParent, ReadOnlySpan<byte> newName, out InodeRecord attributes)
    {
        attributes = default;
        FsStatus status = Names.CheckOrdinary(newName, FsStatus.Exists);
        if (status == FsStatus.Ok)
            status = _metadata.Link(caller, inode, newParent, newName, out attributes);
        if (status == FsStatus.Ok)
        {
            Overlay(ref attributes);
            NameChanged(newParent, newName, InodeId.None, caller.Origin);
            _observers.AttributesChanged(inode, caller.Origin);
        }

        return status;
    }

    public FsStatus Unlink(in Caller caller, InodeId parent, ReadOnlySpan<byte> name)
    {
        FsStatus status = Names.CheckOrdinary(name, FsStatus.IsDirectory);
        if (status != FsStatus.Ok)
            return status;
        status = _metadata.Unlink(caller, parent, name, out InodeRecord removed);
        if (status == FsStatus.Ok)
            NameRemoved(parent, name, removed, caller.Origin);
        return status;
    }

    public FsStatus RemoveDirectory(in Caller caller, InodeId parent, ReadOnlySpan<byte> name)
    {
        // rmdir(2): EINVAL for a last component ".", ENOTEMPTY for "..".
        FsStatus status = Names.CheckOrdinary(name, Names.IsDot(name) ? FsStatus.Invalid : FsStatus.NotEmpty);
        if (status != FsStatus.Ok)
            return status;
        status = _metadata.RemoveDirectory(caller, parent, name, out InodeRecord removed);
        if (status == FsStatus.Ok)
            NameRemoved(parent, name, removed, caller.Origin);
        return status;
    }

    public FsStatus Rename(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, InodeId newParent, ReadOnlySpan<byte> newName, RenameFlags flags)
    {
        FsStatus status = Names.CheckOrdinary(name, FsStatus.Busy);
        if (status == FsStatus.Ok)
            status = Names.CheckOrdinary(newName, FsStatus.Busy);
        if (status != FsStatus.Ok)
            return status;
        status = _metadata.Rename(caller, parent, name, newParent, newName, flags, out InodeRecord moved, out InodeRecord displaced);
        if (status != FsStatus.Ok)
            return status;

        NameChanged(parent, name, InodeId.None, caller.Origin);
        if ((flags & RenameFlags.Exchange) == 0 && displaced.Inode != InodeId.None)
            NameRemoved(newParent, newName, displaced, caller.Origin);
        else
            NameChanged(newParent, newName, InodeId.None, caller.Origin);
        _observers.AttributesChanged(moved.Inode, caller.Origin);
        return FsStatus.Ok;
    }

    public FsStatus ReadDirectory(in Caller caller, InodeId directory, ulong cookie, bool withAttributes, IDirectorySink sink)
    {
        FsStatus status = Gone(_metadata.GetInode(directory, out InodeRecord self));
        if (status != FsStatus.Ok)
            return status;
        if (!self.IsDirectory)
            return FsStatus.NotDirectory;
        if (!caller.Trusted && (status = Require(caller, directory, VfsAccess.Read)) != FsStatus.Ok)
            return status;

        if (cookie < 1 && !sink.Add(1, directory, InodeKind.Directory, "."u8, self))
            return FsStatus.Ok;
        if (cookie < 2)
        {
            InodeRecord parent = self;
            if (withAttributes && self.Parent != directory && (status = Gone(_metadata.GetInode(self.Parent, out parent))) != FsStatus.Ok)
                return status;
            if (!sink.Add(2, self.Parent, InodeKind.Directory, ".."u8, parent))
                return FsStatus.Ok;
            cookie = 2;
        }

        status = _metadata.ReadDirectory(directory, cookie, withAttributes, withAttributes ? new OverlaySink(this, sink) : sink);
        if (status == FsStatus.Ok)
            Accessed(caller, self);
        return status;
    }

    public FsStatus GetXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, Span<byte> value, out int lengthBytes) =>
        Gone(_metadata.GetXattr(inode, name, value, out lengthBytes));

    public FsStatus ListXattrs(in Caller caller, InodeId inode, Span<byte> names, out int lengthBytes) =>
        Gone(_metadata.ListXattrs(inode, names, out lengthBytes));

    public FsStatus SetXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, XattrSetFlags flags, bool killSetgid)
    {
        FsStatus status = Gone(_metadata.SetXattr(caller, inode, name, value, flags, out InodeRecord record));
        if (status == FsStatus.Ok && killSetgid && (record.Mode & ModeSetgid) != 0)
        {
            AttributeChange change = new() { Mask = AttributeMask.Mode, Mode = record.Mode & 0xFFF & ~ModeSetgid };
            status = _metadata.SetAttributes(Caller.System, inode, change, out _);
        }

        if (status == FsStatus.Ok)
            _observers.AttributesChanged(inode, caller.Origin);
        return status;
    }

    public FsStatus RemoveXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name)
    {
        FsStatus status = Gone(_metadata.RemoveXattr(caller, inode, name, out _));
        if (status == FsStatus.Ok)
            _observers.AttributesChanged(inode, caller.Origin);
        return status;
    }

    public VfsSpace StatFs()
    {
        BlockSpace space = _data.Space;
        (ulong used, ulong free) = _metadata.InodeCounts;
        // Others use the same disk: what they hold is neither ours nor free, so it is left out and df's columns add up.
        ulong taken = (ulong)Math.Max(0, space.UsedBytes), available = (ulong)Math.Max(0, space.AvailableBytes);
        return new VfsSpace(taken + available, available, available, used + free, free);
    }

    public void Subscribe(IVfsObserver observer) => _observers.Add(observer);

    public void Unsubscribe(IVfsObserver observer) => _observers.Remove(observer);

    private const uint ModeSetuid = 0x800, ModeSetgid = 0x400;

    /// <summary>An inode asked for by number that is not there: its handle is stale. Names that are not there stay NotFound.</summary>
    private static FsStatus Gone(FsStatus status) => status == FsStatus.NotFound ? FsStatus.Stale : status;

    private FsStatus Require(in Caller caller, InodeId inode, VfsAccess wanted)
    {
        FsStatus status = Access(caller, inode, wanted, out VfsAccess granted);
        return status != FsStatus.Ok ? status : granted == wanted ? FsStatus.Ok : FsStatus.AccessDenied;
    }

    /// <summary>Newer size and times, for a record that came with its name.</summary>
    private void Overlay(ref InodeRecord record)
    {
        if (record.Kind != InodeKind.File || _inodes.Find(record.Inode) is not { } state)
            return;
        lock (state)
        {
            if (_metadata.GetInode(record.Inode, out InodeRecord current) == FsStatus.Ok)
                record = current;
            state.Overlay(ref record);
        }
    }

    private void NameChanged(InodeId directory, ReadOnlySpan<byte> name, InodeId child, int origin)
    {
        _observers.EntryChanged(directory, name, child, origin);
        _observers.AttributesChanged(directory, origin);
    }

    private void NameRemoved(InodeId directory, ReadOnlySpan<byte> name, in InodeRecord removed, int origin)
    {
        if (removed.Links == 0)
            _reaper.Enqueue(removed.Inode);
        else
            _observers.AttributesChanged(removed.Inode, origin);
        NameChanged(directory, name, removed.Inode, origin);
    }

    /// <summary>Puts unrecorded sizes and times into a listing with attributes.</summary>
    private sealed class OverlaySink(FileSystemVfs vfs, IDirectorySink inner) : IDirectorySink
    {
        public bool Add(ulong cookie, InodeId inode, InodeKind kind, ReadOnlySpan<byte> name, in InodeRecord attributes)
        {
            InodeRecord current = attributes;
            vfs.Overlay(ref current);
            return inner.Add(cookie, inode, kind, name, current);
        }
    }
}
