using System.Runtime.InteropServices;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>
/// Tells one mount's kernel what was changed elsewhere (other mounts, NFS): queues, merged per inode and per name, and sends from a
/// thread of its own, as far as that kernel may hold what was changed. Never from a request handler: the kernel may hold locks there that its answer needs.
/// Where more is queued than can be kept, data caches are no longer kept over opens, and names run out by their timeouts.
/// </summary>
public sealed partial class FuseInvalidator : IVfsObserver, IFuseNotifier, IDisposable
{
    /// <summary>Queued inodes and names at most; some 100 bytes each. Reached only where a kernel does not take its notifications.</summary>
    private const int MaxQueued = 262144;

    private readonly FuseDevice _device;
    private readonly int _session;
    private readonly ulong _root;
    private readonly FuseKnownNodes _known;
    private readonly Action _overflow;
    private readonly ILogger _log;
    private readonly object _gate = new();
    private Dictionary<ulong, Range> _inodes = [];
    private Dictionary<Name, ulong> _entries = [];
    private Thread? _thread;
    private bool _overflowed;
    private bool _stopped;

    /// <param name="known">What the kernel holds.</param>
    /// <param name="overflow">Called once when notifications had to be dropped.</param>
    public FuseInvalidator(FuseDevice device, int session, InodeId root, FuseKnownNodes known, Action overflow, ILogger log)
    {
        _device = device;
        _session = session;
        _root = root.Value;
        _known = known;
        _overflow = overflow;
        _log = log;
    }

    /// <inheritdoc/>
    public void InodeChanged(InodeId inode, long offset, long lengthBytes, int origin)
    {
        if (origin != _session && _known.MayHold(inode))
            Queue(inode, Range.Of(offset, lengthBytes));
    }

    /// <inheritdoc/>
    public void EntryChanged(InodeId directory, ReadOnlySpan<byte> name, InodeId child, int origin)
    {
        if (origin == _session || !_known.MayHold(directory))
            return;

        lock (_gate)
        {
            if (!HasRoom())
                return;
            _entries[new Name(directory.Value, name.ToArray())] = child.Value;
            Wake();
        }
    }

    /// <inheritdoc/>
    public void InvalidateInode(InodeId inode) => Queue(inode, Range.Of(0, -1));

    /// <summary>Stops sending. What is queued is dropped: the mount is gone.</summary>
    public void Dispose()
    {
        Thread? thread;
        lock (_gate)
        {
            _stopped = true;
            thread = _thread;
            Monitor.PulseAll(_gate);
        }

        thread?.Join();
    }

    private void Queue(InodeId inode, Range range)
    {
        lock (_gate)
        {
            if (!HasRoom())
                return;
            ref Range there = ref CollectionsMarshal.GetValueRefOrAddDefault(_inodes, inode.Value, out bool exists);
            there = exists ? there.With(range) : range;
            Wake();
        }
    }

    private bool HasRoom()
    {
        if (_stopped)
            return false;
        if (_inodes.Count + _entries.Count < MaxQueued)
            return true;

        if (!_overflowed)
        {
            _overflowed = true;
            LogOverflow(MaxQueued);
            _overflow();
        }

        return false;
    }

    private void Wake()
    {
        if (_thread is null)
        {
            _thread = new Thread(Run) { IsBackground = true, Name = "fuse invalidator" };
            _thread.Start();
        }
        else
        {
            Monitor.Pulse(_gate);
        }
    }

    private void Run()
    {
        Dictionary<ulong, Range> inodes = [];
        Dictionary<Name, ulong> entries = [];
        while (true)
        {
            lock (_gate)
            {
                while (_inodes.Count + _entries.Count == 0 && !_stopped)
                    Monitor.Wait(_gate);
                if (_stopped)
                    return;
                (inodes, _inodes) = (_inodes, inodes);
                (entries, _entries) = (_entries, entries);
            }

            foreach ((Name name, ulong child) in entries)
                SendEntry(name, child);
            foreach ((ulong inode, Range range) in inodes)
                SendInode(inode, range);
            entries.Clear();
            inodes.Clear();
        }
    }

    private void SendInode(ulong inode, Range range)
    {
        var body = new FuseNotifyInvalInodeOut { Node = NodeOf(inode), Offset = range.Start, Length = range.Length };
        Check(Notify(FuseNotifyCode.InvalidateInode, body, []));
    }

