namespace StoreCore.Rpc;

// The listening sockets and the table of connections.
public sealed partial class RpcServer
{
    private const int ListenBacklog = 1024;

    // What an event of epoll is reported with: a connection's index and 31 bits of its id; these for the others.
    private const ulong StopData = ulong.MaxValue;
    private const ulong ListenerData = ulong.MaxValue << 32;
    private const uint IdMask = int.MaxValue;

    private sealed class Listener(int descriptor, RpcPeer local)
    {
        private int _descriptor = descriptor;

        public RpcPeer Local => local;

        public int Descriptor => _descriptor;

        /// <summary>Accepting failed for want of something: asked again at the watch's next look.</summary>
        public bool Paused { get; set; }

        public void Close()
        {
            int descriptor = Interlocked.Exchange(ref _descriptor, -1);
            if (descriptor >= 0)
                _ = LibC.Close(descriptor);
        }
    }

    /// <summary>Listens on every address; null, or why not.</summary>
    private string? Listen()
    {
        int failed = Math.Min(_epoll, _stopEvent);
        if (failed >= 0)
            failed = LibC.Watch(_epoll, LibC.ControlAdd, _stopEvent, LibC.EventIn, StopData);
        if (failed < 0)
            return LibC.Describe(-failed);

        foreach (RpcPeer wanted in Options.Listen)
        {
            int descriptor = LibC.NewListener(wanted, ListenBacklog);
            if (descriptor < 0)
                return $"{wanted}: {LibC.Describe(-descriptor)}";

            _listeners.Add(new Listener(descriptor, LibC.LocalOf(descriptor)));
            failed = LibC.Watch(_epoll, LibC.ControlAdd, descriptor, LibC.EventIn, ListenerData + (uint)(_listeners.Count - 1));
            if (failed < 0)
                return $"{wanted}: {LibC.Describe(-failed)}";
        }

        return null;
    }

    /// <summary>Takes all connections that wait. By the leader, so by one thread at a time.</summary>
    private void Accept(Listener listener)
    {
        while (!_stopping)
        {
            int descriptor = LibC.AcceptFrom(listener.Descriptor, out RpcPeer peer);
            switch (descriptor)
            {
                case >= 0:
                    Interlocked.Increment(ref _accepted);
                    Adopt(descriptor, peer);
                    continue;
                case -LibC.EAGAIN:
                    return;
                case -LibC.EINTR or -LibC.ECONNABORTED or -LibC.EPROTO or -LibC.EPERM or (<= -LibC.ENETDOWN and >= -LibC.EHOSTUNREACH):
                    continue; // of this one connection, or of its network (accept(2)): the next may be better
                default:
                    // Most likely there are no descriptors left. The connections stay in the kernel's queue; it would report them again and again.
                    listener.Paused = true;
                    _ = LibC.Watch(_epoll, LibC.ControlModify, listener.Descriptor, 0, ListenerData + (uint)_listeners.IndexOf(listener));
                    _events.ServerFault($"accepting on {listener.Local} pauses: {LibC.Describe(-descriptor)}", null);
                    return;
            }
        }
    }

    private void Adopt(int descriptor, RpcPeer peer)
    {
        RpcConnection? connection = null;
        int failed = LibC.SetConnectionOptions(descriptor, (int)Options.SendTimeout.TotalMilliseconds);
        if (failed >= 0)
            connection = Enter(descriptor, peer) ?? (MakeRoom(peer) ? Enter(descriptor, peer) : null);
        if (connection is null)
        {
            Interlocked.Increment(ref _refused);
            _ = LibC.Close(descriptor);
            return;
        }

        _events.ConnectionOpened(connection);
        ulong data = (ulong)((uint)connection.Id & IdMask) << 32 | (uint)connection.Index;
        failed = LibC.Watch(
            _epoll, LibC.ControlAdd, descriptor, LibC.EventIn | LibC.EventOut | LibC.EventPeerHangUp | LibC.EventEdge, data);
        if (failed < 0)
            connection.Close($"epoll: {LibC.Describe(-failed)}");
    }

    /// <summary>A place in the table for one more connection; null if there is none.</summary>
    private RpcConnection? Enter(int descriptor, RpcPeer peer)
    {
        long now = Clock.GetTimestamp();
        lock (_tableLock)
        {
            int ofAddress = _perAddress.GetValueOrDefault(peer.Address);
            if (_connections >= Options.MaxConnections || ofAddress >= Options.MaxConnectionsPerAddress)
                return null;

            var connection = new RpcConnection(this, descriptor, ++_lastId, peer, LibC.LocalOf(descriptor), now);
            if (!_freeIndices.TryPop(out int index))
            {
                index = _indices++;
                if (index == _table.Length)
                {
                    var larger = new RpcConnection?[2 * index];
                    _table.CopyTo(larger, 0);
                    _table = larger;
                }
            }

            connection.Index = index;
            Volatile.Write(ref _table[index], connection);
            _perAddress[peer.Address] = ofAddress + 1;
            _connections++;
            return connection;
        }
    }

    /// <summary>
    /// Closes a connection, so that those who have many and leave them idle keep nobody out: of the address that has the most, the one that has not called for the longest. Its
    /// client connects anew when it needs it. Of the newcomer's own address only one that has been idle for a while, or its connections would push out one another.
    /// </summary>
    /// <returns>Whether one was closed.</returns>
    private bool MakeRoom(RpcPeer newcomer)
    {
        UInt128 address = newcomer.Address;
        lock (_tableLock)
        {
            int own = _perAddress.GetValueOrDefault(address);
            int most = own + 1;
            foreach ((UInt128 other, int count) in _perAddress)
            {
                if (own < Options.MaxConnectionsPerAddress && count > most)
                    (address, most) = (other, count);
            }
        }

        long now = Clock.GetTimestamp();
        TimeSpan longest = address == newcomer.Address ? Options.OwnRoomTimeout : TimeSpan.Zero;
        RpcConnection? idlest = null;
        foreach (RpcConnection? connection in _table)
        {
            if (connection is null || connection.Peer.Address != address || !connection.Quiet)
                continue;
            TimeSpan idle = Clock.GetElapsedTime(connection.LastCallAt, now);
            if (idle > longest)
                (idlest, longest) = (connection, idle);
        }

        idlest?.Close("idle, and its place is needed");
        return idlest is not null;
    }

    private RpcConnection? ByData(ulong data)
    {
        RpcConnection?[] table = _table;
        uint index = (uint)data;
        RpcConnection? connection = index < (uint)table.Length ? table[index] : null;
        return connection is not null && ((uint)connection.Id & IdMask) == (uint)(data >> 32) ? connection : null;
    }

    /// <summary>Has listeners that were paused try again.</summary>
    private void ResumeListeners()
    {
        for (int i = 0; i < _listeners.Count; i++)
        {
            Listener listener = _listeners[i];
            if (!listener.Paused || listener.Descriptor < 0)
                continue;
            listener.Paused = false;
            _ = LibC.Watch(_epoll, LibC.ControlModify, listener.Descriptor, LibC.EventIn, ListenerData + (uint)i);
        }
    }

    private void CloseDescriptors()
    {
        foreach (Listener listener in _listeners)
            listener.Close();
        if (_epoll >= 0)
            _ = LibC.Close(_epoll);
        if (_stopEvent >= 0)
            _ = LibC.Close(_stopEvent);
    }
}
