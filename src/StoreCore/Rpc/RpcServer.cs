using System.IO.Pipelines;
using System.Runtime.InteropServices;
using StoreCore.Primitives;

namespace StoreCore.Rpc;

/// <summary>
/// Serves the programs of a dispatcher over TCP: accepts connections, has its workers read and handle calls, and keeps every limit of
/// <see cref="RpcServerOptions"/>. Its members may be called from any thread.
/// </summary>
public sealed partial class RpcServer : IDisposable
{
    private readonly RpcDispatcher _dispatcher;
    private readonly IRpcEvents _events;
    private readonly RpcWorkerPolicy _policy;
    private readonly int _maxWorkers;
    private readonly NativeBufferPool _segmentBuffers;
    private readonly NativeMemoryPool _segments;
    private readonly List<Listener> _listeners = [];
    private readonly int _epoll;
    private readonly int _stopEvent;

    private readonly Lock _tableLock = new();
    private readonly Dictionary<UInt128, int> _perAddress = [];
    private readonly Stack<int> _freeIndices = new();
    private RpcConnection?[] _table = new RpcConnection?[16];
    private int _indices;
    private int _connections;
    private long _lastId;
    private long _accepted;
    private long _refused;
    private long _endedReceivedBytes; // of connections that are gone
    private long _endedSentBytes;

    private readonly Lock _stopLock = new();
    private volatile bool _stopping; // nothing is read any more
    private volatile bool _stopped; // the workers leave
    private bool _freed;

    private RpcServer(RpcServerOptions options, RpcDispatcher dispatcher, IRpcEvents events, TimeProvider clock, RpcWorkerPolicy? policy, int epoll, int stopEvent)
    {
        Options = options;
        _dispatcher = dispatcher;
        _events = events;
        Clock = clock;
        _policy = policy ?? new RpcWorkerPolicy(clock.TimestampFrequency, Environment.ProcessorCount, dispatcher.Slots);
        _maxWorkers = options.Workers;
        _epoll = epoll;
        _stopEvent = stopEvent;
        Budget = new RpcBudget(options.BudgetBytes);
        SmallBuffers = new NativeBufferPool(Limits.RpcReceiveBytes, maxIdle: 64);
        LargeBuffers = new NativeBufferPool(Limits.RpcBufferBytes, maxIdle: 64);
        _segmentBuffers = new NativeBufferPool(Limits.RpcSegmentBytes, maxIdle: 0);
        _segments = new NativeMemoryPool(_segmentBuffers, maxIdle: 1024);
        InputOptions = new PipeOptions(
            _segments, PipeScheduler.Inline, PipeScheduler.Inline, pauseWriterThreshold: 0, resumeWriterThreshold: 0,
            minimumSegmentSize: Limits.RpcSegmentBytes, useSynchronizationContext: false);
    }

    /// <summary>Where it listens, with the ports that were chosen.</summary>
    public IReadOnlyList<RpcPeer> Endpoints => [.. _listeners.Select(static listener => listener.Local)];

    internal RpcServerOptions Options { get; }

    internal TimeProvider Clock { get; }

    internal RpcBudget Budget { get; }

    internal NativeBufferPool SmallBuffers { get; }

    internal NativeBufferPool LargeBuffers { get; }

    internal PipeOptions InputOptions { get; }

    internal RpcReadyQueue Ready { get; } = new();

    internal bool Stopping => _stopping;

    /// <summary>Listens and serves until <see cref="Stop"/>.</summary>
    /// <param name="policy">Null: the usual one for this machine.</param>
    /// <param name="error">Why not, one line for people.</param>
    /// <returns>Null if the options do not go together or an address cannot be listened on.</returns>
    public static RpcServer? Start(
        RpcServerOptions options, RpcDispatcher dispatcher, IRpcEvents events, TimeProvider clock, out string? error, RpcWorkerPolicy? policy = null)
    {
        error = options.Problem();
        if (error is not null)
            return null;

        var server = new RpcServer(options, dispatcher, events, clock, policy, LibC.NewEpoll(), LibC.NewEvent());
        error = server.Listen();
        if (error is not null)
        {
            server.CloseDescriptors();
            return null;
        }

        server.WakeWorker();
        server._watch = new Thread(server.Watch) { IsBackground = true, Name = "rpc watch" };
        server._watch.Start();
        return server;
    }

