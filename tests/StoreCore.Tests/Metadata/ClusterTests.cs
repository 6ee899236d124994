using System.Text;
using Sim;
using StoreCore.Kv;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static StoreCore.Tests.Metadata.MetadataFixture;

namespace StoreCore.Tests.Metadata;

/// <summary>Exports and the secret of the cluster.</summary>
public class ClusterTests
{
    private readonly MetadataFixture _fs = new();

    [Fact]
    public void Exports_are_kept_and_their_numbers_never_given_again()
    {
        Assert.Equal((1u, 2u), (Put("/").Id, Put("/a b", "10.0.0.0/8:rw").Id));
        Assert.Equal(FsStatus.Ok, _fs.Store.RemoveExport(2));
        Assert.Equal(FsStatus.NotFound, _fs.Store.RemoveExport(2));
        Assert.Equal(3u, Put("/a b", "näme:ro").Id);
        Assert.Equal(1u, Put("/moved", "*:ro", 1).Id);
        _fs.Reopen(_fs.Kv.Crash(new Random(3)));
        Assert.Equal([new ExportDefinition(1, "/moved", "*:ro"), new ExportDefinition(3, "/a b", "näme:ro")], List());
        Assert.Equal(4u, Put("/").Id);
        Assert.Empty(CheckTests.Check(_fs.Kv));
    }

    [Fact]
    public void What_is_no_export_is_refused_and_changes_nothing()
    {
        Put("/a");
        ulong applied = _fs.Store.Applied.Value;
        Assert.Equal(FsStatus.Exists, TryPut(0, "/a"));
        Assert.Equal(FsStatus.NotFound, TryPut(9, "/b"));
        Assert.Equal(FsStatus.Invalid, TryPut(0, "a"));
        Assert.Equal(FsStatus.Invalid, TryPut(0, ""));
        Assert.Equal(FsStatus.Invalid, TryPut(0, "/\0"));
        Assert.Equal(FsStatus.Invalid, TryPut(0, "/\ud800"));
        Assert.Equal(FsStatus.Invalid, TryPut(0, "/" + new string('x', Limits.MaxExportPathBytes)));
        Assert.Equal(FsStatus.Invalid, TryPut(0, "/c", new string('x', Limits.MaxExportRulesBytes + 1)));
        Assert.Equal(FsStatus.Ok, TryPut(0, "/" + new string('x', Limits.MaxExportPathBytes - 1), new string('x', Limits.MaxExportRulesBytes)));
        Assert.Equal(applied + 1, _fs.Store.Applied.Value);
    }

    [Fact]
    public void The_secret_is_made_once_and_stays()
    {
        byte[] first = [.. Enumerable.Range(1, Limits.SecretBytes).Select(i => (byte)i)], second = [.. first.Reverse()], secret = new byte[Limits.SecretBytes];
        Assert.Equal(FsStatus.Invalid, _fs.Store.GetSecret(first.AsSpan(1), secret));
        Assert.Equal(FsStatus.Ok, _fs.Store.GetSecret(first, secret));
        Assert.Equal(first, secret);
        _fs.Reopen(_fs.Kv.Crash(new Random(1)));
        secret.AsSpan().Clear();
        Assert.Equal(FsStatus.Ok, _fs.Store.GetSecret(second, secret));
        Assert.Equal(first, secret);
    }

    [Fact]
    public void Who_holds_locks_outlives_the_service_that_gave_them()
    {
        Assert.Equal((1, 0), Begin());
        var client = new LockClient(7, "höst", (UInt128)0xFFFF << 32 | 0x0A000001, UInt128.MaxValue);
        Assert.Equal(FsStatus.Ok, _fs.Store.PutLockClient(client));
        Assert.Equal(FsStatus.Ok, _fs.Store.PutLockClient(client with { Id = 8, Name = "other" }));
        Assert.Equal(FsStatus.Invalid, _fs.Store.PutLockClient(client with { Id = 9, Name = new string('x', 1025) }));
        Assert.Equal(FsStatus.Ok, _fs.Store.RemoveLockClient(8));
        _fs.Reopen(_fs.Kv.Crash(new Random(1)));
        Assert.Equal(FsStatus.Ok, _fs.Store.BeginLockService(out int life, out IReadOnlyList<LockClient> earlier));
        Assert.Equal(3, life);
        Assert.Equal([client], earlier);
        Assert.Empty(CheckTests.Check(_fs.Kv));

        (int Life, int Earlier) Begin()
        {
            Assert.Equal(FsStatus.Ok, _fs.Store.BeginLockService(out int begun, out IReadOnlyList<LockClient> before));
            return (begun, before.Count);
        }
    }

