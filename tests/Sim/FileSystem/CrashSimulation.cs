using System.Text;
using Gateway.Vfs;
using StoreCore;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Sim.FileSystem;

/// <summary>
/// A whole file system (Vfs, metadata, blocks) on a simulated machine that loses power at random moments, also in the midst of operations,
/// with whatever was not synced lost, torn or kept. After each crash: what was synced is there, what was not is there in one of its states
/// since, nothing else is; metadata and blocks agree; no space leaks. One thread, one seed; a failure names the seed, and the seed replays it.
/// </summary>
public sealed class CrashSimulation(int seed)
{
    private const int NamesPerDirectory = 6;

    private static readonly Caller User = new(0, 0, trusted: true);

    private readonly Random _random = new(seed);
    private readonly Dictionary<InodeId, ModelFile> _files = [];
    private readonly Dictionary<string, InodeId> _names = [];

    /// <summary>What each name led to at the last sync and since; <see cref="InodeId.None"/> for nothing.</summary>
    private readonly Dictionary<string, HashSet<InodeId>> _allowed = [];

    private readonly HashSet<InodeId> _opens = [];
    private SimMachine _machine = null!;
    private InodeId[] _directories = [];

    /// <summary>Crashes survived.</summary>
    public int Crashes { get; private set; }

    /// <summary>Runs so many crashes with some dozens of operations before each.</summary>
    public void Run(int crashes)
    {
        try
        {
            _machine = new SimMachine(_random.Next());
            Must(_machine.Vfs.Make(User, InodeId.Root, "d"u8, new NewInode { Mode = 0x41ED }, out InodeRecord directory));
            _directories = [InodeId.Root, directory.Inode];
            Must(_machine.Vfs.SyncAll());
            for (; Crashes < crashes; Crashes++)
                CrashOnce();
        }
        catch (Exception e) when (e is not SimulationFailedException)
        {
            throw new SimulationFailedException($"seed {seed}, after {Crashes} crashes: {e.Message}\n{string.Join('\n', _trace)}", e);
        }
    }

    private void CrashOnce()
    {
        bool kill = _random.Next(4) == 0;
        int operations = _random.Next(5, 60);
        if (!kill && _random.Next(3) > 0)
            _machine.Power.CutAfter(_random.Next(1, 60));
        try
        {
            for (int i = 0; i < operations; i++)
                Operate();
        }
        catch (SimPowerCutException)
        {
            Trace("power cut");
            // The midst of an operation: as good a moment as any.
        }

        Trace(kill ? "kill" : "crash");
        _machine = kill ? _machine.Kill() : _machine.Crash();
        _opens.Clear();
        Adopt();
        _machine.CheckConsistent();
    }

    /// <summary>The last operations, for whoever reads a failure.</summary>
    private readonly Queue<string> _trace = [];

    private void Trace(string operation)
    {
        if (_trace.Count == 60)
            _trace.Dequeue();
        _trace.Enqueue(operation);
    }

    private void Operate()
    {
        switch (_random.Next(21))
        {
            case < 4:
                Create();
                break;
            case < 10:
                Write();
                break;
            case 10:
                Truncate();
                break;
            case 11:
                Punch();
                break;
            case 12:
                Unlink();
                break;
            case 13:
                Rename();
                break;
            case 14:
                VerifyLive();
                break;
            case < 17:
                SyncFile();
                break;
            case 17:
                Trace("sync");
                Must(_machine.Vfs.SyncAll());
                Synced();
                break;
            case 18:
                Trace("sync names");
                Must(_machine.Vfs.SyncNames());
                NamesSynced();
                break;
            case 19:
                Trace("reap");
                _machine.Vfs.ReapStep(out FsStatus status);
                Must(status);
                break;
            default:
                Trace("maintain");
                _machine.Maintain();
                break;
        }
    }

    private void Create()
    {
        (string name, InodeId parent, byte[] bytes) = PickName();
        if (_names.ContainsKey(name))
            return;
        Possible(name);
        Trace($"create {name}");
        VfsOpenFlags flags = VfsOpenFlags.Write | VfsOpenFlags.Exclusive;
        NoteNext(name);
        Must(_machine.Vfs.Create(User, parent, bytes, new NewInode { Mode = 0x81A4 }, flags, out InodeRecord made, out _));
        var file = new ModelFile(made.Inode);
        _files.Add(made.Inode, file);
        SetName(name, made.Inode);
        if (_random.Next(3) > 0)
            _machine.Vfs.Release(made.Inode, flags);
        else
            _opens.Add(made.Inode);
    }

