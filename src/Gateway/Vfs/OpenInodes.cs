using System.Collections.Concurrent;
using System.Diagnostics;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// The states of inodes that are open, dirty or in use: as many as that, never as many as there are files. Any thread.
/// <para>The last ones that went idle stay for a while, as if they were new: a stateless caller (NFS) pins a file for each read and write, and is not to make a state each time.</para>
/// </summary>
internal sealed class OpenInodes
{
    /// <summary>Idle states that stay: some 2 MiB, for as many files as are read at one time.</summary>
    public const int MaxResting = 8192;

    private readonly ConcurrentDictionary<ulong, InodeState> _states = new();
    private readonly InodeState?[] _resting = new InodeState?[MaxResting]; // a ring: the oldest makes room
    private uint _restingNext;

    /// <summary>States that are not idle; they are looked at one by one.</summary>
    public int Count => _states.Count(static pair => !pair.Value.Idle);

    /// <summary>The state of an inode, made if there is none, pinned until <see cref="Unpin"/>.</summary>
    public InodeState Pin(InodeId inode)
    {
        while (true)
        {
            if (!_states.TryGetValue(inode.Value, out InodeState? state))
                state = _states.GetOrAdd(inode.Value, new InodeState(inode));
            lock (state)
            {
                if (state.Dead)
                    continue;
                state.Pins++;
                return state;
            }
        }
    }

    /// <summary>The state if there is one, not pinned: only to look at under its monitor.</summary>
    public InodeState? Find(InodeId inode) => _states.TryGetValue(inode.Value, out InodeState? state) ? state : null;

    /// <summary>Not under any state's monitor.</summary>
    public void Unpin(InodeState state)
    {
        lock (state)
        {
            Debug.Assert(state.Pins > 0, "unpinned more often than pinned");
            state.Pins--;
            if (!state.Idle || state.Dead)
                return;
            state.Forget();
            if (state.Resting)
                return;
            state.Resting = true;
        }

        InodeState? oldest = Interlocked.Exchange(ref _resting[Interlocked.Increment(ref _restingNext) % MaxResting], state);
        if (oldest is null)
            return;
        lock (oldest)
        {
            oldest.Resting = false;
            RemoveIfIdle(oldest);
        }
    }

    /// <summary>Under the state's monitor.</summary>
    public void RemoveIfIdle(InodeState state)
    {
        if (!state.Idle || state.Dead)
            return;
        state.Forget();
        if (state.Resting)
            return;
        state.Dead = true;
        _states.TryRemove(new KeyValuePair<ulong, InodeState>(state.Inode.Value, state));
    }
}
