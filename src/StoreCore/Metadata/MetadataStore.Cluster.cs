using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Answers of repeated requests, exports and the secret of the cluster.</summary>
public sealed partial class MetadataStore
{
    public bool TryFindRequest(RequestId id, out RequestAnswer answer)
    {
        answer = default;
        ulong newest = Volatile.Read(ref _requests);
        if (id == RequestId.None || newest == 0 || Failure is not null)
            return false;

        try
        {
            Span<byte> key = stackalloc byte[MetadataKeys.RequestBytes], row = stackalloc byte[RequestRow.Bytes];
            ulong generation = RequestRow.GenerationOf(newest);
            for (int back = 0; back < 2 && (ulong)back <= generation; back++)
            {
                int length = _kv.Get(KvTable.Requests, MetadataKeys.Request(key, generation - (ulong)back, id), row);
                if (length >= 0)
                    return RequestRow.TryDecode(row[..Math.Min(length, row.Length)], out answer);
            }

            return false;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return false;
        }
    }

    public FsStatus ListExports(out IReadOnlyList<ExportDefinition> exports)
    {
        exports = [];
        if (Failure is not null)
            return FsStatus.Stopped;

        try
        {
            exports = _reader.ListExports();
            return FsStatus.Ok;
        }
        catch (Exception e) when (IsFatal(e))
        {
            return FsStatus.Stopped;
        }
    }

    public FsStatus PutExport(ExportDefinition wanted, out ExportDefinition? stored)
    {
        ExportDefinition? kept = null;
        FsStatus status = ChangeStable(() => _core.PutExport(wanted, out kept));
        stored = kept;
        return status;
    }

    public FsStatus RemoveExport(uint id) => ChangeStable(() => _core.RemoveExport(id));

    public FsStatus BeginLockService(out int life, out IReadOnlyList<LockClient> earlier)
    {
        int begun = 0;
        IReadOnlyList<LockClient> clients = [];
        FsStatus status = ChangeStable(() =>
        {
            clients = _reader.ListLockClients();
            return _core.BeginLockService(out begun);
        });
        (life, earlier) = (begun, clients);
        return status;
    }

    public FsStatus PutLockClient(LockClient client) => ChangeStable(() => _core.PutLockClient(client));

    public FsStatus RemoveLockClient(uint id) => ChangeStable(() => _core.RemoveLockClient(id));

    /// <summary>A change that comes rarely, stable on return.</summary>
    private FsStatus ChangeStable(Func<FsStatus> prepare)
    {
        FsStatus status;
        lock (_writer)
        {
            try
            {
                status = Begin() ? Commit(prepare()) : FsStatus.Stopped;
            }
            catch (Exception e) when (StopsWriter(e))
            {
                status = FsStatus.Stopped;
            }
        }

        return status == FsStatus.Ok ? Sync() : status;
    }

    public FsStatus GetSecret(ReadOnlySpan<byte> candidate, Span<byte> secret)
    {
        lock (_writer)
        {
            try
            {
                FsStatus status = Begin() ? Commit(_core.MakeSecret(candidate)) : FsStatus.Stopped;
                if (status != FsStatus.Ok)
                    return status;
                int length = _reader.GetCluster(ClusterKind.Secret, 0, secret);
                if (length != Limits.SecretBytes || length > secret.Length)
                    throw new MetadataException($"metadata is damaged: the secret of the cluster has {length} bytes; run gatewayctl fsck --repair");
            }
            catch (Exception e) when (StopsWriter(e))
            {
                return FsStatus.Stopped;
            }
        }

        return Sync();
    }
}
