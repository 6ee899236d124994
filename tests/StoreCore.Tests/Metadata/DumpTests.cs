using System.Text;
using Sim;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class DumpTests
{
    [Fact]
    public void A_dump_loaded_is_the_same_file_system()
    {
        MetadataFixture fs = Filled();
        (byte[] dump, MetadataDumpCounts counts) = Write(fs.Kv);
        Assert.True(counts is { Inodes: > 10, Names: > 10, Xattrs: > 5, Pending: > 0 });

        var copy = new SimKvStore();
        Assert.Equal(counts, MetadataDump.Load(copy, new MemoryStream(dump)));
        Assert.Equal(Rows(fs.Kv), Rows(copy));
        Assert.Empty(CheckTests.Check(copy));

        var loaded = new MetadataFixture(copy);
        Assert.Equal(Id, loaded.Store.FileSystemId);
        Assert.True(loaded.Store.Applied.Value > fs.Store.Applied.Value);
        Assert.True(loaded.Make("next").Inode.Value > fs.Make("next").Inode.Value - 1);
        Assert.Equal(FsStatus.Ok, loaded.Store.GetXattr(loaded.Find("odd % näme\n").Inode, Name("user.x y"), new byte[256], out int length));
        Assert.Equal(256, length);

        static List<string> Rows(IKvStore kv) => [.. MetadataFixture.Dump(kv, withLog: false).Where(row => !row.StartsWith("System", StringComparison.Ordinal))];
    }

    [Fact]
    public void The_format_is_what_is_documented()
    {
        var fs = new MetadataFixture();
        fs.Make("a b", SymlinkMode, target: "t%");
        string[] lines = Encoding.ASCII.GetString(Write(fs.Kv).Dump).Split('\n');
        Assert.Equal("gateway-metadata 2", lines[0]);
        Assert.Equal("filesystem 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 1 2 17", lines[1]);
        Assert.StartsWith("inode 1 40755 ", lines[2], StringComparison.Ordinal);
        Assert.EndsWith(" 0 0 1 0 2 0 1767225600.000000000 1767225600.000000000 1767225600.000000000 1767225600.000000000 0 0 0", lines[3], StringComparison.Ordinal);
        Assert.Equal("name 1 3 16 10 a%20b", lines[4]);
        Assert.Equal("xattr 16 % t%25", lines[5]);
        Assert.Matches("^end 2 1 1 0 0 [0-9a-f]{8}$", lines[6]);
        Assert.Equal(8, lines.Length);
    }

    [Fact]
    public void A_dump_that_is_cut_or_changed_is_refused_and_leaves_no_file_system()
    {
        (byte[] dump, _) = Write(Filled().Kv);
        var random = new Random(17);
        for (int i = 0; i < 300; i++)
        {
            byte[] damaged = dump[..(i % 3 == 0 ? random.Next(dump.Length) : dump.Length)];
            if (i % 3 != 0)
                damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            var kv = new SimKvStore();
            string message = Assert.Throws<MetadataException>(() => MetadataDump.Load(kv, new MemoryStream(damaged))).Message;
            Assert.DoesNotContain('\n', message);
            Assert.False(MetadataStore.IsFormatted(kv));
        }

        Assert.Contains("truncated", Assert.Throws<MetadataException>(() => MetadataDump.Load(new SimKvStore(), new MemoryStream(dump[..^1]))).Message);
    }

    [Fact]
    public void Nothing_is_loaded_over_anything()
    {
        MetadataFixture fs = Filled();
        (byte[] dump, _) = Write(fs.Kv);
        Assert.Contains("already", Assert.Throws<MetadataException>(() => MetadataDump.Load(fs.Kv, new MemoryStream(dump))).Message);
        var remains = new SimKvStore();
        var batch = new KvBatch();
        batch.Put(KvTable.Names, "12345678a"u8, "x"u8);
        remains.Write(batch);
        Assert.Contains("remains", Assert.Throws<MetadataException>(() => MetadataDump.Load(remains, new MemoryStream(dump))).Message);
    }

    private static MetadataFixture Filled()
    {
        var fs = new MetadataFixture();
        var operations = new RandomOperations(fs, new Random(23));
        for (int i = 0; i < 400; i++)
            operations.Step();
        InodeRecord odd = fs.Make("odd % näme\n");
        fs.Store.SetXattr(Root, odd.Inode, Name("user.x y"), [.. Enumerable.Range(0, 256).Select(i => (byte)i)], XattrSetFlags.None, out _);
        fs.Store.SetAttributes(Root, odd.Inode, new AttributeChange { Mask = AttributeMask.Modified, Modified = new(-1, 5) }, out _);
        fs.Store.Create(Root, InodeId.Root, Name("device"), new NewInode { Mode = 0x21B6, Device = uint.MaxValue }, out _);
        fs.Store.BeginExtending(odd.Inode);
        return fs;
    }

    private static (byte[] Dump, MetadataDumpCounts Counts) Write(IKvStore kv)
    {
        var stream = new MemoryStream();
        MetadataDumpCounts counts = MetadataDump.Write(kv, stream);
        return (stream.ToArray(), counts);
    }
}
