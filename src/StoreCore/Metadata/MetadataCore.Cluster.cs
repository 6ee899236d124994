using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What the gateways of a cluster share besides files: exports and the secret.</summary>
internal sealed partial class MetadataCore
{
    public FsStatus PutExport(ExportDefinition wanted, out ExportDefinition? stored)
    {
        stored = null;
        _kind = OpKind.PutExport;
        if (ExportRow.Encode(wanted) is not { } row)
            return FsStatus.Invalid;

        int count = 0;
        bool exists = false;
        foreach (ExportDefinition there in _view.ListExports())
        {
            count++;
            if (there.Id == wanted.Id)
                exists = true;
            else if (there.Path == wanted.Path)
                return FsStatus.Exists;
        }

        stored = wanted;
        if (wanted.Id == 0)
        {
            if (count >= Limits.MaxExports)
                return FsStatus.NoSpace;
            Span<byte> next = stackalloc byte[sizeof(uint)];
            uint id = _view.GetCluster(ClusterKind.NextExport, 0, next) == next.Length ? BinaryPrimitives.ReadUInt32LittleEndian(next) : 1;
            if (id == uint.MaxValue)
                return FsStatus.NoSpace;
            BinaryPrimitives.WriteUInt32LittleEndian(next, id + 1);
            _record.PutCluster(ClusterKind.NextExport, 0, next);
            stored = wanted with { Id = id };
        }
        else if (!exists)
        {
            return FsStatus.NotFound;
        }

        _record.PutCluster(ClusterKind.Export, stored.Id, row);
        return FsStatus.Ok;
    }

    public FsStatus RemoveExport(uint id)
    {
        _kind = OpKind.RemoveExport;
        if (_view.GetCluster(ClusterKind.Export, id, default) < 0)
            return FsStatus.NotFound;
        _record.DeleteCluster(ClusterKind.Export, id);
        return FsStatus.Ok;
    }

    /// <summary>The first life is 1, each further one two more: statd's odd numbers, for a server that is up (X/Open XNFS, chapter 11).</summary>
    public FsStatus BeginLockService(out int life)
    {
        _kind = OpKind.BeginLockService;
        Span<byte> row = stackalloc byte[sizeof(uint)];
        uint before = _view.GetCluster(ClusterKind.LockLife, 0, row) == row.Length ? BinaryPrimitives.ReadUInt32LittleEndian(row) : uint.MaxValue;
        life = (int)((before + 2) & int.MaxValue);
        BinaryPrimitives.WriteUInt32LittleEndian(row, (uint)life);
        _record.PutCluster(ClusterKind.LockLife, 0, row);
        return FsStatus.Ok;
    }

    public FsStatus PutLockClient(LockClient client)
    {
        _kind = OpKind.PutLockClient;
        if (LockClientRow.Encode(client) is not { } row)
            return FsStatus.Invalid;
        _record.PutCluster(ClusterKind.LockClient, client.Id, row);
        return FsStatus.Ok;
    }

    public FsStatus RemoveLockClient(uint id)
    {
        _kind = OpKind.RemoveLockClient;
        _record.DeleteCluster(ClusterKind.LockClient, id);
        return FsStatus.Ok;
    }

    /// <summary>Makes the candidate the secret where there is none.</summary>
    public FsStatus MakeSecret(ReadOnlySpan<byte> candidate)
    {
        _kind = OpKind.MakeSecret;
        if (candidate.Length != Limits.SecretBytes)
            return FsStatus.Invalid;
        if (_view.GetCluster(ClusterKind.Secret, 0, default) < 0)
            _record.PutCluster(ClusterKind.Secret, 0, candidate);
        return FsStatus.Ok;
    }
}
