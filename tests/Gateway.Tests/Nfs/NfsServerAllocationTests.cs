using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Gateway.Nfs;
using Gateway.Nfs.Exports;
using Gateway.Tests.Fuse;
using Gateway.Tests.Vfs;
using Microsoft.Extensions.Logging.Abstractions;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>GETATTR, LOOKUP, ACCESS, READ and WRITE cost no managed memory in the whole server: socket, workers, dispatcher, program, Vfs, stores.</summary>
[Collection(AloneCollection.Name)]
public sealed class NfsServerAllocationTests
{
    private const int Depth = 16;

    [Fact]
    public void Hot_procedures_allocate_nothing_from_socket_to_disk()
    {
        using var store = new StoreFixture();
        InodeRecord file = store.Make("file", 1 << 20, mode: 0x81B6);
        var identity = new Guid("4b0d2f5e-8f4a-4f6b-a6c9-0c9d6a0e1f22");
        byte[] secret = SHA256.HashData([1]);
        var exports = new ExportTableSource
        {
            Current = new ExportTable([new Export(1, "/", InodeId.Root, [ClientRule.Parse("*(rw,insecure)", out _)!])], NoHostNames.Instance),
        };
        var options = new NfsServerOptions
        {
            FileSystemId = identity,
            Secret = secret,
            WriteVerifier = 1,
            Rpc = new RpcServerOptions { Listen = [RpcPeer.From(IPAddress.Loopback, 0)] },
        };
        using NfsServer server = NfsServer.Start(store.Vfs, exports, options, TimeProvider.System, NullLogger.Instance, out string? error)
            ?? throw new InvalidOperationException(error);
        var codec = new NfsHandleCodec(identity, secret);
        byte[] root = Handle(codec, store, InodeId.Root), handle = Handle(codec, store, file.Inode);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 20_000, SendTimeout = 20_000 };
        socket.Connect(IPAddress.Loopback, server.Endpoints[0].Port);

        Check(store, socket, Nfs3Procedure.GetAttr, new Xdr().Opaque(handle));
        Check(store, socket, Nfs3Procedure.Lookup, new Xdr().Opaque(root).Text("file"));
        Check(store, socket, Nfs3Procedure.Access, new Xdr().Opaque(handle).U32(63));
        Check(store, socket, Nfs3Procedure.Read, new Xdr().Opaque(handle).U64(8192).U32(4096));
        Check(store, socket, Nfs3Procedure.Write, new Xdr().Opaque(handle).U64(8192).U32(4096).U32(0).Opaque(new byte[4096]));

        // Larger than what is handled where it was received.
        Check(store, socket, Nfs3Procedure.Read, new Xdr().Opaque(handle).U64(0).U32(65536));
        Check(store, socket, Nfs3Procedure.Write, new Xdr().Opaque(handle).U64(0).U32(65536).U32(0).Opaque(new byte[65536]));
    }

    private static byte[] Handle(NfsHandleCodec codec, StoreFixture store, InodeId inode)
    {
        Assert.Equal(FsStatus.Ok, store.Vfs.GetAttributes(inode, out InodeRecord record));
        byte[] handle = new byte[NfsHandleCodec.HandleBytes];
        codec.Write(new NfsFileHandle(1, inode, record.Generation), handle);
        return handle;
    }

    private static void Check(StoreFixture store, Socket socket, Nfs3Procedure procedure, Xdr arguments)
    {
        const int rounds = 200;
        const long constantBytes = 16384; // a worker that starts, the thread pool's own, whatever the number of calls

        byte[] call = Record(procedure, arguments.Bytes);
        byte[] batch = [.. Enumerable.Repeat(call, Depth).SelectMany(static one => one)];
        byte[] replies = new byte[1 << 17];
        long least = long.MaxValue;
        for (int run = 0; run < 5 && least > constantBytes; run++)
        {
            // Nothing is left to be recorded, as some time after the last write: what keeps the file in memory must not be that.
            Exchange(socket, procedure, batch, replies);
            Assert.Equal(FsStatus.Ok, store.Vfs.SyncAll());
            long before = GC.GetTotalAllocatedBytes(precise: true);
            for (int i = 0; i < rounds; i++)
                Exchange(socket, procedure, batch, replies);
            least = Math.Min(least, GC.GetTotalAllocatedBytes(precise: true) - before);
        }

        Assert.True(least <= constantBytes, $"{procedure} of {call.Length} bytes: {least} bytes of memory in {rounds * Depth} calls");
    }

    private static void Exchange(Socket socket, Nfs3Procedure procedure, ReadOnlySpan<byte> batch, byte[] replies)
    {
        while (batch.Length > 0)
            batch = batch[socket.Send(batch)..];
        for (int i = 0; i < Depth; i++)
        {
            Fill(socket, replies.AsSpan(0, 4));
            int length = (int)(BinaryPrimitives.ReadUInt32BigEndian(replies) & int.MaxValue);
            Fill(socket, replies.AsSpan(0, length));

            // xid, REPLY, MSG_ACCEPTED, verifier, accept_stat, status of NFS
            if (length < 28 || BinaryPrimitives.ReadUInt64BigEndian(replies.AsSpan(20)) != 0)
                throw new InvalidOperationException($"{procedure} failed");
        }
    }

    private static void Fill(Socket socket, Span<byte> space)
    {
        while (space.Length > 0)
        {
            int count = socket.Receive(space);
            if (count == 0)
                throw new InvalidOperationException("the server closed the connection");
            space = space[count..];
        }
    }

    private static byte[] Record(Nfs3Procedure procedure, byte[] arguments)
    {
        byte[] credential = new Xdr().U32(0).Text("client").U32(1000).U32(1000).U32(2).U32(4).U32(27).Bytes;
        byte[] message = new Xdr().U32(7).U32(0).U32(2).U32(100003).U32(3).U32((uint)procedure).U32(1).Opaque(credential).U32(0).U32(0).Raw(arguments).Bytes;
        return new Xdr().U32(0x8000_0000 | (uint)message.Length).Raw(message).Bytes;
    }
}
