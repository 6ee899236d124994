using System.Runtime.InteropServices;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>What the protocol engine needs to know of its mount.</summary>
public sealed record FuseDispatcherOptions
{
    /// <summary>Identifies this mount to the Vfs: origin of its changes, owner of its locks. Not 0.</summary>
    public required int Session { get; init; }

    /// <summary>The inode that nodeid 1 stands for: the root, or the directory that <c>subdir=</c> names.</summary>
    public InodeId Root { get; init; } = InodeId.Root;

    public bool ReadOnly { get; init; }

    /// <summary>Reading leaves access times alone (noatime): those of files, of directories (nodiratime too).</summary>
    public bool LeavesAccessTimes { get; init; }

    public bool LeavesDirectoryAccessTimes { get; init; }

    /// <summary>Offer the kernel's write-back cache: only where this mount is the only writer.</summary>
    public bool Writeback { get; init; }

    /// <summary>How long the kernel may trust attributes, names and missing names without asking. Changes made elsewhere are notified earlier.</summary>
    public TimeSpan AttributeTimeout { get; init; } = MountOptions.DefaultTimeout;

    public TimeSpan EntryTimeout { get; init; } = MountOptions.DefaultTimeout;

    public TimeSpan NegativeTimeout { get; init; } = MountOptions.DefaultTimeout;
}

/// <summary>Tells the mount's own kernel that what it holds is wrong. Must only queue: called from request handlers.</summary>
public interface IFuseNotifier
{
    void InvalidateInode(InodeId inode);
}

/// <summary>
/// The FUSE protocol without its transport: bytes of a request in, bytes of a reply out. Any number of threads may dispatch at once, each on
/// its own <see cref="FuseLane"/>. Nothing thrown inside gets out: a defect is logged, counted and answered with EIO. Translates only; what
/// the file system does is the Vfs's. LOOKUP, GETATTR, READ and WRITE allocate nothing.
/// </summary>
public sealed partial class FuseDispatcher
{
    private readonly IVfs _vfs;
    private readonly FuseDispatcherOptions _options;
    private readonly ILogger _log;
    private readonly FuseLockWaits _waits;
    private readonly FuseOpenTable _opens = new();
    private readonly ulong _rootInode;
    private readonly (ulong Seconds, uint Nanoseconds) _attrValid;
    private readonly (ulong Seconds, uint Nanoseconds) _entryValid;
    private readonly (ulong Seconds, uint Nanoseconds) _negativeValid;
    private volatile bool _initialised;
    private volatile bool _keepCache = true;

    public FuseDispatcher(IVfs vfs, FuseDispatcherOptions options, FuseStatistics statistics, ILogger log)
    {
        _vfs = vfs;
        _options = options;
        _log = log;
        _waits = new FuseLockWaits(vfs);
        statistics.LockWaits = _waits;
        _rootInode = options.Root.Value;
        Known = new FuseKnownNodes(options.Root);
        _attrValid = Split(options.AttributeTimeout);
        _entryValid = Split(options.EntryTimeout);
        _negativeValid = Split(options.NegativeTimeout);
    }

    /// <summary>What this mount's kernel holds.</summary>
    public FuseKnownNodes Known { get; }

    /// <summary>Where to send invalidations of this mount's own cache; null before the transport is there.</summary>
    public IFuseNotifier? Notifier { get; set; }

    /// <summary>Set once INIT was answered: what the kernel and we agreed on.</summary>
    public FuseInitFlags Negotiated { get; private set; }

    /// <summary>The minor protocol version in use; 0 before INIT.</summary>
    public uint NegotiatedMinor { get; private set; }

    /// <summary>Called (once) when INIT was answered, or refused with a reason.</summary>
    public Action<string?>? InitDone { get; set; }

