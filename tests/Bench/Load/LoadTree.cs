using System.Net;
using System.Text;
using Gateway.Nfs;
using StoreCore.Rpc;

namespace Bench.Load;

/// <summary>Makes the files of the load, one call after the other.</summary>
internal sealed class LoadTree : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly RpcClient _client;
    private readonly byte[] _root;
    private readonly byte[] _space = new byte[(1 << 20) + 4096];

    /// <summary>A file: its name, its handle and its number.</summary>
    public sealed record Entry(byte[] Name, byte[] Handle, ulong FileId);

    /// <summary>A connection's directory; its write verifier must stay the one that came first.</summary>
    public sealed class Directory(byte[] handle, ulong fileId, IReadOnlyList<Entry> files)
    {
        private ulong? _verifier;

        public byte[] Handle => handle;

        public ulong FileId => fileId;

        public IReadOnlyList<Entry> Files => files;

        public bool IsVerifier(ulong verifier) => (_verifier ??= verifier) == verifier;
    }

    /// <summary>Connects and mounts.</summary>
    /// <exception cref="InvalidOperationException">The server does not answer or refuses; as of all members.</exception>
    public LoadTree(EndPoint server, string export)
    {
        _client = RpcClient.Connect(server, Patience, (uint)Environment.TickCount, out string? error) ?? throw new InvalidOperationException(error);
        _client.Credential = (0, 0);
        var call = new XdrWriter(_space);
        call.String(Encoding.UTF8.GetBytes(export));
        XdrReader results = Call(100005, 1, call.Written, "MNT");
        _root = results.Opaque(64).ToArray();
    }

    /// <summary>A directory with files that have their first contents.</summary>
    public Directory Make(string name, IReadOnlyList<LoadFile> files)
    {
        var call = new XdrWriter(_space);
        call.Opaque(_root);
        call.String(Encoding.ASCII.GetBytes(name));
        call.Fixed(new byte[24]);
        (byte[] directory, ulong directoryId) = Made(Nfs3Procedure.MkDir, call.Written);

        List<Entry> entries = [];
        foreach (LoadFile file in files)
        {
            byte[] own = Encoding.ASCII.GetBytes($"file-{entries.Count}");
            call = new XdrWriter(_space);
            call.Opaque(directory);
            call.String(own);
            call.U32(1); // GUARDED
            call.Fixed(new byte[24]);
            (byte[] handle, ulong fileId) = Made(Nfs3Procedure.Create, call.Written);

            call = new XdrWriter(_space);
            call.Opaque(handle);
            call.U64(0);
            int bytes = file.Pages * LoadFile.PageBytes;
            call.U32((uint)bytes);
            call.U32(0); // UNSTABLE
            file.Rewrite(0, call.Reserve(bytes));
            call.Commit(bytes);
            Call(Nfs3Program.ProgramNumber, (uint)Nfs3Procedure.Write, call.Written, "WRITE");
            entries.Add(new Entry(own, handle, fileId));
        }

        return new Directory(directory, directoryId, entries);
    }

    public void Dispose() => _client.Dispose();

    private (byte[] Handle, ulong FileId) Made(Nfs3Procedure procedure, ReadOnlySpan<byte> arguments)
    {
        XdrReader results = Call(Nfs3Program.ProgramNumber, (uint)procedure, arguments, $"{procedure}");
        byte[] handle = results.Bool() ? results.Opaque(64).ToArray() : [];
        ulong fileId = 0;
        if (results.Bool())
        {
            results.Fixed(52); // fattr3 up to fileid
            fileId = results.U64();
        }

        return handle.Length > 0 && fileId != 0 ? (handle, fileId) : throw new InvalidOperationException($"{procedure} answered without handle or attributes");
    }

    private XdrReader Call(uint program, uint procedure, ReadOnlySpan<byte> arguments, string name)
    {
        RpcClientResult result = _client.Call(program, 3, procedure, arguments, Patience, out ReadOnlySpan<byte> answer);
        var results = new XdrReader(answer);
        if (!result.Succeeded)
            throw new InvalidOperationException($"{name}: {result.Text}");
        uint status = results.U32();
        return status == 0 ? results : throw new InvalidOperationException($"{name}: status {status}");
    }
}
