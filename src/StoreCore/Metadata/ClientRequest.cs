using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>128 bits that name one request of one client, the same each time that it is repeated and of no other request.</summary>
public readonly record struct RequestId(ulong High, ulong Low)
{
    /// <summary>A request that is never repeated: nothing is remembered of it.</summary>
    public static readonly RequestId None;
}

/// <summary>The attributes of an inode right before and right after an operation: nothing came between the two but the operation itself.</summary>
public struct AttributesAround
{
    public InodeRecord Before;

    /// <summary>Equal to <see cref="Before"/> where the operation failed or changed nothing.</summary>
    public InodeRecord After;

    /// <summary>Whether the operation got as far as this inode.</summary>
    public readonly bool IsKnown => Before.Inode != InodeId.None;

    /// <summary>The operation has reached the inode.</summary>
    public void Saw(in InodeRecord record) => Before = After = record;

    /// <summary>The operation has made it so.</summary>
    public void Became(in InodeRecord record) => After = record;
}

/// <summary>
/// Goes along with the changes of a stateless client (NFS) as <see cref="Caller.Request"/>: names the request, so that the metadata remembers what was answered, and receives
/// what such a client is told beside the answer (weak cache consistency, RFC 1813 §2.6). Captured where the change is made and under the lock that makes it, so both sides are true of one moment.
/// Owned and reused by the front end, one call at a time; callers without one (FUSE) pay nothing.
/// </summary>
public sealed class ClientRequest
{
    /// <summary>What a repetition is found by (<see cref="IMetadata.TryFindRequest"/>); kept by changes of names and attributes, not by writes of data.</summary>
    public RequestId Id;

    /// <summary>The directory whose names the operation changes; of a rename the one that the name leaves.</summary>
    public AttributesAround Directory;

    /// <summary>Of a rename: the directory that the name comes to, also where it is the same one.</summary>
    public AttributesAround NewDirectory;

    /// <summary>The inode whose attributes or data the operation changes: SETATTR and WRITE.</summary>
    public AttributesAround Object;

    /// <summary>Starts with the next call: forgets what the last one left.</summary>
    public void Begin(RequestId id = default)
    {
        Id = id;
        Directory = NewDirectory = Object = default;
    }
}
