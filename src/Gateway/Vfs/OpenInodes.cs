using System.Collections.Concurrent;
using System.Diagnostics;
using StoreCore.Primitives;

namespace Gateway.Vfs;

/// <summary>
/// The states of inodes that are open, dirty or in use: as many as that, never as many as there are files. Any thread.
/// </summary>
internal sealed class OpenInodes
{
    private readonly ConcurrentDictionary<ulong, InodeState> _states = new();

    public int Count => _states.Count;

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

    public void Unpin(InodeState state)
    {
        lock (state)
        {
            Debug.Assert(state.Pins > 0, "unpinned more often than pinned");
            state.Pins--;
            RemoveIfIdle(state);
        }
    }

    /// <summary>Under the state's monitor.</summary>
    public void RemoveIfIdle(InodeState state)
    {
        if (!state.Idle || state.Dead)
            return;
        state.Dead = true;
        _states.TryRemove(new KeyValuePair<ulong, InodeState>(state.Inode.Value, state));
    }
}
