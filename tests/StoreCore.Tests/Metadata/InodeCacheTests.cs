using StoreCore.Metadata;
using StoreCore.Primitives;

namespace StoreCore.Tests.Metadata;

public class InodeCacheTests
{
    private static InodeRecord Record(ulong entries) => new() { Inode = new InodeId(18), Mode = 0x41ED, SizeBytes = entries };

    /// <summary>
    /// A reader that missed in the midst of a change may have read the row as it was before. If it came to offer it only after the change, the cache
    /// took it for the newest, and the next change counted on from there.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_a_reader_found_during_a_change_is_not_planted_after_it(bool removed)
    {
        var cache = new InodeCache(64 * 1024);
        cache.BeginChange(new InodeId(18));
        Assert.False(cache.TryGet(new InodeId(18), out _, out uint version));
        if (removed)
            cache.EndRemoval(new InodeId(18));
        else
            cache.EndChange(Record(entries: 2));

        cache.Fill(Record(entries: 1), version);

        bool found = cache.TryGet(new InodeId(18), out InodeRecord record, out _);
        Assert.Equal(!removed, found);
        if (found)
            Assert.Equal(2UL, record.SizeBytes);
    }

    [Fact]
    public void What_a_reader_found_before_a_change_is_not_planted_after_it()
    {
        var cache = new InodeCache(64 * 1024);
        Assert.False(cache.TryGet(new InodeId(18), out _, out uint version));
        cache.BeginChange(new InodeId(18));
        cache.EndChange(Record(entries: 2));
        cache.Fill(Record(entries: 1), version);
        Assert.True(cache.TryGet(new InodeId(18), out InodeRecord record, out _));
        Assert.Equal(2UL, record.SizeBytes);
    }

    [Fact]
    public void What_a_reader_found_is_kept_where_nothing_changed()
    {
        var cache = new InodeCache(64 * 1024);
        Assert.False(cache.TryGet(new InodeId(18), out _, out uint version));
        cache.Fill(Record(entries: 1), version);
        Assert.True(cache.TryGet(new InodeId(18), out _, out _));
    }
}
