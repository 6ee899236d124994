using System.Net;
using System.Net.Sockets;
using Gateway.Admin.Contract;
using Gateway.Daemon;
using Gateway.Nfs.Exports;
using Gateway.Tests.Vfs;
using Microsoft.Extensions.Logging.Abstractions;
using StoreCore.Metadata;
using StoreCore.Primitives;
using static Gateway.Tests.Vfs.VfsFixture;

namespace Gateway.Tests.Daemon;

public sealed class ExportSetTests : IDisposable
{
    private readonly VfsFixture _fs = new();
    private readonly HostNameCache _names = new(host => host == "known" ? [IPAddress.Parse("10.9.9.9")] : throw new SocketException((int)SocketError.HostNotFound));
    private ExportSet _exports;

    public ExportSetTests() => _exports = Open();

    public void Dispose()
    {
        _exports.Dispose();
        _fs.Dispose();
    }

    private ExportSet Open() => new(_fs.Metadata, _fs.Vfs, NullLogger.Instance, _names);

    private bool Allows(string client, string path, int port = 1023) => _exports.Decide(client, path, port).Allowed;

    private OperatingException Refused(ExitCode code, Action action)
    {
        string before = Show();
        OperatingException error = Assert.Throws<OperatingException>(action);
        Assert.Equal(code, error.Code);
        Assert.DoesNotContain('\n', error.Message);
        Assert.NotEmpty(error.Parts.Mend);
        Assert.Equal(before, Show());
        return error;
    }

    private string Show() => string.Join('\n', _exports.List().Select(export => $"{export.Id} {export.Path} {export.State} {string.Join(' ', export.Clients.Select(c => $"{c.Client}({c.Options}){c.Note}"))}"));

    [Fact]
    public void Changes_take_effect_at_once_and_outlive_the_daemon()
    {
        _fs.Make("a", FolderMode);
        ExportInfo made = _exports.Add("/a//", ["10.0.0.0/8:rw", "known:ro"]);
        Assert.Equal((1u, "/a", "served"), (made.Id, made.Path, made.State));
        Assert.True(Allows("10.1.2.3", "/a"));
        Assert.False(Allows("11.1.2.3", "/a"));
        Assert.Equal("known", _exports.Decide("10.9.9.9", "/a", 1023).Client);
        Assert.False(Allows("10.1.2.3", "/a", 1024));

        // One more client, and another option for one that is there; the rest stays.
        _exports.Add("/a", ["11.0.0.0/8:ro", "10.0.0.0/8:rw,insecure"]);
        Assert.True(Allows("10.1.2.3", "/a", 1024));
        Assert.True(Allows("11.1.2.3", "/a"));
        string before = Show();
        _exports.Dispose();
        _exports = Open();
        Assert.Equal(before, Show());

        _exports.Remove("/a", "10.0.0.0/8");
        Assert.False(Allows("10.1.2.3", "/a"));
        Assert.True(Allows("11.1.2.3", "/a"));
        _exports.Remove("1", null);
        Assert.Empty(_exports.List());
        Assert.False(Allows("11.1.2.3", "/a"));
        Assert.Equal(2u, _exports.Add("/", ["*"]).Id);
    }

