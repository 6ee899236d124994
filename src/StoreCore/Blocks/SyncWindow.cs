namespace StoreCore.Blocks;

/// <summary>
/// What changed between two flushes. All members are guarded by the commit lock while the window is open; afterwards only the flush that closed it uses them,
/// except <see cref="Undo"/>, which stays under the lock until the window is finished.
/// </summary>
internal sealed class SyncWindow
{
    /// <summary>Windows count up and are never used twice within what recovery can meet.</summary>
    public ulong Number { get; set; }

    /// <summary>
    /// Segments whose row before the window is kept in <see cref="Kv.KvTable.Undo"/>, and for each the chunks whose inline data went to a volume: that
    /// data must stay until the volume is flushed.
    /// </summary>
    public Dictionary<SegmentKey, uint> Undo { get; } = [];

    /// <summary>Chunks that nothing points to any more, as soon as the commits of this window are stable.</summary>
    public List<ChunkRun> Freed { get; } = [];

    public long FreedChunks { get; private set; }

    /// <summary>Volumes that got data in this window.</summary>
    public List<Volume> Dirty { get; } = [];

    public bool IsEmpty => Undo.Count == 0 && Freed.Count == 0 && Dirty.Count == 0;

    public void AddFreed(ChunkLocation location)
    {
        FreedChunks++;
        if (Freed.Count > 0)
        {
            ChunkRun last = Freed[^1];
            if (last.First.Plus(last.Count) == location)
            {
                Freed[^1] = last with { Count = last.Count + 1 };
                return;
            }
        }

        Freed.Add(new ChunkRun(location, 1));
    }

    public void Clear()
    {
        Undo.Clear();
        Freed.Clear();
        FreedChunks = 0;
        Dirty.Clear();
    }
}
