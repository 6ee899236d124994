using Sim;
using StoreCore.Disk;

namespace StoreCore.Tests.Disk;

/// <summary>What every <see cref="IDisk"/> does; run against the real one and the simulated one.</summary>
public abstract class DiskConformance : IDisposable
{
    private const int ENOENT = 2, EIO = 5;

    protected abstract IDisk Disk { get; }

    public abstract void Dispose();

    [Fact]
    public void A_file_that_does_not_exist_is_refused_unless_created()
    {
        Assert.Equal(ENOENT, Assert.Throws<DiskException>(() => Disk.Open("v", create: false)).Errno);
        Assert.Equal(ENOENT, Assert.Throws<DiskException>(() => Disk.Delete("v")).Errno);
        using (IDiskFile file = Disk.Open("v", create: true))
        {
            Assert.Equal("v", file.Name);
            Assert.Equal(0, file.LengthBytes);
        }

        Assert.Equal(["v"], Disk.List());
        Disk.Open("v", create: false).Dispose();
        Disk.Open("v", create: true).Dispose();
        Disk.Delete("v");
        Assert.Empty(Disk.List());
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("..")]
    [InlineData("a/b")]
    public void A_name_with_a_path_is_refused(string name) => Assert.Throws<ArgumentException>(() => Disk.Open(name, create: true));

    [Fact]
    public void What_was_written_is_read_and_gaps_are_zero()
    {
        using IDiskFile file = Disk.Open("v", create: true);
        file.Write(10_000, [1, 2, 3]);
        Assert.Equal(10_003, file.LengthBytes);
        file.Write(4095, [7, 8]);
        byte[] read = new byte[10_003];
        file.Read(0, read);
        Assert.Equal(7, read[4095]);
        Assert.Equal(8, read[4096]);
        Assert.Equal([1, 2, 3], read[10_000..]);
        Assert.Equal(7 + 8 + 1 + 2 + 3, read.Sum(b => b));
        file.Sync();
        file.Write(0, default);
        file.Read(10_003, default);
        Assert.Equal(10_003, file.LengthBytes);
    }

    [Fact]
    public void Reading_past_the_end_is_an_error()
    {
        using IDiskFile file = Disk.Open("v", create: true);
        file.Write(0, [1, 2, 3]);
        DiskException failure = Assert.Throws<DiskException>(() => file.Read(1, new byte[3]));
        Assert.Equal(EIO, failure.Errno);
        Assert.Contains("v", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_hole_reads_as_zeros_and_leaves_the_length()
    {
        using IDiskFile file = Disk.Open("v", create: true);
        byte[] data = new byte[40_000];
        Array.Fill(data, (byte)5);
        file.Write(0, data);
        file.PunchHole(5000, 20_000);
        file.PunchHole(39_000, 50_000);
        file.PunchHole(100_000, 10);
        file.PunchHole(0, 0);
        data.AsSpan(5000, 20_000).Clear();
        data.AsSpan(39_000).Clear();
        byte[] read = new byte[data.Length];
        file.Read(0, read);
        Assert.Equal(data, read);
        Assert.Equal(data.Length, file.LengthBytes);
    }

    [Fact]
    public void Ensuring_a_length_only_grows()
    {
        using IDiskFile file = Disk.Open("v", create: true);
        file.Write(0, [1, 2, 3]);
        file.EnsureLength(1 << 20);
        Assert.Equal(1 << 20, file.LengthBytes);
        file.EnsureLength(100);
        file.EnsureLength(0);
        Assert.Equal(1 << 20, file.LengthBytes);
        byte[] read = new byte[1 << 20];
        file.Read(0, read);
        Assert.Equal([1, 2, 3], read[..3]);
        Assert.Equal(6, read.Sum(b => b));
    }

    [Fact]
    public void Space_is_told()
    {
        DiskSpace space = Disk.Space;
        Assert.True(space.TotalBytes > 0);
        Assert.InRange(space.AvailableBytes, 1, space.TotalBytes);
    }

    [Fact]
    public void A_closed_file_refuses_and_a_deleted_one_lives_while_open()
    {
        IDiskFile file = Disk.Open("v", create: true);
        file.Write(0, [1]);
        Disk.Delete("v");
        byte[] read = new byte[1];
        file.Read(0, read);
        Assert.Equal([1], read);
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.Read(0, read));
        Assert.Throws<ObjectDisposedException>(() => file.Sync());
        Disk.Dispose();
        Assert.Throws<ObjectDisposedException>(() => Disk.Open("v", create: true));
    }

    [Fact]
    public void Random_changes_agree_with_an_array()
    {
        const int Size = 100_000;
        var random = new Random(7);
        byte[] model = new byte[Size], read = new byte[Size];
        using IDiskFile file = Disk.Open("v", create: true);
        file.EnsureLength(Size);
        for (int round = 0; round < 300; round++)
        {
            int offset = random.Next(Size), length = random.Next(Math.Min(12_000, Size - offset) + 1);
            if (random.Next(3) == 0)
            {
                file.PunchHole(offset, length);
                model.AsSpan(offset, length).Clear();
            }
            else
            {
                random.NextBytes(model.AsSpan(offset, length));
                file.Write(offset, model.AsSpan(offset, length));
            }

            if (random.Next(20) == 0)
                file.Sync();
            offset = random.Next(Size);
            length = random.Next(Size - offset + 1);
            file.Read(offset, read.AsSpan(0, length));
            Assert.True(model.AsSpan(offset, length).SequenceEqual(read.AsSpan(0, length)), $"round {round}");
        }
    }
}

public sealed class SimDiskConformance : DiskConformance
{
    protected override IDisk Disk { get; } = new SimDisk();

    public override void Dispose() => Disk.Dispose();
}

public sealed class PosixDiskConformance : DiskConformance
{
    private readonly TestDirectory _directory = new();

    public PosixDiskConformance() => Disk = new PosixDisk(_directory["disk"]);

    protected override IDisk Disk { get; }

    public override void Dispose()
    {
        Disk.Dispose();
        _directory.Dispose();
    }
}
