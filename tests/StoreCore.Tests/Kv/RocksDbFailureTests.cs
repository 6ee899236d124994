using System.Runtime.InteropServices;
using StoreCore.Kv;

namespace StoreCore.Tests.Kv;

/// <summary>What the real store does when its log cannot be written or flushed: it stops, keeps what was stable, and says why.</summary>
public sealed partial class RocksDbFailureTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly RocksDbStore _store;
    private readonly KvBatch _batch = new();

    public RocksDbFailureTests() => _store = RocksDbStore.Open(_directory["kv"], new RocksDbOptions { MemoryBudgetBytes = 16 << 20 });

    public void Dispose()
    {
        _store.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void A_write_that_fails_stops_the_store_for_good()
    {
        Put(1);
        _store.Sync();
        ReplaceLogBy("/dev/full");
        string message = Assert.Throws<KvFailedException>(() => Put(2)).Message;
        Assert.Contains("No space left", message, StringComparison.Ordinal);
        AssertStopped(message);
        AssertHasOnlyFirstAfterReopening();
    }

    [Fact]
    public void A_flush_that_fails_stops_the_store_for_good()
    {
        Put(1);
        _store.Sync();
        Put(2);
        ReplaceLogBy("/dev/full"); // cannot be flushed: EINVAL
        string message = Assert.Throws<KvFailedException>(_store.Sync).Message;
        AssertStopped(message);
    }

    [Fact]
    public void All_who_wait_for_a_flush_hear_that_it_failed()
    {
        const int Threads = 4;
        Put(1);
        _store.Sync();
        for (byte i = 2; i < 2 + Threads; i++)
            Put(i);
        ReplaceLogBy("/dev/full");
        int failures = 0;
        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(_ => new Thread(() =>
        {
            try
            {
                _store.Sync();
            }
            catch (KvFailedException)
            {
                Interlocked.Increment(ref failures);
            }
        }))];
        foreach (Thread thread in threads)
            thread.Start();
        foreach (Thread thread in threads)
            thread.Join();
        Assert.Equal(Threads, failures);
    }

    [Fact]
    public void A_flush_with_nothing_to_flush_touches_no_disk()
    {
        Put(1);
        _store.Sync();
        ReplaceLogBy("/dev/full");
        _store.Sync();
    }

    [Fact]
    public void Reads_and_repeated_writes_allocate_nothing_on_the_managed_heap()
    {
        byte[] value = new byte[100];
        for (int i = 0; i < 50; i++)
            Round();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 50; i++)
            Round();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        void Round()
        {
            Put(1);
            if (_store.Get(KvTable.Inodes, [1], value) != 1 || _store.Get(KvTable.Inodes, [9], value) != -1)
                throw new InvalidOperationException("wrong value");
        }
    }

    private void Put(byte key)
    {
        _batch.Clear();
        _batch.Put(KvTable.Inodes, [key], [key]);
        _store.Write(_batch);
    }

    private void AssertStopped(string reason)
    {
        Assert.Contains(reason, Assert.Throws<KvFailedException>(() => Put(3)).Message, StringComparison.Ordinal);
        Assert.Contains(reason, Assert.Throws<KvFailedException>(_store.Sync).Message, StringComparison.Ordinal);
        Assert.Throws<KvFailedException>(() => _store.Checkpoint(_directory["copy"]));
        Assert.Equal(1, _store.Get(KvTable.Inodes, [1], new byte[1]));
    }

    private void AssertHasOnlyFirstAfterReopening()
    {
        _store.Dispose();
        using RocksDbStore again = RocksDbStore.Open(_directory["kv"], new RocksDbOptions { MemoryBudgetBytes = 16 << 20 });
        Assert.Equal(["01=01"], KvStoreConformance.List(again, KvTable.Inodes));
    }

    /// <summary>Puts another file under every descriptor that this process has of the store's log.</summary>
    private void ReplaceLogBy(string path)
    {
        int other = Open(path, 2); // O_RDWR
        Assert.True(other >= 0);
        int replaced = 0;
        foreach (string link in Directory.GetFiles("/proc/self/fd"))
        {
            string? target = new FileInfo(link).LinkTarget;
            if (target is null || !target.StartsWith(_directory["kv"], StringComparison.Ordinal) || !target.EndsWith(".log", StringComparison.Ordinal))
                continue;

            Assert.True(Duplicate(other, int.Parse(Path.GetFileName(link), System.Globalization.CultureInfo.InvariantCulture)) >= 0);
            replaced++;
        }

        Assert.Equal(0, Close(other));
        Assert.True(replaced > 0, "the log is not open");
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Duplicate(int from, int to);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
