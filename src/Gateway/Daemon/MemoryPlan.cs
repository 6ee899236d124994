namespace Gateway.Daemon;

/// <summary>
/// How the memory budget of the process is divided. Half of it is given to caches; the other half is what runtime, code, threads, request buffers and the
/// garbage between two collections take, which cannot be set but only be left room for.
/// </summary>
/// <param name="BudgetBytes">Of the whole process.</param>
internal readonly record struct MemoryPlan(long BudgetBytes)
{
    /// <summary>The key-value store's block cache and write buffers (native memory).</summary>
    public long KeyValueBytes => BudgetBytes / 4;

    /// <summary>Inode records (managed memory).</summary>
    public long InodeCacheBytes => BudgetBytes / 8;

    /// <summary>Decoded index rows of blocks (managed memory).</summary>
    public long BlockMapBytes => BudgetBytes / 16;

    /// <summary>Large calls and unread replies of NFS clients (native memory); only where NFS is on.</summary>
    public long NfsBytes => BudgetBytes / 8;

    /// <summary>
    /// Where the heap of the runtime ends: what the caches in it take, and the same again and a little more for garbage. The collector works harder as it comes
    /// near; without the limit it would size itself by the machine's memory.
    /// </summary>
    public long ManagedHeapLimitBytes => 2 * (InodeCacheBytes + BlockMapBytes) + BudgetBytes / 8;

    /// <summary>
    /// Tells the runtime its share. It reads its settings at start; this limit it takes later as well. And keeps the C library's heap, where the key-value store lives, from growing by
    /// fragmentation: an arena for each thread keeps what that thread has freed, and a threshold that follows the largest block freed keeps large blocks among the small ones.
    /// </summary>
    public void Apply()
    {
        const int Arenas = 2, MmapFromBytes = 128 << 10;
        _ = NativeMethods.SetMallocOption(NativeMethods.M_ARENA_MAX, Arenas);
        _ = NativeMethods.SetMallocOption(NativeMethods.M_MMAP_THRESHOLD, MmapFromBytes);
        AppContext.SetData("GCHeapHardLimit", (ulong)ManagedHeapLimitBytes);
        GC.RefreshMemoryLimit();
    }

    /// <summary>Long work (a check, a dump) reads the whole store and leaves much free memory in both heaps: gives it back, without stopping the others.</summary>
    public static T ThenGiveBack<T>(Func<T> work)
    {
        try
        {
            return work();
        }
        finally
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false);
            _ = NativeMethods.TrimMalloc(0);
        }
    }
}
