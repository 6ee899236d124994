using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>
/// The metadata state machine without clock, thread or I/O. <em>Prepare</em> (one method for each operation of <see cref="IMetadata"/>) validates against a view of the
/// state and writes an op record that holds every choice: numbers, cookies, times and the rows as they will be. <em>Apply</em> turns a record into row changes,
/// reading nothing. An active server prepares and applies, a standby only applies. One thread at a time.
/// </summary>
internal sealed partial class MetadataCore(IMetadataView view)
{
    private readonly IMetadataView _view = view;
    private readonly OpRecordBuilder _record = new();
    private readonly byte[] _acl = new byte[PosixAcl.MaxBytes];
    private readonly byte[] _names = new byte[Limits.MaxXattrListBytes + 1];
    private MetadataState _state;
    private Timestamp _now;
    private OpKind _kind;

    /// <summary>Starts an operation on the state after <paramref name="state"/>.Sequence, at the time <paramref name="now"/>.</summary>
    /// <param name="request">The id of the client's request, whose answer the record is to keep; none where nobody repeats it.</param>
    public void Begin(in MetadataState state, Timestamp now, RequestId request = default)
    {
        _state = state;
        _now = now;
        if (request == RequestId.None)
            _record.Begin();
        else
            _record.Begin(request, _state.Requests + 1);
    }

    /// <summary>The record of the operation that was prepared with success; empty where it changes nothing. Valid until the next <see cref="Begin"/>.</summary>
    public ReadOnlySpan<byte> Finish() => _record.HasEffects
        ? _record.Finish(_kind, new LogIndex(_state.Sequence.Value + 1), _state.Term, _now, _state.NextInode, _state.Inodes)
        : default;

    /// <summary>Prepares the first record of a log: the empty file system with its root directory (mode 0755, owned by uid 0).</summary>
    public void Format(Guid fileSystemId)
    {
        _kind = OpKind.Format;
        _state.Term = new Term(1);
        _state.NextInode = MetadataState.FirstInode;
        _state.Inodes = 1;
        _record.Format(fileSystemId);
        _record.PutInode(new InodeRecord
        {
            Inode = InodeId.Root,
            Generation = NewGeneration(),
            Mode = ((uint)InodeKind.Directory << 12) | 0x1ED,
            Links = 2,
            Parent = InodeId.Root,
            NextCookie = Limits.FirstEntryCookie,
            Accessed = _now,
            Modified = _now,
            Changed = _now,
            Born = _now,
        });
    }

    /// <summary>
    /// Adds the row changes of a record and the record itself to a batch, and moves the state on. The caller adds the superblock row
    /// (<see cref="MetadataState.Save"/>) once to each batch.
    /// </summary>
    /// <exception cref="MetadataException">The record does not follow the state, or is damaged: nothing of the batch may be used.</exception>
    public static void Apply(OpRecord record, ref MetadataState state, KvBatch batch)
    {
        ulong sequence = record.Sequence.Value;
        if (sequence != state.Sequence.Value + 1)
            throw new MetadataException($"op record {sequence} does not follow {state.Sequence.Value}, the last one applied");
        if (record.Term.CompareTo(state.Term) < 0)
            throw new MetadataException($"op record {sequence} is of term {record.Term.Value}, which ended before term {state.Term.Value}");

        Span<byte> key = stackalloc byte[MetadataKeys.MaxBytes];
        Span<byte> row = stackalloc byte[EntryRow.MaxBytes];
        OpRecord.EffectReader effects = record.Effects;
        while (effects.Next())
        {
            switch (effects.Effect)
            {
                case OpEffect.PutInode:
                    batch.Put(KvTable.Inodes, MetadataKeys.Inode(key, effects.Inode), effects.Value);
                    break;
                case OpEffect.DeleteInode:
                    batch.Delete(KvTable.Inodes, MetadataKeys.Inode(key, effects.Inode));
                    break;
                case OpEffect.PutEntry:
                    NameRow entry = effects.Entry;
                    batch.Put(KvTable.Names, MetadataKeys.Named(key, effects.Inode, effects.Name), entry.Encode(row));
                    batch.Put(
                        KvTable.Entries, MetadataKeys.Entry(key, effects.Inode, entry.Cookie),
                        new EntryRow(entry.Child, entry.Kind, effects.Name).Encode(row));
                    break;
                case OpEffect.DeleteEntry:
                    batch.Delete(KvTable.Names, MetadataKeys.Named(key, effects.Inode, effects.Name));
                    batch.Delete(KvTable.Entries, MetadataKeys.Entry(key, effects.Inode, effects.Entry.Cookie));
                    break;
                case OpEffect.PutXattr:
                    batch.Put(KvTable.Xattrs, MetadataKeys.Named(key, effects.Inode, effects.Name), effects.Value);
                    break;
                case OpEffect.DeleteXattr:
                    batch.Delete(KvTable.Xattrs, MetadataKeys.Named(key, effects.Inode, effects.Name));
                    break;
                case OpEffect.PutPending:
                    BinaryPrimitives.WriteUInt64LittleEndian(row, effects.Number);
                    batch.Put(KvTable.Pending, MetadataKeys.Pending(key, effects.Pending, effects.Inode), row[..sizeof(ulong)]);
                    break;
                case OpEffect.DeletePending:
                    batch.Delete(KvTable.Pending, MetadataKeys.Pending(key, effects.Pending, effects.Inode));
                    break;
                case OpEffect.Format when sequence == 1:
                    state.FileSystemId = new Guid(effects.Value, bigEndian: true);
                    break;
                case OpEffect.PutCluster:
                    batch.Put(KvTable.Cluster, MetadataKeys.Cluster(key, effects.Cluster, (uint)effects.Number), effects.Value);
                    break;
                case OpEffect.DeleteCluster:
                    batch.Delete(KvTable.Cluster, MetadataKeys.Cluster(key, effects.Cluster, (uint)effects.Number));
                    break;
                case OpEffect.DeleteRow when record.Kind == OpKind.Repair && IsMendable(effects.Number):
                    batch.Delete((KvTable)effects.Number, effects.Name);
                    break;
                default:
                    throw new MetadataException($"op record {sequence} holds the effect {effects.Effect}, which has no place there");
            }
        }

        if (!record.Request.IsEmpty)
            ApplyRequest(record, ref state, batch);
        batch.Put(KvTable.OpLog, MetadataKeys.LogRecord(key, sequence), record.Encoded);
        state.Log.Add(sequence, record.Encoded.Length, batch);
        state.Sequence = record.Sequence;
        state.Term = record.Term;
        state.NextInode = record.NextInode;
        state.Inodes = record.Inodes;
    }

