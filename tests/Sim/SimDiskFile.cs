using StoreCore.Disk;

namespace Sim;

/// <summary>An open handle of a <see cref="SimFile"/>; like a descriptor it keeps a deleted file alive.</summary>
internal sealed class SimDiskFile(SimDisk disk, SimFile file, string name) : IDiskFile
{
    private bool _closed;

    public string Name => name;

    public long LengthBytes
    {
        get
        {
            lock (disk.Lock)
            {
                ThrowIfUnusable();
                return file.LengthBytes;
            }
        }
    }

    public void Read(long offset, Span<byte> destination)
    {
        lock (disk.Lock)
        {
            ThrowIfUnusable();
            ThrowIfStruck(SimDiskOperation.Read, "read");
            if (offset < 0 || offset + destination.Length > file.LengthBytes)
                throw new DiskException("read", name, SimDisk.EIO, $"the file ends before byte {offset + destination.Length}");
            file.Read(offset, destination);
            disk.Reads++;
        }
    }

    public void Write(long offset, ReadOnlySpan<byte> source)
    {
        lock (disk.Lock)
        {
            ThrowIfUnusable();
            ArgumentOutOfRangeException.ThrowIfNegative(offset);
            disk.Power.Step();
            ThrowIfStruck(SimDiskOperation.Write, "write");

            // Like the kernel: what fits is written, then the rest is refused.
            int fits = file.Fitting(offset, source.Length, Math.Max(0, disk.CapacityBytes - disk.UsedBytes));
            file.Write(offset, source[..fits]);
            if (fits < source.Length)
                throw new DiskException("write", name, SimDisk.ENOSPC, "No space left on device");
            disk.Writes++;
        }
    }

    public void StartWriteback(long offset, long lengthBytes)
    {
        // Any unsynced write may have reached the simulated disk when its power goes, whether begun early or not.
    }

    public void Sync()
    {
        lock (disk.Lock)
        {
            ThrowIfUnusable();
            disk.Power.Step();
            int errno = disk.Strike(SimDiskOperation.Sync, name);
            if (errno != 0)
            {
                file.DropUnsynced();
                throw new DiskException("fdatasync", name, errno, "simulated");
            }

            file.Sync();
            disk.Syncs++;
        }
    }

    public void PunchHole(long offset, long lengthBytes)
    {
        lock (disk.Lock)
        {
            ThrowIfUnusable();
            ArgumentOutOfRangeException.ThrowIfNegative(offset);
            ArgumentOutOfRangeException.ThrowIfNegative(lengthBytes);
            disk.Power.Step();
            ThrowIfStruck(SimDiskOperation.PunchHole, "punch hole");
            file.Punch(offset, Math.Min(lengthBytes, file.LengthBytes - offset));
        }
    }

    public void EnsureLength(long lengthBytes)
    {
        lock (disk.Lock)
        {
            ThrowIfUnusable();
            disk.Power.Step();
            file.EnsureLength(lengthBytes);
        }
    }

    public void Dispose()
    {
        lock (disk.Lock)
            _closed = true;
    }

    private void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        disk.ThrowIfUnusable();
    }

    private void ThrowIfStruck(SimDiskOperation operation, string word)
    {
        int errno = disk.Strike(operation, name);
        if (errno != 0)
            throw new DiskException(word, name, errno, "simulated");
    }
}
