using Gateway.Vfs;
using StoreCore;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Directories listed.</summary>
public sealed partial class FuseDispatcher
{
    /// <summary>OPENDIR: fuse_open_in. Answer: fuse_open_out.</summary>
    internal FsStatus OpenDir(ref FuseRequest request, ref FuseReply reply)
    {
        InodeId inode = Inode(request);
        FsStatus status = _vfs.Open(CallerOf(request), inode, VfsOpenFlags.Read, out InodeRecord record);
        if (status != FsStatus.Ok)
            return status;

        if (!record.IsDirectory)
        {
            _vfs.Release(inode, VfsOpenFlags.Read);
            return FsStatus.NotDirectory;
        }

        _opens.Add(inode, VfsOpenFlags.Read);
        ref FuseOpenOut answer = ref reply.Next<FuseOpenOut>();
        answer.Handle = (ulong)VfsOpenFlags.Read;
        // The kernel drops its cached listing itself on its own changes, and on each notification of an entry for those of others.
        answer.Flags = _keepCache ? FuseOpenReply.CacheDir | FuseOpenReply.KeepCache : FuseOpenReply.None;
        return FsStatus.Ok;
    }

    /// <summary>RELEASEDIR: fuse_release_in.</summary>
    internal FsStatus ReleaseDir(ref FuseRequest request)
    {
        FuseReleaseIn arguments = request.Read<FuseReleaseIn>();
        return ReleaseOpen(Inode(request), (VfsOpenFlags)arguments.Handle);
    }

    /// <summary>READDIR and READDIRPLUS: fuse_read_in, the offset being a cookie. Answer: fuse_dirent or fuse_direntplus, as many as fit.</summary>
    internal unsafe FsStatus ReadDir(FuseLane lane, ref FuseRequest request, ref FuseReply reply, bool plus)
    {
        FuseReadIn arguments = request.Read<FuseReadIn>();
        int size = (int)Math.Min(arguments.Size, (uint)Math.Min(reply.Free.Length, Limits.MaxTransferBytes));
        FuseDirectorySink sink = lane.Directory;
        FsStatus status;
        int used;
        fixed (byte* buffer = reply.Free)
        {
            sink.Begin(this, request.PassedOver, buffer, size, plus);
            try
            {
                status = _vfs.ReadDirectory(ReaderOf(request, _options.LeavesDirectoryAccessTimes), Inode(request), arguments.Offset, plus, sink);
            }
            finally
            {
                used = sink.End();
            }
        }

        if (status == FsStatus.Ok)
            reply.Advance(used);
        return status;
    }
}

/// <summary>
/// Writes directory entries into the reply.
/// <code>
/// fuse_direntplus { fuse_entry_out entry_out, 128 bytes; fuse_dirent }
/// fuse_dirent     { u64 ino, u64 off, u32 namelen, u32 type, name, zeros up to 8 bytes }
/// </code>
/// </summary>
internal sealed unsafe class FuseDirectorySink : IDirectorySink
{
    private FuseDispatcher? _dispatcher;
    private long _passedOver;
    private byte* _buffer;
    private int _size;
    private int _used;
    private bool _plus;

    public void Begin(FuseDispatcher dispatcher, long passedOver, byte* buffer, int size, bool plus)
    {
        _dispatcher = dispatcher;
        _passedOver = passedOver;
        _buffer = buffer;
        _size = size;
        _used = 0;
        _plus = plus;
    }

    public int End()
    {
        _dispatcher = null;
        _buffer = null;
        _size = 0;
        return _used;
    }

    public bool Add(ulong cookie, InodeId inode, InodeKind kind, ReadOnlySpan<byte> name, in InodeRecord attributes)
    {
        int head = (_plus ? sizeof(FuseEntryOut) : 0) + sizeof(FuseDirent);
        int length = (head + name.Length + 7) & ~7;
        if (length > _size - _used)
            return false;

        var entry = new Span<byte>(_buffer + _used, length);
        entry[..head].Clear();
        entry[^8..].Clear();
        byte* at = _buffer + _used;
        if (_plus)
        {
            // Without a nodeid the kernel takes the name and type only: it counts no lookup of "." and "..".
            if (!IsDots(name) && attributes.Inode == inode)
                _dispatcher!.FillEntry(attributes, _passedOver, ref *(FuseEntryOut*)at);
            at += sizeof(FuseEntryOut);
        }

        var dirent = (FuseDirent*)at;
        dirent->Inode = inode.Value;
        dirent->Offset = cookie;
        dirent->NameLength = (uint)name.Length;
        dirent->Type = (uint)kind;
        name.CopyTo(entry[head..]);
        _used += length;
        return true;
    }

    private static bool IsDots(ReadOnlySpan<byte> name) => name.SequenceEqual("."u8) || name.SequenceEqual(".."u8);
}
