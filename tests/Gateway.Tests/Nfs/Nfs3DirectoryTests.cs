using System.Text;
using Gateway.Nfs;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Nfs;

/// <summary>READDIR and READDIRPLUS: sizes, cookies, and listings while the directory changes.</summary>
public sealed class Nfs3DirectoryTests : IDisposable
{
    private sealed record Entry(ulong FileId, string Name, ulong Cookie, Fattr? Attributes, byte[]? Handle);

    private readonly NfsExchange _nfs = new();

    public void Dispose() => _nfs.Dispose();

    [Fact]
    public void Readdir_lists_the_dots_and_all_names()
    {
        InodeRecord a = _nfs.Fixture!.Make("a"), b = _nfs.Fixture.Make("bcdef", 0x41ED);
        (List<Entry> entries, bool eof, _) = ReadDir(0, 4096);
        Assert.True(eof);
        Assert.Equal([(1ul, "."), (1ul, ".."), (a.Inode.Value, "a"), (b.Inode.Value, "bcdef")], entries.Select(static e => (e.FileId, e.Name)));
    }

    [Fact]
    public void Readdirplus_gives_attributes_and_handles_that_work()
    {
        InodeRecord file = _nfs.Fixture!.Make("a");
        _nfs.Vfs.Write(Caller.System, file.Inode, 0, new byte[77], default, out _);
        (List<Entry> entries, bool eof, _) = ReadDirPlus(0, 4096, 4096);
        Assert.True(eof);
        Assert.Equal(3, entries.Count);
        Assert.Equal(1ul, entries[0].Attributes!.FileId);
        Assert.Equal((null, null), (entries[1].Attributes, entries[1].Handle));
        Assert.Equal(77ul, entries[2].Attributes!.Size);
        Assert.Equal(entries[2].Attributes, _nfs.Nfs(Nfs3Procedure.GetAttr, new Xdr().Opaque(entries[2].Handle)).Fattr());
    }

    /// <summary>Whatever the counts, a reply keeps within them, and the listing is whole, without gaps or repetitions.</summary>
    [Fact]
    public void Every_size_is_kept_and_every_listing_whole()
    {
        List<string> names = [".", ".."];
        for (int i = 0; i < 60; i++)
        {
            names.Add(new string((char)('a' + (i % 26)), 1 + (i * 7 % 40)) + i);
            _nfs.Fixture!.Make(names[^1]);
        }

        for (uint count = 0; count < 1200; count += 13)
        {
            Check(count, cookie => ReadDir(cookie, count), Longest(plus: false));
            Check(count, cookie => ReadDirPlus(cookie, uint.MaxValue, count), Longest(plus: true));
        }

        for (uint count = 80; count < 600; count += 13)
            Check(2000, cookie => ReadDirPlus(cookie, count, 2000), 0);

        // frame: attributes 88, verifier 8, end and eof 8
        int Longest(bool plus) => 104 + names.Max(n => 4 + 8 + 4 + ((Encoding.UTF8.GetByteCount(n) + 3) & ~3) + 8 + (plus && n != ".." ? 88 + 56 : 0));

        void Check(uint count, Func<ulong, (List<Entry>, bool, int)> list, int always)
        {
            List<string> seen = [];
            ulong cookie = 0;
            bool eof = false;
            while (!eof)
            {
                (List<Entry> entries, eof, int bytes) = list(cookie);
                if (entries.Count == 0 && !eof)
                {
                    Assert.True(count < always);
                    return;
                }

                Assert.InRange(bytes, 0, (int)count);
                seen.AddRange(entries.Select(static e => e.Name));
                cookie = entries.Count > 0 ? entries[^1].Cookie : cookie;
            }

            Assert.Equal(names, seen);
        }
    }

