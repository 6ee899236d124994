using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Fuse;

/// <summary>
/// A small file system in memory, for tests and for measuring the front end alone. One lock per inode and one for names; no permissions, no
/// limits. With <c>discard</c> data is not kept: writes move the size, reads give zeros.
/// </summary>
internal sealed partial class MemoryVfs : IVfs
{
    private const int PageBytes = 1 << 16;

    private readonly ConcurrentDictionary<ulong, Node> _nodes = new();
    private readonly Lock _names = new();
    private readonly bool _discard;
    private readonly TimeProvider _clock;
    private long _nextInode = 1;

    public MemoryVfs(bool discard = false, TimeProvider? clock = null)
    {
        _discard = discard;
        _clock = clock ?? TimeProvider.System;
        Node root = NewNode(0x41FF, 0, 0);
        root.Record.Parent = root.Record.Inode;
    }

    public long Opens;

    /// <summary>Runs inside each <see cref="Sync"/>.</summary>
    public Action? BeforeSync { get; set; }

    /// <summary>Runs before each <see cref="Make"/>.</summary>
    public Action? BeforeMake { get; set; }

    private List<IVfsObserver> _observers = [];

    public FsStatus Lookup(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord attributes)
    {
        attributes = default;
        if (!_nodes.TryGetValue(parent.Value, out Node? node))
            return FsStatus.Stale;
        if (node.Names is null)
            return FsStatus.NotDirectory;
        if (name.Length > 255)
            return FsStatus.NameTooLong;
        if (name.SequenceEqual("."u8) || name.SequenceEqual(".."u8))
            return GetAttributes(name.Length == 1 ? parent : node.Record.Parent, out attributes);
        ulong child;
        lock (node)
        {
            if (!node.Names.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out var entry))
                return FsStatus.NotFound;
            child = entry.Inode;
        }

