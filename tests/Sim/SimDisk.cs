using StoreCore.Disk;

namespace Sim;

/// <summary>What a fault of a <see cref="SimDisk"/> strikes.</summary>
public enum SimDiskOperation
{
    Read,
    Write,
    Sync,
    PunchHole,
}

/// <summary>
/// An <see cref="IDisk"/> in memory that behaves as badly as a real one may: at a crash each 512-byte sector of each write, hole and growth
/// since the last sync is there or not; reads, writes and syncs fail on demand or at random; bytes rot; space runs out. After a failed sync
/// what was not flushed counts as clean, as in the kernel: a later sync that succeeds does not bring it back. Thread safe; with one thread
/// it is deterministic by the seed of the <see cref="Random"/> it is given.
/// </summary>
public sealed class SimDisk : IDisk
{
    internal const int EIO = 5, ENOENT = 2, ENOSPC = 28;

    private readonly Dictionary<string, SimFile> _files = new(StringComparer.Ordinal);
    private readonly List<(SimDiskOperation Operation, int Countdown, int Errno, string? File)> _faults = [];
    private Random? _errorSource;
    private double _errorRate;
    private bool _dead;
    private bool _disposed;

    /// <param name="capacityBytes">Space of the file system; counted in pages of 4 KiB.</param>
    /// <param name="power">Shared by the parts of one machine; by default one that is never cut.</param>
    public SimDisk(long capacityBytes = long.MaxValue, SimPower? power = null)
    {
        CapacityBytes = capacityBytes;
        Power = power ?? new SimPower();
    }

    internal object Lock { get; } = new();

    internal SimPower Power { get; }

    /// <summary>Can be changed at any time; lowering it below what is used only stops further growth.</summary>
    public long CapacityBytes { get; set; }

    /// <summary>Bytes in allocated pages of all files.</summary>
    public long UsedBytes => _files.Values.Sum(file => file.AllocatedBytes);

    /// <summary>Operations that succeeded, for tests of how often something happens.</summary>
    public long Reads { get; internal set; }

    public long Writes { get; internal set; }

    public long Syncs { get; internal set; }

    public IDiskFile Open(string name, bool create)
    {
        if (name.Length == 0 || name is "." or ".." || name.Contains('/'))
            throw new ArgumentException($"'{name}' is not the name of a file", nameof(name));

        lock (Lock)
        {
            ThrowIfUnusable();
            if (!_files.TryGetValue(name, out SimFile? file))
            {
                if (!create)
                    throw new DiskException("open", name, ENOENT, "No such file or directory");
                Power.Step();
                _files.Add(name, file = new SimFile());
            }

            return new SimDiskFile(this, file, name);
        }
    }

    public IReadOnlyList<string> List()
    {
        lock (Lock)
        {
            ThrowIfUnusable();
            return [.. _files.Keys];
        }
    }

    public void Delete(string name)
    {
        lock (Lock)
        {
            ThrowIfUnusable();
            if (!_files.ContainsKey(name))
                throw new DiskException("delete", name, ENOENT, "No such file or directory");
            Power.Step();
            _files.Remove(name);
        }
    }

    public DiskSpace Space
    {
        get
        {
            lock (Lock)
            {
                ThrowIfUnusable();
                return new DiskSpace(CapacityBytes, Math.Max(0, CapacityBytes - UsedBytes));
            }
        }
    }

    /// <summary>Lets an operation (on one file or any) fail once: the one after <paramref name="after"/> more of its kind.</summary>
    public void Fail(SimDiskOperation operation, int errno = EIO, string? file = null, int after = 0)
    {
        lock (Lock)
            _faults.Add((operation, after, errno, file));
    }

    /// <summary>Lets every operation fail with EIO at this rate (0 to 1); 0 ends it.</summary>
    public void FailAtRandom(Random random, double rate)
    {
        lock (Lock)
            (_errorSource, _errorRate) = (random, rate);
    }

    /// <summary>Flips so many random bits in a range of a file, on the medium and in the cache alike.</summary>
    public void Rot(Random random, string name, long offset, long lengthBytes, int bits = 1)
    {
        lock (Lock)
        {
            for (int i = 0; i < bits; i++)
                _files[name].FlipBit(offset + random.NextInt64(lengthBytes), random.Next(8));
        }
    }

    /// <summary>Cuts a file off, as if somebody had done it behind the store's back.</summary>
    public void Cut(string name, long lengthBytes)
    {
        lock (Lock)
            _files[name].Cut(lengthBytes);
    }

    /// <summary>Takes a file away, likewise.</summary>
    public void Lose(string name)
    {
        lock (Lock)
            _files.Remove(name);
    }

    /// <summary>The machine dies: returns the disk as the next boot finds it. This one and its files are dead.</summary>
    public SimDisk Crash(Random random)
    {
        lock (Lock)
        {
            SimDisk next = Successor();
            foreach ((string name, SimFile file) in _files)
                next._files.Add(name, file.AfterCrash(random));
            return next;
        }
    }

    /// <summary>The process dies, the machine lives on: everything written is there. This one and its files are dead.</summary>
    public SimDisk Kill()
    {
        lock (Lock)
        {
            SimDisk next = Successor();
            foreach ((string name, SimFile file) in _files)
                next._files.Add(name, file);
            return next;
        }
    }

    public void Dispose()
    {
        lock (Lock)
            _disposed = true;
    }

    private SimDisk Successor()
    {
        if (_dead)
            throw new InvalidOperationException("the disk has crashed already");
        _dead = true;
        return new SimDisk(CapacityBytes, Power);
    }

    internal void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_dead)
            throw new SimPowerCutException();
        Power.ThrowIfCut();
    }

    /// <summary>The errno that strikes this operation, or 0.</summary>
    internal int Strike(SimDiskOperation operation, string file)
    {
        for (int i = 0; i < _faults.Count; i++)
        {
            var fault = _faults[i];
            if (fault.Operation != operation || (fault.File is not null && fault.File != file))
                continue;

            if (fault.Countdown == 0)
            {
                _faults.RemoveAt(i);
                return fault.Errno;
            }

            _faults[i] = fault with { Countdown = fault.Countdown - 1 };
        }

        return _errorRate > 0 && _errorSource!.NextDouble() < _errorRate ? EIO : 0;
    }
}
