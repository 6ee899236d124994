using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Vfs;

public sealed class OpenInodesTests
{
    private readonly OpenInodes _inodes = new();

    private void Use(ulong inode) => _inodes.Unpin(_inodes.Pin(new InodeId(inode)));

    [Fact]
    public void An_idle_state_stays_for_the_next_and_is_as_new()
    {
        InodeState state = _inodes.Pin(new InodeId(7));
        lock (state)
        {
            state.Load(new InodeRecord { Inode = state.Inode, SizeBytes = 5 });
            state.LastSyncTimestamp = state.UnsyncedBytes = 9;
        }

        _inodes.Unpin(state);
        Assert.Equal(0, _inodes.Count);
        Assert.Same(state, _inodes.Find(new InodeId(7)));
        Assert.Equal((false, 0L, 0L), (state.Loaded, state.LastSyncTimestamp, state.UnsyncedBytes));
        Assert.Same(state, _inodes.Pin(new InodeId(7)));
        Assert.Equal(1, _inodes.Count);
        _inodes.Unpin(state);
    }

    [Fact]
    public void Only_the_last_ones_stay()
    {
        const ulong more = OpenInodes.MaxResting + 100;
        InodeState pinned = _inodes.Pin(new InodeId(1));
        for (ulong i = 1; i <= more; i++)
            Use(i);
        Assert.Null(_inodes.Find(new InodeId(2)));
        Assert.NotNull(_inodes.Find(new InodeId(more)));
        Assert.Same(pinned, _inodes.Find(new InodeId(1)));

        // Pinned while its time to go came: it stays until it is let go and others come after it.
        _inodes.Unpin(pinned);
        Assert.Same(pinned, _inodes.Find(new InodeId(1)));
        for (ulong i = 2; i <= more; i++)
            Use(i);
        Assert.Null(_inodes.Find(new InodeId(1)));
        Assert.True(pinned.Dead);
    }

    /// <summary>Few files more than can rest, used by all threads at once: a state that somebody has pinned is the one in the table, and is never taken away.</summary>
    [Fact]
    public void A_pinned_state_is_never_taken_away()
    {
        const ulong files = OpenInodes.MaxResting + 64;
        Parallel.For(0, 4, seed =>
        {
            var random = new Random(seed);
            for (int i = 0; i < 30_000; i++)
            {
                ulong inode = (ulong)random.NextInt64((long)files);
                InodeState state = _inodes.Pin(new InodeId(inode));
                if (state.Inode.Value != inode || state.Dead || !ReferenceEquals(state, _inodes.Find(state.Inode)) || state.Pins < 1)
                    throw new InvalidOperationException($"the state of {inode} is not the one in the table");
                _inodes.Unpin(state);
            }
        });
        Assert.Equal(0, _inodes.Count);
    }
}
