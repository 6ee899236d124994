using System.Runtime.CompilerServices;
using StoreCore;
using StoreCore.Blocks;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>What happens to a file under its locks: data written and punched, sizes and times that the metadata does not know yet, truncation.</summary>
public sealed partial class FileSystemVfs
{
    /// <summary>A file that was synced this recently gets its small writes where one flush makes them stable.</summary>
    private static readonly TimeSpan SyncSoonWindow = TimeSpan.FromSeconds(2);

    /// <summary>But only so much of them before the next sync: then the two flushes that volumes cost are shared by many writes, and the log would carry all data twice.</summary>
    private const long SyncSoonBytes = 256 * 1024;

    /// <summary>relatime: an access time older than this is renewed by a read whatever the other times are (mount(8)).</summary>
    private const long AccessTimeMaxAgeSeconds = 24 * 60 * 60;

    /// <summary>Makes sure that the state holds the file's size; refuses what is not a file.</summary>
    private FsStatus LoadFile(InodeState state)
    {
        lock (state)
        {
            if (state.Loaded)
                return state.Reaping ? FsStatus.Stale : FsStatus.Ok;
            FsStatus status = Gone(_metadata.GetInode(state.Inode, out InodeRecord record));
            if (status != FsStatus.Ok)
                return status;
            if (record.Kind != InodeKind.File)
                return record.IsDirectory ? FsStatus.IsDirectory : FsStatus.Invalid;
            state.Load(record);
            return FsStatus.Ok;
        }
    }

    /// <summary>
    /// Stateless callers (NFS) are checked at every read and write; the owner always may, as its open file would let it (RFC 1813 §4.4), and
    /// who may execute may read.
    /// </summary>
    private FsStatus RequireData(in Caller caller, InodeId inode, VfsAccess wanted)
    {
        FsStatus status = _metadata.GetInode(inode, out InodeRecord record);
        if (status != FsStatus.Ok)
            return Gone(status);
        if (caller.Uid == record.Uid)
            return FsStatus.Ok;
        status = Require(caller, inode, wanted);
        return status == FsStatus.AccessDenied && wanted == VfsAccess.Read ? Require(caller, inode, VfsAccess.Execute) : status;
    }

    /// <summary>
    /// What a write takes away: capabilities always, set-id bits where the writer is not privileged (FUSE_HANDLE_KILLPRIV_V2, as file_remove_privs does on other file systems).
    /// Looks first, for there is hardly ever anything, and changes wait for each other.
    /// </summary>
    private FsStatus KillPrivileges(InodeId inode, bool setIds)
    {
        FsStatus status = _metadata.GetInode(inode, out InodeRecord record);
        if (status != FsStatus.Ok)
            return Gone(status);
        AttributeMask mask = AttributeMask.None;
        if (setIds && (record.Mode & (ModeSetuid | ModeSetgid)) != 0)
            mask |= AttributeMask.KillPrivileges;
        if ((record.Flags & InodeFlags.HasXattrs) != 0 && _metadata.GetXattr(inode, XattrNames.Capability, default, out _) != FsStatus.NoData)
            mask |= AttributeMask.KillCapability;
        return mask == AttributeMask.None ? FsStatus.Ok : _metadata.SetAttributes(Caller.System, inode, new AttributeChange { Mask = mask }, out _);
    }

    /// <summary>Under the exclusive data lock.</summary>
    private FsStatus WriteLocked(ClientRequest? request, InodeState state, ulong offset, ReadOnlySpan<byte> data, VfsWriteFlags flags, out int written)
    {
        written = 0;
        WriteHint hint;
        lock (state)
        {
            FsStatus marked = Mark(state, offset + (ulong)data.Length);
            if (marked != FsStatus.Ok)
                return marked;
            state.WritesInFlight++;
            state.UnsyncedBytes += data.Length;
            bool syncSoon = (flags & VfsWriteFlags.Stable) != 0
                || (state.LastSyncTimestamp != 0 && state.UnsyncedBytes <= SyncSoonBytes && _clock.GetElapsedTime(state.LastSyncTimestamp) < SyncSoonWindow);
            hint = syncSoon ? WriteHint.SyncSoon : WriteHint.Buffered;
        }

        FsStatus status = FsStatus.IoError;
        long delta = 0;
        try
        {
            status = _data.Write(state.Inode, offset, data, hint, out written, out delta);
        }
        finally
        {
            lock (state)
            {
                state.WritesInFlight--;
                if (request is not null)
                    Observe(state, ref request.Object.Before);
                Changed(state, offset + (ulong)written, delta, touch: written > 0 && (flags & VfsWriteFlags.FromCache) == 0);
                if (request is not null)
                {
                    request.Object.After = request.Object.Before;
                    state.Overlay(ref request.Object.After);
                }
            }
        }

        return written > 0 ? FsStatus.Ok : status;
    }

