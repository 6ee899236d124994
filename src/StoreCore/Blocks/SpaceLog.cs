using StoreCore.Kv;

namespace StoreCore.Blocks;

/// <summary>
/// Writes what commits change in the space bitmaps: one change row for each commit, and now and then the rows of all groups that have changed since. A commit frees in one place and takes in another;
/// change rows lie side by side in the key-value store's memory, where finding the places of two far rows would cost a write more than all its other rows.
/// Used under the index's commit lock.
/// </summary>
internal sealed class SpaceLog(int foldRows, int foldStepGroups)
{
    private readonly List<(Volume Volume, int Group)> _changed = [];
    private readonly List<(Volume Volume, int Group)> _unfolded = [];
    private readonly List<(Volume Volume, int Group)> _folding = [];
    private byte[] _row = new byte[8 * SpaceTable.ChangeBytes];
    private ulong _first = 1;
    private ulong _next = 1;
    private ulong _foldEnd;
    private int _folded;

    /// <summary>There are change rows.</summary>
    public bool HasRows => _next != _first;

    public bool NeedsFold => _folding.Count > 0 || _next - _first >= (ulong)foldRows;

    /// <summary>A bit of the group has changed in memory.</summary>
    public void Touch(Volume volume, int chunk)
    {
        int group = chunk / Volume.ChunksPerGroup;
        if (volume.MarkChanged(group, Volume.GroupState.InCommit))
            _changed.Add((volume, group));
    }

    /// <summary>Adds the change row of a commit to its batch.</summary>
    public void Stage(KvBatch batch)
    {
        if (_changed.Count == 0)
            return;

        int length = _changed.Count * SpaceTable.ChangeBytes;
        if (_row.Length < length)
            _row = new byte[length * 2];
        Span<byte> rest = _row;
        foreach ((Volume volume, int group) in _changed)
        {
            SpaceTable.EncodeChange(rest, volume, group);
            rest = rest[SpaceTable.ChangeBytes..];
            volume.ClearChanged(group, Volume.GroupState.InCommit);
            if (volume.MarkChanged(group, Volume.GroupState.Unfolded))
                _unfolded.Add((volume, group));
        }

        Span<byte> key = stackalloc byte[SpaceTable.ChangeKeyBytes];
        batch.Put(KvTable.Space, SpaceTable.ChangeKey(key, _next++), _row.AsSpan(0, length));
        _changed.Clear();
    }

    /// <summary>
    /// Adds a step of a fold to an empty batch. Commits may come between the steps: what they change has newer change rows, and those that the last step deletes
    /// are older than every row that the fold has written.
    /// </summary>
    public void FoldStep(KvBatch batch)
    {
        if (_folding.Count == 0)
        {
            _folding.AddRange(_unfolded);
            _unfolded.Clear();
            foreach ((Volume volume, int group) in _folding)
                volume.ClearChanged(group, Volume.GroupState.Unfolded);

            // In the order of the table: each row's place is next to the one before.
            _folding.Sort(static (a, b) => a.Volume.Id != b.Volume.Id ? a.Volume.Id.CompareTo(b.Volume.Id) : a.Group.CompareTo(b.Group));
            _foldEnd = _next;
            _folded = 0;
        }

        int end = Math.Min(_folding.Count, _folded + foldStepGroups);
        for (; _folded < end; _folded++)
            SpaceTable.PutRow(batch, _folding[_folded].Volume, _folding[_folded].Group);
        if (_folded < _folding.Count)
            return;

        Span<byte> lower = stackalloc byte[SpaceTable.ChangeKeyBytes];
        Span<byte> upper = stackalloc byte[SpaceTable.ChangeKeyBytes];
        batch.DeleteRange(KvTable.Space, SpaceTable.ChangeKey(lower, _first), SpaceTable.ChangeKey(upper, _foldEnd));
        _first = _foldEnd;
        _folding.Clear();
    }
}
