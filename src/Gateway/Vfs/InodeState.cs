using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// What the gateway knows of an inode that is open or was written lately and that the metadata does not know yet: open counts, the
/// size and times that data writes changed, and the lock that orders data operations. Lives in <see cref="OpenInodes"/> while anything pins it.
/// </summary>
/// <remarks>
/// Two locks, always taken in this order: the data lock (<see cref="EnterShared"/>, <see cref="EnterExclusive"/>; held over block I/O, so that a read
/// never sees half a truncation) and the monitor of the object itself (guards the fields; held over at most one metadata operation).
/// </remarks>
internal sealed class InodeState(InodeId inode)
{
    private int _active; // > 0: readers inside; -1: one writer inside
    private int _waitingExclusive;

    public InodeId Inode { get; } = inode;

    /// <summary>Operations in progress and other holds; guarded by the monitor. The state leaves the table when all counts are 0 and it is clean.</summary>
    public int Pins;

    /// <summary>Opens through any front end.</summary>
    public int Opens;

    /// <summary>Opens that may write.</summary>
    public int WriteOpens;

    /// <summary>Writes between their mark on the pending list and their new size.</summary>
    public int WritesInFlight;

    /// <summary>Left the table: whoever finds it so looks it up again.</summary>
    public bool Dead;

    /// <summary>Stays in the table when idle; see <see cref="OpenInodes"/>.</summary>
    public bool Resting;

    /// <summary>Being deleted: it can no longer be opened.</summary>
    public bool Reaping;

    /// <summary>The fields below have been read from the metadata.</summary>
    public bool Loaded;

    public ulong SizeBytes;
    public long AllocatedBytes;
    public Timestamp Accessed;
    public Timestamp Modified;
    public Timestamp Changed;

    /// <summary>The inode stands on the pending list as <see cref="PendingKind.SizeUnrecorded"/>.</summary>
    public bool Marked;

    /// <summary>Size or space differ from what is recorded.</summary>
    public bool SizeDirty;

    /// <summary>Times differ from what is recorded.</summary>
    public bool TimesDirty;

    /// <summary>Waits in the recorder's queue.</summary>
    public bool Queued;

    /// <summary>The flush (counted by the recorder) that had last begun when the data was last changed: only a later one has it on the disk.</summary>
    public long LastWriteFlush;

    /// <summary>Clock ticks of the last fsync; 0 for never. A file that is synced will be synced again soon.</summary>
    public long LastSyncTimestamp;

    /// <summary>Bytes written since the last fsync: who writes much between two of them does not wait for each write.</summary>
    public long UnsyncedBytes;

    public bool Dirty => SizeDirty || TimesDirty;

    /// <summary>There is something for the recorder to do.</summary>
    public bool NeedsRecording => Dirty || (Marked && WriteOpens == 0 && WritesInFlight == 0);

    public bool Idle => Pins == 0 && Opens == 0 && WritesInFlight == 0 && !Queued && !NeedsRecording;

    /// <summary>Takes over what the metadata holds. Under the monitor.</summary>
    public void Load(in InodeRecord record)
    {
        SizeBytes = record.SizeBytes;
        AllocatedBytes = record.AllocatedBytes;
        Accessed = record.Accessed;
        Modified = record.Modified;
        Changed = record.Changed;
        Marked = (record.Flags & InodeFlags.SizeUnrecorded) != 0;
        Loaded = true;
    }

    /// <summary>Becomes as it was when it was made. Under the monitor, while it is idle.</summary>
    public void Forget()
    {
        Loaded = Reaping = Marked = false;
        WriteOpens = 0;
        LastWriteFlush = LastSyncTimestamp = UnsyncedBytes = 0;
    }

    /// <summary>Puts what is newer here than in the metadata into a record on its way to a caller. Under the monitor.</summary>
    public void Overlay(ref InodeRecord record)
    {
        if (!Loaded || record.Kind != InodeKind.File)
            return;
        if (SizeDirty)
        {
            record.SizeBytes = SizeBytes;
            record.AllocatedBytes = AllocatedBytes;
        }

        if (TimesDirty)
        {
            record.Accessed = Accessed;
            record.Modified = Modified;
            if (Changed.CompareTo(record.Changed) > 0)
                record.Changed = Changed;
        }
    }

    /// <summary>
    /// What is to be recorded now, in flush number <paramref name="flush"/>; final when nothing can be in flight behind it and all data is on the disk.
    /// Under the monitor.
    /// </summary>
    public SizeUpdate TakeUpdate(long flush) => new()
    {
        Inode = Inode,
        SizeBytes = SizeBytes,
        AllocatedBytes = AllocatedBytes,
        Accessed = Accessed,
        Modified = Modified,
        Changed = Changed,
        Final = WriteOpens == 0 && WritesInFlight == 0 && LastWriteFlush < flush,
    };

    /// <summary>The update has been applied. Under the same hold of the monitor as <see cref="TakeUpdate"/>.</summary>
    public void Recorded(in SizeUpdate update)
    {
        SizeDirty = TimesDirty = false;
        if (update.Final)
            Marked = false;
    }

    public void EnterShared()
    {
        lock (this)
        {
            while (_active < 0 || _waitingExclusive > 0)
                Monitor.Wait(this);
            _active++;
        }
    }

    public void ExitShared()
    {
        lock (this)
        {
            if (--_active == 0 && _waitingExclusive > 0)
                Monitor.PulseAll(this);
        }
    }

    public void EnterExclusive()
    {
        lock (this)
        {
            _waitingExclusive++;
            while (_active != 0)
                Monitor.Wait(this);
            _waitingExclusive--;
            _active = -1;
        }
    }

    public void ExitExclusive()
    {
        lock (this)
        {
            _active = 0;
            Monitor.PulseAll(this);
        }
    }
}