    /// <summary>Under the exclusive data lock. Beyond the file's end there is nothing to punch.</summary>
    private FsStatus PunchLocked(InodeState state, ulong offset, ulong lengthBytes)
    {
        lock (state)
        {
            FsStatus marked = Mark(state, ulong.MaxValue);
            if (marked != FsStatus.Ok)
                return marked;
            state.WritesInFlight++;
        }

        long delta = 0;
        try
        {
            return _data.Punch(state.Inode, offset, lengthBytes, out delta);
        }
        finally
        {
            lock (state)
            {
                state.WritesInFlight--;
                Changed(state, 0, delta, touch: true);
            }
        }
    }

    /// <summary>
    /// Whether the range would fit now. More cannot be promised: even what overwrites data goes to fresh space first, so none is set aside for one file. What has its
    /// space already needs no more of it; but that is looked up only where it decides. Under the data lock.
    /// </summary>
    private FsStatus RequireSpace(InodeId inode, ulong offset, ulong lengthBytes)
    {
        ulong available = (ulong)Math.Max(0, _data.Space.AvailableBytes);
        if (lengthBytes <= available)
            return FsStatus.Ok;
        FsStatus status = _data.MeasureHoles(inode, offset, lengthBytes, out ulong missing);
        return status == FsStatus.Ok && missing > available ? FsStatus.NoSpace : status;
    }

    /// <summary>
    /// Before blocks change in a way that the recorded size or space does not tell: a restart is to measure them. Overwriting what is
    /// there already needs no mark. Under the monitor.
    /// </summary>
    private FsStatus Mark(InodeState state, ulong end)
    {
        ulong whole = (state.SizeBytes + Limits.ChunkSizeBytes - 1) / Limits.ChunkSizeBytes * Limits.ChunkSizeBytes;
        if (state.Marked || (end <= state.SizeBytes && (ulong)state.AllocatedBytes >= whole))
            return FsStatus.Ok;
        FsStatus status = Gone(_metadata.BeginExtending(state.Inode));
        state.Marked = status == FsStatus.Ok;
        return status;
    }

    /// <summary>The attributes as they are now. Under the monitor.</summary>
    private void Observe(InodeState state, ref InodeRecord attributes)
    {
        if (_metadata.GetInode(state.Inode, out attributes) == FsStatus.Ok)
            state.Overlay(ref attributes);
    }