    /// <summary>
    /// Carries out one request.
    /// </summary>
    /// <param name="lane">The calling thread's.</param>
    /// <param name="request">All bytes that one read of the device returned.</param>
    /// <param name="reply">Room for the reply: <see cref="FuseProtocol.MaxReplyBytes"/>, or less where less was asked for.</param>
    /// <returns>Bytes of the reply to send; 0: none (the request has none, or it comes later through the lane's channel).</returns>
    public int Dispatch(FuseLane lane, ReadOnlySpan<byte> request, Span<byte> reply)
    {
        if (!MemoryMarshal.TryRead(request, out FuseInHeader header) || header.Unique == 0)
        {
            // Nothing says whom to answer; a reply without a unique would be a notification.
            lane.CountMalformed();
            return 0;
        }

        long started = lane.Begin(header);
        FuseOperation? operation = FuseOpTable.Find(header.Opcode);
        var answer = new FuseReply(reply[FuseProtocol.OutHeaderBytes..]);
        int errno;
        try
        {
            errno = Handle(operation, lane, header, request[FuseProtocol.InHeaderBytes..], ref answer);
        }
        catch (Exception fault)
        {
            // The Vfs throws for nothing that a caller, a disk or a full store can cause: this is a defect. One request fails; the mount lives.
            lane.CountFault();
            LogFault(fault, FuseOpTable.NameOf(header.Opcode), header.Node);
            errno = FuseErrno.Io;
        }

        lane.End(header.Opcode, started, errno != 0);
        if (answer.Deferred || operation is { Reply: FuseReplyKind.None })
            return 0;

        int length = FuseProtocol.OutHeaderBytes + (errno == 0 ? answer.Length : 0);
        var head = new FuseOutHeader { Length = (uint)length, Error = -errno, Unique = header.Unique };
        MemoryMarshal.Write(reply, in head);
        return length;
    }

    /// <summary>
    /// The kernel is gone: withdraws waiting locks and gives back all opens and locks, which it will not release itself any more.
    /// Called once, after the last dispatch.
    /// </summary>
    public void Close()
    {
        _waits.CancelAll();
        _opens.ReleaseAll(_vfs);
        _vfs.ReleaseSession(_options.Session);
    }

    /// <summary>Notifications were lost: from now on each open empties the kernel's cache of the file.</summary>
    public void StopKeepingCaches() => _keepCache = false;

    private int Handle(FuseOperation? operation, FuseLane lane, in FuseInHeader header, ReadOnlySpan<byte> body, ref FuseReply reply)
    {
        if (operation is null)
            return FuseErrno.NoSys;

        int extensionBytes = header.ExtensionWords * 8;
        if (header.Length != FuseProtocol.InHeaderBytes + (uint)body.Length || extensionBytes > body.Length)
            return FuseErrno.Invalid;

        ReadOnlySpan<byte> arguments = body[..(body.Length - extensionBytes)];
        if (arguments.Length < operation.LeastBytes)
            return FuseErrno.Invalid;

        // INIT comes first and once (what libfuse asks for too).
        if (_initialised == (header.Opcode == FuseOpcode.Init))
            return FuseErrno.Io;

        if (operation.Changes && _options.ReadOnly)
            return FuseErrno.ReadOnly;

        var request = new FuseRequest(header, arguments, body[arguments.Length..]) { PassedOver = Known.PassedOver };
        FsStatus status = operation.Handler(this, lane, ref request, ref reply);
        return reply.Errno != 0 ? reply.Errno : FuseErrno.From(status);
    }

