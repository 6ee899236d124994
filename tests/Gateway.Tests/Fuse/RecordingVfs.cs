using System.Text;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Fuse;

/// <summary>Writes down each call as text and answers what it was told to: <see cref="Status"/> and <see cref="Record"/>.</summary>
internal sealed class RecordingVfs : IVfs
{
    public List<string> Calls { get; } = [];

    public FsStatus Status { get; set; }

    public InodeRecord Record;

    public byte[] Bytes { get; set; } = [];

    public ulong Number { get; set; }

    public VfsLock Conflict { get; set; }

    public IVfsLockWaiter? Waiter { get; private set; }

    public bool LocksWait { get; set; }

    /// <summary>Runs while the lock is asked for, before it is known to wait.</summary>
    public Action? WhileLocking { get; set; }

    public Exception? Throws { get; set; }

    public FsStatus Lookup(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, out InodeRecord attributes) =>
        Answer($"Lookup {Who(caller)} {parent} {Text(name)}", out attributes);

    public FsStatus GetAttributes(InodeId inode, out InodeRecord attributes) => Answer($"GetAttributes {inode}", out attributes);

    public FsStatus SetAttributes(in Caller caller, InodeId inode, in AttributeChange change, out InodeRecord attributes) => Answer(
        $"SetAttributes {Who(caller)} {inode} [{change.Mask}] mode {change.Mode:X} uid {change.Uid} gid {change.Gid} size {change.SizeBytes} "
        + $"times {Text(change.Accessed)} {Text(change.Modified)} {Text(change.Changed)} flags [{change.Flags}]",
        out attributes);

    public FsStatus Access(in Caller caller, InodeId inode, VfsAccess wanted, out VfsAccess granted)
    {
        granted = (VfsAccess)Number;
        return Answer($"Access {Who(caller)} {inode} [{wanted}]");
    }

    public FsStatus ReadLink(in Caller caller, InodeId inode, Span<byte> target, out int lengthBytes) =>
        Answer($"ReadLink {inode} room {target.Length}", target, out lengthBytes);

    public FsStatus Make(in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, out InodeRecord attributes) =>
        Answer($"Make {Who(caller)} {parent} {Text(name)} {Text(spec)}", out attributes);

    public FsStatus Create(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, in NewInode spec, VfsOpenFlags flags, out InodeRecord attributes, out bool created)
    {
        created = Number == 0;
        return Answer($"Create {Who(caller)} {parent} {Text(name)} {Text(spec)} [{flags}]", out attributes);
    }

    public FsStatus CreateUnlinked(in Caller caller, InodeId directory, in NewInode spec, VfsOpenFlags flags, out InodeRecord attributes) =>
        Answer($"CreateUnlinked {Who(caller)} {directory} {Text(spec)} [{flags}]", out attributes);

    public FsStatus Link(in Caller caller, InodeId inode, InodeId newParent, ReadOnlySpan<byte> newName, out InodeRecord attributes) =>
        Answer($"Link {Who(caller)} {inode} {newParent} {Text(newName)}", out attributes);

    public FsStatus Unlink(in Caller caller, InodeId parent, ReadOnlySpan<byte> name) => Answer($"Unlink {Who(caller)} {parent} {Text(name)}");

    public FsStatus RemoveDirectory(in Caller caller, InodeId parent, ReadOnlySpan<byte> name) =>
        Answer($"RemoveDirectory {Who(caller)} {parent} {Text(name)}");

    public FsStatus Rename(
        in Caller caller, InodeId parent, ReadOnlySpan<byte> name, InodeId newParent, ReadOnlySpan<byte> newName, RenameFlags flags) =>
        Answer($"Rename {Who(caller)} {parent} {Text(name)} {newParent} {Text(newName)} [{flags}]");

    public FsStatus Open(in Caller caller, InodeId inode, VfsOpenFlags flags, out InodeRecord attributes) =>
        Answer($"Open {Who(caller)} {inode} [{flags}]", out attributes);

    public void Release(InodeId inode, VfsOpenFlags flags) => Calls.Add($"Release {inode} [{flags}]");

    public FsStatus Read(in Caller caller, InodeId inode, ulong offset, Span<byte> destination, out int readBytes) =>
        Answer($"Read {Who(caller)} {inode} {offset} room {destination.Length}", destination, out readBytes);

    public FsStatus Write(in Caller caller, InodeId inode, ulong offset, ReadOnlySpan<byte> data, VfsWriteFlags flags, out int writtenBytes)
    {
        writtenBytes = data.Length;
        return Answer($"Write {Who(caller)} {inode} {offset} {Text(data)} [{flags}]");
    }

    public FsStatus Flush(InodeId inode, VfsLockOwner owner) => Answer($"Flush {inode} {Text(owner)}");

    public FsStatus Sync(InodeId inode, bool dataOnly) => Answer($"Sync {inode} {(dataOnly ? "data" : "all")}");

    public bool TryFindRequest(RequestId id, out RequestAnswer answer)
    {
        answer = default;
        return false;
    }

    public FsStatus SyncNames() => Answer("SyncNames");

    public FsStatus SyncAll() => Answer("SyncAll");

