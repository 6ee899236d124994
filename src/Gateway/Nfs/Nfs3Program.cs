using System.Buffers.Binary;
using Gateway.Nfs.Exports;
using Gateway.Vfs;
using StoreCore;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>
/// NFS version 3 (RFC 1813): arguments in, results out, over <see cref="IVfs"/>. Translates only. Any thread, many at once; holds no state between calls but
/// the answers kept for retransmissions. GETATTR, LOOKUP, ACCESS, READ and WRITE allocate nothing in steady state.
/// </summary>
/// <remarks>
/// Every object's handle names the export it was got under; each call looks the export up anew and asks its rules, so a change of exports holds from the next
/// call on. A handle that no node of the cluster gave out is BADHANDLE; one of an inode or export that is gone is STALE; one that the client may not use is ACCES.
/// </remarks>
internal sealed partial class Nfs3Program(NfsContext context) : IRpcProgram
{
    public const uint ProgramNumber = 100003;

    /// <summary>NFS3_FHSIZE: longest handle that arguments may carry.</summary>
    internal const int MaxHandleBytes = 64;

    /// <summary>Largest READ and WRITE (rtmax, wtmax).</summary>
    public const int MaxTransferBytes = Limits.MaxTransferBytes;

    /// <summary>Room for the largest reply: that of a READ.</summary>
    public const int MaxReplyBytes = MaxTransferBytes + 4096;

    [ThreadStatic]
    private static Scratch? t_scratch;

    private readonly IVfs _vfs = context.Vfs;
    private readonly NfsHandleCodec _handles = context.Handles;
    private readonly ulong _fileSystem = context.Handles.FileSystem;

    public uint Program => ProgramNumber;

    public uint LowestVersion => 3;

    public uint HighestVersion => 3;

    public string Name => "nfs";

    public int Procedures => Nfs3OpTable.Size;

    public string ProcedureName(uint procedure) => Nfs3OpTable.NameOf(procedure);

    public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        if (Nfs3OpTable.Find(call.Procedure) is not { } operation)
            return RpcAcceptStatus.ProcedureUnavailable;

        if (operation.Once)
            return CallOnce(operation, call, ref arguments, ref results);

