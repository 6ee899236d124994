using StoreCore.Metadata;
using StoreCore.Primitives;

namespace StoreCore.Tests.Metadata;

/// <summary>
/// A POSIX tree in dictionaries, written from the manual pages and not from the store: what the store must look like after the same operations by root.
/// </summary>
internal sealed class ModelTree
{
    private const uint SetGid = 0x400;

    public ModelTree(InodeRecord root) => Inodes.Add(root.Inode, new Node { Record = root, Names = [] });

    private ModelTree()
    {
    }

    public SortedDictionary<InodeId, Node> Inodes { get; private init; } = [];

    public SortedSet<InodeId> Purging { get; private init; } = [];

    public sealed class Node
    {
        public InodeRecord Record;
        public string Target = "";
        public Dictionary<string, InodeId>? Names;
        public SortedDictionary<string, byte[]> Xattrs = [];
        public ulong? Cut;

        public Node Clone() => new()
        {
            Record = Record,
            Target = Target,
            Names = Names is null ? null : new(Names),
            Xattrs = new(Xattrs),
            Cut = Cut,
        };
    }

    public ModelTree Clone() => new()
    {
        Inodes = new(Inodes.ToDictionary(pair => pair.Key, pair => pair.Value.Clone())),
        Purging = [.. Purging],
    };

    public FsStatus Create(InodeId parent, string name, uint mode, string target, InodeId inode, uint generation, Timestamp now)
    {
        FsStatus status = Directory(parent, out Node? directory);
        if (status != FsStatus.Ok)
            return status;
        if (directory!.Names!.ContainsKey(name))
            return FsStatus.Exists;
        if (directory.Record.Links == 0)
            return FsStatus.NotFound;
        Node node = New(directory, mode, inode, generation, now);
        node.Target = target;
        node.Record.SizeBytes = (ulong)target.Length;
        node.Record.Links = 1;
        if (node.Record.IsDirectory)
        {
            node.Names = [];
            node.Record.Links = 2;
            node.Record.Parent = parent;
        }

        Enter(directory, name, node, now);
        return FsStatus.Ok;
    }

    public FsStatus CreateUnlinked(InodeId parent, uint mode, InodeId inode, uint generation, Timestamp now)
    {
        FsStatus status = Directory(parent, out Node? directory);
        if (status != FsStatus.Ok)
            return status;
        if (directory!.Record.Links == 0)
            return FsStatus.NotFound;
        New(directory, mode, inode, generation, now);
        return FsStatus.Ok;
    }

    public FsStatus Link(InodeId inode, InodeId parent, string name, Timestamp now)
    {
        FsStatus status = Directory(parent, out Node? directory);
        if (status != FsStatus.Ok)
            return status;
        if (!Inodes.TryGetValue(inode, out Node? node))
            return FsStatus.Stale;
        if (directory!.Names!.ContainsKey(name))
            return FsStatus.Exists;
        if (directory.Record.Links == 0)
            return FsStatus.NotFound;
        if (node.Record.IsDirectory)
            return FsStatus.NotPermitted;
        node.Record.Links++;
        node.Record.Changed = now;
        Enter(directory, name, node, now);
        return FsStatus.Ok;
    }

    public FsStatus Remove(InodeId parent, string name, bool wantDirectory, Timestamp now)
    {
        FsStatus status = Directory(parent, out Node? directory);
        if (status != FsStatus.Ok)
            return status;
        if (!directory!.Names!.TryGetValue(name, out InodeId child))
            return FsStatus.NotFound;
        Node node = Inodes[child];
        if (node.Record.IsDirectory != wantDirectory)
            return wantDirectory ? FsStatus.NotDirectory : FsStatus.IsDirectory;
        if (node.Names?.Count > 0)
            return FsStatus.NotEmpty;
        Leave(directory, name, now);
        Unlink(node, now);
        return FsStatus.Ok;
    }