        return GetAttributes(new InodeId(child), out attributes);
    }

    public FsStatus GetAttributes(InodeId inode, out InodeRecord attributes)
    {
        attributes = default;
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        lock (node)
            attributes = node.Record;
        return FsStatus.Ok;
    }

    public FsStatus SetAttributes(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord attributes)
    {
        attributes = default;
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        lock (node)
        {
            ref InodeRecord record = ref node.Record;
            Timestamp now = Timestamp.Now(_clock);
            if ((change.Mask & AttributeMask.Size) != 0)
            {
                if (change.SizeBytes > StoreCore.Limits.MaxFileSizeBytes)
                    return FsStatus.TooLarge;
                node.Truncate(change.SizeBytes);
                record.Modified = now;
            }

            if ((change.Mask & AttributeMask.Mode) != 0)
                record.Mode = (record.Mode & ~0xFFFu) | change.Mode;
            if ((change.Mask & AttributeMask.Uid) != 0)
                record.Uid = change.Uid;
            if ((change.Mask & AttributeMask.Gid) != 0)
                record.Gid = change.Gid;
            if ((change.Mask & AttributeMask.Accessed) != 0)
                record.Accessed = change.Accessed;
            if ((change.Mask & AttributeMask.AccessedNow) != 0)
                record.Accessed = now;
            if ((change.Mask & AttributeMask.Modified) != 0)
                record.Modified = change.Modified;
            if ((change.Mask & AttributeMask.ModifiedNow) != 0)
                record.Modified = now;
            if ((change.Mask & AttributeMask.Flags) != 0)
                record.Flags = change.Flags;
            if ((change.Mask & AttributeMask.KillPrivileges) != 0)
                record.Mode &= ~0x800u;
            record.Changed = now;
            attributes = record;
        }

        Changed(inode, 0, 0, caller.Origin);
        return FsStatus.Ok;
    }

    public FsStatus Access(in Caller caller, InodeId inode, VfsAccess wanted, out VfsAccess granted)
    {
        granted = wanted;
        return FsStatus.Ok;
    }

    public FsStatus ReadLink(in Caller caller, InodeId inode, Span<byte> target, out int lengthBytes)
    {
        lengthBytes = 0;
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        if (node.Target is null)
            return FsStatus.Invalid;
        if (node.Target.Length > target.Length)
            return FsStatus.OutOfRange;
        node.Target.CopyTo(target);
        lengthBytes = node.Target.Length;
        return FsStatus.Ok;
    }

    public FsStatus Make(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, out InodeRecord attributes)
    {
        BeforeMake?.Invoke();
        attributes = default;
        if (!_nodes.TryGetValue(parent.Value, out Node? directory))
            return FsStatus.Stale;
        lock (_names)
        {
            if (directory.Names is null)
                return FsStatus.NotDirectory;
            if (name.Length is 0 or > 255)
                return name.Length == 0 ? FsStatus.NotFound : FsStatus.NameTooLong;
            lock (directory)
            {
                if (directory.Names.GetAlternateLookup<ReadOnlySpan<byte>>().ContainsKey(name))
                    return FsStatus.Exists;
            }

            Node node = NewNode(spec.Mode & ~spec.Umask, caller.Uid, caller.Gid);
            if (node.Record.Kind == InodeKind.Symlink)
            {
                node.Target = spec.Target.ToArray();
                node.Record.SizeBytes = (ulong)spec.Target.Length;
            }

            node.Record.Device = spec.Device;
            node.Record.Parent = parent;
            AddName(directory, name, node);
            attributes = node.Record;
        }

        NameChanged(parent, name, default, caller.Origin);
        return FsStatus.Ok;
    }

    public FsStatus Create(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, VfsOpenFlags flags, out InodeRecord attributes, out bool created)
    {
        FsStatus status = Make(caller, parent, name, spec, out attributes);
        created = status == FsStatus.Ok;
        if (status == FsStatus.Exists && (flags & VfsOpenFlags.Exclusive) == 0)
            status = Lookup(caller, parent, name, out attributes);
        return status == FsStatus.Ok ? Open(caller, attributes.Inode, flags, out attributes) : status;
    }

    public FsStatus CreateUnlinked(in Caller caller, InodeId directory, in NewInode spec, VfsOpenFlags flags, out InodeRecord attributes)
    {
        Node node = NewNode(spec.Mode & ~spec.Umask, caller.Uid, caller.Gid);
        node.Record.Links = 0;
        return Open(caller, node.Record.Inode, flags, out attributes);
    }

    public FsStatus Link(in Caller caller, InodeId inode, InodeId newParent, ReadOnlySpan<byte> newName, out InodeRecord attributes)
    {
        attributes = default;
        if (newName.Length > 255)
            return FsStatus.NameTooLong;
        lock (_names)
        {
            if (!_nodes.TryGetValue(inode.Value, out Node? node) || !_nodes.TryGetValue(newParent.Value, out Node? directory))
                return FsStatus.Stale;
            if (node.Names is not null)
                return FsStatus.NotPermitted;
            if (directory.Names is null)
                return FsStatus.NotDirectory;
            if (directory.Names.ContainsKey(newName.ToArray()))
                return FsStatus.Exists;
            lock (node)
            {
                node.Record.Links++;
                attributes = node.Record;
            }

            AddName(directory, newName, node, counted: true);
        }

        NameChanged(newParent, newName, default, caller.Origin);
        return FsStatus.Ok;
    }

    public FsStatus Unlink(in Caller caller, InodeId parent, ReadOnlySpan<byte> name) => Remove(caller, parent, name, directory: false);

    public FsStatus RemoveDirectory(in Caller caller, InodeId parent, ReadOnlySpan<byte> name) => Remove(caller, parent, name, directory: true);

    public FsStatus Rename(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, InodeId newParent, ReadOnlySpan<byte> newName, RenameFlags flags)
    {
        if (name.Length > 255 || newName.Length > 255)
            return FsStatus.NameTooLong;
        lock (_names)
        {
            if (!_nodes.TryGetValue(parent.Value, out Node? from) || !_nodes.TryGetValue(newParent.Value, out Node? to))
                return FsStatus.Stale;
            if (from.Names is null || to.Names is null)
                return FsStatus.NotDirectory;
            byte[] key = name.ToArray(), newKey = newName.ToArray();
            if (!from.Names.TryGetValue(key, out var entry))
                return FsStatus.NotFound;
            bool there = to.Names.TryGetValue(newKey, out var displaced);
            if (there && flags == RenameFlags.NoReplace)
                return FsStatus.Exists;
            if (flags == RenameFlags.Exchange)
            {
                if (!there)
                    return FsStatus.NotFound;
                from.Names[key] = displaced;
                to.Names[newKey] = entry;
                return FsStatus.Ok;
            }

            if (there && displaced.Inode == entry.Inode)
                return FsStatus.Ok;
            if (there && Remove(caller, newParent, newName, _nodes[displaced.Inode].Names is not null) is var status and not FsStatus.Ok)
                return status;
            DropName(from, key);
            AddName(to, newName, _nodes[entry.Inode], counted: true);
        }

        NameChanged(parent, name, default, caller.Origin);
        NameChanged(newParent, newName, default, caller.Origin);
        return FsStatus.Ok;
    }

    public bool TryFindRequest(RequestId id, out RequestAnswer answer)
    {
        answer = default;
        return false;
    }

    public FsStatus SyncNames()
    {
        BeforeSync?.Invoke();
        return FsStatus.Ok;
    }

    public FsStatus SyncAll() => FsStatus.Ok;

    public FsStatus ReadDirectory(in Caller caller, InodeId directory, ulong cookie, bool withAttributes, IDirectorySink sink)
    {
        if (!_nodes.TryGetValue(directory.Value, out Node? node))
            return FsStatus.Stale;
        if (node.Names is null)
            return FsStatus.NotDirectory;
        (ulong Cookie, byte[] Name, ulong Inode)[] entries;
        lock (_names)
        {
            entries =
            [
                (1, "."u8.ToArray(), directory.Value), (2, ".."u8.ToArray(), node.Record.Parent.Value),
                .. node.Names.Select(static pair => (pair.Value.Cookie, pair.Key, pair.Value.Inode)),
            ];
        }

        foreach (var entry in entries.Where(entry => entry.Cookie > cookie).OrderBy(static entry => entry.Cookie))
        {
            var child = new InodeId(entry.Inode);
            if (GetAttributes(child, out InodeRecord record) == FsStatus.Ok
                && !sink.Add(entry.Cookie, child, record.Kind, entry.Name, withAttributes ? record : default))
            {
                break;
            }
        }

        return FsStatus.Ok;
    }

    public FsStatus GetXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, Span<byte> value, out int lengthBytes)
    {
        lengthBytes = 0;
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        if (node.Xattrs is null)
            return FsStatus.NoData;
        lock (node)
            return node.Xattrs.TryGetValue(name.ToArray(), out byte[]? found) ? CopyOut(found, value, out lengthBytes) : FsStatus.NoData;
    }

    public FsStatus ListXattrs(in Caller caller, InodeId inode, Span<byte> names, out int lengthBytes)
    {
        lengthBytes = 0;
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        lock (node)
            return CopyOut([.. (node.Xattrs?.Keys ?? Enumerable.Empty<byte[]>()).SelectMany(static name => name.Append((byte)0))], names, out lengthBytes);
    }

    public FsStatus SetXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, XattrSetFlags flags, bool killSetgid)
    {
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        lock (node)
        {
            node.Xattrs ??= new Dictionary<byte[], byte[]>(ByteKey.Comparer);
            bool there = node.Xattrs.ContainsKey(name.ToArray());
            if (there && (flags & XattrSetFlags.Create) != 0)
                return FsStatus.Exists;
            if (!there && (flags & XattrSetFlags.Replace) != 0)
                return FsStatus.NoData;
            node.Xattrs[name.ToArray()] = value.ToArray();
        }

        Changed(inode, 0, 0, caller.Origin);
        return FsStatus.Ok;
    }

    public FsStatus RemoveXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name)
    {
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        lock (node)
        {
            if (node.Xattrs?.Remove(name.ToArray()) != true)
                return FsStatus.NoData;
        }

        Changed(inode, 0, 0, caller.Origin);
        return FsStatus.Ok;
    }

    public VfsSpace StatFs() => new(1L << 40, 1L << 39, 1L << 39, 1 << 20, 1 << 19);

    public void Subscribe(IVfsObserver observer) => _observers = [.. _observers, observer];

    public void Unsubscribe(IVfsObserver observer) => _observers = [.. _observers.Where(other => other != observer)];

    private void Changed(InodeId inode, long offset, long lengthBytes, int origin)
    {
        foreach (IVfsObserver observer in _observers)
            observer.InodeChanged(inode, offset, lengthBytes, origin);
    }

    private void NameChanged(InodeId directory, ReadOnlySpan<byte> name, InodeId child, int origin)
    {
        foreach (IVfsObserver observer in _observers)
            observer.EntryChanged(directory, name, child, origin);
    }

    private FsStatus Remove(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, bool directory)
    {
        Node? node;
        lock (_names)
        {
            if (!_nodes.TryGetValue(parent.Value, out Node? from))
                return FsStatus.Stale;
            if (from.Names is null)
                return FsStatus.NotDirectory;
            byte[] key = name.ToArray();
            if (!from.Names.TryGetValue(key, out var entry))
                return FsStatus.NotFound;
            node = _nodes[entry.Inode];
            if (directory != node.Names is not null)
                return directory ? FsStatus.NotDirectory : FsStatus.IsDirectory;
            if (node.Names?.Count > 0)
                return FsStatus.NotEmpty;
            DropName(from, key);
            lock (node)
                node.Record.Links -= directory ? node.Record.Links : 1;
        }

        Reap(node);
        NameChanged(parent, name, node.Record.Inode, caller.Origin);
        return FsStatus.Ok;
    }

    private void Reap(Node node)
    {
        lock (node)
        {
            if (node.Record.Links == 0 && node.Opens == 0)
                _nodes.TryRemove(node.Record.Inode.Value, out _);
        }
    }

    private Node NewNode(uint mode, uint uid, uint gid)
    {
        Timestamp now = Timestamp.Now(_clock);
        var node = new Node
        {
            Record =
            {
                Inode = new InodeId((ulong)Interlocked.Increment(ref _nextInode) - 1), Generation = 1, Mode = mode, Uid = uid, Gid = gid, Links = 1,
                Accessed = now, Modified = now, Changed = now, Born = now,
            },
        };
        if (node.Record.IsDirectory)
        {
            node.Names = new Dictionary<byte[], (ulong, ulong)>(ByteKey.Comparer);
            node.Record.Links = 2;
        }

        _nodes[node.Record.Inode.Value] = node;
        return node;
    }

    private void AddName(Node directory, ReadOnlySpan<byte> name, Node child, bool counted = false)
    {
        lock (directory)
        {
            directory.Names!.Add(name.ToArray(), (directory.NextCookie++, child.Record.Inode.Value));
            directory.Record.SizeBytes++;
            directory.Record.Modified = directory.Record.Changed = Timestamp.Now(_clock);
        }
    }

    private static void DropName(Node directory, byte[] name)
    {
        lock (directory)
        {
            directory.Names!.Remove(name);
            directory.Record.SizeBytes--;
        }
    }

    private static FsStatus CopyOut(byte[] found, Span<byte> destination, out int lengthBytes)
    {
        lengthBytes = found.Length;
        if (destination.IsEmpty)
            return FsStatus.Ok;
        return found.AsSpan().TryCopyTo(destination) ? FsStatus.Ok : FsStatus.OutOfRange;
    }

    private sealed class ByteKey : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public static readonly ByteKey Comparer = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode([DisallowNull] byte[] obj) => GetHashCode(obj.AsSpan());

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            var hash = default(HashCode);
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
