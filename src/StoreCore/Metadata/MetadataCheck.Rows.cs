using System.Buffers.Binary;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>What can be told from the rows of one inode alone: all tables merged in the order of their inodes, each read once.</summary>
public sealed partial class MetadataCheck
{
    private static readonly PendingKind[] PendingKinds = Enum.GetValues<PendingKind>();

    private void CheckRows()
    {
        using SnapshotReader.Cursor inodes = _reader.Open(KvTable.Inodes), names = _reader.Open(KvTable.Names);
        using SnapshotReader.Cursor entries = _reader.Open(KvTable.Entries), xattrs = _reader.Open(KvTable.Xattrs);
        SnapshotReader.Cursor[] pending = [.. PendingKinds.Select(_reader.OpenPending)];
        try
        {
            SnapshotReader.Cursor[] all = [inodes, names, entries, xattrs, .. pending];
            foreach (SnapshotReader.Cursor cursor in all)
                cursor.Next();

            InodeId last = InodeId.None;
            while (!_isStopped && Least(all) is { } inode)
            {
                bool exists = inodes.Owner == inode;
                InodeRecord record = default;
                bool isReadable = exists && ReadInode(inodes, out record);
                if (exists)
                {
                    last = inode;
                    inodes.Next();
                    Progress("inodes", ++_inodes);
                }

                CheckDirectory(inode, isReadable || !exists, record, names, entries);
                CheckXattrs(inode, isReadable || !exists, record, xattrs);
                for (int i = 0; i < pending.Length; i++)
                    CheckPending(inode, isReadable || !exists, record, PendingKinds[i], pending[i]);
            }

            if (_isStopped)
                return;
            if (_state.Inodes != (ulong)_inodes)
            {
                ulong counted = (ulong)_inodes;
                Find(InodeId.None, $"the superblock counts {_state.Inodes} inodes, there are {counted}", repair => repair.SetCounts(counted, null));
            }

            if (last.Value >= _state.NextInode)
                Find(last, $"inode {last} exists, but the next new one would be {_state.NextInode}", repair => repair.SetCounts(null, last.Value + 1));
            if (!_reader.TryGetInode(InodeId.Root, out InodeRecord root) || !root.IsDirectory || root.Parent != InodeId.Root)
                Find(InodeId.Root, "the root directory is missing or is none", repair => repair.MakeRoot());
        }
        finally
        {
            foreach (SnapshotReader.Cursor cursor in pending)
                cursor.Dispose();
        }
    }

    private static InodeId? Least(SnapshotReader.Cursor[] cursors)
    {
        InodeId? least = null;
        foreach (SnapshotReader.Cursor cursor in cursors)
        {
            if (!cursor.IsAtEnd && (least is null || cursor.Owner.CompareTo(least.Value) < 0))
                least = cursor.Owner;
        }

        return least;
    }

    private bool ReadInode(SnapshotReader.Cursor rows, out InodeRecord record)
    {
        record = default;
        InodeId inode = rows.Owner;
        try
        {
            record = InodeRow.Decode(inode, rows.Value);
            if (record.Kind is InodeKind.Fifo or InodeKind.CharacterDevice or InodeKind.Directory or InodeKind.BlockDevice
                or InodeKind.File or InodeKind.Symlink or InodeKind.Socket)
                return true;
        }
        catch (MetadataException)
        {
            // Reported below as what it is: a finding.
        }

        Find(inode, $"inode {inode} has a row that cannot be read", repair => repair.DropInode(inode));
        return false;
    }

    /// <summary>Names and entries of one number, which should be a directory.</summary>
    private void CheckDirectory(InodeId inode, bool isKnown, in InodeRecord record, SnapshotReader.Cursor names, SnapshotReader.Cursor entries)
    {
        Tally byName = default, byCookie = default;
        for (; names.Owner == inode && !names.IsAtEnd; names.Next())
        {
            Progress("names", ++_names);
            if (names.Value.Length == NameRow.Bytes && !names.Rest.IsEmpty)
            {
                NameRow row = NameRow.Decode(inode, names.Value);
                byName.Add(names.Rest, row.Cookie, row.Child, row.Kind);
            }
            else
            {
                byName.Spoil();
            }
        }

        for (; entries.Owner == inode && !entries.IsAtEnd; entries.Next())
        {
            if (entries.Value.Length is > 9 and <= EntryRow.MaxBytes && entries.Rest.Length == sizeof(ulong))
            {
                EntryRow row = EntryRow.Decode(inode, entries.Value);
                byCookie.Add(row.Name, BinaryPrimitives.ReadUInt64BigEndian(entries.Rest), row.Child, row.Kind);
            }
            else
            {
                byCookie.Spoil();
            }
        }

        if (!isKnown)
            return;
        if (!record.IsDirectory)
        {
            if (byName.Count + byCookie.Count > 0)
                Find(inode, $"there are {byName.Count} names under inode {inode}, which is no directory", repair => repair.DropNames(inode));
            return;
        }

        if (byName.Hash != byCookie.Hash || byName.Count != byCookie.Count)
            Find(inode, $"names and entries of directory {inode} do not agree", repair => repair.MatchNames(inode));
        else if (record.NextCookie <= byName.LastCookie || record.NextCookie < Limits.FirstEntryCookie)
            Find(inode, $"directory {inode} would give the cookie {record.NextCookie} twice", repair => repair.Recount(inode));
        uint links = record.Links == 0 && byName.Count == 0 ? 0 : 2 + byName.Directories;
        if (record.SizeBytes != byName.Count || record.Links != links)
        {
            Find(
                inode, $"directory {inode} counts {record.SizeBytes} entries and {record.Links} links, there are {byName.Count} and {links}",
                repair => repair.Recount(inode));
        }
    }