        Now.Begin(default, null);
        return Carry(operation, call, ref arguments, ref results, out _);
    }

    /// <summary>
    /// A procedure that must not be done twice: a retransmission gets the first answer, from memory or, if this process is not the one that gave it, made anew from
    /// what the op log says was done.
    /// </summary>
    private RpcAcceptStatus CallOnce(Nfs3Operation operation, in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        RequestId id = context.RequestIds.Of(call, arguments.Rest);
        switch (context.Replies.Begin(id, out ReadOnlySpan<byte> answer))
        {
            case ReplyLookup.InProgress:
                return RpcAcceptStatus.Drop;
            case ReplyLookup.Answered:
                // Perhaps the first answer still waits to be true; this one waits as well.
                results.Fixed(answer);
                return RpcAcceptStatus.SuccessOnceStable;
        }

        bool isKept = false;
        int start = results.Position;
        try
        {
            Now.Begin(id, _vfs.TryFindRequest(id, out RequestAnswer done) ? done : null);
            RpcAcceptStatus status = Carry(operation, call, ref arguments, ref results, out Nfs3Status result);

            // What was not tried is tried again.
            isKept = status is RpcAcceptStatus.Success or RpcAcceptStatus.SuccessOnceStable && !results.Overflow && result != Nfs3Status.Jukebox;
            return status;
        }
        finally
        {
            context.Replies.End(id, isKept ? results.Written[start..] : default);
        }
    }

    /// <summary>Runs the handler and takes note of how it ended; every result begins with its status.</summary>
    private RpcAcceptStatus Carry(Nfs3Operation operation, in RpcCall call, ref XdrReader arguments, ref XdrWriter results, out Nfs3Status result)
    {
        int start = results.Position;
        NfsClient client = context.Clients.Of(call.Connection);
        long began = context.Clock.GetTimestamp();
        RpcAcceptStatus status = operation.Handler(this, call, ref arguments, ref results);
        result = status == RpcAcceptStatus.Success && results.Position >= start + sizeof(uint)
            ? (Nfs3Status)BinaryPrimitives.ReadUInt32BigEndian(results.Written[start..])
            : Nfs3Status.ServerFault;
        client.Count(operation.Procedure, result, context.Clock.GetElapsedTime(began), context.Clock);
        return status == RpcAcceptStatus.Success && Now.IsPromise ? RpcAcceptStatus.SuccessOnceStable : status;
    }

    /// <summary>
    /// Changes of names and attributes are made stable, and only then answered. Where they were made and cannot be made stable, nothing is answered: the store
    /// has stopped, and the client asks whoever serves next, with the same xid.
    /// </summary>
    public bool Settle(IRpcConnection connection, int calls) => context.Settle(connection, calls);

    public void ConnectionClosed(IRpcConnection connection) => context.Clients.ConnectionClosed(connection);

    /// <summary>An object that a call names: its handle, the export and what the client may do under it, its attributes when it was looked at.</summary>
    private struct Target
    {
        public NfsFileHandle Handle;
        public Export Export;
        public ExportOptions Options;
        public InodeRecord Attributes;

        public readonly InodeId Inode => Handle.Inode;
    }

    /// <summary>
    /// Finds the object that a handle names and decides whether the client may do what the procedure does. What a first sending of the call has done is answered
    /// as done, though the object be gone or the export read-only since: then the target has no attributes.
    /// </summary>
    private Nfs3Status Resolve(in RpcCall call, ReadOnlySpan<byte> handle, out Target target)
    {
        target = default;
        Nfs3Status status = context.Resolve(call, handle, out target.Handle, out target.Export, out target.Options, out target.Attributes);
        if (Now.Done is not null)
            return status == Nfs3Status.Stale ? Nfs3Status.Ok : status;
        if (status != Nfs3Status.Ok)
            return status;
        return Nfs3OpTable.Find(call.Procedure)!.Changes && !target.Options.Writable ? Nfs3Status.ReadOnly : Nfs3Status.Ok;
    }

    private Nfs3Status ResolveDirectory(in RpcCall call, ReadOnlySpan<byte> handle, out Target target)
    {
        Nfs3Status status = Resolve(call, handle, out target);
        return status == Nfs3Status.Ok && !target.Attributes.IsDirectory && Now.Done is null ? Nfs3Status.NotDirectory : status;
    }

    private Caller CallerOf(in RpcCall call, in Target target) =>
        NfsSquash.Apply(call, target.Options, context.Groups, Now.Request);

    /// <summary>A change of names or attributes is to be stable before it is answered, unless the export says async.</summary>
    private static Nfs3Status Finish(FsStatus status, in Target target)
    {
        Now.IsPromise |= status == FsStatus.Ok && !target.Options.Async;
        return Nfs3StatusMap.From(status);
    }

    private static RpcAcceptStatus Garbage => RpcAcceptStatus.GarbageArguments;

    /// <summary>filename3 is checked for what no server takes (§3.2: ACCES for an empty name and for characters that it cannot handle); its length is the Vfs's.</summary>
    private static Nfs3Status CheckName(ReadOnlySpan<byte> name, Nfs3Status forDot, Nfs3Status forDotDot)
    {
        if (name.SequenceEqual("."u8))
            return forDot;
        if (name.SequenceEqual(".."u8))
            return forDotDot;
        return name.IsEmpty || name.IndexOfAny((byte)0, (byte)'/') >= 0 ? Nfs3Status.Access : Nfs3Status.Ok;
    }

    private void WriteHandle(ref XdrWriter results, uint export, in InodeRecord record)
    {
        Span<byte> handle = stackalloc byte[NfsHandleCodec.HandleBytes];
        _handles.Write(new NfsFileHandle(export, record.Inode, record.Generation), handle);
        results.Opaque(handle);
    }

    /// <summary>post_op_attr with attributes that were just read.</summary>
    private void WritePostOp(ref XdrWriter results, in InodeRecord record)
    {
        bool isKnown = record.Inode != InodeId.None;
        results.Bool(isKnown);
        if (isKnown)
            Nfs3Attributes.Write(ref results, record, _fileSystem);
    }

    /// <summary>post_op_attr with the attributes as they are now.</summary>
    private void WritePostOpNow(ref XdrWriter results, in Target target)
    {
        InodeRecord now = default;
        if (target.Inode != InodeId.None && _vfs.GetAttributes(target.Inode, target.Handle.Generation, out now) != FsStatus.Ok)
            now = default;
        WritePostOp(ref results, now);
    }

    /// <summary>
    /// wcc_data: both sides where the change itself told them, for then nothing came between; else what the object is like now, and nothing of
    /// how it was, for a client would take another's change for its own.
    /// </summary>
    private void WriteWcc(ref XdrWriter results, in AttributesAround around, in Target target)
    {
        results.Bool(around.IsKnown);
        if (!around.IsKnown)
        {
            WritePostOpNow(ref results, target);
            return;
        }

        results.U64(around.Before.SizeBytes);
        Nfs3Attributes.WriteTime(ref results, around.Before.Modified);
        Nfs3Attributes.WriteTime(ref results, around.Before.Changed);
        WritePostOp(ref results, around.After);
    }

    /// <summary>What the present call of this thread uses; kept from call to call.</summary>
    private static Scratch Now => t_scratch ??= new Scratch();

    private static ClientRequest Request => Now.Request;

    private sealed class Scratch
    {
        private Listing? _listing;

        public ClientRequest Request { get; } = new();

        /// <summary>Made by the first listing: it is large.</summary>
        public Listing Listing => _listing ??= new Listing();

        /// <summary>Of a retransmission: what was done the first time.</summary>
        public RequestAnswer? Done { get; private set; }

        /// <summary>The answer says that something is stable.</summary>
        public bool IsPromise { get; set; }

        public void Begin(RequestId id, RequestAnswer? done)
        {
            Request.Begin(id);
            (Done, IsPromise) = (done, false);
        }
    }
}
