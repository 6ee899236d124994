using Gateway.Nfs;
using Gateway.Tests.Fuse;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>GETATTR, LOOKUP, ACCESS, READ and WRITE cost no managed memory, from the record's bytes to the reply's.</summary>
[Collection(AloneCollection.Name)]
public sealed class NfsAllocationTests
{
    [Theory]
    [InlineData("/ *(rw,no_root_squash)")]
    [InlineData("/ 10.0.0.0/8(ro) 192.0.2.0/24(rw)")]
    [InlineData("/ *(rw,all_squash)")]
    public void Hot_procedures_allocate_nothing(string export)
    {
        using var nfs = new NfsExchange();
        nfs.Exports(export);
        InodeRecord file = nfs.Fixture!.Make("file", 0x81B6);
        Assert.Equal(FsStatus.Ok, nfs.Vfs.Write(Caller.System, file.Inode, 0, new byte[8192], default, out _));
        (nfs.Uid, nfs.Gid, nfs.Groups) = (1000, 1000, [4, 0, 27]);
        byte[] handle = nfs.Handle(file);
        (string Name, byte[] Message)[] calls =
        [
            ("GETATTR", nfs.Message(100003, 3, (uint)Nfs3Procedure.GetAttr, new Xdr().Opaque(handle).Bytes)),
            ("LOOKUP", nfs.Message(100003, 3, (uint)Nfs3Procedure.Lookup, new Xdr().Opaque(nfs.Root).Text("file").Bytes)),
            ("ACCESS", nfs.Message(100003, 3, (uint)Nfs3Procedure.Access, new Xdr().Opaque(handle).U32(63).Bytes)),
            ("READ", nfs.Message(100003, 3, (uint)Nfs3Procedure.Read, new Xdr().Opaque(handle).U64(0).U32(8192).Bytes)),
            ("WRITE", nfs.Message(100003, 3, (uint)Nfs3Procedure.Write, new Xdr().Opaque(handle).U64(0).U32(8192).U32(0).Opaque(new byte[8192]).Bytes)),
        ];
        byte[] reply = new byte[Nfs3Program.MaxReplyBytes];
        foreach ((string name, byte[] message) in calls)
        {
            long Run(int count)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < count; i++)
                {
                    if (nfs.Dispatcher.Dispatch(nfs.Lane, nfs.Connection, message, reply, out _) != RpcOutcome.Reply || reply[27] != 0)
                        throw new InvalidOperationException($"{name} was not answered");
                }

                return GC.GetAllocatedBytesForCurrentThread() - before;
            }

            Run(2000);

            // The simulated store below allocates for a write now and then; the front end's own share is what repeats with every call.
            long limit = name == "WRITE" ? WriteShareBelow(nfs, file, 1000) : 0;
            Assert.InRange(Run(1000), 0, limit);
        }
    }

    /// <summary>What the Vfs over the simulated store takes for the same writes, and a tenth more.</summary>
    private static long WriteShareBelow(NfsExchange nfs, in InodeRecord file, int count)
    {
        byte[] data = new byte[8192];
        var caller = new Caller(1000, 1000, request: new ClientRequest());
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < count; i++)
            nfs.Vfs.Write(caller, file.Inode, 0, data, Gateway.Vfs.VfsWriteFlags.KillPrivileges, out _);
        return (GC.GetAllocatedBytesForCurrentThread() - before) * 11 / 10;
    }
}