    /// <summary>The server now. Takes no lock that a call could hold.</summary>
    public RpcServerState State()
    {
        long received = Interlocked.Read(ref _endedReceivedBytes), sent = Interlocked.Read(ref _endedSentBytes);
        foreach (RpcConnection? connection in _table)
        {
            received += connection?.ReceivedBytes ?? 0;
            sent += connection?.Output.SentBytes ?? 0;
        }

        return new RpcServerState(
            _dispatcher.Statistics.Progress(), Volatile.Read(ref _connections), Interlocked.Read(ref _accepted), Interlocked.Read(ref _refused),
            Ready.Count, Budget.Waiting, Budget.UsedBytes, Budget.TotalBytes, Volatile.Read(ref _workers), Volatile.Read(ref _busy), received, sent);
    }

    /// <summary>All connections, the oldest first.</summary>
    public IReadOnlyList<RpcConnectionInfo> Connections()
    {
        long now = Clock.GetTimestamp();
        var all = new List<RpcConnectionInfo>();
        foreach (RpcConnection? one in _table)
        {
            if (one is not null)
            {
                all.Add(new RpcConnectionInfo(
                    one.Id, one.Peer, one.Local, one.Since, one.ReceivedBytes, one.Output.SentBytes, one.Calls, one.CallsInProgress,
                    one.Output.QueuedBytes, Clock.GetElapsedTime(one.LastCallAt, now), one.LastFault));
            }
        }

        all.Sort(static (a, b) => a.Id.CompareTo(b.Id));
        return all;
    }

    /// <summary>Closes the connections that are meant.</summary>
    /// <param name="reset">The clients see a reset (as when an address moves to another node), not an end in order.</param>
    /// <returns>How many there were.</returns>
    public int CloseConnections(Func<IRpcConnection, bool> which, string reason, bool reset = false)
    {
        int count = 0;
        foreach (RpcConnection? connection in _table)
        {
            if (connection is null || !which(connection))
                continue;
            connection.Close(reason, reset);
            count++;
        }

        return count;
    }

    /// <summary>
    /// Stops: listens and reads no more, lets calls in progress end and their replies go out for as long as <paramref name="patience"/>, then closes
    /// everything. A handler that does not end is waited for as long again, no longer; then it may be called once more.
    /// </summary>
    /// <returns>Whether everything ended in order; false: some replies were cut off, or a handler still hangs.</returns>
    public bool Stop(TimeSpan patience)
    {
        lock (_stopLock)
        {
            if (_freed)
                return true;

            _stopping = true;
            foreach (Listener listener in _listeners)
                listener.Close();

            bool inOrder = Within(patience, CloseQuiet);
            CloseConnections(static _ => true, "the server stops");
            bool closed = Within(patience, () => Volatile.Read(ref _connections) == 0);
            _stopped = true;
            _ = LibC.Raise(_stopEvent);
            WakeAll();
            if (!closed || !Within(patience, () => Volatile.Read(ref _workers) == 0))
                return false; // a handler hangs; what it uses must stay

            _freed = true;
            _watch?.Join();
            CloseDescriptors();
            _segments.Dispose();
            _segmentBuffers.Dispose();
            SmallBuffers.Dispose();
            LargeBuffers.Dispose();
            return inOrder;
        }
    }

    public void Dispose() => Stop(TimeSpan.FromSeconds(5));

    /// <summary>Whether a connection with this many calls in progress may begin another: as many are left for the others as it has.</summary>
    internal bool MayBegin(int calls) =>
        calls < Options.MaxCallsPerConnection && (calls == 0 || calls < _maxWorkers - Volatile.Read(ref _busy));

    /// <summary>Whether there is memory for the replies of all calls in progress and one more, whatever they are.</summary>
    internal bool MayBeginUnpaid => Budget.Plenty((long)Limits.RpcBufferBytes * Volatile.Read(ref _busy));

    /// <summary>The last reference to a connection is gone.</summary>
    internal void Forget(RpcConnection connection)
    {
        // Reported before it is counted out, so that whoever sees it gone (Stop, a test) knows that its end has been dealt with.
        _dispatcher.ConnectionClosed(connection);
        _events.ConnectionClosed(connection, connection.Reason);

        lock (_tableLock)
        {
            _table[connection.Index] = null;
            _freeIndices.Push(connection.Index);
            _connections--;
            int left = --CollectionsMarshal.GetValueRefOrNullRef(_perAddress, connection.Peer.Address);
            if (left == 0)
                _perAddress.Remove(connection.Peer.Address);
            _endedReceivedBytes += connection.ReceivedBytes;
            _endedSentBytes += connection.Output.SentBytes;
        }
    }
}