    internal FsStatus Init(ref FuseRequest request, ref FuseReply reply)
    {
        FuseInitIn kernel = request.ReadUpTo<FuseInitIn>(8, int.MaxValue);
        ref FuseInitOut answer = ref reply.Next<FuseInitOut>();
        answer.Major = FuseProtocol.Major;
        answer.Minor = FuseProtocol.Minor;
        if (kernel.Major > FuseProtocol.Major)
            return FsStatus.Ok; // The kernel takes our major version and sends INIT again.

        if (kernel.Major < FuseProtocol.Major || kernel.Minor < FuseProtocol.OldestMinor)
        {
            reply.Errno = FuseErrno.Protocol;
            InitDone?.Invoke(
                $"the kernel speaks FUSE {kernel.Major}.{kernel.Minor}, the oldest served is {FuseProtocol.Major}.{FuseProtocol.OldestMinor} (Linux 5.4)");
            return FsStatus.NotSupported;
        }

        ulong offered = kernel.Flags;
        if ((offered & (ulong)FuseInitFlags.InitExt) != 0)
            offered |= (ulong)kernel.Flags2 << 32;
        Negotiated = FuseNegotiation.Choose((FuseInitFlags)offered, _options.Writeback);
        NegotiatedMinor = Math.Min(kernel.Minor, FuseProtocol.Minor);

        bool bigRequests = (Negotiated & FuseInitFlags.MaxPages) != 0;
        answer.MaxReadAhead = kernel.MaxReadAhead; // It can only be lowered here; the mount raises it afterwards.
        answer.Flags = (uint)Negotiated;
        answer.Flags2 = (uint)((ulong)Negotiated >> 32);
        answer.MaxBackground = FuseNegotiation.MaxBackground;
        answer.Congestion = FuseNegotiation.Congestion;
        answer.MaxPages = bigRequests ? FuseProtocol.MaxPages : (ushort)0;
        answer.MaxWrite = bigRequests ? Limits.MaxTransferBytes : 32u * 4096;
        answer.TimeGranularityNs = 1;
        _initialised = true;
        InitDone?.Invoke(null);
        return FsStatus.Ok;
    }

    internal FsStatus Destroy() => _vfs.SyncAll();

    internal FsStatus SyncFs() => _vfs.SyncAll();

    internal FsStatus Interrupt(ref FuseRequest request)
    {
        _waits.Interrupt(request.Read<ulong>());
        return FsStatus.Ok;
    }

    /// <summary>FORGET: nlookup. Inodes are found by their number at any time, so that all there is to do is to count.</summary>
    internal FsStatus Forget(ref FuseRequest request)
    {
        ulong lookups = request.Read<ulong>();
        if (request.Malformed)
            return FsStatus.Invalid;
        Known.Forget(Inode(request), lookups);
        return FsStatus.Ok;
    }

    /// <summary>BATCH_FORGET: fuse_batch_forget_in, then for each a nodeid and nlookup.</summary>
    internal FsStatus BatchForget(ref FuseRequest request)
    {
        FuseBatchForgetIn arguments = request.Read<FuseBatchForgetIn>();
        if ((ulong)arguments.Count * FuseBatchForgetIn.OneBytes > (uint)request.Remaining)
            return FsStatus.Invalid;
        for (uint i = 0; i < arguments.Count; i++)
        {
            InodeId inode = Inode(request.Read<ulong>());
            Known.Forget(inode, request.Read<ulong>());
        }

        return FsStatus.Ok;
    }

    private InodeId Inode(in FuseRequest request) => Inode(request.Header.Node);

    private InodeId Inode(ulong node) => new(node == FuseProtocol.RootNode ? _rootInode : node);

    private Caller CallerOf(in FuseRequest request, uint[]? groups = null) =>
        new(request.Header.Uid, request.Header.Gid, groups, trusted: true, _options.Session);

    /// <summary>Of a request that reads, which is what access times are about: the kernel leaves them to us.</summary>
    private Caller ReaderOf(in FuseRequest request, bool leavesAccessTime) =>
        new(request.Header.Uid, request.Header.Gid, trusted: true, origin: _options.Session, leavesAccessTime: leavesAccessTime);

    private VfsLockOwner OwnerOf(ulong owner) => new(_options.Session, owner);

    private static (ulong Seconds, uint Nanoseconds) Split(TimeSpan time) =>
        ((ulong)(time.Ticks / TimeSpan.TicksPerSecond), (uint)(time.Ticks % TimeSpan.TicksPerSecond) * 100);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Operation} on node {Node} failed by a defect and was answered with EIO")]
    private partial void LogFault(Exception fault, string operation, ulong node);
}