    public FsStatus ReadDirectory(in Caller caller, InodeId directory, ulong cookie, bool withAttributes, IDirectorySink sink)
    {
        ulong next = cookie;
        foreach (string name in Encoding.ASCII.GetString(Bytes).Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            next++;
            if (!sink.Add(next, new InodeId(100 + next), InodeKind.File, Encoding.ASCII.GetBytes(name), Record with { Inode = new InodeId(100 + next) }))
                break;
        }

        return Answer($"ReadDirectory {Who(caller)} {directory} {cookie} {(withAttributes ? "attributes" : "names")}");
    }

    public FsStatus GetXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, Span<byte> value, out int lengthBytes) =>
        Answer($"GetXattr {inode} {Text(name)} room {value.Length}", value, out lengthBytes);

    public FsStatus ListXattrs(in Caller caller, InodeId inode, Span<byte> names, out int lengthBytes) =>
        Answer($"ListXattrs {inode} room {names.Length}", names, out lengthBytes);

    public FsStatus SetXattr(
        in Caller caller, InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, XattrSetFlags flags, bool killSetgid) =>
        Answer($"SetXattr {Who(caller)} {inode} {Text(name)} {Text(value)} [{flags}]{(killSetgid ? " kill setgid" : "")}");

    public FsStatus RemoveXattr(in Caller caller, InodeId inode, ReadOnlySpan<byte> name) => Answer($"RemoveXattr {Who(caller)} {inode} {Text(name)}");

    public FsStatus Allocate(in Caller caller, InodeId inode, VfsAllocateMode mode, ulong offset, ulong lengthBytes) =>
        Answer($"Allocate {Who(caller)} {inode} [{mode}] {offset} {lengthBytes}");

    public FsStatus Seek(InodeId inode, ulong offset, bool wantHole, out ulong position)
    {
        position = Number;
        return Answer($"Seek {inode} {offset} {(wantHole ? "hole" : "data")}");
    }

    public FsStatus CopyRange(
        in Caller caller, InodeId source, ulong sourceOffset, InodeId target, ulong targetOffset, ulong lengthBytes, out ulong copiedBytes)
    {
        copiedBytes = Number;
        return Answer($"CopyRange {Who(caller)} {source} {sourceOffset} {target} {targetOffset} {lengthBytes}");
    }

    public VfsSpace StatFs()
    {
        Calls.Add("StatFs");
        return new VfsSpace(4096 * 1000, 4096 * 600, 4096 * 500, 70, 60);
    }

    public FsStatus GetLock(InodeId inode, VfsLockSpace space, in VfsLock wanted, out VfsLock conflict)
    {
        conflict = Conflict;
        return Answer($"GetLock {inode} {space} {Text(wanted)}");
    }

    public FsStatus SetLock(InodeId inode, VfsLockSpace space, in VfsLock wanted, IVfsLockWaiter? waiter, out bool pending, bool isReclaim = false)
    {
        Waiter = waiter;
        WhileLocking?.Invoke();
        pending = LocksWait && waiter is { WaitsForOwners: true };
        return Answer($"SetLock {inode} {space} {Text(wanted)}{(waiter is { WaitsForOwners: true } ? " waiting" : "")}");
    }

    public void BeginLockGrace() => Calls.Add("BeginLockGrace");

    public void EndLockGrace() => Calls.Add("EndLockGrace");

    public bool CancelLock(InodeId inode, VfsLockSpace space, IVfsLockWaiter waiter)
    {
        bool was = LocksWait && waiter == Waiter;
        LocksWait = false;
        Calls.Add($"CancelLock {inode} {space}");
        return was;
    }

    public void ReleaseSession(int session) => Calls.Add($"ReleaseSession {session}");

    public void Subscribe(IVfsObserver observer) => Calls.Add("Subscribe");

    public void Unsubscribe(IVfsObserver observer) => Calls.Add("Unsubscribe");

    private static string Who(in Caller caller) =>
        $"{caller.Uid}:{caller.Gid}{(caller.Groups is { } groups ? "+" + string.Join('+', groups) : "")}{(caller.Trusted ? "" : " untrusted")}{(caller.LeavesAccessTime ? " noatime" : "")}@{caller.Origin}";

    private static string Text(ReadOnlySpan<byte> bytes) => $"'{Encoding.Latin1.GetString(bytes)}'";

    private static string Text(in NewInode spec) =>
        $"mode {spec.Mode:X} umask {spec.Umask:X} device {spec.Device} target {Text(spec.Target)}{(spec.ForWriting ? " writing" : "")}";

    private static string Text(Timestamp time) => $"{time.Seconds}.{time.Nanoseconds:D9}";

    private static string Text(VfsLockOwner owner) => $"{owner.Session}/{owner.Owner:X}";

    private static string Text(in VfsLock wanted) => $"{wanted.Kind} {wanted.Start}-{wanted.End} {Text(wanted.Owner)} pid {wanted.Pid}";

    private FsStatus Answer(string call)
    {
        Calls.Add(call);
        return Throws is null ? Status : throw Throws;
    }

    private FsStatus Answer(string call, out InodeRecord attributes)
    {
        attributes = Record;
        return Answer(call);
    }

    private FsStatus Answer(string call, Span<byte> destination, out int lengthBytes)
    {
        lengthBytes = destination.IsEmpty ? Bytes.Length : Math.Min(Bytes.Length, destination.Length);
        Bytes.AsSpan(0, Math.Min(lengthBytes, destination.Length)).CopyTo(destination);
        return Answer(call);
    }
}
