using System.Text;
using Gateway.Nfs;
using StoreCore.Rpc;

namespace Bench.Load;

/// <summary>
/// One process of a client at work: a file of its own in its connection's directory, one call after the other, each answer compared with what must be there.
/// Bytes in, bytes out. One thread.
/// </summary>
/// <param name="directory">The connection's directory.</param>
/// <param name="number">Which of its files is the job's.</param>
internal sealed class LoadJob(LoadTree.Directory directory, int number, LoadFile contents, int seed)
{
    private const int WritesPerCommit = 8;

    private readonly Random _random = new(seed);
    private readonly byte[] _space = new byte[1 << 20];
    private readonly byte[] _temporary = Encoding.ASCII.GetBytes($"temporary-{number}");
    private readonly LoadTree.Entry _file = directory.Files[number];
    private bool _created;
    private int _uncommitted;
    private int _page;
    private int _count;

    /// <summary>The number of the call that is out.</summary>
    public uint Xid { get; set; }

    /// <summary>When it went, in ticks of Stopwatch.</summary>
    public long Began { get; set; }

    public Nfs3Procedure Procedure { get; private set; }

    /// <summary>Decides what is called next.</summary>
    public Nfs3Procedure Choose()
    {
        int dice = _random.Next(100);
        Procedure = dice switch
        {
            _ when _uncommitted >= WritesPerCommit => Nfs3Procedure.Commit,
            < 30 => Nfs3Procedure.GetAttr,
            < 45 => Nfs3Procedure.Lookup,
            < 55 => Nfs3Procedure.Access,
            < 77 => Nfs3Procedure.Read,
            < 90 => Nfs3Procedure.Write,
            < 97 => _created ? Nfs3Procedure.Remove : Nfs3Procedure.Create,
            _ => Nfs3Procedure.ReadDirPlus,
        };
        return Procedure;
    }

    public void WriteArguments(ref XdrWriter call)
    {
        bool isOfDirectory = Procedure is Nfs3Procedure.Lookup or Nfs3Procedure.Create or Nfs3Procedure.Remove or Nfs3Procedure.ReadDirPlus;
        call.Opaque(isOfDirectory ? directory.Handle : _file.Handle);
        switch (Procedure)
        {
            case Nfs3Procedure.Lookup:
                call.String(_file.Name);
                break;
            case Nfs3Procedure.Access:
                call.U32(0x3F);
                break;
            case Nfs3Procedure.Read:
                Place(_random.Next(100) switch { < 70 => 1, < 95 => 16, _ => 256 });
                call.U64((ulong)_page * LoadFile.PageBytes);
                call.U32((uint)(_count * LoadFile.PageBytes));
                break;
            case Nfs3Procedure.Write:
                Place(_random.Next(100) switch { < 60 => 1, < 97 => 16, _ => 256 });
                Span<byte> data = _space.AsSpan(0, _count * LoadFile.PageBytes);
                contents.Rewrite(_page, data);
                call.U64((ulong)_page * LoadFile.PageBytes);
                call.U32((uint)data.Length);
                call.U32(0); // UNSTABLE
                call.Opaque(data);
                _uncommitted++;
                break;
            case Nfs3Procedure.Commit:
                call.U64(0);
                call.U32(0);
                _uncommitted = 0;
                break;
            case Nfs3Procedure.Create:
                call.String(_temporary);
                call.U32(1); // GUARDED
                call.Fixed(new byte[24]); // nothing set, times left alone
                _created = true;
                break;
            case Nfs3Procedure.Remove:
                call.String(_temporary);
                _created = false;
                break;
            case Nfs3Procedure.ReadDirPlus:
                call.U64(0);
                call.U64(0);
                call.U32(8192);
                call.U32(32768);
                break;
        }
    }

    /// <summary>Compares results with what must be; null, or what is wrong.</summary>
    public string? Check(ref XdrReader results)
    {
        var status = (Nfs3Status)results.U32();
        if (status != Nfs3Status.Ok)
            return $"{status}";

        string? wrong = Procedure switch
        {
            Nfs3Procedure.GetAttr => CheckAttributes(ref results),
            Nfs3Procedure.Lookup => results.Opaque(64).SequenceEqual(_file.Handle) ? CheckOptional(ref results) : "another handle",
            Nfs3Procedure.Access => CheckOptional(ref results) ?? (results.U32() == 0x0D ? null : "other rights than read, modify and extend"),
            Nfs3Procedure.Read => CheckOptional(ref results) ?? CheckData(ref results),
            Nfs3Procedure.Write or Nfs3Procedure.Commit => CheckStored(ref results),
            Nfs3Procedure.ReadDirPlus => CheckListing(ref results),
            _ => null,
        };
        return wrong ?? (results.Malformed ? "a malformed answer" : null);
    }

    private void Place(int pages)
    {
        _count = Math.Min(pages, contents.Pages);
        _page = _random.Next(contents.Pages - _count + 1);
    }

    private string? CheckOptional(ref XdrReader results) => results.Bool() ? CheckAttributes(ref results) : null;

    // fattr3: type, mode, links, uid, gid; size, used; rdev; fsid, fileid; times
    private string? CheckAttributes(ref XdrReader results)
    {
        uint type = results.U32();
        results.Fixed(16);
        ulong size = results.U64();
        results.Fixed(24);
        ulong fileId = results.U64();
        results.Fixed(24);
        if (fileId == directory.FileId)
            return type == 2 ? null : $"type {type} for the directory";
        return type == 1 && fileId == _file.FileId && size == (ulong)contents.Pages * LoadFile.PageBytes ? null : $"type {type}, file {fileId} of {size} bytes";
    }

    private string? CheckData(ref XdrReader results)
    {
        uint count = results.U32();
        results.Bool();
        ReadOnlySpan<byte> data = results.Opaque(1 << 20);
        if (count != data.Length || data.Length != _count * LoadFile.PageBytes)
            return $"{data.Length} bytes, {count} as is said, of {_count} pages";
        int wrong = contents.Differs(_page, data);
        return wrong < 0 ? null : $"wrong data in page {wrong}";
    }

    private string? CheckStored(ref XdrReader results)
    {
        if (results.Bool())
            results.Fixed(24);
        if (CheckOptional(ref results) is { } wrong)
            return wrong;
        if (Procedure == Nfs3Procedure.Write && (results.U32() != _count * LoadFile.PageBytes || results.U32() > 2))
            return "not all was written";
        return directory.IsVerifier(results.U64()) ? null : "another write verifier: data may be lost";
    }

    private string? CheckListing(ref XdrReader results)
    {
        if (results.Bool())
            results.Fixed(84);
        results.U64();
        int found = 0;
        while (results.Bool())
        {
            results.U64();
            ReadOnlySpan<byte> name = results.String(255);
            results.U64();
            if (results.Bool())
                results.Fixed(84);
            if (results.Bool())
                results.Opaque(64);
            foreach (LoadTree.Entry entry in directory.Files)
                found += name.SequenceEqual(entry.Name) ? 1 : 0;
        }

        return found == directory.Files.Count ? null : $"{found} of {directory.Files.Count} files listed";
    }
}
