using System.Runtime.InteropServices;
using Gateway.Vfs;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>
/// The opens that this mount's kernel holds, counted per inode and flags. The Vfs counts them too, over all front ends; this table
/// is there so that those of a kernel that is gone (unmounted lazily, aborted) can be given back, and so that a RELEASE of what was never
/// opened cannot spoil the Vfs's count. Any thread; allocates only while it grows.
/// </summary>
internal sealed class FuseOpenTable
{
    private const int Stripes = 16;

    private readonly Stripe[] _stripes = [.. Enumerable.Range(0, Stripes).Select(static _ => new Stripe())];

    public void Add(InodeId inode, VfsOpenFlags flags)
    {
        Stripe stripe = StripeOf(inode);
        lock (stripe.Gate)
            CollectionsMarshal.GetValueRefOrAddDefault(stripe.Counts, (inode.Value, flags), out _)++;
    }

    /// <summary>Counts one open down; false if there is none.</summary>
    public bool Remove(InodeId inode, VfsOpenFlags flags)
    {
        Stripe stripe = StripeOf(inode);
        lock (stripe.Gate)
        {
            ref int count = ref CollectionsMarshal.GetValueRefOrNullRef(stripe.Counts, (inode.Value, flags));
            if (System.Runtime.CompilerServices.Unsafe.IsNullRef(ref count))
                return false;
            if (--count == 0)
                stripe.Counts.Remove((inode.Value, flags));
            return true;
        }
    }

    public long Count
    {
        get
        {
            long sum = 0;
            foreach (Stripe stripe in _stripes)
            {
                lock (stripe.Gate)
                    sum += stripe.Counts.Values.Sum(static count => (long)count);
            }

            return sum;
        }
    }

    public void ReleaseAll(IVfs vfs)
    {
        foreach (Stripe stripe in _stripes)
        {
            KeyValuePair<(ulong Inode, VfsOpenFlags Flags), int>[] all;
            lock (stripe.Gate)
            {
                all = [.. stripe.Counts];
                stripe.Counts.Clear();
            }

            foreach (var open in all)
            {
                for (int i = 0; i < open.Value; i++)
                    vfs.Release(new InodeId(open.Key.Inode), open.Key.Flags);
            }
        }
    }

    private Stripe StripeOf(InodeId inode) => _stripes[inode.Value % Stripes];

    private sealed class Stripe
    {
        public readonly Lock Gate = new();
        public readonly Dictionary<(ulong Inode, VfsOpenFlags Flags), int> Counts = [];
    }
}
