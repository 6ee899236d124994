using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace EndToEnd.Crash;

/// <summary>
/// Writes into one directory of a mount until the file system dies below it, and knows of every fsync that returned. Files consist of cells of
/// 4 KiB that name themselves (file, cell, version) and are filled from that name, so that each byte found afterwards can be judged.
/// One thread.
/// </summary>
internal sealed partial class FsyncWriter(string directory, int seed)
{
    private const int CellBytes = 4096;
    private const int MaxCells = 96;
    private const int MaxFiles = 40;

    private sealed class FileState(int id, string name)
    {
        public readonly int Id = id;

        /// <summary>Where it was at the last acknowledged moment, and where else an unacknowledged rename may have put it.</summary>
        public string Name = name;

        public string? AlsoName;

        /// <summary>Its creation has been acknowledged by an fsync.</summary>
        public bool Durable;

        /// <summary>An unlink was begun.</summary>
        public bool Removing;

        /// <summary>Versions by cell: acknowledged, and highest ever tried. 0: never written.</summary>
        public readonly uint[] Acknowledged = new uint[MaxCells];

        public readonly uint[] Tried = new uint[MaxCells];
    }

    private readonly Random _random = new(seed);
    private readonly Dictionary<int, FileState> _files = [];
    private int _nextId;
    private uint _version;

    /// <summary>fsyncs that returned, in all rounds.</summary>
    public long Acknowledged { get; private set; }

    /// <summary>Works until an operation fails because the file system is gone; returns the error that ended it.</summary>
    public string Run()
    {
        try
        {
            Directory.CreateDirectory(directory);
            while (true)
                Step();
        }
        catch (IOException e)
        {
            return e.Message;
        }
    }

    private void Step()
    {
        switch (_random.Next(12))
        {
            case 0 or 1 when _files.Count < MaxFiles:
                Create();
                break;
            case 2 when Pick() is { } file:
                Rename(file);
                break;
            case 3 when _files.Count > MaxFiles / 2 && Pick() is { } file:
                Remove(file);
                break;
            default:
                if (Pick() is { } target)
                    Write(target);
                else
                    Create();
                break;
        }
    }

    private void Create()
    {
        int id = _nextId++;
        var file = new FileState(id, $"f{id}");
        _files.Add(id, file);
        using SafeFileHandle handle = File.OpenHandle(PathOf(file.Name), FileMode.CreateNew, FileAccess.Write);
        WriteCells(file, handle, 0, _random.Next(1, 8));
    }

    private void Write(FileState file)
    {
        using SafeFileHandle handle = File.OpenHandle(PathOf(file.Name), FileMode.Open, FileAccess.Write);
        int count = _random.Next(4) == 0 ? _random.Next(8, 64) : _random.Next(1, 4);
        WriteCells(file, handle, _random.Next(MaxCells - count), count);
    }

    private void WriteCells(FileState file, SafeFileHandle handle, int first, int count)
    {
        uint version = ++_version;
        var data = new byte[count * CellBytes];
        for (int i = 0; i < count; i++)
        {
            file.Tried[first + i] = version;
            Fill(data.AsSpan(i * CellBytes, CellBytes), file.Id, first + i, version);
        }

        RandomAccess.Write(handle, data, (long)first * CellBytes);
        if (_random.Next(4) == 0)
            return; // applied, not acknowledged as stable

        Flush(handle);
        file.Durable = true;
        file.Tried.CopyTo(file.Acknowledged, 0);
    }

    private void Rename(FileState file)
    {
        string target = $"f{file.Id}r{++_version}";
        file.AlsoName = target;
        File.Move(PathOf(file.Name), PathOf(target));
        FlushDirectory();
        file.Name = target;
        file.AlsoName = null;
    }

    private void Remove(FileState file)
    {
        file.Removing = true;
        File.Delete(PathOf(file.Name));
        FlushDirectory();
        _files.Remove(file.Id);
    }

