using System.ComponentModel;
using System.Runtime.InteropServices;

namespace EndToEnd;

/// <summary>
/// Single calls of libnfs, with the handles in one's hands: for what no file system client would ever ask, such as for what lies above an export. All programs are on one port here, so
/// one connection serves for all.
/// </summary>
internal sealed unsafe partial class LibNfs : IDisposable
{
    private const string Library = "libnfs.so.13"; // of the package that the tools come from
    private const uint NfsProgram = 100003, NfsVersion = 3;
    private const int PatienceMilliseconds = 30_000;

    private readonly Answer _answer = new();
    private GCHandle _state;
    private nint _context;

    public LibNfs(string address, int port)
    {
        _context = Create();
        _state = GCHandle.Alloc(_answer);
        Call((callback, state) => Connect(_context, address, port, NfsProgram, NfsVersion, callback, state));
    }

    /// <summary>mountstat3 and, where it is 0, the handle.</summary>
    public (uint Status, byte[] Handle) Mount(string path)
    {
        Call((callback, state) => Mount(_context, callback, path, state));
        return (_answer.Status, _answer.Handle);
    }

    /// <summary>nfsstat3 and, where it is 0, the handle.</summary>
    public (uint Status, byte[] Handle) Lookup(byte[] directory, string name)
    {
        fixed (byte* bytes = directory)
        {
            var handle = new FileHandle { Length = (uint)directory.Length, Bytes = bytes };
            FileHandle* pointer = &handle; // encoded before the call returns
            Call((callback, state) => Lookup(_context, callback, pointer, name, state));
            return (_answer.Status, _answer.Handle);
        }
    }

    public void Dispose()
    {
        if (_context == 0)
            return;
        Destroy(_context); // which answers what is outstanding
        _context = 0;
        _state.Free();
    }

    private delegate int Sender(delegate* unmanaged<nint, int, void*, nint, void> callback, nint state);

    /// <summary>Sends, and lets the library work until the answer is there.</summary>
    private void Call(Sender send)
    {
        _answer.Clear();
        Check(send(&Answered, GCHandle.ToIntPtr(_state)));
        while (!_answer.IsThere)
        {
            var poll = new Poll { Descriptor = Descriptor(_context), Events = (short)WhichEvents(_context) };
            int ready = WaitFor(&poll, 1, PatienceMilliseconds);
            if (ready < 0)
                throw new Win32Exception();
            Assert.True(ready > 0, "no answer");
            Check(Service(_context, poll.Revents));
        }

        Check(_answer.Result);
    }

    private void Check(int result) => Assert.True(result == 0, $"libnfs: {Error()}");

    private string Error() => Marshal.PtrToStringUTF8(ErrorText(_context)) ?? "";

    [UnmanagedCallersOnly]
    private static void Answered(nint context, int result, void* data, nint state)
    {
        var answer = (Answer)GCHandle.FromIntPtr(state).Target!;
        (answer.IsThere, answer.Result) = (true, result);
        if (result != 0 || data is null)
            return;

        // mountres3 and LOOKUP3res begin alike: the status, and from the next multiple of 8 on the handle.
        answer.Status = *(uint*)data;
        var handle = (FileHandle*)((byte*)data + sizeof(ulong));
        if (answer.Status == 0)
            answer.Handle = new ReadOnlySpan<byte>(handle->Bytes, (int)handle->Length).ToArray();
    }

    private sealed class Answer
    {
        public bool IsThere;
        public int Result;
        public uint Status;
        public byte[] Handle = [];

        public void Clear() => (IsThere, Result, Status, Handle) = (false, 0, 0, []);
    }

    /// <summary>struct nfs_fh3 and fhandle3.</summary>
    private struct FileHandle
    {
        public uint Length;
        public byte* Bytes;
    }

    private struct Poll
    {
        public int Descriptor;
        public short Events;
        public short Revents;
    }

    [LibraryImport(Library, EntryPoint = "rpc_init_context")]
    private static partial nint Create();

    [LibraryImport(Library, EntryPoint = "rpc_destroy_context")]
    private static partial void Destroy(nint context);

    [LibraryImport(Library, EntryPoint = "rpc_get_error")]
    private static partial nint ErrorText(nint context);

    [LibraryImport(Library, EntryPoint = "rpc_get_fd")]
    private static partial int Descriptor(nint context);

    [LibraryImport(Library, EntryPoint = "rpc_which_events")]
    private static partial int WhichEvents(nint context);

    [LibraryImport(Library, EntryPoint = "rpc_service")]
    private static partial int Service(nint context, int events);

    [LibraryImport(Library, EntryPoint = "rpc_connect_port_async", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Connect(
        nint context, string server, int port, uint program, uint version, delegate* unmanaged<nint, int, void*, nint, void> callback, nint state);

    [LibraryImport(Library, EntryPoint = "rpc_mount3_mnt_async", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Mount(nint context, delegate* unmanaged<nint, int, void*, nint, void> callback, string path, nint state);

    [LibraryImport(Library, EntryPoint = "rpc_nfs_lookup_async", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Lookup(nint context, delegate* unmanaged<nint, int, void*, nint, void> callback, FileHandle* directory, string name, nint state);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int WaitFor(Poll* polls, nuint count, int timeoutMilliseconds);
}