    [Fact]
    public void The_nearest_export_decides_and_says_why()
    {
        InodeRecord a = _fs.Make("a", FolderMode);
        _fs.Make("b", FolderMode, a.Inode);
        _exports.Add("/", ["*:ro"]);
        _exports.Add("/a", ["10.0.0.1:rw,all_squash,anonuid=7"]);
        ExportCheck check = _exports.Decide("10.0.0.1", "/a/b", 700);
        Assert.True(check.Allowed);
        Assert.Equal(("/a", "10.0.0.1"), (check.Export, check.Client));
        Assert.Contains("all_squash,anonuid=7", check.Options, StringComparison.Ordinal);
        Assert.Contains("10.0.0.1 may use /a: rule 10.0.0.1 (this very address) grants", check.Reason, StringComparison.Ordinal);
        check = _exports.Decide("10.0.0.2", "/a", 700);
        Assert.False(check.Allowed);
        Assert.Contains("none of its 1 clients", check.Reason, StringComparison.Ordinal);
        Assert.Equal("/", _exports.Decide("10.0.0.2", "/", 700).Export);
        Assert.Contains("but there is no directory /c", _exports.Decide("10.0.0.2", "/c", 700).Reason, StringComparison.Ordinal);
        _exports.Remove("/", null);
        Assert.Contains("lies in no export; there are: /a", _exports.Decide("10.0.0.1", "/b", 700).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Mistakes_change_nothing_and_name_their_mend()
    {
        _fs.Make("a", FolderMode);
        _fs.Make("file");
        _exports.Add("/a", ["*:ro"]);
        Refused(ExitCode.NoInput, () => _exports.Add("/none", ["*"]));
        Refused(ExitCode.NoInput, () => _exports.Add("/file", ["*"]));
        Refused(ExitCode.Usage, () => _exports.Add("a", ["*"]));
        Refused(ExitCode.Usage, () => _exports.Add("/a/../b", ["*"]));
        Refused(ExitCode.Usage, () => _exports.Add("/a", []));
        Refused(ExitCode.Usage, () => _exports.Add("/a", ["*:rw", "10.0.0.0/33:rw"]));
        Assert.Contains("'rx'", Refused(ExitCode.Usage, () => _exports.Add("/a", ["*:rx"])).Message, StringComparison.Ordinal);
        Assert.Contains("there are: /a", Refused(ExitCode.NoInput, () => _exports.Remove("/b", null)).Message, StringComparison.Ordinal);
        Assert.Contains("it has: *", Refused(ExitCode.NoInput, () => _exports.Remove("/a", "10.0.0.1")).Message, StringComparison.Ordinal);
        Refused(ExitCode.NoInput, () => _exports.Remove("7", null));
        Assert.Contains("line 2", Refused(ExitCode.DataError, () => _exports.Import("/x *(ro)\n/y *(rx)\n/z *(ry)\n")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_import_replaces_what_it_names_and_leaves_the_rest()
    {
        _fs.Make("a", FolderMode);
        _fs.Make("b", FolderMode);
        _exports.Add("/a", ["10.0.0.1:rw"]);
        _exports.Add("/b", ["10.0.0.2:rw"]);
        ExportImportReport report = _exports.Import("# ours\n/a 10.0.0.3(rw,no_subtree_check)\n/later *(ro)\n");
        Assert.Equal(["/a", "/later"], report.Exports.Select(export => export.Path));
        Assert.Equal(["line 2: without effect here: no_subtree_check", "export /later: there is no directory /later; it is served as soon as there is one"], report.Notes);
        Assert.False(Allows("10.0.0.1", "/a"));
        Assert.True(Allows("10.0.0.3", "/a"));
        Assert.True(Allows("10.0.0.2", "/b"));
    }

    [Fact]
    public void An_export_follows_its_path_wherever_that_leads()
    {
        _exports.Import("/a/b *(ro)\n");
        Assert.Equal("missing", _exports.List()[0].State);
        InodeRecord a = _fs.Make("a", FolderMode), b = _fs.Make("b", FolderMode, a.Inode);
        Await(b.Inode);
        Assert.Equal(FsStatus.Ok, _fs.Vfs.Rename(Root, InodeId.Root, "a"u8, InodeId.Root, "z"u8, RenameFlags.None));
        Await(InodeId.None);
        InodeRecord other = _fs.Make("a", FolderMode), below = _fs.Make("b", FolderMode, other.Inode);
        Await(below.Inode);

        void Await(InodeId root) => Assert.True(
            SpinWait.SpinUntil(() => _exports.Source.Current.All.Single().Root == root, TimeSpan.FromSeconds(10)), $"the export's root is not {root}");
    }

    [Fact]
    public void Nobody_is_let_in_where_a_stored_rule_cannot_be_read()
    {
        _fs.Make("a", FolderMode);
        Assert.Equal(FsStatus.Ok, _fs.Metadata.PutExport(new ExportDefinition(0, "/a", "10.0.0.1(of_the_future) *(rw)"), out _));
        _exports.Dispose();
        _exports = Open();
        Assert.Empty(_exports.Source.Current.All);
        Assert.StartsWith("unreadable: ", _exports.List()[0].State, StringComparison.Ordinal);
        Refused(ExitCode.DataError, () => _exports.Add("/a", ["*:ro"]));
        _exports.Remove("/a", null);
        Assert.Empty(_exports.List());
    }

    [Fact]
    public void A_host_whose_address_is_not_known_is_told()
    {
        ExportInfo export = _exports.Add("/", ["known:ro", "stranger:rw"]);
        Assert.Equal(["", "its address is not known"], export.Clients.Select(client => client.Note));
        Assert.False(Allows("10.0.0.1", "/"));
    }
}
