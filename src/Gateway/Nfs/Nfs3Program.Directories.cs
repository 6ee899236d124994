using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>Listings.</summary>
internal sealed partial class Nfs3Program
{
    /// <summary>cookieverf3 of every listing: cookies are stable (a number per name, never given again), so that none is ever void.</summary>
    private const ulong CookieVerifier = 0;

    /// <summary>Most bytes of one listing's reply: what more a client asks for comes with the next, and others have their turn between.</summary>
    private const int MaxListingBytes = 256 * 1024;

    /// <summary>READDIR (§3.3.16): directory, cookie, verifier, count. Answer: post_op_attr, verifier, entries, eof, in at most count bytes.</summary>
    internal RpcAcceptStatus ReadDir(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ulong cookie = arguments.U64();
        ulong verifier = arguments.U64();
        uint count = arguments.U32();
        return arguments.AtEnd ? List(call, handle, cookie, verifier, isPlus: false, uint.MaxValue, count, ref results) : Garbage;
    }

    /// <summary>
    /// READDIRPLUS (§3.3.17): directory, cookie, verifier, dircount, maxcount. Answer as READDIR, with post_op_attr and post_op_fh3 in each entry; dircount bounds ids, names and cookies,
    /// maxcount all of it.
    /// </summary>
    internal RpcAcceptStatus ReadDirPlus(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(MaxHandleBytes);
        ulong cookie = arguments.U64();
        ulong verifier = arguments.U64();
        uint dirCount = arguments.U32();
        uint maxCount = arguments.U32();
        return arguments.AtEnd ? List(call, handle, cookie, verifier, isPlus: true, dirCount, maxCount, ref results) : Garbage;
    }

    private RpcAcceptStatus List(
        in RpcCall call, ReadOnlySpan<byte> handle, ulong cookie, ulong verifier, bool isPlus, uint dirCount, uint maxCount, ref XdrWriter results)
    {
        // post_op_attr and verifier before the list; behind it the end of the list and eof.
        const int frameBytes = sizeof(uint) + Nfs3Attributes.FattrBytes + sizeof(ulong) + 2 * sizeof(uint);
        Listing list = Now.Listing;
        Nfs3Status status = ResolveDirectory(call, handle, out Target directory);
        if (status == Nfs3Status.Ok && cookie != 0 && verifier != CookieVerifier)
            status = Nfs3Status.BadCookie;
        if (status == Nfs3Status.Ok)
        {
            uint most = Math.Min(Math.Min(maxCount, MaxListingBytes), (uint)Math.Max(0, results.Free - sizeof(uint)));
            list.Begin(this, directory, isPlus, Math.Min(dirCount, most), (int)most - frameBytes);
            status = Nfs3StatusMap.From(_vfs.ReadDirectory(CallerOf(call, directory), directory.Inode, cookie, isPlus, list));
            if (status == Nfs3Status.Ok && list.IsFull && list.Entries == 0)
                status = Nfs3Status.TooSmall;
        }

        results.U32((uint)status);
        if (status != Nfs3Status.Ok)
        {
            WritePostOp(ref results, directory.Attributes);
            return RpcAcceptStatus.Success;
        }

        WritePostOpNow(ref results, directory);
        results.U64(CookieVerifier);
        results.Fixed(list.Written);
        results.Bool(false);
        results.Bool(!list.IsFull);
        return RpcAcceptStatus.Success;
    }

    /// <summary>Takes entries as XDR while they fit. One per thread, used again and again.</summary>
    private sealed class Listing : IDirectorySink
    {
        private readonly byte[] _buffer = new byte[MaxListingBytes];
        private Nfs3Program _program = null!;
        private uint _exportId;
        private InodeId _directory;
        private bool _isExportRoot;
        private bool _isPlus;
        private long _dirBytes;
        private int _room;
        private int _used;

        public bool IsFull { get; private set; }

        public int Entries { get; private set; }

        public ReadOnlySpan<byte> Written => _buffer.AsSpan(0, _used);

        /// <param name="dirBytes">Room for ids, names and cookies.</param>
        /// <param name="room">Room for all; less than nothing where not even an empty list fits.</param>
        public void Begin(Nfs3Program program, in Target directory, bool isPlus, long dirBytes, int room)
        {
            _program = program;
            _exportId = directory.Handle.ExportId;
            _directory = directory.Inode;
            _isExportRoot = directory.Inode == directory.Export.Root;
            (_isPlus, _dirBytes, _room, _used, Entries, IsFull) = (isPlus, dirBytes, Math.Max(room, 0), 0, 0, room < 0);
        }

        // entry3: 1 u32 · fileid u64 · name (length u32, bytes, padding) · cookie u64. entryplus3 besides: post_op_attr · post_op_fh3.
        public bool Add(ulong cookie, InodeId inode, InodeKind kind, ReadOnlySpan<byte> name, in InodeRecord attributes)
        {
            int nameBytes = sizeof(uint) + ((name.Length + 3) & ~3);
            int dirBytes = sizeof(ulong) + nameBytes + sizeof(ulong);
            bool isDotDot = name.SequenceEqual(".."u8);
            bool isKnown = _isPlus && !isDotDot && attributes.Inode == inode;
            int bytes = sizeof(uint) + dirBytes;
            if (_isPlus)
                bytes += isKnown ? 3 * sizeof(uint) + Nfs3Attributes.FattrBytes + NfsHandleCodec.HandleBytes : 2 * sizeof(uint);
            if (IsFull || bytes > _room - _used || dirBytes > _dirBytes)
            {
                IsFull = true;
                return false;
            }

            // What is above the export's root is none of the client's business.
            if (isDotDot && _isExportRoot)
                inode = _directory;
            var entry = new XdrWriter(_buffer.AsSpan(_used, bytes));
            entry.Bool(true);
            entry.U64(inode.Value);
            entry.String(name);
            entry.U64(cookie);
            if (isKnown)
            {
                _program.WritePostOp(ref entry, attributes);
                entry.Bool(true);
                _program.WriteHandle(ref entry, _exportId, attributes);
            }
            else if (_isPlus)
            {
                entry.Bool(false);
                entry.Bool(false);
            }

            _used += bytes;
            _dirBytes -= dirBytes;
            Entries++;
            return true;
        }
    }
}
