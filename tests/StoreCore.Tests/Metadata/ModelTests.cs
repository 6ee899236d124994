using Sim;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class ModelTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void The_store_answers_and_looks_like_the_model_after_every_operation(int seed)
    {
        var fs = new MetadataFixture(cacheBytes: seed % 2 == 0 ? 0 : 1 << 20);
        var operations = new RandomOperations(fs, new Random(seed));
        for (int i = 0; i < 1500; i++)
        {
            string what = operations.Step();
            if (Difference(fs, operations.Model) is { } difference)
                Assert.Fail($"seed {seed}, operation {i} ({what}): {difference}");
            if (i % 500 == 0)
                fs.Reopen(fs.Kv.Kill());
        }

        Assert.Empty(CheckTests.Check(fs.Kv));
    }

    [Fact]
    public void After_a_crash_the_store_is_a_prefix_with_all_that_was_synced()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var fs = new MetadataFixture();
            var operations = new RandomOperations(fs, random);
            for (int round = 0; round < 4; round++)
            {
                // What the store may look like after the crash, by the op log's sequence.
                var candidates = new Dictionary<ulong, ModelTree> { [fs.Store.Applied.Value] = operations.Model.Clone() };
                Assert.Equal(FsStatus.Ok, fs.Store.Sync());
                ulong synced = fs.Store.Applied.Value;
                int steps = random.Next(40);
                for (int i = 0; i < steps; i++)
                {
                    // A step may be two operations: their states are told apart by the checks of the model alone.
                    ulong before = fs.Store.Applied.Value;
                    operations.Step();
                    ulong after = fs.Store.Applied.Value;
                    if (after > before + 1)
                        candidates.Remove(before + 1);
                    candidates[after] = operations.Model.Clone();
                    if (random.Next(15) == 0)
                    {
                        fs.Store.Sync();
                        synced = after;
                    }
                }

                fs.Reopen(fs.Kv.Crash(random));
                ulong applied = fs.Store.Applied.Value;
                Assert.True(applied >= synced, $"seed {seed}: {applied} after the crash, {synced} was synced");
                Assert.Empty(CheckTests.Check(fs.Kv));
                if (!candidates.TryGetValue(applied, out ModelTree? model))
                    break; // between the two operations of one step: checked for consistency, and this run ends
                if (Difference(fs, model) is { } difference)
                    Assert.Fail($"seed {seed}, round {round}: {difference}");
                operations = new RandomOperations(fs, random, model);
            }
        }
    }

    [Fact]
    public void Entries_that_stay_are_listed_once_while_others_come_and_go()
    {
        var fs = new MetadataFixture();
        var random = new Random(9);
        for (int i = 0; i < 200; i++)
            fs.Make($"stay{i}");
        var seen = new List<string>();
        var sink = new ListSink(3);
        int made = 0;
        do
        {
            sink = new ListSink(3, sink.Cookie);
            Assert.Equal(FsStatus.Ok, fs.Store.ReadDirectory(InodeId.Root, sink.Cookie, random.Next(2) == 0, sink));
            seen.AddRange(sink.Entries.Select(entry => entry.Name));
            for (int i = 0; i < 3; i++)
            {
                if (made < 300)
                    fs.Make($"come{made++}");
                if (made > 3 && random.Next(2) == 0)
                    fs.Unlink($"come{random.Next(made)}");
                fs.Rename($"come{random.Next(made)}", $"gone{random.Next(50)}");
            }
        }
        while (sink.Entries.Count > 0);

        Assert.Equal(Enumerable.Range(0, 200).Select(i => $"stay{i}"), seen.Where(name => name.StartsWith("stay", StringComparison.Ordinal)));
    }

    /// <summary>The first difference between store and model; null where there is none.</summary>
    private static string? Difference(MetadataFixture fs, ModelTree model)
    {
        if (fs.Store.InodeCounts.Used != (ulong)model.Inodes.Count)
            return $"{fs.Store.InodeCounts.Used} inodes instead of {model.Inodes.Count}";
        foreach ((InodeId inode, ModelTree.Node node) in model.Inodes)
        {
            if (fs.Store.GetInode(inode, out InodeRecord record) != FsStatus.Ok)
                return $"inode {inode} is missing";
            InodeRecord expected = node.Record;
            expected.NextCookie = record.NextCookie; // a cookie is what the store says it is
            if (!record.Equals(expected))
                return $"inode {inode} differs: {Show(record)} instead of {Show(expected)}";
            if (node.Names is { } names)
            {
                var sink = new ListSink();
                fs.Store.ReadDirectory(inode, 0, true, sink);
                if (!sink.Entries.Select(entry => (entry.Name, entry.Inode)).Order().SequenceEqual(names.Select(pair => (pair.Key, pair.Value)).Order()))
                    return $"directory {inode} lists other names";
                if (sink.Entries.Any(entry => entry.Attributes.Inode != entry.Inode || entry.Kind != entry.Attributes.Kind || entry.Cookie >= record.NextCookie))
                    return $"directory {inode} lists entries wrong";
                foreach ((string name, InodeId child) in names)
                {
                    if (fs.Store.Lookup(Root, inode, Name(name), out InodeRecord found) != FsStatus.Ok || found.Inode != child)
                        return $"{inode}/{name} is not {child}";
                }
            }

            byte[] buffer = new byte[4096];
            if (record.Kind == InodeKind.Symlink
                && (fs.Store.ReadLink(inode, buffer, out int length) != FsStatus.Ok || !buffer.AsSpan(0, length).SequenceEqual(Name(node.Target))))
                return $"symlink {inode} has another target";
            fs.Store.ListXattrs(inode, buffer, out length);
            if (!buffer.AsSpan(0, length).SequenceEqual(Name(string.Concat(node.Xattrs.Keys.Select(key => key + "\0")))))
                return $"inode {inode} has other attributes";
            foreach ((string name, byte[] value) in node.Xattrs)
            {
                if (fs.Store.GetXattr(inode, Name(name), buffer, out length) != FsStatus.Ok || !buffer.AsSpan(0, length).SequenceEqual(value))
                    return $"attribute {name} of inode {inode} differs";
            }
        }

        return DifferenceOfPending(fs, model);
    }

    private static string? DifferenceOfPending(MetadataFixture fs, ModelTree model)
    {
        (InodeId, ulong)[] unlinked = [.. model.Inodes.Values.Where(node => node.Record.Links == 0).Select(node => (node.Record.Inode, 0ul))];
        (InodeId, ulong)[] unrecorded =
            [.. model.Inodes.Values.Where(node => (node.Record.Flags & InodeFlags.SizeUnrecorded) != 0).Select(node => (node.Record.Inode, 0ul))];
        (InodeId, ulong)[] cut = [.. model.Inodes.Values.Where(node => node.Cut is not null).Select(node => (node.Record.Inode, node.Cut!.Value))];
        (InodeId, ulong)[] purging = [.. model.Purging.Select(inode => (inode, 0ul))];
        foreach ((PendingKind kind, (InodeId, ulong)[] expected) in new[]
        {
            (PendingKind.Unlinked, unlinked), (PendingKind.SizeUnrecorded, unrecorded), (PendingKind.Truncating, cut), (PendingKind.Purging, purging),
        })
        {
            if (!PendingList(fs, kind).SequenceEqual(expected))
                return $"the pending list ({kind}) differs";
        }

        return null;
    }

    private static List<(InodeId, ulong)> PendingList(MetadataFixture fs, PendingKind kind)
    {
        var all = new List<(InodeId Inode, ulong Value)>();
        Span<(InodeId Inode, ulong Value)> some = new (InodeId, ulong)[7];
        int count;
        do
        {
            count = fs.Store.ListPending(kind, all.Count == 0 ? InodeId.None : all[^1].Inode, some);
            all.AddRange(some[..count]);
        }
        while (count == some.Length);

        return all;
    }

    private static string Show(InodeRecord record) => string.Join(' ', typeof(InodeRecord).GetFields().Select(field => $"{field.Name}={field.GetValue(record)}"));
}