    private void Write()
    {
        if (PickFile() is not { } file)
            return;
        long offset = _random.Next(4) switch
        {
            0 => file.Size,
            1 => _random.Next(0, 64) * Limits.ChunkSizeBytes,
            2 => Limits.BlockSizeBytes - _random.Next(20_000),
            _ => _random.Next(300_000),
        };
        var data = new byte[_random.Next(3) switch { 0 => _random.Next(1, 200), 1 => Limits.ChunkSizeBytes, _ => _random.Next(1, 150_000) }];
        _random.NextBytes(data);
        VfsWriteFlags flags = _random.Next(8) == 0 ? VfsWriteFlags.Stable : VfsWriteFlags.None;
        Trace($"write {file.Inode} {offset}+{data.Length} {flags}");
        file.Write(offset, data); // before: what is cut short may be there or not
        Must(_machine.Vfs.Write(User, file.Inode, (ulong)offset, data, flags, out int written));
        Ensure(written == data.Length, "a short write without an error");
        if (flags == VfsWriteFlags.Stable)
            Synced();
    }

    private void Truncate()
    {
        if (PickFile() is not { } file)
            return;
        long size = _random.Next(3) switch { 0 => 0, 1 => _random.NextInt64(file.Size + 1), _ => _random.Next(400_000) };
        Trace($"truncate {file.Inode} {file.Size} to {size}");
        file.Truncate(size);
        AttributeChange change = new() { Mask = AttributeMask.Size, SizeBytes = (ulong)size };
        Must(_machine.Vfs.SetAttributes(User, file.Inode, change, out InodeRecord after));
        Ensure((long)after.SizeBytes == size, "the size after a truncation");
    }

    private void Punch()
    {
        if (PickFile() is not { } file)
            return;
        long offset = _random.Next(300_000), length = _random.Next(1, 200_000);
        Trace($"punch {file.Inode} {offset}+{length}");
        file.Punch(offset, length);
        Must(_machine.Vfs.Allocate(User, file.Inode, VfsAllocateMode.PunchHole | VfsAllocateMode.KeepSize, (ulong)offset, (ulong)length));
    }

    private void Unlink()
    {
        (string name, InodeId parent, byte[] bytes) = PickName();
        if (!_names.TryGetValue(name, out InodeId inode))
            return;
        Possible(name);
        Trace($"unlink {name} {inode}");
        _allowed[name].Add(InodeId.None);
        Must(_machine.Vfs.Unlink(User, parent, bytes));
        SetName(name, InodeId.None);
        if (!_opens.Contains(inode))
            _files.Remove(inode, out _);
        _gone.Add(inode);
    }

    private readonly HashSet<InodeId> _gone = [];

    private void Rename()
    {
        (string from, InodeId fromParent, byte[] fromBytes) = PickName();
        (string to, InodeId toParent, byte[] toBytes) = PickName();
        if (from == to || !_names.TryGetValue(from, out InodeId inode))
            return;
        Possible(from);
        Possible(to);
        _allowed[from].Add(InodeId.None);
        _allowed[to].Add(inode);
        _names.TryGetValue(to, out InodeId displaced);
        Trace($"rename {from} {inode} to {to} {displaced}");
        Must(_machine.Vfs.Rename(User, fromParent, fromBytes, toParent, toBytes, RenameFlags.None));
        SetName(from, InodeId.None);
        SetName(to, inode);
        if (displaced != InodeId.None)
        {
            _gone.Add(displaced);
            if (!_opens.Contains(displaced))
                _files.Remove(displaced, out _);
        }
    }

    private void SyncFile()
    {
        if (PickFile() is not { } file)
            return;
        Trace($"fsync {file.Inode}");
        Must(_machine.Vfs.Sync(file.Inode, dataOnly: _random.Next(2) == 0));

        // One log for everything: what was applied before this flush is stable with it. Only other files' sizes wait for their own record,
        // and those are measured.
        Synced();
    }

    private void VerifyLive()
    {
        if (PickFile() is not { } file)
            return;
        var expected = new byte[_random.Next(1, 100_000)];
        long offset = _random.NextInt64(file.Size + 1);
        file.Read(offset, expected);
        var actual = new byte[expected.Length];
        Must(_machine.Vfs.Read(User, file.Inode, (ulong)offset, actual, out int read));
        Ensure(read == Math.Min(expected.Length, file.Size - offset), "the length of a read");
        Ensure(actual.AsSpan(0, read).SequenceEqual(expected.AsSpan(0, read)), $"the bytes of a read of inode {file.Inode} at {offset}");
    }

