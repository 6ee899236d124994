namespace StoreCore.Blocks;

/// <summary>
/// Finds the runs of a volume that are worth writing back early: large writes one behind the other, in steps. The disk then works while the data still comes, and
/// the flush at the end waits for the last step only. Small writes are left to the kernel, which has seen many of them deleted or overwritten by then. Any thread.
/// </summary>
internal sealed class WriteBehind(BlockStoreOptions options)
{
    private readonly Lock _gate = new();
    private long _start;
    private long _end;

    /// <summary>Notes a write.</summary>
    /// <returns>Whether the range is to be written back now.</returns>
    public bool Add(long offset, int lengthBytes, out long start, out long length)
    {
        start = length = 0;
        if (lengthBytes < options.WriteBehindLeastBytes)
            return false;

        lock (_gate)
        {
            if (offset != _end)
                _start = offset;
            _end = offset + lengthBytes;
            if (_end - _start < options.WriteBehindStepBytes)
                return false;

            (start, length) = (_start, _end - _start);
            _start = _end;
            return true;
        }
    }
}
