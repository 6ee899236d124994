namespace Sim;

/// <summary>
/// A balanced (AVL) tree of byte keys whose versions share their nodes: an old root stays as it was, so that a snapshot, an iterator
/// and the state before an unsynced batch cost nothing. Nodes made by the edit under way (<c>stamp</c>) are changed in place.
/// </summary>
internal sealed class SortedTree
{
    private readonly byte[] _key;
    private byte[] _value;
    private SortedTree? _left;
    private SortedTree? _right;
    private int _height;
    private readonly long _stamp;

    private SortedTree(byte[] key, byte[] value, SortedTree? left, SortedTree? right, int height, long stamp)
    {
        _key = key;
        _value = value;
        _left = left;
        _right = right;
        _height = height;
        _stamp = stamp;
    }

    public ReadOnlySpan<byte> Key => _key;

    public ReadOnlySpan<byte> Value => _value;

    public static byte[]? Find(SortedTree? at, ReadOnlySpan<byte> key)
    {
        while (at is not null)
        {
            int order = key.SequenceCompareTo(at._key);
            if (order == 0)
                return at._value;
            at = order < 0 ? at._left : at._right;
        }

        return null;
    }

    public static SortedTree Put(SortedTree? at, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, long stamp)
    {
        if (at is null)
            return new SortedTree(key.ToArray(), value.ToArray(), null, null, 1, stamp);

        int order = key.SequenceCompareTo(at._key);
        at = at.Own(stamp);
        if (order == 0)
            at._value = value.ToArray();
        else if (order < 0)
            at._left = Put(at._left, key, value, stamp);
        else
            at._right = Put(at._right, key, value, stamp);
        return Balance(at, stamp);
    }

    public static SortedTree? Remove(SortedTree? at, ReadOnlySpan<byte> key, long stamp)
    {
        if (Find(at, key) is null)
            return at;
        return RemoveExisting(at!, key, stamp);
    }

    /// <summary>The first node at or after the key.</summary>
    public static SortedTree? Ceiling(SortedTree? at, ReadOnlySpan<byte> key)
    {
        SortedTree? found = null;
        while (at is not null)
        {
            if (key.SequenceCompareTo(at._key) <= 0)
            {
                found = at;
                at = at._left;
            }
            else
            {
                at = at._right;
            }
        }

        return found;
    }

    private static SortedTree? RemoveExisting(SortedTree at, ReadOnlySpan<byte> key, long stamp)
    {
        int order = key.SequenceCompareTo(at._key);
        if (order < 0)
        {
            at = at.Own(stamp);
            at._left = RemoveExisting(at._left!, key, stamp);
            return Balance(at, stamp);
        }

        if (order > 0)
        {
            at = at.Own(stamp);
            at._right = RemoveExisting(at._right!, key, stamp);
            return Balance(at, stamp);
        }

        if (at._left is null)
            return at._right;
        if (at._right is null)
            return at._left;

        SortedTree next = at._right;
        while (next._left is not null)
            next = next._left;
        SortedTree? right = RemoveExisting(at._right, next._key, stamp);
        return Balance(new SortedTree(next._key, next._value, at._left, right, 0, stamp), stamp);
    }

    private SortedTree Own(long stamp) =>
        _stamp == stamp ? this : new SortedTree(_key, _value, _left, _right, _height, stamp);

    private static int Height(SortedTree? at) => at?._height ?? 0;

    private static SortedTree Balance(SortedTree at, long stamp)
    {
        int tilt = Height(at._left) - Height(at._right);
        if (tilt > 1)
        {
            SortedTree left = at._left!;
            if (Height(left._left) < Height(left._right))
                at._left = RotateLeft(left.Own(stamp), stamp);
            return RotateRight(at, stamp);
        }

        if (tilt < -1)
        {
            SortedTree right = at._right!;
            if (Height(right._right) < Height(right._left))
                at._right = RotateRight(right.Own(stamp), stamp);
            return RotateLeft(at, stamp);
        }

        at.Measure();
        return at;
    }

    private static SortedTree RotateLeft(SortedTree at, long stamp)
    {
        SortedTree up = at._right!.Own(stamp);
        at._right = up._left;
        at.Measure();
        up._left = at;
        up.Measure();
        return up;
    }

    private static SortedTree RotateRight(SortedTree at, long stamp)
    {
        SortedTree up = at._left!.Own(stamp);
        at._left = up._right;
        at.Measure();
        up._right = at;
        up.Measure();
        return up;
    }

    private void Measure() => _height = Math.Max(Height(_left), Height(_right)) + 1;

    /// <summary>Walks a version in ascending order from a key on.</summary>
    public struct Walker
    {
        private readonly Stack<SortedTree> _path = new();

        public Walker(SortedTree? root, ReadOnlySpan<byte> lower)
        {
            for (SortedTree? at = root; at is not null;)
            {
                if (lower.SequenceCompareTo(at._key) <= 0)
                {
                    _path.Push(at);
                    at = at._left;
                }
                else
                {
                    at = at._right;
                }
            }
        }

        public readonly SortedTree? Next()
        {
            if (!_path.TryPop(out SortedTree? next))
                return null;

            for (SortedTree? at = next._right; at is not null; at = at._left)
                _path.Push(at);
            return next;
        }
    }
}
