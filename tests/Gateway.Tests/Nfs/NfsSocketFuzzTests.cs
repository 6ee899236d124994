using System.Net;
using Gateway.Nfs;
using Gateway.Nfs.Exports;
using Gateway.Tests.Fuse;
using Microsoft.Extensions.Logging.Abstractions;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Tests.Nfs;

/// <summary>A short run of the fuzzer over real connections; <c>Bench nfs-fuzz-socket</c> runs it against a daemon for as long as one likes.</summary>
[Collection(AloneCollection.Name)]
public sealed class NfsSocketFuzzTests
{
    [Fact]
    public void NoBytesBreakTheServer()
    {
        var vfs = new MemoryVfs(discard: true);
        Assert.Equal(FsStatus.Ok, vfs.Make(Caller.System, InodeId.Root, "ro"u8, new NewInode { Mode = 0x41FF }, out InodeRecord readOnly));
        var exports = new ExportTableSource
        {
            Current = new ExportTable(
                [
                    new Export(1, "/", InodeId.Root, [ClientRule.Parse("*(rw,no_root_squash,insecure)", out _)!]),
                    new Export(2, "/ro", readOnly.Inode, [ClientRule.Parse("*(ro,insecure)", out _)!]),
                ],
                NoHostNames.Instance),
        };
        var options = new NfsServerOptions
        {
            FileSystemId = Guid.Empty,
            Secret = new byte[32],
            WriteVerifier = 1,
            Rpc = new RpcServerOptions { Listen = [RpcPeer.From(IPAddress.Loopback, 0)] },
        };
        using NfsServer server = NfsServer.Start(vfs, exports, options, TimeProvider.System, NullLogger.Instance, out string? error)
            ?? throw new InvalidOperationException(error);
        using (var fuzzer = new NfsSocketFuzzer(new IPEndPoint(IPAddress.Loopback, server.Endpoints[0].Port), "/", "/ro", seed: 1))
        {
            fuzzer.Run(20_000);
            Assert.InRange(fuzzer.Answered, 10_000, 20_000);
            Assert.InRange(fuzzer.Connections, 10, 5_000);
        }

        Assert.True(server.Stop(TimeSpan.FromSeconds(20)));
        Assert.Equal((0, 0L), (server.State.Connections, server.State.BudgetUsedBytes));
        Assert.Equal(0, server.Statistics.Faults(RpcFault.Defect));
    }
}
