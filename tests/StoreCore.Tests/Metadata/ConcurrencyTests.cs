using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

public class ConcurrencyTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1 << 20)]
    public void Many_threads_leave_a_consistent_store(long cacheBytes)
    {
        using var directory = new TestDirectory();
        using RocksDbStore kv = RocksDbStore.Open(directory["kv"], new RocksDbOptions());
        MetadataStore.Format(kv, Id, default);
        MetadataStore store = MetadataStore.Open(kv, new MetadataOptions { CacheBytes = cacheBytes });
        var folders = new InodeId[4];
        for (int i = 0; i < folders.Length; i++)
        {
            store.Create(Root, InodeId.Root, Name($"d{i}"), new NewInode { Mode = FolderMode }, out InodeRecord folder);
            folders[i] = folder.Inode;
        }

        var threads = new Thread[4];
        Exception? failure = null;
        for (int i = 0; i < threads.Length; i++)
        {
            int seed = i;
            threads[i] = new Thread(() =>
            {
                try
                {
                    Churn(store, folders, new Random(seed), 3000);
                }
                catch (Exception e)
                {
                    Interlocked.CompareExchange(ref failure, e, null);
                }
            });
            threads[i].Start();
        }

        foreach (Thread thread in threads)
            thread.Join();
        Assert.Null(failure);
        Assert.Null(store.Failure);
        Assert.Empty(CheckTests.Check(kv));

        // The cache says what the store says.
        using IKvSnapshot snapshot = kv.Snapshot();
        foreach (InodeRecord inode in new SnapshotReader(kv, snapshot).Inodes(InodeId.None))
        {
            Assert.Equal(FsStatus.Ok, store.GetInode(inode.Inode, out InodeRecord cached));
            Assert.Equal(inode, cached);
        }
    }

    [Fact]
    public void A_reader_never_sees_time_go_back()
    {
        // One thread changes the size of a file up and up; readers, who race with the cache being filled and changed, must see it only grow.
        using var directory = new TestDirectory();
        using RocksDbStore kv = RocksDbStore.Open(directory["kv"], new RocksDbOptions());
        MetadataStore.Format(kv, Id, default);
        MetadataStore store = MetadataStore.Open(kv, new MetadataOptions { CacheBytes = 0 });
        store.Create(Root, InodeId.Root, Name("f"), new NewInode { Mode = PlainMode }, out InodeRecord file);
        var others = new InodeId[3000];
        for (int i = 0; i < others.Length; i++)
        {
            store.Create(Root, InodeId.Root, Name($"o{i}"), new NewInode { Mode = PlainMode }, out InodeRecord other);
            others[i] = other.Inode;
        }

        bool isDone = false;
        ulong wrong = 0;
        var readers = new Thread[2];
        for (int i = 0; i < readers.Length; i++)
        {
            var random = new Random(i);
            readers[i] = new Thread(() =>
            {
                ulong seen = 0;
                while (!Volatile.Read(ref isDone))
                {
                    store.GetInode(file.Inode, out InodeRecord record);
                    if (record.SizeBytes < seen)
                        Interlocked.Increment(ref wrong);
                    seen = record.SizeBytes;
                    store.GetInode(others[random.Next(others.Length)], out _); // pushes the file out of the small cache now and then
                }
            });
            readers[i].Start();
        }

        for (ulong size = 1; size <= 5000; size++)
            store.SetAttributes(Root, file.Inode, new AttributeChange { Mask = AttributeMask.Size, SizeBytes = size }, out _);
        Volatile.Write(ref isDone, true);
        foreach (Thread reader in readers)
            reader.Join();
        Assert.Equal(0ul, wrong);
    }

    private static void Churn(MetadataStore store, InodeId[] folders, Random random, int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            InodeId folder = folders[random.Next(folders.Length)], other = folders[random.Next(folders.Length)];
            byte[] name = Name($"n{random.Next(8)}"), newName = Name($"n{random.Next(8)}");
            switch (random.Next(8))
            {
                case < 3:
                    uint mode = random.Next(3) == 0 ? FolderMode : PlainMode;
                    store.Create(Root, folder, name, new NewInode { Mode = mode }, out _);
                    break;
                case 3:
                    if (store.Unlink(Root, folder, name, out InodeRecord removed) == FsStatus.Ok && removed.Links == 0)
                        store.Reap([removed.Inode]);
                    break;
                case 4:
                    if (store.RemoveDirectory(Root, folder, name, out removed) == FsStatus.Ok)
                        store.Reap([removed.Inode]);
                    break;
                case 5:
                    var flags = (RenameFlags)random.Next(3);
                    FsStatus status = store.Rename(Root, folder, name, other, newName, flags, out _, out InodeRecord displaced);
                    if (status == FsStatus.Ok && displaced.Inode != InodeId.None && displaced.Links == 0)
                        store.Reap([displaced.Inode]);
                    break;
                case 6:
                    if (store.Lookup(Root, folder, name, out InodeRecord found) == FsStatus.Ok)
                        store.Link(Root, found.Inode, other, newName, out _);
                    break;
                default:
                    Assert.Equal(FsStatus.Ok, store.ReadDirectory(folder, 0, true, new ListSink()));
                    break;
            }
        }
    }
}
