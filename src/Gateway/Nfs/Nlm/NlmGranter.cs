using Gateway.Nfs.Exports;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Primitives;

namespace Gateway.Nfs.Nlm;

/// <summary>A lock that was given to a client that waited, and all that its GRANTED call says.</summary>
/// <param name="Arguments">nlm4_testargs behind the cookie: exclusive, nlm4_lock; as the client has sent them.</param>
/// <param name="Server">The address of ours that the client has asked.</param>
internal sealed record NlmGrant(NlmHost Host, ClientAddress Server, InodeId Inode, VfsLock Lock, byte[] Arguments)
{
    public long Cookie { get; set; }

    public int Attempts { get; set; }

    /// <summary>The client may have heard a call whose answer did not come.</summary>
    public bool MayBeKnown { get; set; }

    /// <summary>Timestamp of the clock before which it is not tried again.</summary>
    public long NotBefore { get; set; }
}

/// <summary>What a client answers to GRANTED.</summary>
internal enum NlmGrantAnswer
{
    /// <summary>It has the lock.</summary>
    Accepted,

    /// <summary>It does not want it any more.</summary>
    Refused,

    /// <summary>It did not answer in time, and may have heard all the same.</summary>
    Unanswered,

    /// <summary>It was not reached, and has not heard.</summary>
    Unreached,
}

/// <summary>Calls clients back; blocks until the answer or a time-out of some seconds, and throws for nothing that a network can do. Any thread.</summary>
internal interface INlmCaller
{
    /// <param name="server">Our address, from which the call must come.</param>
    /// <param name="arguments">nlm4_testargs behind the cookie.</param>
    NlmGrantAnswer Granted(ClientAddress client, ClientAddress server, ReadOnlySpan<byte> cookie, ReadOnlySpan<byte> arguments);

    /// <summary>Tells a client's status monitor that we have restarted; false where it was not reached.</summary>
    bool Restarted(ClientAddress client, ClientAddress server, int state);
}

/// <summary>
/// Tells clients of locks that they have got, from threads of its own: no call waits for a client. A client that does not answer is tried again for some minutes. It keeps the
/// lock, for it may have heard the call whose answer was lost; and it asks again by itself. For the same reason it keeps the lock if it refuses it only then: a client that has
/// taken a lock waits for it no more, and refuses the same call the second time; had it given up, it would have sent UNLOCK.
/// </summary>
internal sealed partial class NlmGranter : IDisposable
{
    /// <summary>Clients called at once.</summary>
    private const int MaxCalls = 8;

    private const int MaxAttempts = 8;
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    private readonly IVfs _vfs;
    private readonly INlmCaller _caller;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly Lock _gate = new();
    private readonly List<NlmGrant> _grants = [];
    private readonly ITimer _timer;
    private long _lastCookie;
    private int _calls;
    private bool _isDisposed;

    public NlmGranter(IVfs vfs, INlmCaller caller, TimeProvider clock, ILogger log)
    {
        (_vfs, _caller, _clock, _log) = (vfs, caller, clock, log);
        _timer = clock.CreateTimer(_ => Start(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Clients that were not told yet.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _grants.Count;
        }
    }

    /// <summary>Only queues: called under the lock table's completion.</summary>
    public void Enqueue(NlmGrant grant)
    {
        lock (_gate)
        {
            grant.Cookie = ++_lastCookie;
            grant.NotBefore = _clock.GetTimestamp();
            _grants.Add(grant);
        }

        Start();
    }

    /// <summary>These locks are not the client's any more: it is not told of them.</summary>
    public void Forget(Predicate<NlmGrant> which)
    {
        lock (_gate)
            _grants.RemoveAll(which);
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            _grants.Clear();
        }

        _timer.Dispose();
    }

    /// <summary>Sets out as many calls as are due and allowed; sees to it that the rest are when their time comes.</summary>
    private void Start()
    {
        lock (_gate)
        {
            long now = _clock.GetTimestamp(), next = long.MaxValue;
            foreach (NlmGrant grant in _grants)
            {
                if (grant.NotBefore == long.MaxValue)
                    continue; // being called
                if (grant.NotBefore > now || _calls == MaxCalls)
                {
                    next = Math.Min(next, grant.NotBefore);
                    continue;
                }

                grant.NotBefore = long.MaxValue;
                _calls++;
                ThreadPool.UnsafeQueueUserWorkItem(static item => item.Self.Call(item.Grant), (Self: this, Grant: grant), preferLocal: false);
            }

            if (next != long.MaxValue && _calls < MaxCalls && !_isDisposed)
                _timer.Change(TimeSpan.FromSeconds(Math.Max(0.001, (next - now) / (double)_clock.TimestampFrequency)), Timeout.InfiniteTimeSpan);
        }
    }

    private void Call(NlmGrant grant)
    {
        NlmGrantAnswer answer = NlmGrantAnswer.Unanswered;
        try
        {
            Span<byte> cookie = stackalloc byte[sizeof(long)];
            System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(cookie, grant.Cookie);
            answer = _caller.Granted(grant.Host.Address, grant.Server, cookie, grant.Arguments);
        }
        finally
        {
            Conclude(grant, answer);
        }

        Start();
    }

    private void Conclude(NlmGrant grant, NlmGrantAnswer answer)
    {
        bool isRefused, isFinal;
        lock (_gate)
        {
            _calls--;
            isRefused = answer == NlmGrantAnswer.Refused && !grant.MayBeKnown && _grants.Contains(grant);
            grant.MayBeKnown |= answer == NlmGrantAnswer.Unanswered;
            isFinal = answer is NlmGrantAnswer.Accepted or NlmGrantAnswer.Refused || ++grant.Attempts == MaxAttempts;
            if (isFinal)
                _grants.Remove(grant);
            double pause = Math.Min(FirstPause.TotalSeconds * Math.Pow(2, grant.Attempts - 1), LongestPause.TotalSeconds);
            grant.NotBefore = _clock.GetTimestamp() + (long)(pause * _clock.TimestampFrequency);
        }

        if (isRefused)
            _vfs.SetLock(grant.Inode, VfsLockSpace.Posix, grant.Lock with { Kind = VfsLockKind.Unlock }, null, out _);
        else if (isFinal && answer is not (NlmGrantAnswer.Accepted or NlmGrantAnswer.Refused))
            LogUnreached(grant.Host.Name, grant.Host.Address, grant.Inode);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "client {Name} ({Address}) waited for a lock of inode {Inode} and cannot be told that it has it (its firewall, or no rpcbind there?); it keeps the lock")]
    private partial void LogUnreached(string name, ClientAddress address, InodeId inode);
}