    public FsStatus Rename(InodeId parent, string name, InodeId newParent, string newName, RenameFlags flags, Timestamp now)
    {
        FsStatus status = Directory(parent, out Node? from);
        if (status != FsStatus.Ok)
            return status;
        status = Directory(newParent, out Node? to);
        if (status != FsStatus.Ok)
            return status;
        if (!from!.Names!.TryGetValue(name, out InodeId source))
            return FsStatus.NotFound;
        bool exists = to!.Names!.TryGetValue(newName, out InodeId target);
        if (exists && flags == RenameFlags.NoReplace)
            return FsStatus.Exists;
        if (!exists && flags == RenameFlags.Exchange)
            return FsStatus.NotFound;
        if (IsAncestor(source, newParent) || (flags == RenameFlags.Exchange && IsAncestor(target, parent)))
            return FsStatus.Invalid;
        if (exists && source == target)
            return FsStatus.Ok;
        if (to.Record.Links == 0)
            return FsStatus.NotFound;

        Node moved = Inodes[source];
        if (flags == RenameFlags.Exchange)
        {
            Node other = Inodes[target];
            Leave(from, name, now);
            Leave(to, newName, now);
            Enter(to, newName, moved, now);
            Enter(from, name, other, now);
            other.Record.Changed = now;
        }
        else
        {
            if (exists)
            {
                Node victim = Inodes[target];
                if (moved.Record.IsDirectory != victim.Record.IsDirectory)
                    return moved.Record.IsDirectory ? FsStatus.NotDirectory : FsStatus.IsDirectory;
                if (victim.Names?.Count > 0)
                    return FsStatus.NotEmpty;
                Leave(to, newName, now);
                Unlink(victim, now);
            }

            Leave(from, name, now);
            Enter(to, newName, moved, now);
        }

        moved.Record.Changed = now;
        return FsStatus.Ok;
    }

    public FsStatus SetMode(InodeId inode, uint mode, Timestamp now)
    {
        if (!Inodes.TryGetValue(inode, out Node? node))
            return FsStatus.Stale;
        if (node.Record.Kind == InodeKind.Symlink)
            return FsStatus.NotSupported;
        node.Record.Mode = (node.Record.Mode & 0xF000) | mode;
        node.Record.Changed = now;
        return FsStatus.Ok;
    }

    public FsStatus SetSize(InodeId inode, ulong size, Timestamp now)
    {
        if (!Inodes.TryGetValue(inode, out Node? node))
            return FsStatus.Stale;
        if (node.Record.Kind != InodeKind.File)
            return node.Record.IsDirectory ? FsStatus.IsDirectory : FsStatus.Invalid;
        if (size < node.Record.SizeBytes || (node.Record.Flags & InodeFlags.SizeUnrecorded) != 0)
            node.Cut = Math.Min(node.Cut ?? size, size);
        node.Record.Flags |= node.Cut is null ? 0 : InodeFlags.Truncating;
        node.Record.SizeBytes = size;
        node.Record.Modified = now;
        node.Record.Changed = now;
        return FsStatus.Ok;
    }

    public FsStatus TruncateDone(InodeId inode, long allocated)
    {
        if (!Inodes.TryGetValue(inode, out Node? node))
            return FsStatus.Stale;
        node.Cut = null;
        node.Record.Flags &= ~InodeFlags.Truncating;
        node.Record.AllocatedBytes = allocated;
        return FsStatus.Ok;
    }

    public FsStatus SetXattr(InodeId inode, string name, byte[] value, Timestamp now)
    {
        if (!Inodes.TryGetValue(inode, out Node? node))
            return FsStatus.Stale;
        if (node.Record.Kind is not (InodeKind.File or InodeKind.Directory))
            return FsStatus.NotPermitted;
        node.Xattrs[name] = value;
        node.Record.Flags |= InodeFlags.HasXattrs;
        node.Record.Changed = now;
        return FsStatus.Ok;
    }

    public FsStatus RemoveXattr(InodeId inode, string name, Timestamp now)
    {
        if (!Inodes.TryGetValue(inode, out Node? node))
            return FsStatus.Stale;
        if (node.Record.Kind is not (InodeKind.File or InodeKind.Directory))
            return FsStatus.NotPermitted;
        if (!node.Xattrs.Remove(name))
            return FsStatus.NoData;
        if (node.Xattrs.Count == 0)
            node.Record.Flags &= ~InodeFlags.HasXattrs;
        node.Record.Changed = now;
        return FsStatus.Ok;
    }

