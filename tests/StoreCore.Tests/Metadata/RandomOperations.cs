using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

/// <summary>
/// Random operations on a metadata store, each done to a <see cref="ModelTree"/> too, whose answer must be the same. Deterministic by its random numbers.
/// </summary>
internal sealed class RandomOperations(MetadataFixture fs, Random random, ModelTree? model = null)
{
    /// <summary>Above this nothing is made: small trees collide more, and are compared faster.</summary>
    private const int MostInodes = 40;

    private static readonly string[] Names = ["a", "b", "c", "d", "e", "f"];

    public ModelTree Model { get; } = model ?? new ModelTree(fs.Get(InodeId.Root));

    /// <summary>Does one operation; returns what it was, for the message of a failure.</summary>
    public string Step()
    {
        fs.Clock.Advance(TimeSpan.FromMilliseconds(random.Next(1, 5)));
        var now = Timestamp.Now(fs.Clock);
        InodeId directory = AnyDirectory(), other = AnyDirectory(), inode = AnyInode();
        string name = AnyName(), newName = AnyName();
        int choice = random.Next(20);
        if (Model.Inodes.Count > MostInodes && choice < 7)
            choice = 7 + choice % 3;
        switch (choice)
        {
            case < 5:
                return Create(directory, name, now);
            case 5:
                {
                    FsStatus status = fs.Store.CreateUnlinked(Root, directory, new NewInode { Mode = PlainMode }, out InodeRecord created);
                    Same($"nameless in {directory}", Model.CreateUnlinked(directory, PlainMode, created.Inode, created.Generation, now), status);
                    return "nameless";
                }

            case 6:
                return Same($"link {inode} {other}/{name}", Model.Link(inode, other, name, now), fs.Store.Link(Root, inode, other, Name(name), out _));
            case 7 or 8:
                return Same($"unlink {directory}/{name}", Model.Remove(directory, name, false, now), fs.Unlink(name, directory));
            case 9:
                return Same($"rmdir {directory}/{name}", Model.Remove(directory, name, true, now), fs.RemoveDirectory(name, directory));
            case < 13:
                {
                    var flags = (RenameFlags)(random.Next(4) == 0 ? random.Next(3) : 0);
                    return Same(
                        $"rename {directory}/{name} {other}/{newName} {flags}", Model.Rename(directory, name, other, newName, flags, now),
                        fs.Rename(name, newName, flags, directory, other));
                }

            case 13:
                {
                    uint mode = (uint)random.Next(0x1000);
                    return Same($"chmod {inode}", Model.SetMode(inode, mode, now), fs.SetMode(inode, mode));
                }

            case 14:
                {
                    ulong size = (ulong)random.Next(10000);
                    return Same($"truncate {inode} {size}", Model.SetSize(inode, size, now), fs.SetSize(inode, size));
                }

            case 15:
                return Same($"truncated {inode}", Model.TruncateDone(inode, 4096), fs.Store.TruncateDone(inode, 4096));
            case 16:
                {
                    byte[] value = [.. Enumerable.Repeat((byte)7, random.Next(20))];
                    return Same(
                        $"setxattr {inode} {name}", Model.SetXattr(inode, "user." + name, value, now),
                        fs.Store.SetXattr(Root, inode, Name("user." + name), value, XattrSetFlags.None, out _));
                }

            case 17:
                return Same(
                    $"removexattr {inode} {name}", Model.RemoveXattr(inode, "user." + name, now),
                    fs.Store.RemoveXattr(Root, inode, Name("user." + name), out _));
            case 18:
                {
                    bool isFinal = random.Next(2) == 0;
                    Same($"extend {inode}", Model.BeginExtending(inode), fs.Store.BeginExtending(inode));
                    var update = new SizeUpdate { Inode = inode, SizeBytes = (ulong)random.Next(9999), Accessed = now, Modified = now, Changed = now, Final = isFinal };
                    return Same($"record {inode}", Model.RecordSize(update), fs.Store.RecordSizes([update]));
                }

            default:
                {
                    InodeId[] dead = [inode, .. Model.Inodes.Keys.Where(_ => random.Next(3) == 0)];
                    Same("reap", Model.Reap(dead), fs.Store.Reap(dead));
                    return Same("purged", Model.PurgeDone(dead), fs.Store.PurgeDone(dead));
                }
        }
    }

    private string Create(InodeId directory, string name, Timestamp now)
    {
        uint mode = random.Next(4) switch { 0 or 1 => PlainMode, 2 => FolderMode | (uint)(random.Next(2) << 10), _ => SymlinkMode };
        string target = mode == SymlinkMode ? newTarget() : "";
        FsStatus status = fs.TryMake(name, out InodeRecord created, mode, directory, target: target);
        return Same($"create {directory}/{name} {mode:x}", Model.Create(directory, name, mode, target, created.Inode, created.Generation, now), status);

        string newTarget() => new('t', random.Next(1, 40));
    }

    private static string Same(string what, FsStatus expected, FsStatus actual)
    {
        if (expected != actual)
            Assert.Fail($"{what}: the store says {actual}, the model {expected}");
        return what;
    }

    private string AnyName() => Names[random.Next(Names.Length)];

    private InodeId AnyInode()
    {
        InodeId[] all = [.. Model.Inodes.Keys];
        return random.Next(50) == 0 ? new InodeId(5) : all[random.Next(all.Length)];
    }

    private InodeId AnyDirectory()
    {
        InodeId[] directories = [.. Model.Inodes.Where(pair => pair.Value.Record.IsDirectory).Select(pair => pair.Key)];
        return random.Next(50) == 0 ? AnyInode() : directories[random.Next(directories.Length)];
    }
}
