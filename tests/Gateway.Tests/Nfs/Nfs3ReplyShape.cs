using Gateway.Nfs;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>The shapes of all replies, and which errors each procedure has, written down from RFC 1813 §3.3 independently of the program.</summary>
internal static class Nfs3ReplyShape
{
    private const Nfs3Status Io = Nfs3Status.Io, Acc = Nfs3Status.Access, Exist = Nfs3Status.Exists, NoEnt = Nfs3Status.NoEntry, NotDir = Nfs3Status.NotDirectory,
        IsDir = Nfs3Status.IsDirectory, Inval = Nfs3Status.Invalid, Big = Nfs3Status.FileTooBig, NoSpc = Nfs3Status.NoSpace, Rofs = Nfs3Status.ReadOnly,
        Mlink = Nfs3Status.TooManyLinks, Long = Nfs3Status.NameTooLong, Full = Nfs3Status.NotEmpty, Xdev = Nfs3Status.CrossDevice, Perm = Nfs3Status.NotOwner,
        Supp = Nfs3Status.NotSupported;

    /// <summary>
    /// Beyond the RFC's lists (which it calls likely ones): ACCES of a client that may not use the export, for all; INVAL of COMMIT on what is no file; ISDIR of REMOVE and SETATTR, PERM of
    /// what the kernel's clients take for EPERM; IO for all that go to disk.
    /// </summary>
    private static readonly Dictionary<Nfs3Procedure, Nfs3Status[]> Errors = new()
    {
        [Nfs3Procedure.GetAttr] = [],
        [Nfs3Procedure.SetAttr] = [Perm, Inval, NoSpc, Rofs, Nfs3Status.NotSync, IsDir, Big, Supp],
        [Nfs3Procedure.Lookup] = [NoEnt, NotDir, Long],
        [Nfs3Procedure.Access] = [],
        [Nfs3Procedure.ReadLink] = [Inval, Supp],
        [Nfs3Procedure.Read] = [Inval, Nfs3Status.NoDevice],
        [Nfs3Procedure.Write] = [Inval, Big, NoSpc, Rofs],
        [Nfs3Procedure.Create] = [Exist, NotDir, NoSpc, Rofs, Long, Supp, NoEnt, Inval, Big],
        [Nfs3Procedure.MkDir] = [Exist, NotDir, NoSpc, Rofs, Long, Supp, NoEnt, Inval],
        [Nfs3Procedure.Symlink] = [Exist, NotDir, NoSpc, Rofs, Long, Supp, NoEnt, Inval],
        [Nfs3Procedure.MkNod] = [Exist, NotDir, NoSpc, Rofs, Long, Supp, Nfs3Status.BadType, NoEnt, Inval, Perm],
        [Nfs3Procedure.Remove] = [NoEnt, NotDir, Long, Rofs, IsDir, Perm],
        [Nfs3Procedure.RmDir] = [NoEnt, NotDir, Inval, Exist, Long, Rofs, Full, Supp, Perm],
        [Nfs3Procedure.Rename] = [NoEnt, Exist, Xdev, NotDir, IsDir, Inval, NoSpc, Rofs, Mlink, Long, Full, Supp, Perm],
        [Nfs3Procedure.Link] = [Exist, Xdev, NotDir, Inval, NoSpc, Rofs, Mlink, Long, Supp, NoEnt, Perm],
        [Nfs3Procedure.ReadDir] = [NotDir, Nfs3Status.BadCookie, Nfs3Status.TooSmall],
        [Nfs3Procedure.ReadDirPlus] = [NotDir, Nfs3Status.BadCookie, Nfs3Status.TooSmall, Supp],
        [Nfs3Procedure.FsStat] = [],
        [Nfs3Procedure.FsInfo] = [],
        [Nfs3Procedure.PathConf] = [],
        [Nfs3Procedure.Commit] = [Inval],
    };

    public static bool MayAnswer(Nfs3Procedure procedure, Nfs3Status status) =>
        status is Nfs3Status.Ok or Io or Acc or Nfs3Status.Stale or Nfs3Status.BadHandle or Nfs3Status.ServerFault or Nfs3Status.Jukebox
        || Array.IndexOf(Errors[procedure], status) >= 0;

    /// <summary>Reads the results behind the status; false where they are not of the procedure's shape.</summary>
    public static bool Skip(Nfs3Procedure procedure, Nfs3Status status, ref XdrReader reply)
    {
        bool isOk = status == Nfs3Status.Ok;
        switch (procedure)
        {
            case Nfs3Procedure.GetAttr:
                if (isOk)
                    reply.Fixed(84);
                break;
            case Nfs3Procedure.SetAttr or Nfs3Procedure.Remove or Nfs3Procedure.RmDir:
                Wcc(ref reply);
                break;
            case Nfs3Procedure.Lookup:
                if (isOk)
                {
                    reply.Opaque(64);
                    PostOp(ref reply);
                }

                PostOp(ref reply);
                break;
            case Nfs3Procedure.Access or Nfs3Procedure.ReadLink or Nfs3Procedure.Read:
                PostOp(ref reply);
                if (!isOk)
                    break;
                if (procedure == Nfs3Procedure.Access)
                    reply.Fixed(4);
                else if (procedure == Nfs3Procedure.ReadLink)
                    reply.String(4095);
                else
                    Data(ref reply);
                break;
            case Nfs3Procedure.Write or Nfs3Procedure.Commit:
                Wcc(ref reply);
                if (isOk)
                    reply.Fixed(procedure == Nfs3Procedure.Write ? 16 : 8);
                break;
            case Nfs3Procedure.Create or Nfs3Procedure.MkDir or Nfs3Procedure.Symlink or Nfs3Procedure.MkNod:
                if (isOk)
                {
                    if (reply.Bool())
                        reply.Opaque(64);
                    PostOp(ref reply);
                }

                Wcc(ref reply);
                break;
            case Nfs3Procedure.Rename:
                Wcc(ref reply);
                Wcc(ref reply);
                break;
            case Nfs3Procedure.Link:
                PostOp(ref reply);
                Wcc(ref reply);
                break;
            case Nfs3Procedure.ReadDir or Nfs3Procedure.ReadDirPlus:
                PostOp(ref reply);
                if (isOk)
                    Entries(procedure == Nfs3Procedure.ReadDirPlus, ref reply);
                break;
            case Nfs3Procedure.FsStat or Nfs3Procedure.FsInfo or Nfs3Procedure.PathConf:
                PostOp(ref reply);
                if (isOk)
                    reply.Fixed(procedure switch { Nfs3Procedure.FsStat => 52, Nfs3Procedure.FsInfo => 48, _ => 24 });
                break;
            default:
                return false;
        }

        return !reply.Malformed;
    }

    private static void Data(ref XdrReader reply)
    {
        uint count = reply.U32();
        reply.Bool();
        if (reply.Opaque(1 << 20).Length != count)
            reply.Refuse();
    }

    private static void Entries(bool isPlus, ref XdrReader reply)
    {
        reply.U64();
        while (reply.Bool())
        {
            reply.U64();
            reply.String(255);
            reply.U64();
            if (!isPlus)
                continue;
            PostOp(ref reply);
            if (reply.Bool())
                reply.Opaque(64);
        }

        reply.Bool();
    }

    private static void PostOp(ref XdrReader reply)
    {
        if (reply.Bool())
            reply.Fixed(84);
    }

    private static void Wcc(ref XdrReader reply)
    {
        if (reply.Bool())
            reply.Fixed(24);
        PostOp(ref reply);
    }
}
