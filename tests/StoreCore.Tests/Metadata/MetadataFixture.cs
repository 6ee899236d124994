using System.Text;
using Sim;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace StoreCore.Tests.Metadata;

/// <summary>A metadata store over the simulated key-value store and clock, with short words for what tests say often.</summary>
internal sealed class MetadataFixture
{
    public const uint PlainMode = 0x81A4, FolderMode = 0x41ED, SymlinkMode = 0xA1FF;

    /// <summary>A user without privileges, whom the store itself checks.</summary>
    public static readonly Caller User = new(1000, 100, [200]);

    /// <summary>As a FUSE mount asks for root.</summary>
    public static readonly Caller Root = new(0, 0, trusted: true);

    public static readonly Guid Id = new("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");

    public MetadataFixture(SimKvStore? kv = null, long cacheBytes = 1 << 20)
    {
        Kv = kv ?? new SimKvStore();
        if (!MetadataStore.IsFormatted(Kv))
            MetadataStore.Format(Kv, Id, Timestamp.Now(Clock));
        Options = new MetadataOptions { CacheBytes = cacheBytes, Clock = Clock };
        Store = MetadataStore.Open(Kv, Options);
    }

    public SimClock Clock { get; } = new();

    public MetadataOptions Options { get; }

    public SimKvStore Kv { get; private set; }

    public MetadataStore Store { get; private set; }

    /// <summary>Goes on with what is left after a crash.</summary>
    public void Reopen(SimKvStore kv)
    {
        Kv = kv;
        Store = MetadataStore.Open(Kv, Options);
    }

    public static byte[] Name(string name) => Encoding.UTF8.GetBytes(name);

    public Timestamp Tick()
    {
        Clock.Advance(TimeSpan.FromMilliseconds(1));
        return Timestamp.Now(Clock);
    }

    public InodeRecord Make(string name, uint mode = PlainMode, InodeId? parent = null, Caller? caller = null, string target = "")
    {
        FsStatus status = TryMake(name, out InodeRecord created, mode, parent, caller, target);
        Assert.Equal(FsStatus.Ok, status);
        return created;
    }

    public FsStatus TryMake(
        string name, out InodeRecord created, uint mode = PlainMode, InodeId? parent = null, Caller? caller = null, string target = "", uint umask = 0)
    {
        var spec = new NewInode { Mode = mode, Umask = umask, Target = Name(target) };
        return Store.Create(caller ?? Root, parent ?? InodeId.Root, Name(name), spec, out created);
    }

    public InodeRecord Get(InodeId inode)
    {
        Assert.Equal(FsStatus.Ok, Store.GetInode(inode, out InodeRecord record));
        return record;
    }

    public InodeRecord Find(string name, InodeId? parent = null)
    {
        Assert.Equal(FsStatus.Ok, Store.Lookup(Root, parent ?? InodeId.Root, Name(name), out InodeRecord record));
        return record;
    }

    public bool Exists(string name, InodeId? parent = null) =>
        Store.Lookup(Root, parent ?? InodeId.Root, Name(name), out _) switch
        {
            FsStatus.Ok => true,
            FsStatus.NotFound => false,
            FsStatus other => throw new InvalidOperationException(other.ToString()),
        };

    public FsStatus Rename(string name, string newName, RenameFlags flags = RenameFlags.None, InodeId? parent = null, InodeId? newParent = null, Caller? caller = null) =>
        Store.Rename(caller ?? Root, parent ?? InodeId.Root, Name(name), newParent ?? InodeId.Root, Name(newName), flags, out _, out _);

    public FsStatus Unlink(string name, InodeId? parent = null, Caller? caller = null) =>
        Store.Unlink(caller ?? Root, parent ?? InodeId.Root, Name(name), out _);

    public FsStatus RemoveDirectory(string name, InodeId? parent = null, Caller? caller = null) =>
        Store.RemoveDirectory(caller ?? Root, parent ?? InodeId.Root, Name(name), out _);

    public FsStatus SetMode(InodeId inode, uint mode, Caller? caller = null) =>
        Store.SetAttributes(caller ?? Root, inode, new AttributeChange { Mask = AttributeMask.Mode, Mode = mode }, out _);

    public FsStatus SetSize(InodeId inode, ulong size, Caller? caller = null) =>
        Store.SetAttributes(caller ?? Root, inode, new AttributeChange { Mask = AttributeMask.Size, SizeBytes = size }, out _);

    public List<string> List(InodeId directory, int entriesPerCall = int.MaxValue)
    {
        var names = new List<string>();
        var sink = new ListSink(entriesPerCall);
        do
        {
            sink.Entries.Clear();
            Assert.Equal(FsStatus.Ok, Store.ReadDirectory(directory, sink.Cookie, true, sink));
            names.AddRange(sink.Entries.Select(entry => entry.Name));
        }
        while (sink.Entries.Count > 0);

        return names;
    }

    public (InodeId Inode, ulong Value)[] Pending(PendingKind kind)
    {
        var all = new (InodeId, ulong)[256];
        return all[..Store.ListPending(kind, InodeId.None, all)];
    }

    /// <summary>Every row of the given tables, for comparing stores.</summary>
    public static List<string> Dump(IKvStore kv, bool withLog)
    {
        var rows = new List<string>();
        foreach (KvTable table in Enum.GetValues<KvTable>())
        {
            if (table == KvTable.OpLog && !withLog)
                continue;
            using IKvIterator at = kv.Iterate(table, default, default);
            while (at.Next())
                rows.Add($"{table} {Convert.ToHexString(at.Key)} {Convert.ToHexString(at.Value)}");
        }

        return rows;
    }
}

/// <summary>Keeps what a listing adds, up to a number of entries.</summary>
internal sealed class ListSink(int limit = int.MaxValue, ulong cookie = 0) : IDirectorySink
{
    public List<(string Name, InodeId Inode, InodeKind Kind, InodeRecord Attributes, ulong Cookie)> Entries { get; } = [];

    /// <summary>Where the listing goes on.</summary>
    public ulong Cookie { get; private set; } = cookie;

    public bool Add(ulong next, InodeId inode, InodeKind kind, ReadOnlySpan<byte> name, in InodeRecord attributes)
    {
        if (Entries.Count == limit)
            return false;
        Cookie = next;
        Entries.Add((Encoding.UTF8.GetString(name), inode, kind, attributes, next));
        return true;
    }
}