    /// <summary>Takes note of a change of data. Under the monitor.</summary>
    private void Changed(InodeState state, ulong end, long allocatedDelta, bool touch)
    {
        state.LastWriteFlush = _recorder.LastFlush;
        if (end > state.SizeBytes)
        {
            state.SizeBytes = end;
            state.SizeDirty = true;
        }

        if (allocatedDelta != 0)
        {
            state.AllocatedBytes += allocatedDelta;
            state.SizeDirty = true;
        }

        if (touch)
        {
            state.Modified = state.Changed = Timestamp.Now(_clock);
            state.TimesDirty = true;
        }

        _recorder.Enqueue(state);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Accessed(in Caller caller, InodeState state)
    {
        if (caller.LeavesAccessTime)
            return;
        Timestamp now = Timestamp.Now(_clock);
        lock (state)
        {
            if (IsAccessTimeFresh(state.Accessed, state.Modified, state.Changed, now)
                || (_metadata.GetInode(state.Inode, out InodeRecord record) == FsStatus.Ok && (record.Flags & InodeFlags.NoAccessTime) != 0))
                return;
            state.Accessed = now;
            state.TimesDirty = true;
            _recorder.Enqueue(state);
        }
    }

    /// <summary>A directory was listed. What becomes of its access time is no matter to who has listed it.</summary>
    private void Accessed(in Caller caller, in InodeRecord directory)
    {
        if (!caller.LeavesAccessTime && (directory.Flags & InodeFlags.NoAccessTime) == 0
            && !IsAccessTimeFresh(directory.Accessed, directory.Modified, directory.Changed, Timestamp.Now(_clock)))
        {
            _metadata.SetAttributes(Caller.System, directory.Inode, new AttributeChange { Mask = AttributeMask.AccessedByRead }, out _);
        }
    }

    /// <summary>relatime: newer than the last change, and of today.</summary>
    private static bool IsAccessTimeFresh(Timestamp accessed, Timestamp modified, Timestamp changed, Timestamp now) =>
        accessed.CompareTo(modified) > 0 && accessed.CompareTo(changed) > 0 && now.Seconds - accessed.Seconds < AccessTimeMaxAgeSeconds;

    /// <summary>Attributes other than the size of a file.</summary>
    private FsStatus ChangeFile(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord attributes)
    {
        InodeState state = _inodes.Pin(inode);
        try
        {
            lock (state)
            {
                FsStatus status = Change(caller, state, change, out attributes);
                if (status != FsStatus.Ok)
                    return status;
                TakeTimes(state, change.Mask, attributes);
                state.Overlay(ref attributes);
                caller.Request?.Object.Became(attributes);
                return FsStatus.Ok;
            }
        }
        finally
        {
            _inodes.Unpin(state);
        }
    }

    /// <summary>
    /// Changes attributes in the metadata, which knows less than the state: the guard is compared with, and the request is told, what is true. Under the monitor.
    /// </summary>
    private FsStatus Change(in Caller caller, InodeState state, in AttributeChange change, out InodeRecord attributes)
    {
        AttributeChange guarded = change;
        if ((change.Mask & AttributeMask.Guard) != 0)
        {
            FsStatus found = Gone(_metadata.GetInode(state.Inode, out attributes));
            if (found != FsStatus.Ok)
                return found;
            guarded.Guard = attributes.Changed; // whatever changes it from here on changes the record
            state.Overlay(ref attributes);
            if (attributes.Changed != change.Guard)
            {
                caller.Request?.Object.Saw(attributes);
                return FsStatus.OutOfSync;
            }
        }

        FsStatus status = Gone(_metadata.SetAttributes(caller, state.Inode, guarded, out attributes));
        if (caller.Request is { Object.IsKnown: true } request)
        {
            state.Overlay(ref request.Object.Before);
            state.Overlay(ref request.Object.After);
        }

        return status;
    }

    private FsStatus Resize(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord attributes)
    {
        attributes = default;
        if (change.SizeBytes > Limits.MaxFileSizeBytes)
            return FsStatus.TooLarge;
        InodeState state = _inodes.Pin(inode);
        try
        {
            FsStatus status = LoadFile(state);
            if (status != FsStatus.Ok)
                return status;
            state.EnterExclusive();
            try
            {
                return ResizeLocked(caller, state, change, out attributes);
            }
            finally
            {
                state.ExitExclusive();
            }
        }
        finally
        {
            _inodes.Unpin(state);
        }
    }

    /// <summary>
    /// Under the exclusive data lock. Cutting goes: record the new size together with the pending cut, cut the blocks, take the pending cut off.
    /// A crash in between finishes the cut; only then may anything be written behind it, so a later write can never be cut.
    /// </summary>
    private FsStatus ResizeLocked(in Caller caller, InodeState state, in AttributeChange change, out InodeRecord attributes)
    {
        attributes = default;
        lock (state)
        {
            FsStatus status = Change(caller, state, change, out attributes);
            if (status != FsStatus.Ok)
                return status;

            state.SizeBytes = change.SizeBytes;
            TakeTimes(state, change.Mask | AttributeMask.Modified, attributes);
            if ((attributes.Flags & InodeFlags.Truncating) != 0)
            {
                status = _data.Truncate(state.Inode, change.SizeBytes, out long delta);
                if (status != FsStatus.Ok)
                    return status;
                state.AllocatedBytes += delta;
                state.LastWriteFlush = _recorder.LastFlush;
                status = _metadata.TruncateDone(state.Inode, state.AllocatedBytes);
                attributes.AllocatedBytes = state.AllocatedBytes;
                attributes.Flags &= ~InodeFlags.Truncating;
            }

            state.Overlay(ref attributes);
            caller.Request?.Object.Became(attributes);
            return status;
        }
    }

    /// <summary>The metadata has set times: they are newer than what the state held. Under the monitor.</summary>
    private static void TakeTimes(InodeState state, AttributeMask mask, in InodeRecord record)
    {
        if (!state.Loaded)
            return;
        if ((mask & (AttributeMask.Accessed | AttributeMask.AccessedNow)) != 0)
            state.Accessed = record.Accessed;
        if ((mask & (AttributeMask.Modified | AttributeMask.ModifiedNow)) != 0)
            state.Modified = record.Modified;
        if (record.Changed.CompareTo(state.Changed) > 0)
            state.Changed = record.Changed;
    }
}