    private void CheckXattrs(InodeId inode, bool isKnown, in InodeRecord record, SnapshotReader.Cursor xattrs)
    {
        InodeFlags flags = InodeFlags.None;
        long target = -1;
        for (; xattrs.Owner == inode && !xattrs.IsAtEnd; xattrs.Next())
        {
            Progress("attributes", ++_xattrs);
            byte[] name = xattrs.Rest.ToArray();
            if (name.Length == 0)
                target = xattrs.Value.Length;
            else
                flags |= CheckXattr(inode, record, name, xattrs.Value);
        }

        if (!isKnown)
            return;
        if (record.Inode == InodeId.None)
        {
            if (flags != InodeFlags.None || target >= 0)
                Find(inode, $"there are attributes of inode {inode}, which does not exist", repair => repair.DropXattrs(inode));
            return;
        }

        if (record.Kind == InodeKind.Symlink && target != (long)record.SizeBytes)
            Find(inode, $"symlink {inode} has {(target < 0 ? "no target" : $"a target of {target} bytes instead of {record.SizeBytes}")}", repair => repair.MendTarget(inode));
        else if (record.Kind != InodeKind.Symlink && target >= 0)
            Find(inode, $"inode {inode} has a symlink's target and is none", repair => repair.DropXattr(inode, []));
        const InodeFlags all = InodeFlags.HasXattrs | InodeFlags.HasAccessAcl | InodeFlags.HasDefaultAcl;
        if ((record.Flags & all) != flags)
            Find(inode, $"inode {inode} has the attribute flags {record.Flags & all}, its attributes are {flags}", repair => repair.SetFlags(inode, all, flags));
    }

    private InodeFlags CheckXattr(InodeId inode, in InodeRecord record, byte[] name, ReadOnlySpan<byte> value)
    {
        if (!XattrNames.IsAcl(name))
            return InodeFlags.HasXattrs;

        bool isAccess = name.AsSpan().SequenceEqual(PosixAcl.AccessName);
        bool isUsable = PosixAcl.Validate(value) == FsStatus.Ok && !PosixAcl.IsEmpty(value) && (isAccess || record.Inode == InodeId.None || record.IsDirectory);
        if (!isUsable)
            Find(inode, $"inode {inode} has an ACL that is none ({Show(name)})", repair => repair.DropXattr(inode, name));
        else if (isAccess && record.Inode != InodeId.None && PosixAcl.ToMode(value, out _) != (record.Mode & 0x1FF))
            Find(inode, $"inode {inode} has the mode {Convert.ToString(record.Mode & 0x1FF, 8)}, its ACL says otherwise", repair => repair.MatchAcl(inode));
        return InodeFlags.HasXattrs | (isAccess ? InodeFlags.HasAccessAcl : InodeFlags.HasDefaultAcl);
    }

    private void CheckPending(InodeId inode, bool isKnown, in InodeRecord record, PendingKind kind, SnapshotReader.Cursor rows)
    {
        bool isPending = rows.Owner == inode && !rows.IsAtEnd;
        if (isPending)
        {
            _pending++;
            rows.Next();
        }

        if (!isKnown)
            return;
        bool exists = record.Inode != InodeId.None;
        switch (kind)
        {
            case PendingKind.Purging:
                if (isPending && exists)
                    Find(inode, $"the blocks of inode {inode} are to be purged, but it exists", repair => repair.DropPending(kind, inode));
                break;
            case PendingKind.Unlinked:
                if (isPending && (!exists || record.Links != 0))
                    Find(inode, $"inode {inode} is to be reaped, but {(exists ? "has links" : "does not exist")}", repair => repair.DropPending(kind, inode));
                break;
            default:
                InodeFlags flag = kind == PendingKind.Truncating ? InodeFlags.Truncating : InodeFlags.SizeUnrecorded;
                if (isPending && !exists)
                    Find(inode, $"inode {inode} stands on the pending list ({kind}) and does not exist", repair => repair.DropPending(kind, inode));
                else if (isPending != ((record.Flags & flag) != 0))
                    Find(inode, $"inode {inode} {(isPending ? "stands" : "does not stand")} on the pending list ({kind}) against its flags", repair => repair.MatchPending(kind, flag, inode));
                break;
        }
    }

    /// <summary>What the rows of a directory add up to, in whatever order they come.</summary>
    private struct Tally
    {
        public uint Count;
        public uint Directories;
        public ulong LastCookie;
        public ulong Hash;

        public void Add(ReadOnlySpan<byte> name, ulong cookie, InodeId child, InodeKind kind)
        {
            Count++;
            Directories += kind == InodeKind.Directory ? 1u : 0;
            LastCookie = Math.Max(LastCookie, cookie);

            // FNV-1a over the name, then the numbers mixed in; summed, so that order does not count.
            ulong hash = 0xCBF29CE484222325;
            foreach (byte b in name)
                hash = (hash ^ b) * 0x100000001B3;
            hash = (hash ^ cookie) * 0x9E3779B97F4A7C15;
            hash = (hash ^ (hash >> 29) ^ child.Value) * 0xBF58476D1CE4E5B9;
            hash = (hash ^ (hash >> 32) ^ (byte)kind) * 0x94D049BB133111EB;
            Hash += hash ^ (hash >> 31);
        }

        /// <summary>A row that cannot be read: the sums must not agree.</summary>
        public void Spoil() => Hash += 0x5851F42D4C957F2D;
    }
}