    public FsStatus BeginExtending(InodeId inode)
    {
        if (!Inodes.TryGetValue(inode, out Node? node))
            return FsStatus.Stale;
        if (node.Record.Kind != InodeKind.File)
            return FsStatus.Invalid;
        node.Record.Flags |= InodeFlags.SizeUnrecorded;
        return FsStatus.Ok;
    }

    public FsStatus RecordSize(in SizeUpdate update)
    {
        if (!Inodes.TryGetValue(update.Inode, out Node? node) || node.Record.Kind != InodeKind.File)
            return FsStatus.Ok;
        node.Record.SizeBytes = update.SizeBytes;
        node.Record.AllocatedBytes = update.AllocatedBytes;
        (node.Record.Accessed, node.Record.Modified, node.Record.Changed) = (update.Accessed, update.Modified, update.Changed);
        if (update.Final)
            node.Record.Flags &= ~InodeFlags.SizeUnrecorded;
        return FsStatus.Ok;
    }

    public FsStatus Reap(InodeId[] inodes)
    {
        foreach (InodeId inode in inodes)
        {
            if (!Inodes.TryGetValue(inode, out Node? node) || node.Record.Links != 0)
                continue;
            Inodes.Remove(inode);
            bool hasBlocks = node.Record.SizeBytes != 0 || node.Record.AllocatedBytes != 0 || node.Cut is not null || (node.Record.Flags & InodeFlags.SizeUnrecorded) != 0;
            if (node.Record.Kind == InodeKind.File && hasBlocks)
                Purging.Add(inode);
        }

        return FsStatus.Ok;
    }

    public FsStatus PurgeDone(InodeId[] inodes)
    {
        Purging.ExceptWith(inodes);
        return FsStatus.Ok;
    }

    private Node New(Node directory, uint mode, InodeId inode, uint generation, Timestamp now)
    {
        var node = new Node
        {
            Record = new InodeRecord { Inode = inode, Generation = generation, Mode = mode, Accessed = now, Modified = now, Changed = now, Born = now },
        };
        if ((directory.Record.Mode & SetGid) != 0)
        {
            node.Record.Gid = directory.Record.Gid;
            node.Record.Mode |= node.Record.IsDirectory ? SetGid : 0;
        }

        Inodes.Add(inode, node);
        return node;
    }

    private FsStatus Directory(InodeId inode, out Node? directory) =>
        !Inodes.TryGetValue(inode, out directory) ? FsStatus.Stale : directory.Names is null ? FsStatus.NotDirectory : FsStatus.Ok;

    private void Enter(Node directory, string name, Node child, Timestamp now)
    {
        directory.Names!.Add(name, child.Record.Inode);
        if (child.Record.IsDirectory)
            child.Record.Parent = directory.Record.Inode;
        Count(directory, now);
    }

    private void Leave(Node directory, string name, Timestamp now)
    {
        directory.Names!.Remove(name);
        Count(directory, now);
    }

    private void Count(Node directory, Timestamp now)
    {
        directory.Record.SizeBytes = (ulong)directory.Names!.Count;
        directory.Record.Links = 2 + (uint)directory.Names.Values.Count(child => Inodes[child].Record.IsDirectory);
        (directory.Record.Modified, directory.Record.Changed) = (now, now);
    }

    private static void Unlink(Node node, Timestamp now)
    {
        node.Record.Links = node.Record.IsDirectory ? 0 : node.Record.Links - 1;
        node.Record.Changed = now;
    }

    private bool IsAncestor(InodeId ancestor, InodeId inode)
    {
        while (inode != ancestor)
        {
            if (inode == InodeId.Root || !Inodes.TryGetValue(inode, out Node? node))
                return false;
            inode = node.Record.Parent;
        }

        return Inodes[ancestor].Record.IsDirectory;
    }
}
