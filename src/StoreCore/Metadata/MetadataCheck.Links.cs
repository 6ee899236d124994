using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What needs the names of all directories: that each leads to an inode, how many lead to each, and that all directories hang under the root.</summary>
public sealed partial class MetadataCheck
{
    /// <summary>Inodes whose links are counted in one walk over all entries: 25 bytes each, 50 MiB in all.</summary>
    private const int WindowInodes = 1 << 21;

    /// <summary>Directories known to hang under the root that are remembered: some 40 MiB.</summary>
    private const int KnownDirectories = 1 << 20;

    private void CheckLinks()
    {
        var window = new Window();
        InodeId after = InodeId.None;
        bool isLast = false;
        while (!isLast && !_isStopped)
        {
            isLast = !window.Fill(_reader, after);
            InodeId end = isLast ? new InodeId(ulong.MaxValue) : window.Last;
            using (SnapshotReader.Cursor entries = _reader.Open(KvTable.Entries))
            {
                for (long done = 1; !_isStopped && entries.Next(); done++)
                {
                    Progress("links", done);
                    if (entries.Value.Length is > 9 and <= EntryRow.MaxBytes && entries.Rest.Length == sizeof(ulong))
                        CheckEntry(window, after, end, entries);
                }
            }

            for (int i = 0; i < window.Count && !_isStopped; i++)
                CheckCount(window, i);
            after = end;
        }
    }

    private void CheckEntry(Window window, InodeId after, InodeId end, SnapshotReader.Cursor entries)
    {
        InodeId directory = entries.Owner;
        EntryRow row = EntryRow.Decode(directory, entries.Value);
        if (row.Child.CompareTo(after) <= 0 || row.Child.CompareTo(end) > 0)
            return;

        InodeId child = row.Child;
        byte[] name = row.Name.ToArray();
        ulong cookie = BinaryPrimitives.ReadUInt64BigEndian(entries.Rest);
        int at = window.Find(child);
        if (at < 0 || child == InodeId.Root)
        {
            Find(
                child, $"the name {Show(name)} in directory {directory} leads to inode {child}, {(at < 0 ? "which does not exist" : "the root")}",
                repair => repair.RemoveName(directory, cookie, name));
            return;
        }

        InodeKind kind = window.Kinds[at];
        if (kind != InodeKind.Unknown && kind != row.Kind)
        {
            Find(
                child, $"the name {Show(name)} in directory {directory} says that inode {child} is a {row.Kind}, it is a {kind}",
                repair => repair.SetKind(directory, cookie, name, child, kind));
        }

        if (kind == InodeKind.Directory && (window.Found[at] > 0 || window.Parents[at] != directory.Value))
        {
            Find(
                child, $"directory {child} is named {Show(name)} in directory {directory}, but belongs into directory {window.Parents[at]}",
                repair => repair.SettleParent(child, directory, cookie, name));
        }

        window.Found[at]++;
    }

    private void CheckCount(Window window, int at)
    {
        var inode = new InodeId(window.Ids[at]);
        uint links = window.Links[at], found = window.Found[at];
        bool isDirectory = window.Kinds[at] == InodeKind.Directory;
        if (window.Kinds[at] == InodeKind.Unknown || inode == InodeId.Root)
            return;

        if (found == 0)
        {
            if (links == 0 && !_reader.IsPending(PendingKind.Unlinked, inode))
                Find(inode, $"inode {inode} has no links and is not on the pending list", repair => repair.AddPending(PendingKind.Unlinked, inode));
            else if (links != 0)
                Find(inode, $"inode {inode} counts {links} links, but no name leads to it", repair => repair.Reattach(inode));
        }
        else if (isDirectory ? links == 0 : links != found)
        {
            Find(inode, $"inode {inode} counts {links} links, {found} names lead to it", repair => repair.SetLinks(inode, found));
        }
    }

    /// <summary>That every directory that has links comes to the root by going up.</summary>
    private void CheckTree()
    {
        var known = new HashSet<ulong> { InodeId.Root.Value };
        var path = new HashSet<ulong>();
        using SnapshotReader.Cursor inodes = _reader.Open(KvTable.Inodes);
        for (long done = 1; !_isStopped && inodes.Next(); done++)
        {
            Progress("directories", done);
            if (!TryDecode(inodes.Owner, inodes.Value, out InodeRecord record) || !record.IsDirectory || record.Links == 0)
                continue;

            path.Clear();
            InodeId at = record.Inode;
            bool isHanging = true;
            while (isHanging && !known.Contains(at.Value))
            {
                // A parent that is missing is found where links are counted: then no name leads to the child.
                isHanging = path.Add(at.Value);
                if (!isHanging || Up(at) is not { } parent)
                    break;
                at = parent;
            }

            if (!isHanging)
            {
                InodeId inode = record.Inode;
                Find(inode, $"directory {inode} hangs in a circle of directories", repair => repair.CutCircle(inode));
            }

            if (known.Count + path.Count > KnownDirectories)
            {
                known.Clear();
                known.Add(InodeId.Root.Value);
            }

            known.UnionWith(path);
        }
    }

    private InodeId? Up(InodeId directory)
    {
        byte[]? row = _reader.Get(KvTable.Inodes, MetadataKeys.Inode(stackalloc byte[sizeof(ulong)], directory));
        return row is not null && TryDecode(directory, row, out InodeRecord record) && record.IsDirectory ? record.Parent : null;
    }

    private static bool TryDecode(InodeId inode, ReadOnlySpan<byte> row, out InodeRecord record)
    {
        try
        {
            record = InodeRow.Decode(inode, row);
            return true;
        }
        catch (MetadataException)
        {
            // The row's own finding was reported by the walk over the rows.
            record = default;
            return false;
        }
    }

    /// <summary>A stretch of inodes in ascending order, and what is counted of them.</summary>
    private sealed class Window
    {
        public ulong[] Ids { get; private set; } = new ulong[1024];

        public ulong[] Parents { get; private set; } = new ulong[1024];

        public uint[] Links { get; private set; } = new uint[1024];

        public uint[] Found { get; private set; } = new uint[1024];

        public InodeKind[] Kinds { get; private set; } = new InodeKind[1024];

        public int Count { get; private set; }

        public InodeId Last => new(Ids[Count - 1]);

        /// <summary>Takes the next inodes; false when there are no more behind them.</summary>
        public bool Fill(SnapshotReader reader, InodeId after)
        {
            Count = 0;
            using SnapshotReader.Cursor rows = reader.Open(KvTable.Inodes, after);
            while (Count < WindowInodes)
            {
                if (!rows.Next())
                    return false;

                Grow();
                bool isReadable = TryDecode(rows.Owner, rows.Value, out InodeRecord record);
                Ids[Count] = rows.Owner.Value;
                Parents[Count] = record.Parent.Value;
                Links[Count] = record.Links;
                Found[Count] = 0;
                Kinds[Count] = isReadable ? record.Kind : InodeKind.Unknown;
                Count++;
            }

            return true;
        }

        public int Find(InodeId inode)
        {
            int at = Array.BinarySearch(Ids, 0, Count, inode.Value);
            return at < 0 ? -1 : at;
        }

        private void Grow()
        {
            if (Count < Ids.Length)
                return;
            int size = Math.Min(Count * 2, WindowInodes);
            Ids = Resized(Ids, size);
            Parents = Resized(Parents, size);
            Links = Resized(Links, size);
            Found = Resized(Found, size);
            Kinds = Resized(Kinds, size);
        }

        private static T[] Resized<T>(T[] array, int size)
        {
            Array.Resize(ref array, size);
            return array;
        }
    }
}
