using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>The list of those who are told of changes. Subscribing copies the list, so that telling takes no lock.</summary>
internal sealed class Observers
{
    private readonly Lock _change = new();
    private volatile IVfsObserver[] _all = [];

    public void Add(IVfsObserver observer)
    {
        lock (_change)
            _all = [.. _all, observer];
    }

    public void Remove(IVfsObserver observer)
    {
        lock (_change)
            _all = Array.FindAll(_all, o => !ReferenceEquals(o, observer));
    }

    public void AttributesChanged(InodeId inode, int origin) => DataChanged(inode, 0, 0, origin);

    public void DataChanged(InodeId inode, long offset, long lengthBytes, int origin)
    {
        foreach (IVfsObserver observer in _all)
            observer.InodeChanged(inode, offset, lengthBytes, origin);
    }

    public void EntryChanged(InodeId directory, ReadOnlySpan<byte> name, InodeId child, int origin)
    {
        foreach (IVfsObserver observer in _all)
            observer.EntryChanged(directory, name, child, origin);
    }
}
