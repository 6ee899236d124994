using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;

namespace Gateway.Fuse;

/// <summary>Why a session ended.</summary>
public enum FuseSessionEnd
{
    /// <summary>Unmounted, by us or by umount(8), or its last open file was closed after a lazy unmount.</summary>
    Unmounted,

    /// <summary>Aborted: umount -f while in use, or /sys/fs/fuse/connections.</summary>
    Aborted,

    /// <summary>The device failed in a way the protocol does not know; see the log.</summary>
    Failed,
}

/// <summary>
/// The threads that read requests from the device, have them handled and write the replies. At least one reader waits for requests at any time
/// that one is free; how many, and whether polling, is <see cref="FuseReaderPolicy"/>'s choice. Ends by itself when the mount goes.
/// <para>States of a reader: waiting in the device (counted in <c>_receiving</c>), handling, or parked.</para>
/// </summary>
public sealed partial class FuseSession
{
    private readonly FuseDevice _device;
    private readonly FuseDispatcher _dispatcher;
    private readonly FuseStatistics _statistics;
    private readonly FuseReaderPolicy _policy;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly string _name;
    private readonly TaskCompletionSource<FuseSessionEnd> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly object _gate = new(); // only parked readers wait on it
    private readonly AutoResetEvent _watchWake = new(false);
    private int _threads; // under _gate, as the next four
    private bool _cloneFailed;
    private int _parked;
    private int _permits;
    private FuseSessionEnd? _end;

    private int _receiving;
    private int _polling;
    private long _handled;
    private volatile bool _watchAsleep;

    /// <param name="name">The mount point, for thread names and log lines.</param>
    public FuseSession(
        FuseDevice device, FuseDispatcher dispatcher, FuseStatistics statistics, FuseReaderPolicy policy, TimeProvider clock, ILogger log,
        string name)
    {
        _device = device;
        _dispatcher = dispatcher;
        _statistics = statistics;
        _policy = policy;
        _clock = clock;
        _log = log;
        _name = name;
    }

    /// <summary>Completes when all threads are done and what the kernel held was given back.</summary>
    public Task<FuseSessionEnd> Completion => _completion.Task;

    /// <summary>Starts the first reader, on the mount's own descriptor; INIT is what it reads first.</summary>
    public void Start()
    {
        Release();
        new Thread(Watch) { IsBackground = true, Name = $"fuse watch {_name}" }.Start();
    }

    private bool Ended
    {
        get
        {
            lock (_gate)
                return _end is not null;
        }
    }

    /// <summary>Has one more reader wait in the device: a parked one, or a new one.</summary>
    private void Release()
    {
        lock (_gate)
        {
            if (_end is not null)
                return;

            if (_parked > _permits)
            {
                _permits++;
                Interlocked.Increment(ref _receiving);
                Monitor.Pulse(_gate);
                return;
            }

            if (_threads >= _policy.MaxReaders)
                return;

            FuseDevice? device = _device;
            int errno = 0;
            if (_threads > 0)
                device = _device.Clone(out errno);
            if (device is null)
            {
                if (!_cloneFailed)
                    LogNoClone(_name, errno);
                _cloneFailed = true; // one line is enough; it is tried again each time
                return;
            }

            _threads++;
            Interlocked.Increment(ref _receiving);
            new Thread(() => Read(device)) { IsBackground = true, Name = $"fuse reader {_threads} {_name}" }.Start();
        }
    }

    private void Read(FuseDevice device)
    {
        FuseSessionEnd end = FuseSessionEnd.Failed;
        try
        {
            using var buffers = new FuseBuffers();
            var lane = new FuseLane(device, _clock);
            _statistics.Add(lane);
            end = Loop(device, lane, buffers);
        }
        catch (Exception fault)
        {
            LogReaderFault(fault, _name);
        }
        finally
        {
            Leave(device, end);
        }
    }

    private FuseSessionEnd Loop(FuseDevice device, FuseLane lane, FuseBuffers buffers)
    {
        while (true)
        {
            int received = Receive(device, buffers.Request);
            bool last = Interlocked.Decrement(ref _receiving) == 0;
            if (received < 0)
                return EndOf(-received);

            FuseOpcode opcode = received >= FuseProtocol.InHeaderBytes
                ? MemoryMarshal.Read<FuseInHeader>(buffers.Request).Opcode
                : default;
            if (last && _policy.ReleaseBefore(opcode))
                Release();
            if (_watchAsleep)
                WakeWatch();

            long started = _clock.GetTimestamp();
            int length = _dispatcher.Dispatch(lane, buffers.Request[..received], buffers.Reply);
            if (length > 0)
                device.Send(buffers.Reply[..length]);
            _policy.Observe(opcode, Math.Max(received, length), _clock.GetTimestamp() - started);
            Interlocked.Increment(ref _handled);

            if (!WaitAgain())
                return FuseSessionEnd.Unmounted;
        }
    }

    /// <summary>One request, or a negated errno that ends the session.</summary>
    private int Receive(FuseDevice device, Span<byte> buffer)
    {
        long began = _clock.GetTimestamp();
        while (true)
        {
            int received = Poll(device, buffer);
            if (received == -FuseErrno.Again)
                received = device.Receive(buffer, blocking: true);
            // EINTR: a signal. ENOENT: the request was interrupted while it was being read. EAGAIN: another reader took it.
            if (received is -FuseErrno.Interrupted or -FuseErrno.NoEntry or -FuseErrno.Again)
                continue;
            _policy.Waited(_clock.GetTimestamp() - began);
            return received;
        }
    }

