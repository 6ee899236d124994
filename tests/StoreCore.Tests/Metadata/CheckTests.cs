using System.Text;
using Sim;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class CheckTests
{
    internal static List<string> Check(IKvStore kv)
    {
        var found = new List<string>();
        MetadataCheck.Run(kv, finding => { found.Add(finding.Text); return true; });
        return found;
    }

    /// <summary>Damage by name, what the check must say of it, and how it is done to a tree with a file, a directory with a file in it, a symlink and an attribute.</summary>
    public static TheoryData<string, string> Damages => new()
    {
        { "inode row", "cannot be read" },
        { "inode gone", "which does not exist" },
        { "name gone", "do not agree" },
        { "entry gone", "do not agree" },
        { "both gone", "no name leads to it" },
        { "directory gone", "which is no directory" },
        { "entries count", "counts 9 entries" },
        { "directory links", "9 links" },
        { "file links", "counts 9 links, 1 names lead to it" },
        { "links zero", "counts 0 links, 1 names" },
        { "parent", "but belongs into directory" },
        { "circle", "circle" },
        { "kind", "says that inode" },
        { "second name", "is named" },
        { "cookie", "twice" },
        { "xattr flag", "attribute flags" },
        { "orphan xattr", "there are attributes of inode" },
        { "target", "has no target" },
        { "acl", "an ACL that is none" },
        { "acl mode", "its ACL says otherwise" },
        { "forgotten", "is not on the pending list" },
        { "pending gone", "does not exist" },
        { "pending linked", "has links" },
        { "pending purge", "but it exists" },
        { "pending flag", "against its flags" },
        { "unpending flag", "against its flags" },
        { "count", "the superblock counts" },
        { "next inode", "the next new one would be" },
        { "log gap", "op log holds record" },
        { "log record", "checksum is wrong" },
        { "root", "the root directory is missing" },
        { "root name", "the root" },
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public void Damage_is_found_and_mended(string damage, string says)
    {
        var fs = new MetadataFixture();
        InodeRecord file = fs.Make("file"), folder = fs.Make("folder", FolderMode), inner = fs.Make("inner", FolderMode, folder.Inode);
        InodeRecord deep = fs.Make("deep", parent: inner.Inode), link = fs.Make("link", SymlinkMode, target: "file");
        Assert.Equal(FsStatus.Ok, fs.Store.SetXattr(Root, file.Inode, Name("user.a"), [1], XattrSetFlags.None, out file));
        byte[] acl = XattrTests.Acl((1, 7, 0), (2, 6, 1000), (4, 4, 0), (0x10, 6, 0), (0x20, 0, 0));
        Assert.Equal(FsStatus.Ok, fs.Store.SetXattr(Root, deep.Inode, PosixAcl.AccessName, acl, XattrSetFlags.None, out deep));
        folder = fs.Get(folder.Inode);
        inner = fs.Get(inner.Inode);
        Assert.Empty(Check(fs.Kv));

        Damage(fs.Kv, damage, fs.Store.Applied.Value, file, folder, inner, deep, link);
        List<string> found = Check(fs.Kv);
        Assert.Contains(found, text => text.Contains(says, StringComparison.Ordinal));
        Assert.All(found, text => Assert.DoesNotContain('\n', text));

        var mended = new List<string>();
        Assert.True(MetadataCheck.Repair(fs.Kv, fs.Tick(), finding => mended.Add(finding.Text)) > 0);
        Assert.Empty(Check(fs.Kv));
        Assert.Contains(mended, text => text.Contains(says, StringComparison.Ordinal));
        fs.Reopen(fs.Kv.Kill());
        fs.Make("afterwards");
        if (damage is not ("inode row" or "inode gone"))
            Assert.Equal(FsStatus.Ok, fs.Store.GetInode(deep.Inode, out _)); // nothing but what was damaged is given up
    }

    [Fact]
    public void What_hangs_nowhere_is_found_again_in_lost_and_found()
    {
        var fs = new MetadataFixture();
        InodeRecord folder = fs.Make("folder", FolderMode), file = fs.Make("file", parent: folder.Inode);
        var batch = new KvBatch();
        Span<byte> key = stackalloc byte[MetadataKeys.MaxBytes];
        batch.Delete(KvTable.Inodes, MetadataKeys.Inode(key, folder.Inode));
        fs.Kv.Write(batch);
        MetadataCheck.Repair(fs.Kv, fs.Tick(), _ => { });
        fs.Reopen(fs.Kv.Kill());
        Assert.False(fs.Exists("folder"));
        Assert.Equal(file.Inode, fs.Find($"#{file.Inode}", fs.Find("lost+found").Inode).Inode);
    }

    [Fact]
    public void A_check_runs_beside_writers()
    {
        var fs = new MetadataFixture();
        var operations = new RandomOperations(fs, new Random(3));
        for (int i = 0; i < 500; i++)
            operations.Step();
        using var done = new CancellationTokenSource();
        var writer = new Thread(() =>
        {
            while (!done.IsCancellationRequested)
                operations.Step();
        });
        writer.Start();
        for (int i = 0; i < 20; i++)
            Assert.Empty(Check(fs.Kv));
        done.Cancel();
        writer.Join();
        Assert.Equal(0, fs.Kv.OpenViews);
    }

    private static void Damage(
        SimKvStore kv, string damage, ulong applied, InodeRecord file, InodeRecord folder, InodeRecord inner, InodeRecord deep, InodeRecord link)
    {
        var batch = new KvBatch();
        InodeRecord root = default;
        Assert.True(MetadataReader.TryReadInode(kv, InodeId.Root, out root));
        switch (damage)
        {
            case "inode row":
                batch.Put(KvTable.Inodes, InodeKey(file.Inode), [1, 2, 3]);
                break;
            case "inode gone":
                batch.Delete(KvTable.Inodes, InodeKey(file.Inode));
                break;
            case "name gone":
                batch.Delete(KvTable.Names, Key(InodeId.Root, "file"));
                break;
            case "entry gone":
                batch.Delete(KvTable.Entries, EntryKey(InodeId.Root, 3));
                break;
            case "both gone":
                batch.Delete(KvTable.Names, Key(InodeId.Root, "file"));
                batch.Delete(KvTable.Entries, EntryKey(InodeId.Root, 3));
                root.SizeBytes--;
                Put(root);
                break;
            case "directory gone":
                batch.Delete(KvTable.Inodes, InodeKey(inner.Inode));
                break;
            case "entries count":
                folder.SizeBytes = 9;
                Put(folder);
                break;
            case "directory links":
                folder.Links = 9;
                Put(folder);
                break;
            case "file links":
                file.Links = 9;
                Put(file);
                break;
            case "links zero":
                file.Links = 0;
                Put(file);
                break;
            case "parent":
                inner.Parent = InodeId.Root;
                Put(inner);
                break;
            case "circle":
                // inner holds folder, folder holds inner, the root neither
                batch.Delete(KvTable.Names, Key(InodeId.Root, "folder"));
                batch.Delete(KvTable.Entries, EntryKey(InodeId.Root, 4));
                root.SizeBytes--;
                root.Links--;
                Put(root);
                PutEntry(inner.Inode, inner.NextCookie++, "up", folder.Inode, InodeKind.Directory);
                inner.SizeBytes++;
                inner.Links++;
                Put(inner);
                folder.Parent = inner.Inode;
                Put(folder);
                break;
            case "kind":
                PutEntry(InodeId.Root, 3, "file", file.Inode, InodeKind.Fifo);
                break;
            case "second name":
                PutEntry(InodeId.Root, root.NextCookie++, "second", inner.Inode, InodeKind.Directory);
                root.SizeBytes++;
                root.Links++;
                Put(root);
                break;
            case "cookie":
                folder.NextCookie = 3;
                Put(folder);
                break;
            case "xattr flag":
                file.Flags = InodeFlags.None;
                Put(file);
                break;
            case "orphan xattr":
                batch.Put(KvTable.Xattrs, Key(new InodeId(999), "user.a"), [1]);
                break;
            case "target":
                batch.Delete(KvTable.Xattrs, InodeKey(link.Inode));
                break;
            case "acl":
                batch.Put(KvTable.Xattrs, Key(deep.Inode, "system.posix_acl_access"), [1, 2, 3]);
                break;
            case "acl mode":
                deep.Mode = 0x8000;
                Put(deep);
                break;
            case "forgotten":
                deep.Links = 0;
                Put(deep);
                batch.Delete(KvTable.Names, Key(inner.Inode, "deep"));
                batch.Delete(KvTable.Entries, EntryKey(inner.Inode, 3));
                inner.SizeBytes = 0;
                Put(inner);
                break;
            case "pending gone":
                PutPending(PendingKind.Unlinked, new InodeId(999));
                break;
            case "pending linked":
                PutPending(PendingKind.Unlinked, file.Inode);
                break;
            case "pending purge":
                PutPending(PendingKind.Purging, file.Inode);
                break;
            case "pending flag":
                PutPending(PendingKind.Truncating, file.Inode);
                break;
            case "unpending flag":
                file.Flags |= InodeFlags.SizeUnrecorded;
                Put(file);
                break;
            case "count" or "next inode":
                MetadataState state = MetadataState.Load(kv);
                state.Inodes += damage == "count" ? 5ul : 0;
                state.NextInode = damage == "count" ? state.NextInode : deep.Inode.Value;
                state.Save(batch);
                break;
            case "log gap":
                batch.Delete(KvTable.OpLog, InodeKey(new InodeId(applied - 1)));
                break;
            case "log record":
                byte[] record = new byte[kv.Get(KvTable.OpLog, InodeKey(new InodeId(applied)), default)];
                kv.Get(KvTable.OpLog, InodeKey(new InodeId(applied)), record);
                record[60] ^= 1;
                batch.Put(KvTable.OpLog, InodeKey(new InodeId(applied)), record);
                break;
            case "root":
                batch.Delete(KvTable.Inodes, InodeKey(InodeId.Root));
                break;
            case "root name":
                PutEntry(inner.Inode, inner.NextCookie++, "root", InodeId.Root, InodeKind.Directory);
                inner.SizeBytes++;
                inner.Links++;
                Put(inner);
                break;
            default:
                throw new ArgumentException(damage);
        }

        kv.Write(batch);

        void Put(InodeRecord record) => batch.Put(KvTable.Inodes, InodeKey(record.Inode), InodeRow.Encode(new byte[InodeRow.MaxBytes], record));

        void PutEntry(InodeId directory, ulong cookie, string name, InodeId child, InodeKind kind)
        {
            batch.Put(KvTable.Names, Key(directory, name), new NameRow(child, cookie, kind).Encode(new byte[NameRow.Bytes]));
            batch.Put(KvTable.Entries, EntryKey(directory, cookie), new EntryRow(child, kind, Name(name)).Encode(new byte[EntryRow.MaxBytes]));
        }

        void PutPending(PendingKind kind, InodeId inode) => batch.Put(KvTable.Pending, MetadataKeys.Pending(new byte[9], kind, inode), new byte[8]);
    }

    private static byte[] InodeKey(InodeId inode) => MetadataKeys.Inode(new byte[8], inode).ToArray();

    private static byte[] EntryKey(InodeId directory, ulong cookie) => MetadataKeys.Entry(new byte[16], directory, cookie).ToArray();

    private static byte[] Key(InodeId owner, string name) => MetadataKeys.Named(new byte[MetadataKeys.MaxBytes], owner, Encoding.ASCII.GetBytes(name)).ToArray();
}
