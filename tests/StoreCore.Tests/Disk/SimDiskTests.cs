using Sim;
using StoreCore.Disk;

namespace StoreCore.Tests.Disk;

/// <summary>The crashes and faults that the simulated disk can make.</summary>
public class SimDiskTests
{
    private const int EIO = 5, ENOSPC = 28, Sector = 512;

    [Fact]
    public void A_crash_keeps_what_was_synced_and_any_sectors_of_the_rest()
    {
        bool none = false, all = false, some = false;
        for (int seed = 0; seed < 100; seed++)
        {
            var disk = new SimDisk();
            IDiskFile file = disk.Open("v", create: true);
            file.Write(0, Filled(10 * Sector, 1));
            file.Sync();
            file.Write(100, Filled(8 * Sector, 2));
            SimDisk next = disk.Crash(new Random(seed));
            Assert.Throws<SimPowerCutException>(() => file.Sync());
            Assert.Throws<SimPowerCutException>(() => disk.List());

            byte[] after = Read(next, 10 * Sector);
            Assert.All(after[..100], b => Assert.Equal(1, b));
            Assert.All(after[(100 + 8 * Sector)..], b => Assert.Equal(1, b));
            for (int at = Sector; at < 8 * Sector; at += Sector)
                Assert.Single(after[at..(at + Sector)].Distinct());
            int changed = after.Count(b => b == 2);
            none |= changed == 0;
            all |= changed == 8 * Sector;
            some |= changed is > 0 and < 8 * Sector;
        }

        Assert.True(none && all && some);
    }

    [Fact]
    public void A_sector_written_twice_may_hold_the_first_the_second_or_neither()
    {
        var seen = new HashSet<byte>();
        for (int seed = 0; seed < 200; seed++)
        {
            var disk = new SimDisk();
            IDiskFile file = disk.Open("v", create: true);
            file.Write(0, Filled(Sector, 1));
            file.Sync();
            file.Write(0, Filled(Sector, 2));
            file.Write(0, Filled(Sector, 3));
            seen.Add(Read(disk.Crash(new Random(seed)), Sector)[0]);
        }

        Assert.Equal("1 2 3", string.Join(" ", seen.Order()));
    }

    [Fact]
    public void Holes_and_growth_are_unsynced_changes_too()
    {
        bool hole = false, data = false, shorter = false, longer = false;
        for (int seed = 0; seed < 100; seed++)
        {
            var disk = new SimDisk();
            IDiskFile file = disk.Open("v", create: true);
            file.Write(0, Filled(8192, 1));
            file.Sync();
            file.PunchHole(0, 4096);
            file.EnsureLength(20_000);
            SimDisk next = disk.Crash(new Random(seed));
            byte[] after = Read(next, 8192);
            hole |= after[0] == 0;
            data |= after[0] == 1;
            using IDiskFile again = next.Open("v", create: false);
            shorter |= again.LengthBytes == 8192;
            longer |= again.LengthBytes == 20_000;
        }

        Assert.True(hole && data && shorter && longer);
    }

    [Fact]
    public void Growth_beyond_the_length_that_reached_the_medium_is_gone()
    {
        for (int seed = 0; seed < 50; seed++)
        {
            var disk = new SimDisk();
            disk.Open("v", create: true).Write(0, Filled(10_000, 7));
            SimDisk next = disk.Crash(new Random(seed));
            using IDiskFile file = next.Open("v", create: false);
            Assert.True(file.LengthBytes is 0 or 10_000);
            file.EnsureLength(10_000);
            byte[] bytes = Read(next, 10_000);
            Assert.All(bytes, b => Assert.True(b is 0 or 7));
        }
    }

    [Fact]
    public void After_a_failed_sync_a_later_one_does_not_bring_the_data_back()
    {
        var disk = new SimDisk();
        IDiskFile file = disk.Open("v", create: true);
        file.EnsureLength(4096);
        file.Sync();
        file.Write(0, Filled(4096, 1));
        disk.Fail(SimDiskOperation.Sync);
        Assert.Equal(EIO, Assert.Throws<DiskException>(file.Sync).Errno);
        file.Sync();
        Assert.Equal(1, Read(disk, 4096)[0]);
        Assert.All(Read(disk.Crash(new Random(1)), 4096), b => Assert.Equal(0, b));
    }

