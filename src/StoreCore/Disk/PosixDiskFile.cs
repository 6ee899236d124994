using System.Runtime.InteropServices;
using StoreCore.Primitives;

namespace StoreCore.Disk;

/// <summary>An open file of a <see cref="PosixDisk"/>. Every call is one system call where the kernel does it in one.</summary>
internal sealed unsafe class PosixDiskFile : IDiskFile
{
    private readonly string _path;
    private readonly SafeDescriptor _handle;

    public PosixDiskFile(string name, string path, int descriptor)
    {
        Name = name;
        _path = path;
        _handle = new SafeDescriptor(descriptor);
    }

    public string Name { get; }

    public long LengthBytes
    {
        get
        {
            using Use use = new(_handle);
            long length = Libc.Seek(use.Descriptor, 0, Libc.SEEK_END);
            return length >= 0 ? length : throw Failure("seek", _path);
        }
    }

    public void Read(long offset, Span<byte> destination)
    {
        using Use use = new(_handle);
        fixed (byte* at = destination)
        {
            int done = 0;
            while (done < destination.Length)
            {
                nint count = Libc.Pread(use.Descriptor, at + done, (nuint)(destination.Length - done), offset + done);
                if (count > 0)
                    done += (int)count;
                else if (count == 0)
                    throw new DiskException("read", _path, Libc.EIO, $"the file ends before byte {offset + destination.Length}");
                else if (Marshal.GetLastPInvokeError() != Libc.EINTR)
                    throw Failure("read", _path);
            }
        }
    }

    public void Write(long offset, ReadOnlySpan<byte> source)
    {
        using Use use = new(_handle);
        fixed (byte* at = source)
        {
            int done = 0;
            while (done < source.Length)
            {
                nint count = Libc.Pwrite(use.Descriptor, at + done, (nuint)(source.Length - done), offset + done);
                if (count > 0)
                    done += (int)count;
                else if (count == 0)
                    throw new DiskException("write", _path, Libc.EIO, "nothing was written");
                else if (Marshal.GetLastPInvokeError() != Libc.EINTR)
                    throw Failure("write", _path);
            }
        }
    }

    public void StartWriteback(long offset, long lengthBytes)
    {
        // Errors of writing are kept with the file until fdatasync; others (a file system without it) leave all the work to fdatasync.
        using Use use = new(_handle);
        _ = Libc.SyncFileRange(use.Descriptor, offset, lengthBytes, Libc.SYNC_FILE_RANGE_WRITE);
    }

    public void Sync()
    {
        using Use use = new(_handle);
        if (Libc.FDataSync(use.Descriptor) != 0)
            throw Failure("fdatasync", _path);
    }

    public void PunchHole(long offset, long lengthBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(lengthBytes);
        if (lengthBytes == 0)
            return;

        using Use use = new(_handle);
        while (Libc.FAllocate(use.Descriptor, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, offset, lengthBytes) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno == Libc.EINTR)
                continue;
            if (errno != Libc.EOPNOTSUPP)
                throw Failure("punch hole", _path);

            // This file system cannot give space back: the promise that the range reads as zeros is kept by writing them.
            WriteZeros(offset, Math.Min(lengthBytes, LengthBytes - offset));
            return;
        }
    }

    public void EnsureLength(long lengthBytes)
    {
        using Use use = new(_handle);
        if (LengthBytes >= lengthBytes)
            return;

        // Not a truncate: if another thread has written further meanwhile it would cut that off. Allocating the last byte can only make it longer.
        while (Libc.FAllocate(use.Descriptor, 0, lengthBytes - 1, 1) != 0)
        {
            if (Marshal.GetLastPInvokeError() != Libc.EINTR)
                throw Failure("extend", _path);
        }
    }

    public void Dispose() => _handle.Dispose();

    private void WriteZeros(long offset, long lengthBytes)
    {
        ReadOnlySpan<byte> zeros = new byte[64 * 1024];
        for (; lengthBytes > 0; offset += zeros.Length, lengthBytes -= zeros.Length)
            Write(offset, zeros[..(int)Math.Min(zeros.Length, lengthBytes)]);
    }

    /// <summary>The exception for the errno that the last call left.</summary>
    internal static DiskException Failure(string operation, string path)
    {
        int errno = Marshal.GetLastPInvokeError();
        return new DiskException(operation, path, errno, Libc.Describe(errno));
    }

    /// <summary>Keeps the descriptor from being closed, and its number from being given to another file, while a call uses it.</summary>
    private readonly ref struct Use
    {
        private readonly SafeDescriptor _handle;

        public Use(SafeDescriptor handle)
        {
            bool added = false;
            handle.DangerousAddRef(ref added);
            _handle = handle;
        }

        public int Descriptor => (int)_handle.DangerousGetHandle();

        public void Dispose() => _handle.DangerousRelease();
    }

    private sealed class SafeDescriptor : SafeHandle
    {
        public SafeDescriptor(int descriptor)
            : base(-1, ownsHandle: true) => SetHandle(descriptor);

        public override bool IsInvalid => handle < 0;

        protected override bool ReleaseHandle() => Libc.Close((int)handle) == 0;
    }
}
