using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What the pure core reads while it prepares an operation: the state after the last applied one. Called by the writer only.</summary>
internal interface IMetadataView
{
    bool TryGetInode(InodeId inode, out InodeRecord record);

    bool TryGetName(InodeId directory, ReadOnlySpan<byte> name, out NameRow row);

    /// <summary>Length of the value, -1 where there is none; copied only where it fits. The empty name is a symlink's target.</summary>
    int GetXattr(InodeId inode, ReadOnlySpan<byte> name, Span<byte> value);

    /// <summary>
    /// Fills <paramref name="names"/> with the attribute names of the inode, each behind its length in one byte, a symlink's target included. Returns how many bytes
    /// were written. There are never more than <see cref="Limits.MaxXattrListBytes"/>.
    /// </summary>
    int ListXattrs(InodeId inode, Span<byte> names);

    /// <summary>Length of the row, -1 where there is none; copied only where it fits.</summary>
    int GetCluster(ClusterKind kind, uint number, Span<byte> row);

    /// <summary>By number.</summary>
    IReadOnlyList<ExportDefinition> ListExports();

    bool TryGetPending(PendingKind kind, InodeId inode, out ulong value);
}