    /// <summary>Keeps the answer; where a generation begins, drops the one before the last.</summary>
    private static void ApplyRequest(OpRecord record, ref MetadataState state, KvBatch batch)
    {
        if (record.RequestNumber != state.Requests + 1)
            throw new MetadataException($"op record {record.Sequence.Value} counts {record.RequestNumber} requests, {state.Requests} came before it");

        Span<byte> key = stackalloc byte[MetadataKeys.RequestBytes], upper = stackalloc byte[sizeof(ulong)], row = stackalloc byte[RequestRow.Bytes];
        ulong generation = RequestRow.GenerationOf(record.RequestNumber);
        if (generation > 1 && generation != RequestRow.GenerationOf(state.Requests))
            batch.DeleteRange(KvTable.Requests, MetadataKeys.Requests(key, 0), MetadataKeys.Requests(upper, generation - 1));
        batch.Put(
            KvTable.Requests, MetadataKeys.Request(key, generation, record.RequestId),
            new RequestRow(record.Kind, record.RequestInode, record.Sequence).Encode(row));
        state.Requests = record.RequestNumber;
    }

    /// <summary>Tables of which the offline repair may delete any row.</summary>
    private static bool IsMendable(ulong table) =>
        table is (> (ulong)KvTable.System and < (ulong)KvTable.OpLog) or (ulong)KvTable.Requests or (ulong)KvTable.Cluster;

    /// <summary>Fixed for the life of an inode, and another one if the same number were ever given in another term.</summary>
    private uint NewGeneration()
    {
        ulong mixed = ((_state.Sequence.Value + 1) ^ (_state.Term.Value << 40)) * 0x9E3779B97F4A7C15;
        return (uint)(mixed >> 32) | 1;
    }

    private FsStatus Load(InodeId inode, out InodeRecord record) => _view.TryGetInode(inode, out record) ? FsStatus.Ok : FsStatus.Stale;

    /// <summary>A directory that the caller may search.</summary>
    private FsStatus LoadDirectory(in Caller caller, InodeId inode, out InodeRecord directory)
    {
        FsStatus status = Load(inode, out directory);
        if (status != FsStatus.Ok)
            return status;
        if (!directory.IsDirectory)
            return FsStatus.NotDirectory;
        return Allows(directory, caller, AccessKinds.Execute) ? FsStatus.Ok : FsStatus.AccessDenied;
    }

    private bool Allows(in InodeRecord inode, in Caller caller, AccessKinds wanted)
    {
        ReadOnlySpan<byte> acl = default;
        if (!caller.Trusted && (inode.Flags & InodeFlags.HasAccessAcl) != 0)
            acl = LoadAcl(inode.Inode, PosixAcl.AccessName);
        return Permissions.Allows(inode, acl, caller, wanted);
    }

    /// <summary>The list in the scratch buffer, where it may be changed; empty where there is none.</summary>
    private Span<byte> LoadAcl(InodeId inode, ReadOnlySpan<byte> name)
    {
        int length = _view.GetXattr(inode, name, _acl);
        if (length > _acl.Length)
            throw new MetadataException($"metadata is damaged: an ACL of inode {inode} has {length} bytes; run gatewayctl fsck --repair");
        return _acl.AsSpan(0, Math.Max(length, 0));
    }

    internal static FsStatus CheckName(ReadOnlySpan<byte> name)
    {
        if (name.Length > Limits.MaxNameBytes)
            return FsStatus.NameTooLong;
        bool isValid = !name.IsEmpty && name.IndexOfAny((byte)0, (byte)'/') < 0 && !name.SequenceEqual("."u8) && !name.SequenceEqual(".."u8);
        return isValid ? FsStatus.Ok : FsStatus.Invalid;
    }
}