    [Fact]
    public void A_dump_carries_them_over_and_one_of_version_1_can_be_loaded()
    {
        Put("/", "*:rw,no_root_squash");
        Put("/a b%");
        _fs.Store.RemoveExport(1);
        byte[] secret = new byte[Limits.SecretBytes], other = new byte[Limits.SecretBytes];
        _fs.Store.GetSecret([.. Enumerable.Repeat((byte)0x20, Limits.SecretBytes)], secret);
        var dump = new MemoryStream();
        Assert.Equal(3, MetadataDump.Write(_fs.Kv, dump).Cluster);

        var loaded = new SimKvStore();
        MetadataDump.Load(loaded, new MemoryStream(dump.ToArray()));
        _fs.Reopen(loaded);
        Assert.Equal([new ExportDefinition(2, "/a b%", "")], List());
        _fs.Store.GetSecret(new byte[Limits.SecretBytes], other);
        Assert.Equal(secret, other);
        Assert.Equal(3u, Put("/next").Id);

        // As a version without exports wrote it.
        string text = Encoding.ASCII.GetString(dump.ToArray());
        text = string.Concat(text.Split('\n').Where(line => line.Length > 0 && !line.StartsWith("cluster", StringComparison.Ordinal) && !line.StartsWith("end", StringComparison.Ordinal))
            .Select(line => (line == "gateway-metadata 2" ? "gateway-metadata 1" : line) + "\n"));
        text += $"end 1 0 0 0 {Crc32C.Compute(Encoding.ASCII.GetBytes(text)):x8}\n";
        var old = new SimKvStore();
        Assert.Equal(new MetadataDumpCounts(1, 0, 0, 0, 0), MetadataDump.Load(old, new MemoryStream(Encoding.ASCII.GetBytes(text))));
        _fs.Reopen(old);
        Assert.Empty(List());
    }

    [Theory]
    [InlineData("request key")]
    [InlineData("request row")]
    [InlineData("request of the future")]
    [InlineData("export row")]
    [InlineData("export number")]
    [InlineData("export twice")]
    [InlineData("secret")]
    [InlineData("kind")]
    public void Damage_is_found_and_mended(string damage)
    {
        var request = new ClientRequest();
        for (uint i = 1; i <= 3; i++)
        {
            request.Begin(new RequestId(1, i));
            _fs.Store.Create(new Caller(0, 0, request: request), InodeId.Root, Name($"f{i}"), new NewInode { Mode = PlainMode }, out _);
            Put($"/{i}");
        }

        byte[] key = MetadataKeys.Request(new byte[24], 0, new RequestId(1, 2)).ToArray();
        byte[] row = ExportRow.Encode(new ExportDefinition(0, "/1", ""))!;
        var batch = new KvBatch();
        (KvTable table, byte[] at, byte[] value) = damage switch
        {
            "request key" => (KvTable.Requests, key[1..], new byte[RequestRow.Bytes]),
            "request row" => (KvTable.Requests, key, new byte[3]),
            "request of the future" => (KvTable.Requests, key, new RequestRow(OpKind.Create, InodeId.Root, new LogIndex(99)).Encode(new byte[RequestRow.Bytes]).ToArray()),
            "export row" => (KvTable.Cluster, Key(ClusterKind.Export, 2), row[..3]),
            "export number" => (KvTable.Cluster, Key(ClusterKind.NextExport, 0), [2, 0, 0, 0]),
            "export twice" => (KvTable.Cluster, Key(ClusterKind.Export, 3), row),
            "secret" => (KvTable.Cluster, Key(ClusterKind.Secret, 0), new byte[5]),
            "kind" => (KvTable.Cluster, Key((ClusterKind)77, 0), row),
            _ => throw new ArgumentException(damage),
        };
        batch.Put(table, at, value);
        _fs.Kv.Write(batch);

        Assert.Single(CheckTests.Check(_fs.Kv));
        Assert.Equal(1, MetadataCheck.Repair(_fs.Kv, default, _ => { }));
        Assert.Empty(CheckTests.Check(_fs.Kv));
        _fs.Reopen(_fs.Kv);
        Assert.Equal(4u, Put("/next").Id);
        Assert.True(_fs.Store.TryFindRequest(new RequestId(1, 3), out _));

        static byte[] Key(ClusterKind kind, uint number) => MetadataKeys.Cluster(new byte[5], kind, number).ToArray();
    }

    private FsStatus TryPut(uint id, string path, string rules = "") => _fs.Store.PutExport(new ExportDefinition(id, path, rules), out _);

    private ExportDefinition Put(string path, string rules = "", uint id = 0)
    {
        Assert.Equal(FsStatus.Ok, _fs.Store.PutExport(new ExportDefinition(id, path, rules), out ExportDefinition? stored));
        return stored!;
    }

    private IReadOnlyList<ExportDefinition> List()
    {
        Assert.Equal(FsStatus.Ok, _fs.Store.ListExports(out IReadOnlyList<ExportDefinition> exports));
        return exports;
    }
}
