using System.Diagnostics;
using StoreCore.Rpc;

namespace Bench.Load;

/// <summary>One thread of the client, which serves its share of the connections by one epoll.</summary>
internal sealed class LoadThread(IReadOnlyList<ILoadSocket> sockets)
{
    private const int TickMilliseconds = 20;

    private readonly int _epoll = LibC.NewEpoll();
    private Thread? _thread;
    private volatile bool _counts;
    private volatile bool _ended;
    private Exception? _fault;

    public void Start()
    {
        _thread = new Thread(() =>
        {
            try
            {
                Run();
            }
            catch (Exception e)
            {
                _fault = e;
            }
        })
        { Name = "load" };
        _thread.Start();
    }

    /// <summary>From now on what is answered counts.</summary>
    public void Count() => _counts = true;

    /// <summary>Ends it.</summary>
    /// <exception cref="InvalidOperationException">It had ended by itself.</exception>
    public void Stop()
    {
        _ended = true;
        _thread?.Join();
        _ = LibC.Close(_epoll);
        if (_fault is not null)
            throw new InvalidOperationException("a thread of the load failed", _fault);
    }

    private void Run()
    {
        for (int i = 0; i < sockets.Count; i++)
            sockets[i].Start(_epoll, (ulong)i);
        byte[] events = new byte[16 * 64];
        long ticked = Stopwatch.GetTimestamp();
        bool counts = false;
        while (!_ended)
        {
            int count = LibC.Wait(_epoll, events, TickMilliseconds);
            for (int i = 0; i < count; i++)
            {
                (uint what, ulong data) = LibC.EventAt(events, i);
                sockets[(int)data].OnEvent(what);
            }

            if (_counts != counts)
            {
                counts = _counts;
                foreach (LoadConnection connection in sockets.OfType<LoadConnection>())
                    connection.Counts = counts;
            }

            if (Stopwatch.GetElapsedTime(ticked).TotalMilliseconds < TickMilliseconds)
                continue;
            ticked = Stopwatch.GetTimestamp();
            foreach (ILoadSocket socket in sockets)
                socket.Tick();
        }

        foreach (ILoadSocket socket in sockets)
            socket.Close();
    }
}
