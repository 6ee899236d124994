using Gateway.Vfs;
using StoreCore.Blocks;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Sim.FileSystem;

/// <summary>One simulated machine with one file system on it: the product's own code from the Vfs down, over a simulated disk and store.</summary>
internal sealed class SimMachine
{
    private static readonly Guid Identity = new("6f9a1c1e-0d55-4b7e-9d55-0c1f0a5e7d10");

    private readonly Random _random;
    private readonly SimClock _clock;
    private readonly SimKvStore _kv;
    private readonly SimDisk _disk;
    private readonly BlockStore _blocks;
    private readonly MetadataStore _metadata;

    public SimMachine(int seed)
        : this(new Random(seed), new SimPower(), new SimClock())
    {
    }

    private SimMachine(Random random, SimPower power, SimClock clock)
        : this(random, power, clock, Formatted(power, clock), new SimDisk(power: power))
    {
    }

    private SimMachine(Random random, SimPower power, SimClock clock, SimKvStore kv, SimDisk disk)
    {
        _random = random;
        _clock = clock;
        Power = power;
        _kv = kv;
        _disk = disk;
        _metadata = MetadataStore.Open(kv, new MetadataOptions { Clock = clock, CacheBytes = 64 * 1024 });
        BlockStoreOptions options = new() { StoreId = Identity, VolumeSizeBytes = 8 << 20, LockStripes = 16, ColdAfter = TimeSpan.FromSeconds(1), SpaceFoldRows = 8, SpaceFoldStepGroups = 3 };
        _blocks = BlockStore.Open(kv, disk, options, clock);
        Vfs = new FileSystemVfs(_metadata, _blocks, clock);
        FsStatus status = Vfs.Recover(out _);
        if (status != FsStatus.Ok)
            throw new InvalidOperationException($"recovery: {status}");
    }

    public SimPower Power { get; }

    public FileSystemVfs Vfs { get; }

    /// <summary>The power fails: what was not synced is lost, torn or kept, as chance has it.</summary>
    public SimMachine Crash() => Reopen(_kv.Crash(_random), _disk.Crash(_random));

    /// <summary>The process dies, the machine does not: everything applied is there.</summary>
    public SimMachine Kill() => Reopen(_kv.Kill(), _disk.Kill());

    /// <summary>A piece of the background work, some time later.</summary>
    public void Maintain()
    {
        _clock.Advance(TimeSpan.FromMilliseconds(_random.Next(3000)));
        FsStatus status = _blocks.RunMaintenance(256 * 1024, out _);
        if (status != FsStatus.Ok)
            throw new InvalidOperationException($"maintenance: {status}");
    }

    /// <summary>Metadata and blocks agree to the byte, and nothing is left over once the reaper is done.</summary>
    public void CheckConsistent()
    {
        FsStatus status;
        while (Vfs.ReapStep(out status))
        {
        }

        Ensure(status == FsStatus.Ok, $"the reaper failed: {status}");
        BlockCheckReport report = _blocks.Check(Compare);
        Ensure(report.ProblemCount == 0, string.Join("; ", report.Problems));
    }

    private void Compare(InodeUsage usage)
    {
        FsStatus status = Vfs.GetAttributes(usage.Inode, out InodeRecord record);
        Ensure(status == FsStatus.Ok, $"{usage.AllocatedBytes} bytes of inode {usage.Inode} have leaked: {status}");
        Ensure(record.AllocatedBytes == usage.AllocatedBytes, $"inode {usage.Inode} uses {usage.AllocatedBytes} bytes, recorded are {record.AllocatedBytes}");
        Ensure(record.SizeBytes >= usage.EndOfData, $"inode {usage.Inode} has data up to {usage.EndOfData} behind its end at {record.SizeBytes}");
    }

    private static void Ensure(bool condition, string what)
    {
        if (!condition)
            throw new InvalidOperationException(what);
    }

    private static SimKvStore Formatted(SimPower power, SimClock clock)
    {
        var kv = new SimKvStore(power);
        MetadataStore.Format(kv, Identity, Timestamp.Now(clock));
        return kv;
    }

    private SimMachine Reopen(SimKvStore kv, SimDisk disk)
    {
        Power.Restore();
        return new SimMachine(_random, Power, _clock, kv, disk);
    }
}