    private void SendEntry(Name name, ulong child)
    {
        if (child != 0)
        {
            var gone = new FuseNotifyDeleteOut { Parent = NodeOf(name.Parent), Child = NodeOf(child), NameLength = (uint)name.Bytes.Length };
            if (Notify(FuseNotifyCode.Delete, gone, name.Bytes) is 0)
                return;
            // The kernel knows another child under this name, or the directory is in use there: let it look again.
        }

        var body = new FuseNotifyInvalEntryOut { Parent = NodeOf(name.Parent), NameLength = (uint)name.Bytes.Length };
        Check(Notify(FuseNotifyCode.InvalidateEntry, body, name.Bytes));
    }

    private int Notify<T>(FuseNotifyCode code, T body, ReadOnlySpan<byte> name)
        where T : unmanaged
    {
        int length = FuseNotification.Write(_buffer, code, body, name);
        return _device.Notify(_buffer.AsSpan(0, length));
    }

    private readonly byte[] _buffer = new byte[512];

    private void Check(int errno)
    {
        // ENOENT: the kernel does not hold it. ENOTDIR: the name's parent is of another kind there by now. The rest: the mount is going.
        if (errno is not (0 or FuseErrno.NoEntry or FuseErrno.NotDirectory or FuseErrno.NoDevice or FuseErrno.NotConnected
            or FuseErrno.ConnectionAborted or FuseErrno.Perm))
        {
            LogRefused(errno);
        }
    }

    private ulong NodeOf(ulong inode) => inode == _root ? FuseProtocol.RootNode : inode;

    [LoggerMessage(Level = LogLevel.Warning, Message = "The kernel refused an invalidation with errno {Errno}")]
    private partial void LogRefused(int errno);

    [LoggerMessage(
        Level = LogLevel.Warning,
        Message = "More than {Count} invalidations wait for the kernel: files' caches are dropped at each open from now on, until this mount is mounted again")]
    private partial void LogOverflow(int count);

    /// <summary>Bytes to forget; a start of −1 with no length: the attributes only. A length of 0 with a start: to the end.</summary>
    private readonly record struct Range(long Start, long End)
    {
        public long Length => Start < 0 || End == long.MaxValue ? 0 : End - Start;

        public static Range Of(long offset, long lengthBytes) => lengthBytes switch
        {
            0 => new(-1, -1),
            < 0 => new(offset, long.MaxValue),
            _ => new(offset, offset > long.MaxValue - lengthBytes ? long.MaxValue : offset + lengthBytes),
        };

        public Range With(Range other) => Start < 0
            ? other
            : other.Start < 0
                ? this
                : new(Math.Min(Start, other.Start), Math.Max(End, other.End));
    }

    private readonly struct Name(ulong parent, byte[] bytes) : IEquatable<Name>
    {
        public ulong Parent { get; } = parent;

        public byte[] Bytes { get; } = bytes;

        public bool Equals(Name other) => Parent == other.Parent && Bytes.AsSpan().SequenceEqual(other.Bytes);

        public override bool Equals(object? obj) => obj is Name other && Equals(other);

        public override int GetHashCode()
        {
            var hash = default(HashCode);
            hash.Add(Parent);
            hash.AddBytes(Bytes);
            return hash.ToHashCode();
        }
    }
}

/// <summary>Lays out notifications: fuse_out_header with the code as its error and a unique of 0, the body, and where there is one a name and a zero.</summary>
internal static class FuseNotification
{
    public static int Write<T>(Span<byte> destination, FuseNotifyCode code, T body, ReadOnlySpan<byte> name)
        where T : unmanaged
    {
        int bodyBytes = System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
        int length = FuseProtocol.OutHeaderBytes + bodyBytes + (name.IsEmpty ? 0 : name.Length + 1);
        var head = new FuseOutHeader { Length = (uint)length, Error = (int)code };
        MemoryMarshal.Write(destination, in head);
        MemoryMarshal.Write(destination[FuseProtocol.OutHeaderBytes..], in body);
        if (!name.IsEmpty)
        {
            name.CopyTo(destination[(FuseProtocol.OutHeaderBytes + bodyBytes)..]);
            destination[length - 1] = 0;
        }

        return length;
    }
}
