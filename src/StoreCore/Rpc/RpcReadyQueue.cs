namespace StoreCore.Rpc;

/// <summary>
/// The connections that have something to be read or handled, each at most once, first in first out: that is what makes it a round robin. Linked
/// through the connections themselves, so that queueing allocates nothing. Any thread.
/// </summary>
internal sealed class RpcReadyQueue
{
    private readonly Lock _lock = new();
    private RpcConnection? _first;
    private RpcConnection? _last;
    private int _count;

    public int Count => Volatile.Read(ref _count);

    public void Enqueue(RpcConnection connection)
    {
        lock (_lock)
        {
            connection.NextReady = null;
            if (_last is null)
                _first = connection;
            else
                _last.NextReady = connection;
            _last = connection;
            Volatile.Write(ref _count, _count + 1);
        }
    }

    public RpcConnection? TryDequeue()
    {
        if (Count == 0)
            return null;

        lock (_lock)
        {
            RpcConnection? connection = _first;
            if (connection is null)
                return null;

            _first = connection.NextReady;
            connection.NextReady = null;
            if (_first is null)
                _last = null;
            Volatile.Write(ref _count, _count - 1);
            return connection;
        }
    }
}