    /// <summary>Asks again and again for as long as the policy allows; −EAGAIN where nothing came.</summary>
    private int Poll(FuseDevice device, Span<byte> buffer)
    {
        long now = _clock.GetTimestamp();
        long ticks = _policy.PollTicks(now);
        if (ticks == 0 || Interlocked.CompareExchange(ref _polling, 1, 0) != 0)
            return -FuseErrno.Again;

        try
        {
            long end = now + ticks;
            while (true)
            {
                int received = device.Receive(buffer, blocking: false);
                long before = now;
                now = _clock.GetTimestamp();
                if (received != -FuseErrno.Again || now > end || _policy.PutOff(now - before, now))
                    return received;
                Thread.SpinWait(20);
            }
        }
        finally
        {
            Volatile.Write(ref _polling, 0);
        }
    }

    /// <summary>After a request: back to the device, or parked where enough others wait there. False when the session has ended.</summary>
    private bool WaitAgain()
    {
        int receiving = Volatile.Read(ref _receiving);
        while (receiving < _policy.Receivers)
        {
            int seen = Interlocked.CompareExchange(ref _receiving, receiving + 1, receiving);
            if (seen == receiving)
                return true;
            receiving = seen;
        }

        lock (_gate)
        {
            _parked++;
            while (_permits == 0 && _end is null)
                Monitor.Wait(_gate);
            _parked--;
            if (_end is not null)
                return false;
            _permits--;
            return true;
        }
    }

    /// <summary>
    /// Sees to it that a handler which takes unexpectedly long does not keep the only reader: ticks while requests come, sleeps while none do.
    /// </summary>
    private void Watch()
    {
        const int QuietTicks = 100;
        long before = -1;
        int quiet = 0;
        while (!Ended)
        {
            Thread.Sleep(_policy.WatchMilliseconds);
            long handled = Volatile.Read(ref _handled);
            bool nobodyWaits = Volatile.Read(ref _receiving) == 0;
            if (nobodyWaits && handled == before)
                Release();
            quiet = handled != before || nobodyWaits ? 0 : quiet + 1;
            before = handled;
            if (quiet <= QuietTicks)
                continue;

            _watchAsleep = true;
            if (!Ended)
                _watchWake.WaitOne();
            _watchAsleep = false;
            quiet = 0;
        }
    }

    private void WakeWatch()
    {
        _watchAsleep = false;
        _watchWake.Set();
    }

    private FuseSessionEnd EndOf(int errno)
    {
        switch (errno)
        {
            case FuseErrno.NoDevice:
                return FuseSessionEnd.Unmounted;
            case FuseErrno.ConnectionAborted:
                return FuseSessionEnd.Aborted;
            default:
                LogReceiveFailed(_name, errno);
                return FuseSessionEnd.Failed;
        }
    }

    /// <summary>A reader goes: the first ends the session for all, the last closes it.</summary>
    private void Leave(FuseDevice device, FuseSessionEnd end)
    {
        if (device != _device)
            device.Dispose();

        bool last;
        lock (_gate)
        {
            _end ??= end;
            end = _end.Value;
            Monitor.PulseAll(_gate);
            last = --_threads == 0;
        }

        _watchWake.Set();

        if (!last)
            return;

        try
        {
            _dispatcher.Close();
        }
        catch (Exception fault)
        {
            LogReaderFault(fault, _name);
            end = FuseSessionEnd.Failed;
        }

        _device.Dispose();
        _completion.SetResult(end);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "Reading {Device} of {Mount} failed with errno {Errno}; the mount ends")]
    private partial void LogReceiveFailed(string mount, int errno, string device = FuseDevice.Path);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Mount}: no further reader, cloning the device failed with errno {Errno}")]
    private partial void LogNoClone(string mount, int errno);

    [LoggerMessage(Level = LogLevel.Critical, Message = "A reader of {Mount} failed by a defect; the mount ends")]
    private partial void LogReaderFault(Exception fault, string mount);
}

/// <summary>
/// The two buffers of a reader, outside the managed heap. They are placed so that the payloads (WRITE's behind 80 bytes, READ's behind 16)
/// start on a page: what copies them in and out then works on whole pages.
/// </summary>
internal sealed unsafe class FuseBuffers : IDisposable
{
    private const int Page = 4096;
    private const int WriteHeadBytes = FuseProtocol.InHeaderBytes + FuseProtocol.WriteInBytes;

    private byte* _request = (byte*)NativeMemory.AlignedAlloc(Page + StoreCore.Limits.MaxTransferBytes, Page);
    private byte* _reply = (byte*)NativeMemory.AlignedAlloc(Page + StoreCore.Limits.MaxTransferBytes, Page);

    public Span<byte> Request => new(_request + Page - WriteHeadBytes, FuseProtocol.MaxRequestBytes);

    public Span<byte> Reply => new(_reply + Page - FuseProtocol.OutHeaderBytes, FuseProtocol.MaxReplyBytes);

    public void Dispose()
    {
        NativeMemory.AlignedFree(_request);
        NativeMemory.AlignedFree(_reply);
        _request = _reply = null;
    }
}
