using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Changes: one after the other.</summary>
public sealed partial class MetadataStore
{
    /// <summary>Inodes that one operation names at most, where a call may name any number: keeps op records around 100 KiB.</summary>
    private const int InodesPerOperation = 1024;

    public FsStatus Create(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, out InodeRecord created)
    {
        created = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.Create(caller, parent, name, spec, out created)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                created = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus CreateUnlinked(in Caller caller, InodeId directory, in NewInode spec, out InodeRecord created)
    {
        created = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.CreateUnlinked(caller, directory, spec, out created)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                created = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus Link(in Caller caller, InodeId inode, InodeId newParent, ReadOnlySpan<byte> newName, out InodeRecord record)
    {
        record = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.Link(caller, inode, newParent, newName, out record)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                record = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus Unlink(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord removed)
    {
        removed = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.Unlink(caller, parent, name, out removed)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                removed = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus RemoveDirectory(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord removed)
    {
        removed = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.RemoveDirectory(caller, parent, name, out removed)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                removed = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus Rename(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, InodeId newParent, ReadOnlySpan<byte> newName, RenameFlags flags,
        out InodeRecord moved, out InodeRecord displaced)
    {
        moved = default;
        displaced = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.Rename(caller, parent, name, newParent, newName, flags, out moved, out displaced)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                moved = default;
                displaced = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus SetAttributes(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord record)
    {
        record = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.SetAttributes(caller, inode, change, out record)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                record = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus TruncateDone(InodeId inode, long allocatedBytes)
    {
        lock (_writer)
        {
            try
            {
                return Begin() ? Commit(_core.TruncateDone(inode, allocatedBytes)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus SetXattr(
        in Caller caller, InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, XattrSetFlags flags, out InodeRecord record)
    {
        record = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.SetXattr(caller, inode, name, value, flags, out record)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                record = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus RemoveXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, out InodeRecord record)
    {
        record = default;
        lock (_writer)
        {
            try
            {
                return Begin(caller) ? Commit(_core.RemoveXattr(caller, inode, name, out record)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                record = default;
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus BeginExtending(InodeId inode)
    {
        lock (_writer)
        {
            try
            {
                return Begin() ? Commit(_core.BeginExtending(inode)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus RecordSizes(ReadOnlySpan<SizeUpdate> updates)
    {
        FsStatus status = FsStatus.Ok;
        while (!updates.IsEmpty && status == FsStatus.Ok)
        {
            status = RecordSizesSome(updates[..Math.Min(updates.Length, InodesPerOperation)]);
            updates = updates[Math.Min(updates.Length, InodesPerOperation)..];
        }

        return status;
    }

    private FsStatus RecordSizesSome(ReadOnlySpan<SizeUpdate> updates)
    {
        lock (_writer)
        {
            try
            {
                return Begin() ? Commit(_core.RecordSizes(updates)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus Reap(ReadOnlySpan<InodeId> inodes)
    {
        FsStatus status = FsStatus.Ok;
        while (!inodes.IsEmpty && status == FsStatus.Ok)
        {
            status = ReapSome(inodes[..Math.Min(inodes.Length, InodesPerOperation)]);
            inodes = inodes[Math.Min(inodes.Length, InodesPerOperation)..];
        }

        return status;
    }

    private FsStatus ReapSome(ReadOnlySpan<InodeId> inodes)
    {
        lock (_writer)
        {
            try
            {
                return Begin() ? Commit(_core.Reap(inodes)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                return FsStatus.Stopped;
            }
        }
    }

    public FsStatus PurgeDone(ReadOnlySpan<InodeId> inodes)
    {
        FsStatus status = FsStatus.Ok;
        while (!inodes.IsEmpty && status == FsStatus.Ok)
        {
            status = PurgeDoneSome(inodes[..Math.Min(inodes.Length, InodesPerOperation)]);
            inodes = inodes[Math.Min(inodes.Length, InodesPerOperation)..];
        }

        return status;
    }

    private FsStatus PurgeDoneSome(ReadOnlySpan<InodeId> inodes)
    {
        lock (_writer)
        {
            try
            {
                return Begin() ? Commit(_core.PurgeDone(inodes)) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                return FsStatus.Stopped;
            }
        }
    }

    /// <summary>
    /// Whatever ends an operation on its way leaves it half published at most: nothing may come after it. What is no failure of the store below is a
    /// broken invariant, and goes on up.
    /// </summary>
    private bool StopsWriter(Exception e)
    {
        Interlocked.CompareExchange(ref _failure, e, null);
        return IsFatal(e);
    }

    private bool Begin(in Caller caller) => Begin(caller.Request?.Id ?? RequestId.None);

    private bool Begin(RequestId request = default)
    {
        if (Failure is not null)
            return false;
        _core.Begin(_state, Timestamp.Now(_clock), request);
        return true;
    }

    /// <summary>Writes the prepared operation, log and state in one batch, and publishes it. Nothing in memory changes unless the write succeeded.</summary>
    private FsStatus Commit(FsStatus prepared)
    {
        if (prepared != FsStatus.Ok)
            return prepared;
        ReadOnlySpan<byte> encoded = _core.Finish();
        if (encoded.IsEmpty)
            return FsStatus.Ok;

        OpRecord record = OpRecord.Parse(encoded);
        MetadataState next = _state;
        _batch.Clear();
        MetadataCore.Apply(record, ref next, _batch);
        next.Save(_batch);
        Announce(record);
        _kv.Write(_batch);
        Publish(record);
        _state = next;
        Volatile.Write(ref _sequence, next.Sequence.Value);
        Volatile.Write(ref _inodes, next.Inodes);
        Volatile.Write(ref _requests, next.Requests);
        return FsStatus.Ok;
    }

    /// <summary>From here on readers of the inodes that the record changes ask the store, which shows the change all at once.</summary>
    private void Announce(OpRecord record)
    {
        OpRecord.EffectReader effects = record.Effects;
        while (effects.Next())
        {
            if (effects.Effect is OpEffect.PutInode or OpEffect.DeleteInode)
                _cache.BeginChange(effects.Inode);
        }
    }

    private void Publish(OpRecord record)
    {
        OpRecord.EffectReader effects = record.Effects;
        while (effects.Next())
        {
            if (effects.Effect == OpEffect.PutInode)
                _cache.EndChange(InodeRow.Decode(effects.Inode, effects.Value));
            else if (effects.Effect == OpEffect.DeleteInode)
                _cache.EndRemoval(effects.Inode);
        }
    }
}
