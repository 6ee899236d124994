using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>The procedures of NFS version 3 (RFC 1813 §3.3).</summary>
public enum Nfs3Procedure : uint
{
    Null = 0,
    GetAttr = 1,
    SetAttr = 2,
    Lookup = 3,
    Access = 4,
    ReadLink = 5,
    Read = 6,
    Write = 7,
    Create = 8,
    MkDir = 9,
    Symlink = 10,
    MkNod = 11,
    Remove = 12,
    RmDir = 13,
    Rename = 14,
    Link = 15,
    ReadDir = 16,
    ReadDirPlus = 17,
    FsStat = 18,
    FsInfo = 19,
    PathConf = 20,
    Commit = 21,
}

/// <summary>Carries out one procedure: reads all its arguments, then acts, then writes its results.</summary>
internal delegate RpcAcceptStatus Nfs3Handler(Nfs3Program program, in RpcCall call, ref XdrReader arguments, ref XdrWriter results);

/// <summary>What is known of a procedure before its arguments are looked at.</summary>
/// <param name="Once">
/// A second execution would answer differently (MKDIR: EXIST): its answer is kept for retransmissions. WRITE and COMMIT may be done twice.
/// </param>
/// <param name="Changes">Refused with ROFS under a read-only export.</param>
internal sealed record Nfs3Operation(Nfs3Procedure Procedure, string Name, bool Changes, bool Once, Nfs3Handler Handler);

/// <summary>All procedures by number, but NULL, which the RPC dispatcher answers.</summary>
internal static class Nfs3OpTable
{
    public const int Size = (int)Nfs3Procedure.Commit + 1;

    private static readonly Nfs3Operation?[] Table = Build();

    public static Nfs3Operation? Find(uint procedure) => procedure < Size ? Table[procedure] : null;

    public static string NameOf(uint procedure) => procedure == 0 ? "NULL" : Find(procedure)?.Name ?? "unknown";

    public static IEnumerable<Nfs3Operation> All => Table.Where(static operation => operation is not null)!;

    private static Nfs3Operation?[] Build()
    {
        var table = new Nfs3Operation?[Size];

        void Add(Nfs3Procedure procedure, string name, Nfs3Handler handler, bool changes = false, bool once = false) =>
            table[(int)procedure] = new Nfs3Operation(procedure, name, changes, once, handler);

        Add(Nfs3Procedure.GetAttr, "GETATTR", static (p, in c, ref a, ref r) => p.GetAttr(c, ref a, ref r));
        Add(Nfs3Procedure.SetAttr, "SETATTR", static (p, in c, ref a, ref r) => p.SetAttr(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.Lookup, "LOOKUP", static (p, in c, ref a, ref r) => p.Lookup(c, ref a, ref r));
        Add(Nfs3Procedure.Access, "ACCESS", static (p, in c, ref a, ref r) => p.Access(c, ref a, ref r));
        Add(Nfs3Procedure.ReadLink, "READLINK", static (p, in c, ref a, ref r) => p.ReadLink(c, ref a, ref r));
        Add(Nfs3Procedure.Read, "READ", static (p, in c, ref a, ref r) => p.Read(c, ref a, ref r));
        Add(Nfs3Procedure.Write, "WRITE", static (p, in c, ref a, ref r) => p.Write(c, ref a, ref r), changes: true);
        Add(Nfs3Procedure.Create, "CREATE", static (p, in c, ref a, ref r) => p.Create(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.MkDir, "MKDIR", static (p, in c, ref a, ref r) => p.MkDir(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.Symlink, "SYMLINK", static (p, in c, ref a, ref r) => p.Symlink(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.MkNod, "MKNOD", static (p, in c, ref a, ref r) => p.MkNod(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.Remove, "REMOVE", static (p, in c, ref a, ref r) => p.Remove(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.RmDir, "RMDIR", static (p, in c, ref a, ref r) => p.RmDir(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.Rename, "RENAME", static (p, in c, ref a, ref r) => p.Rename(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.Link, "LINK", static (p, in c, ref a, ref r) => p.Link(c, ref a, ref r), changes: true, once: true);
        Add(Nfs3Procedure.ReadDir, "READDIR", static (p, in c, ref a, ref r) => p.ReadDir(c, ref a, ref r));
        Add(Nfs3Procedure.ReadDirPlus, "READDIRPLUS", static (p, in c, ref a, ref r) => p.ReadDirPlus(c, ref a, ref r));
        Add(Nfs3Procedure.FsStat, "FSSTAT", static (p, in c, ref a, ref r) => p.FsStat(c, ref a, ref r));
        Add(Nfs3Procedure.FsInfo, "FSINFO", static (p, in c, ref a, ref r) => p.FsInfo(c, ref a, ref r));
        Add(Nfs3Procedure.PathConf, "PATHCONF", static (p, in c, ref a, ref r) => p.PathConf(c, ref a, ref r));
        Add(Nfs3Procedure.Commit, "COMMIT", static (p, in c, ref a, ref r) => p.Commit(c, ref a, ref r));
        return table;
    }
}