    [Fact]
    public void Faults_strike_the_chosen_operation_of_the_chosen_file_once()
    {
        var disk = new SimDisk();
        IDiskFile a = disk.Open("a", create: true), b = disk.Open("b", create: true);
        disk.Fail(SimDiskOperation.Write, ENOSPC, "b", after: 1);
        a.Write(0, [1]);
        b.Write(0, [1]);
        a.Write(0, [1]);
        Assert.Equal(ENOSPC, Assert.Throws<DiskException>(() => b.Write(0, [2])).Errno);
        b.Write(0, [2]);
        disk.Fail(SimDiskOperation.Read);
        Assert.Throws<DiskException>(() => a.Read(0, new byte[1]));
        a.Read(0, new byte[1]);
        disk.FailAtRandom(new Random(1), 1);
        Assert.Throws<DiskException>(() => a.Write(0, [1]));
        disk.FailAtRandom(new Random(1), 0);
        a.Write(0, [1]);
        disk.Fail(SimDiskOperation.PunchHole, 95);
        Assert.Throws<DiskException>(() => a.PunchHole(0, 1));
    }

    [Fact]
    public void A_full_disk_takes_what_fits_and_holes_make_room()
    {
        var disk = new SimDisk(capacityBytes: 3 * 4096);
        IDiskFile file = disk.Open("v", create: true);
        Assert.Equal(new DiskSpace(3 * 4096, 3 * 4096), disk.Space);
        Assert.Equal(ENOSPC, Assert.Throws<DiskException>(() => file.Write(0, new byte[5 * 4096])).Errno);
        Assert.Equal(3 * 4096, file.LengthBytes);
        Assert.Equal(0, disk.Space.AvailableBytes);
        file.Write(100, [1, 2, 3]);
        file.PunchHole(4096, 4096);
        Assert.Equal(4096, disk.Space.AvailableBytes);
        file.Write(9 * 4096, [1]);
        Assert.Equal(0, disk.Space.AvailableBytes);
    }

    [Fact]
    public void Rot_flips_bits_and_stays()
    {
        var disk = new SimDisk();
        IDiskFile file = disk.Open("v", create: true);
        file.Write(0, new byte[8192]);
        file.Sync();
        disk.Rot(new Random(1), "v", 4096, 10);
        byte[] rotten = Read(disk, 8192);
        Assert.Equal(1, rotten.Sum(b => System.Numerics.BitOperations.PopCount(b)));
        Assert.Contains(rotten[4096..4106], b => b != 0);
        Assert.Equal(rotten, Read(disk.Crash(new Random(1)), 8192));
    }

    [Fact]
    public void A_cut_file_ends_where_it_was_cut()
    {
        var disk = new SimDisk();
        IDiskFile file = disk.Open("v", create: true);
        file.Write(0, Filled(8192, 1));
        disk.Cut("v", 5000);
        Assert.Equal(5000, file.LengthBytes);
        Assert.Throws<DiskException>(() => file.Read(4096, new byte[4096]));
        disk.Lose("v");
        Assert.Empty(disk.List());
    }

    [Fact]
    public void One_seed_gives_one_outcome()
    {
        byte[] Outcome()
        {
            var random = new Random(42);
            var disk = new SimDisk();
            IDiskFile file = disk.Open("v", create: true);
            file.EnsureLength(100_000);
            file.Sync();
            for (int i = 0; i < 50; i++)
                file.Write(random.Next(90_000), Filled(random.Next(9000), (byte)i));
            return Read(disk.Crash(random), 100_000);
        }

        Assert.Equal(Outcome(), Outcome());
    }

    private static byte[] Filled(int length, byte value)
    {
        byte[] bytes = new byte[length];
        Array.Fill(bytes, value);
        return bytes;
    }

    private static byte[] Read(SimDisk disk, int length)
    {
        using IDiskFile file = disk.Open("v", create: false);
        byte[] bytes = new byte[length];
        file.Read(0, bytes);
        return bytes;
    }
}