    [Fact]
    public void Names_that_stay_come_exactly_once_while_others_come_and_go()
    {
        var random = new Random(1);
        for (int i = 0; i < 300; i++)
            _nfs.Fixture!.Make($"stay{i}");
        var seen = new Dictionary<string, int>();
        ulong cookie = 0;
        bool eof = false;
        for (int step = 0; !eof; step++)
        {
            (List<Entry> entries, eof, _) = ReadDirPlus(cookie, 400, 2000);
            foreach (Entry entry in entries)
                seen[entry.Name] = seen.GetValueOrDefault(entry.Name) + 1;
            cookie = entries.Count > 0 ? entries[^1].Cookie : cookie;
            if (step < 50)
                _nfs.Fixture!.Make($"new{step}");
            if (step > 0 && random.Next(2) == 0)
                _nfs.Vfs.Unlink(Caller.System, InodeId.Root, Encoding.ASCII.GetBytes($"new{step - 1}"));
        }

        for (int i = 0; i < 300; i++)
            Assert.Equal(1, seen[$"stay{i}"]);
        Assert.All(seen.Values, static count => Assert.Equal(1, count));
    }

    [Fact]
    public void Listings_refuse_what_is_wrong()
    {
        byte[] file = _nfs.Handle(_nfs.Fixture!.Make("f")), closed = _nfs.Handle(_nfs.Fixture.Make("d", 0x41C0));
        Xdr List(byte[] handle, ulong cookie, ulong verifier) => new Xdr().Opaque(handle).U64(cookie).U64(verifier).U32(4096);
        Assert.NotNull(_nfs.Nfs(Nfs3Procedure.ReadDir, List(file, 0, 0), Nfs3Status.NotDirectory).PostOp());
        Assert.NotNull(_nfs.Nfs(Nfs3Procedure.ReadDir, List(_nfs.Root, 2, 1), Nfs3Status.BadCookie).PostOp());
        _nfs.Nfs(Nfs3Procedure.ReadDir, List(_nfs.Root, 0, 1));
        _nfs.Nfs(Nfs3Procedure.ReadDirPlus, List(_nfs.Root, 2, 1).U32(4096), Nfs3Status.BadCookie);
        _nfs.Nfs(Nfs3Procedure.ReadDir, List(_nfs.Root, ulong.MaxValue, 0));
        _nfs.Uid = 1000;
        _nfs.Nfs(Nfs3Procedure.ReadDir, List(closed, 0, 0), Nfs3Status.Access);
    }

    [Fact]
    public void A_huge_count_gives_a_bounded_reply()
    {
        for (int i = 0; i < 3000; i++)
            _nfs.Fixture!.Make($"{i:D200}");
        (List<Entry> entries, bool eof, int bytes) = ReadDirPlus(0, uint.MaxValue, uint.MaxValue);
        Assert.False(eof);
        Assert.InRange(bytes, 100_000, 256 * 1024);
        Assert.InRange(entries.Count, 300, 3000);
    }

    private (List<Entry> Entries, bool Eof, int Bytes) ReadDir(ulong cookie, uint count) =>
        Parse(Nfs3Procedure.ReadDir, new Xdr().Opaque(_nfs.Root).U64(cookie).U64(0).U32(count));

    private (List<Entry> Entries, bool Eof, int Bytes) ReadDirPlus(ulong cookie, uint dirCount, uint maxCount) =>
        Parse(Nfs3Procedure.ReadDirPlus, new Xdr().Opaque(_nfs.Root).U64(cookie).U64(0).U32(dirCount).U32(maxCount));

    /// <summary>The entries, the end, and the size of the resok structure. TOOSMALL gives no entry and no end.</summary>
    private (List<Entry> Entries, bool Eof, int Bytes) Parse(Nfs3Procedure procedure, Xdr arguments)
    {
        bool plus = procedure == Nfs3Procedure.ReadDirPlus;
        XdrView view = _nfs.Success(_nfs.Message(100003, 3, (uint)procedure, arguments.Bytes));
        var status = (Nfs3Status)view.U32();
        if (status == Nfs3Status.TooSmall)
            return ([], false, 0);
        Assert.Equal(Nfs3Status.Ok, status);
        int bytes = view.Remaining;
        Assert.NotNull(view.PostOp());
        Assert.Equal(0ul, view.U64());
        List<Entry> entries = [];
        while (view.Bool())
        {
            (ulong id, string name, ulong cookie) = (view.U64(), view.Text(), view.U64());
            Fattr? attributes = plus ? view.PostOp() : null;
            byte[]? handle = plus && view.Bool() ? view.Opaque() : null;
            entries.Add(new Entry(id, name, cookie, attributes, handle));
        }

        bool eof = view.Bool();
        view.End();
        return (entries, eof, bytes);
    }
}