    /// <summary>After the restart: everything acknowledged is there and right, everything else is absent or in a state that was tried. Returns what is wrong.</summary>
    public List<string> Verify()
    {
        var wrong = new List<string>();
        if (!Directory.Exists(directory))
        {
            if (_files.Values.Any(f => f.Durable))
                wrong.Add($"{directory} is gone");
            return wrong;
        }

        var present = Directory.GetFiles(directory).Select(Path.GetFileName).ToHashSet();
        foreach (FileState file in _files.Values.ToArray())
        {
            string? at = present.Contains(file.Name) ? file.Name : file.AlsoName is { } other && present.Contains(other) ? other : null;
            if (at is null)
            {
                if (file.Durable && !file.Removing)
                    wrong.Add($"{file.Name} was fsynced and is gone");
                _files.Remove(file.Id);
                continue;
            }

            if (file.AlsoName is { } both && at != both && present.Contains(both))
                wrong.Add($"{file.Name} stands under two names");
            present.Remove(at);
            file.Name = at;
            file.AlsoName = null;
            file.Removing = false;
            VerifyCells(file, wrong);
        }

        wrong.AddRange(present.Select(name => $"{name} should not be there"));
        return wrong;
    }

    private void VerifyCells(FileState file, List<string> wrong)
    {
        byte[] bytes = File.ReadAllBytes(PathOf(file.Name));
        if (bytes.Length % CellBytes != 0)
            wrong.Add($"{file.Name} has {bytes.Length} bytes: half a cell");
        var expected = new byte[CellBytes];
        for (int cell = 0; cell < MaxCells; cell++)
        {
            Span<byte> actual = (cell + 1) * CellBytes <= bytes.Length ? bytes.AsSpan(cell * CellBytes, CellBytes) : default;
            uint version = actual.IsEmpty || actual.IndexOfAnyExcept((byte)0) < 0 ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(actual[8..]);
            if (version < file.Acknowledged[cell] || version > file.Tried[cell])
            {
                wrong.Add($"{file.Name} cell {cell}: version {version}, acknowledged {file.Acknowledged[cell]}, tried up to {file.Tried[cell]}");
            }
            else if (version > 0)
            {
                Fill(expected, file.Id, cell, version);
                if (!actual.SequenceEqual(expected))
                    wrong.Add($"{file.Name} cell {cell}: bytes are not those of version {version}");
            }

            // What was tried and is not there will not come any more; what is there is not acknowledged by having been seen.
            file.Tried[cell] = version;
        }
    }

    private static void Fill(Span<byte> cell, int file, int index, uint version)
    {
        BinaryPrimitives.WriteInt32LittleEndian(cell, file);
        BinaryPrimitives.WriteInt32LittleEndian(cell[4..], index);
        BinaryPrimitives.WriteUInt32LittleEndian(cell[8..], version);
        ulong x = ((ulong)(uint)file << 40) ^ ((ulong)(uint)index << 20) ^ version;
        for (int at = 12; at + 4 <= cell.Length; at += 4)
        {
            x = (x * 6364136223846793005) + 1442695040888963407;
            BinaryPrimitives.WriteUInt32LittleEndian(cell[at..], (uint)(x >> 32));
        }
    }

    private FileState? Pick() => _files.Count == 0 ? null : _files.Values.ElementAt(_random.Next(_files.Count));

    private string PathOf(string name) => Path.Combine(directory, name);

    private void FlushDirectory()
    {
        // .NET opens no directories: fsync of one takes the kernel's own call.
        int descriptor = Open(directory, 0x10000 /* O_RDONLY | O_DIRECTORY */);
        if (descriptor < 0)
            throw new IOException($"open {directory}: errno {Marshal.GetLastPInvokeError()}");
        try
        {
            Flush(descriptor);
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    private void Flush(SafeFileHandle handle) => Flush((int)handle.DangerousGetHandle());

    private void Flush(int descriptor)
    {
        if (Fsync(descriptor) != 0)
            throw new IOException($"fsync: errno {Marshal.GetLastPInvokeError()}");
        Acknowledged++;
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int descriptor);
}
