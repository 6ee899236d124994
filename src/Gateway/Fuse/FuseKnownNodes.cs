using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>
/// Which inodes one mount's kernel may hold, so that it is not told of changes to those it does not: lookups less forgets, counted by hash of the inode
/// and so never too low. Two inodes that share a count cost a notification that the kernel answers with ENOENT, no more. Any thread; allocates nothing.
/// </summary>
/// <remarks>
/// Whoever changes something asks afterwards whether the kernel may hold it. Whoever answers a lookup counts it and then looks whether a change was passed over since it
/// read what it answers; if so it reads again. So either the answer has the change or the kernel is told.
/// </remarks>
public sealed class FuseKnownNodes(InodeId root)
{
    /// <summary>2 MiB: up to some 100,000 held inodes most others are known not to be held; with millions every change is notified.</summary>
    private const int SlotBits = 18;

    private long _passedOver;
    private readonly long[] _counts = new long[1 << SlotBits];

    /// <summary>Grows with each change of which the kernel may not have been told.</summary>
    public long PassedOver => Volatile.Read(ref _passedOver);

    /// <summary>An answer is about to give the kernel the inode.</summary>
    public void Add(InodeId inode) => Interlocked.Increment(ref CountOf(inode));

    /// <summary>The kernel has dropped so many of the lookups that it was answered.</summary>
    public void Forget(InodeId inode, ulong lookups)
    {
        if (inode == root)
            return;

        // What was never given cannot be forgotten: nonsense must not hide what others hold.
        ref long count = ref CountOf(inode);
        long before = Volatile.Read(ref count);
        while (before > 0)
        {
            long after = lookups >= (ulong)before ? 0 : before - (long)lookups;
            long found = Interlocked.CompareExchange(ref count, after, before);
            if (found == before)
                return;
            before = found;
        }
    }

    /// <summary>Whether the kernel is to be told of a change that was made: whether it may hold anything of the inode; always so for the root of the mount.</summary>
    public bool MayHold(InodeId inode)
    {
        if (inode == root)
            return true;

        Interlocked.Increment(ref _passedOver); // a full fence: the change before it, the question behind it
        return Volatile.Read(ref CountOf(inode)) > 0;
    }

    private ref long CountOf(InodeId inode) => ref _counts[(inode.Value * 0x9E37_79B9_7F4A_7C15) >> (64 - SlotBits)];
}
