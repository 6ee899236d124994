using System.Buffers.Binary;
using StoreCore.Kv;

namespace StoreCore.Metadata;

/// <summary>The tables that are not about inodes: answers of requests, and what the cluster shares.</summary>
public sealed partial class MetadataCheck
{
    private void CheckRequests()
    {
        ulong newest = RequestRow.GenerationOf(_state.Requests);
        long done = 0;
        using IKvIterator rows = _reader.Rows(KvTable.Requests);
        while (!_isStopped && rows.Next())
        {
            Progress("requests", ++done);
            byte[] key = rows.Key.ToArray();
            ulong generation = key.Length == MetadataKeys.RequestBytes ? BinaryPrimitives.ReadUInt64BigEndian(key) : ulong.MaxValue;
            bool isPossible = _state.Requests > 0 && generation <= newest && newest - generation <= 1
                && RequestRow.TryDecode(rows.Value, out RequestAnswer answer) && answer.Sequence.Value <= _state.Sequence.Value;
            if (!isPossible)
                Find(default, $"the answer kept for request {Show(key)} is none that this store can have given", repair => repair.DropRow(KvTable.Requests, key));
        }
    }

    private void CheckCluster()
    {
        uint last = 0, next = 1;
        var paths = new HashSet<string>();
        using IKvIterator rows = _reader.Rows(KvTable.Cluster);
        while (!_isStopped && rows.Next())
        {
            byte[] key = rows.Key.ToArray();
            var kind = (ClusterKind)key[0];
            uint number = key.Length == MetadataKeys.ClusterBytes ? BinaryPrimitives.ReadUInt32BigEndian(key.AsSpan(1)) : uint.MaxValue;
            if (key.Length != MetadataKeys.ClusterBytes || !ClusterRow.IsValid(kind, number, rows.Value))
            {
                Find(default, $"the row {Show(key)} of the Cluster table cannot be read", repair => repair.DropRow(KvTable.Cluster, key));
                continue;
            }

            if (kind == ClusterKind.NextExport)
            {
                next = BinaryPrimitives.ReadUInt32LittleEndian(rows.Value);
            }
            else if (kind == ClusterKind.Export && ExportRow.TryDecode(number, rows.Value, out ExportDefinition? export))
            {
                last = number;
                if (!paths.Add(export!.Path))
                    Find(default, $"export {number} has a path that an earlier one has too", repair => repair.DropRow(KvTable.Cluster, key));
            }
        }

        if (last >= next)
            Find(default, $"export {last} exists, but the next new one would be {next}", repair => repair.SetNextExport(last + 1));
    }
}
