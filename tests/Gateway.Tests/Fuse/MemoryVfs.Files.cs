using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Fuse;

/// <summary>Open files and their data, which lies in pages.</summary>
internal sealed partial class MemoryVfs
{
    public FsStatus Open(in Caller caller, InodeId inode, VfsOpenFlags flags, out InodeRecord attributes)
    {
        attributes = default;
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        Interlocked.Increment(ref Opens);
        lock (node)
        {
            node.Opens++;
            if ((flags & VfsOpenFlags.Truncate) != 0)
                node.Truncate(0);
            attributes = node.Record;
        }

        return FsStatus.Ok;
    }

    public void Release(InodeId inode, VfsOpenFlags flags)
    {
        Interlocked.Decrement(ref Opens);
        if (_nodes.TryGetValue(inode.Value, out Node? node))
        {
            lock (node)
                node.Opens--;
            Reap(node);
        }
    }

    public FsStatus Read(in Caller caller, InodeId inode, ulong offset, Span<byte> destination, out int readBytes)
    {
        readBytes = 0;
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        lock (node)
            readBytes = node.Read(offset, destination, _discard);
        return FsStatus.Ok;
    }

    public FsStatus Write(in Caller caller, InodeId inode, ulong offset, ReadOnlySpan<byte> data, VfsWriteFlags flags, out int writtenBytes)
    {
        writtenBytes = 0;
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        lock (node)
        {
            if ((flags & VfsWriteFlags.Append) != 0)
                offset = node.Record.SizeBytes;
            if (offset > StoreCore.Limits.MaxFileSizeBytes - (ulong)data.Length)
                return FsStatus.TooLarge;
            node.Write(offset, data, _discard);
            node.Record.Modified = node.Record.Changed = Timestamp.Now(_clock);
        }

        writtenBytes = data.Length;
        Changed(inode, (long)offset, data.Length, caller.Origin);
        return FsStatus.Ok;
    }

    public FsStatus Flush(InodeId inode, VfsLockOwner owner) => DropLocks(inode, VfsLockSpace.Posix, owner);

    public FsStatus Sync(InodeId inode, bool dataOnly)
    {
        BeforeSync?.Invoke();
        return _nodes.ContainsKey(inode.Value) ? FsStatus.Ok : FsStatus.Stale;
    }

    public FsStatus Allocate(in Caller caller, InodeId inode, VfsAllocateMode mode, ulong offset, ulong lengthBytes)
    {
        if (!_nodes.TryGetValue(inode.Value, out Node? node))
            return FsStatus.Stale;
        lock (node)
        {
            if ((mode & VfsAllocateMode.KeepSize) == 0 && offset + lengthBytes <= StoreCore.Limits.MaxFileSizeBytes)
                node.Truncate(Math.Max(node.Record.SizeBytes, offset + lengthBytes));
        }

        return FsStatus.Ok;
    }

    public FsStatus Seek(InodeId inode, ulong offset, bool wantHole, out ulong position)
    {
        position = 0;
        if (GetAttributes(inode, out InodeRecord record) != FsStatus.Ok)
            return FsStatus.Stale;
        if (offset >= record.SizeBytes)
            return FsStatus.NoSuchAddress;
        position = wantHole ? record.SizeBytes : offset;
        return FsStatus.Ok;
    }

    public FsStatus CopyRange(
        in Caller caller, InodeId source, ulong sourceOffset, InodeId target, ulong targetOffset, ulong lengthBytes, out ulong copiedBytes)
    {
        copiedBytes = 0;
        byte[] buffer = new byte[Math.Min(lengthBytes, 1 << 20)];
        FsStatus status = Read(caller, source, sourceOffset, buffer, out int readBytes);
        if (status == FsStatus.Ok)
            status = Write(caller, target, targetOffset, buffer.AsSpan(0, readBytes), VfsWriteFlags.None, out _);
        copiedBytes = status == FsStatus.Ok ? (ulong)readBytes : 0;
        return status;
    }

    private sealed class Node
    {
        public InodeRecord Record;
        public int Opens;
        public ulong NextCookie = 3;
        public byte[]? Target;
        public Dictionary<byte[], (ulong Cookie, ulong Inode)>? Names;
        public Dictionary<byte[], byte[]>? Xattrs;
        private readonly Dictionary<ulong, byte[]> _pages = [];

        public int Read(ulong offset, Span<byte> destination, bool discard)
        {
            if (offset >= Record.SizeBytes)
                return 0;
            int length = (int)Math.Min((ulong)destination.Length, Record.SizeBytes - offset);
            for (int done = 0; done < length;)
            {
                (ulong page, int at, int take) = Part(offset, length, done);
                if (discard || !_pages.TryGetValue(page, out byte[]? bytes))
                    destination.Slice(done, take).Clear();
                else
                    bytes.AsSpan(at, take).CopyTo(destination[done..]);
                done += take;
            }

            return length;
        }

        public void Write(ulong offset, ReadOnlySpan<byte> data, bool discard)
        {
            for (int done = 0; done < data.Length && !discard;)
            {
                (ulong page, int at, int take) = Part(offset, data.Length, done);
                if (!_pages.TryGetValue(page, out byte[]? bytes))
                    _pages[page] = bytes = new byte[PageBytes];
                data.Slice(done, take).CopyTo(bytes.AsSpan(at));
                done += take;
            }

            Record.SizeBytes = Math.Max(Record.SizeBytes, offset + (ulong)data.Length);
            Record.AllocatedBytes = (long)Record.SizeBytes;
        }

        public void Truncate(ulong size)
        {
            if (size < Record.SizeBytes)
            {
                foreach (ulong page in _pages.Keys.Where(page => page * PageBytes >= size).ToArray())
                    _pages.Remove(page);
                if (_pages.TryGetValue(size / PageBytes, out byte[]? last))
                    last.AsSpan((int)(size % PageBytes)).Clear();
            }

            Record.SizeBytes = size;
            Record.AllocatedBytes = Math.Min(Record.AllocatedBytes, (long)size);
        }

        private static (ulong Page, int At, int Take) Part(ulong offset, int length, int done)
        {
            int at = (int)((offset + (ulong)done) % PageBytes);
            return ((offset + (ulong)done) / PageBytes, at, Math.Min(PageBytes - at, length - done));
        }
    }
}
