namespace Gateway.Nfs;

/// <summary>
/// Lists of supplementary groups as arrays that are made once and shared: the same users come again and again, and a call must not cost an
/// array. Any thread; a list that is pushed out by another is simply made again.
/// </summary>
internal sealed class NfsGroups
{
    /// <summary>A power of two; each slot is one list of at most 16 groups.</summary>
    private const int Slots = 1024;

    private readonly uint[]?[] _lists = new uint[]?[Slots];

    /// <summary>The groups as an array that nobody changes; null for none.</summary>
    public uint[]? Share(ReadOnlySpan<uint> groups)
    {
        if (groups.IsEmpty)
            return null;

        uint hash = 2166136261;
        foreach (uint group in groups)
            hash = (hash ^ group) * 16777619;
        ref uint[]? slot = ref _lists[(hash ^ (hash >> 16)) & (Slots - 1)];
        uint[]? known = Volatile.Read(ref slot);
        if (known is not null && groups.SequenceEqual(known))
            return known;

        uint[] made = groups.ToArray();
        Volatile.Write(ref slot, made);
        return made;
    }
}