    /// <summary>Names lead where they lead now; what their files hold may still be lost back to the last sync.</summary>
    private void NamesSynced()
    {
        foreach (string name in _allowed.Keys.ToArray())
            _allowed[name] = [_names.GetValueOrDefault(name)];
    }

    private void Synced()
    {
        NamesSynced();
        foreach (ModelFile file in _files.Values)
            file.Synced();
        _forgotten.Clear();
    }

    /// <summary>Compares what stands there now with what may, and goes on from it.</summary>
    private void Adopt()
    {
        var found = new Dictionary<InodeId, ModelFile>();
        foreach ((string name, HashSet<InodeId> allowed) in _allowed.ToArray())
        {
            (InodeId parent, byte[] bytes) = Split(name);
            FsStatus status = _machine.Vfs.Lookup(User, parent, bytes, out InodeRecord record);
            Ensure(status is FsStatus.Ok or FsStatus.NotFound, $"looking up {name}: {status}");
            InodeId actual = status == FsStatus.Ok ? record.Inode : InodeId.None;
            bool fresh = actual != InodeId.None && !_files.ContainsKey(actual) && !_forgotten.ContainsKey(actual);
            if (fresh && _unnamed.Contains(name))
            {
                // A creation that the crash cut short and that took place all the same: an empty file.
                Ensure(record.SizeBytes == 0, $"{name} was just being created and has {record.SizeBytes} bytes");
                found[actual] = new ModelFile(actual);
            }
            else
            {
                Ensure(allowed.Contains(actual), $"{name} leads to {actual}, allowed are {string.Join(", ", allowed)}");
                if (actual != InodeId.None)
                    found[actual] = _files.GetValueOrDefault(actual) ?? _forgotten[actual];
            }

            if (actual == InodeId.None)
                _names.Remove(name);
            else
                _names[name] = actual;
        }

        foreach (ModelFile file in found.Values)
        {
            Must(_machine.Vfs.GetAttributes(file.Inode, out InodeRecord record));
            string? wrong = file.Adopt((long)record.SizeBytes, (offset, length) =>
            {
                var bytes = new byte[length];
                FsStatus status = _machine.Vfs.Read(User, file.Inode, (ulong)offset, bytes, out int read);
                Ensure(status == FsStatus.Ok && read == length, $"reading inode {file.Inode} at {offset} after the crash: {status}, {read} of {length}");
                return bytes;
            });
            Ensure(wrong is null, wrong ?? "");
        }

        _files.Clear();
        foreach (ModelFile file in found.Values)
            _files[file.Inode] = file;
        _unnamed.Clear();
        _gone.Clear();
        Synced();
    }

    /// <summary>Deleted since the last sync: a crash may bring them back.</summary>
    private readonly Dictionary<InodeId, ModelFile> _forgotten = [];

    /// <summary>Names whose creation was under way.</summary>
    private readonly HashSet<string> _unnamed = [];

    private void NoteNext(string name) => _unnamed.Add(name);

    private void Possible(string name) => _allowed.TryAdd(name, [_names.GetValueOrDefault(name)]);

    private void SetName(string name, InodeId inode)
    {
        _unnamed.Remove(name);
        if (_names.TryGetValue(name, out InodeId before) && _files.TryGetValue(before, out ModelFile? file))
            _forgotten[before] = file;
        if (inode == InodeId.None)
            _names.Remove(name);
        else
            _names[name] = inode;
        _allowed[name].Add(inode);
    }

    private ModelFile? PickFile() => _files.Count == 0 ? null : _files.Values.ElementAt(_random.Next(_files.Count));

    private (string Name, InodeId Parent, byte[] Bytes) PickName()
    {
        string name = $"{_random.Next(_directories.Length)}/f{_random.Next(NamesPerDirectory)}";
        (InodeId parent, byte[] bytes) = Split(name);
        return (name, parent, bytes);
    }

    private (InodeId Parent, byte[] Bytes) Split(string name) => (_directories[name[0] - '0'], Encoding.UTF8.GetBytes(name[2..]));

    private static void Must(FsStatus status) => Ensure(status == FsStatus.Ok, $"unexpected status {status}");

    private static void Ensure(bool condition, string what)
    {
        if (!condition)
            throw new InvalidOperationException(what);
    }
}

/// <summary>An invariant broke; the message holds the seed.</summary>
public sealed class SimulationFailedException(string message, Exception inner) : Exception(message, inner);
