using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;

namespace Gateway.Fuse;

/// <summary>
/// One descriptor of /dev/fuse. A reply has to be written to the descriptor that its request was read from; clones share the queue of
/// requests. One thread at a time receives; any thread sends.
/// </summary>
public sealed unsafe partial class FuseDevice : IFuseReplyChannel, IDisposable
{
    public const string Path = "/dev/fuse";

    private readonly SafeFileHandle _handle;
    private readonly ILogger _log;
    private bool _blocking = true;

    private FuseDevice(int fd, ILogger log)
    {
        _handle = new SafeFileHandle(fd, ownsHandle: true);
        _log = log;
    }

    /// <summary>The descriptor's number, for mount(2).</summary>
    public int Descriptor => (int)_handle.DangerousGetHandle();

    /// <summary>Opens the device; null with the errno.</summary>
    public static FuseDevice? Open(ILogger log, out int errno)
    {
        int fd = LibC.Open(Path, LibC.OpenReadWrite | LibC.OpenCloseOnExec);
        errno = fd < 0 ? Marshal.GetLastPInvokeError() : 0;
        return fd < 0 ? null : new FuseDevice(fd, log);
    }

    /// <summary>Another descriptor on the same mount (FUSE_DEV_IOC_CLONE); null with the errno.</summary>
    public FuseDevice? Clone(out int errno)
    {
        FuseDevice? clone = Open(_log, out errno);
        if (clone is null)
            return null;

        int fd = Descriptor;
        if (LibC.Ioctl(clone._handle, LibC.FuseDeviceClone, &fd) == 0)
            return clone;

        errno = Marshal.GetLastPInvokeError();
        clone.Dispose();
        return null;
    }

    /// <summary>Reads one request: its length, or a negated errno. Not blocking: −EAGAIN where there is none.</summary>
    public int Receive(Span<byte> buffer, bool blocking)
    {
        if (blocking != _blocking)
        {
            if (LibC.Fcntl(_handle, LibC.FcntlSetFlags, blocking ? 0 : LibC.OpenNonBlock) != 0)
                return -Marshal.GetLastPInvokeError();
            _blocking = blocking;
        }

        fixed (byte* start = buffer)
        {
            nint read = LibC.Read(_handle, start, (nuint)buffer.Length);
            return read >= 0 ? (int)read : -Marshal.GetLastPInvokeError();
        }
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> reply)
    {
        int errno = Write(reply);
        // ENOENT: interrupted and given up meanwhile. The others: the mount is gone, which the readers find too.
        if (errno is 0 or FuseErrno.NoEntry or FuseErrno.NoDevice or FuseErrno.NotConnected or FuseErrno.ConnectionAborted)
            return;

        // A reply that the kernel refuses would leave its caller waiting for ever: say at least that.
        FuseOutHeader head = MemoryMarshal.Read<FuseOutHeader>(reply);
        LogRefused(head.Unique, reply.Length, errno);
        head.Length = FuseProtocol.OutHeaderBytes;
        head.Error = -FuseErrno.Io;
        Write(MemoryMarshal.AsBytes(new ReadOnlySpan<FuseOutHeader>(in head)));
    }

    /// <summary>Sends a notification (its header's unique is 0); the errno, of which ENOENT says that the kernel holds nothing of it.</summary>
    public int Notify(ReadOnlySpan<byte> message) => Write(message);

    public void Dispose() => _handle.Dispose();

    private int Write(ReadOnlySpan<byte> message)
    {
        fixed (byte* start = message)
        {
            while (true)
            {
                nint written;
                try
                {
                    written = LibC.Write(_handle, start, (nuint)message.Length);
                }
                catch (ObjectDisposedException)
                {
                    return FuseErrno.NoDevice; // A lock was granted after the end of the session: nobody is there to hear it.
                }

                if (written >= 0)
                    return 0;
                int errno = Marshal.GetLastPInvokeError();
                if (errno is not (FuseErrno.Interrupted or FuseErrno.Again))
                    return errno;
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The kernel refused the reply to request {Unique} of {Bytes} bytes with errno {Errno}; answered EIO")]
    private partial void LogRefused(ulong unique, int bytes, int errno);
}
