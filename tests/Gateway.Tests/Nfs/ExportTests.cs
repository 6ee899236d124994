using System.Net;
using System.Net.Sockets;
using Gateway.Nfs.Exports;
using StoreCore.Primitives;

namespace Gateway.Tests.Nfs;

/// <summary>Exports as exports(5) spells and decides them.</summary>
public sealed class ExportTests
{
    [Theory]
    [InlineData("*(rw)", "*(rw,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("*", "*(ro,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("(ro)", "*(ro,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("10.1.2.3/8(rw,async,insecure)", "10.0.0.0/8(rw,root_squash,anonuid=65534,anongid=65534,insecure,async,sec=sys)")]
    [InlineData("10.1.2.3/255.255.0.0", "10.1.0.0/16(ro,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("10.1.2.3/32", "10.1.2.3(ro,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("2001:DB8::/32(rw)", "2001:db8::/32(rw,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("2001:db8::1", "2001:db8::1(ro,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("2001:db8::1:rw,no_root_squash", "2001:db8::1(rw,no_root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("[2001:db8::1]:rw", "2001:db8::1(rw,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("10.0.0.0/8:rw,all_squash,anonuid=5,anongid=-2,sec=sys", "10.0.0.0/8(rw,all_squash,anonuid=5,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("Host.Example(rw,ro)", "host.example(ro,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("*(all_squash,no_root_squash)", "*(ro,all_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("*(no_root_squash,all_squash,no_all_squash)", "*(ro,no_root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("2001:db8::1:sec=sys,rw", "2001:db8::1(rw,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    [InlineData("host()", "host(ro,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)")]
    public void Rules_are_read_and_written(string text, string canonical)
    {
        ClientRule? rule = ClientRule.Parse(text, out string? error);
        Assert.Null(error);
        Assert.Equal(canonical, rule!.ToString());
        Assert.Equal(canonical, ClientRule.Parse(canonical, out _)!.ToString());
    }

    [Theory]
    [InlineData("*(rw", "brackets")]
    [InlineData("*(rw)x", "brackets")]
    [InlineData("*(rx)", "option 'rx' is not known")]
    [InlineData("host:rx", "option 'rx' is not known")]
    [InlineData("*(anonuid=x)", "needs a number")]
    [InlineData("*(anonuid=4294967295)", "needs a number")]
    [InlineData("*(anongid)", "needs a number")]
    [InlineData("*(rw=1)", "takes no value")]
    [InlineData("*(sec=krb5)", "only sec=sys")]
    [InlineData("*(sec=none)", "takes sys")]
    [InlineData("*:sec=sys:krb5", "sec=krb5 cannot be served")]
    [InlineData("*(rw,no_subtree_check)", "option 'no_subtree_check' has no effect here: leave it out")]
    [InlineData("*(rw,xprtsec=mtls)", "option 'xprtsec' cannot be served")]
    [InlineData("* (rw)", "brackets")]
    [InlineData("rw", "an option without a client")]
    [InlineData("@servers(rw)", "netgroups are not known")]
    [InlineData("*.example.com(rw)", "reverse lookups")]
    [InlineData("gss/krb5(rw)", "only sec=sys")]
    [InlineData("10.0.0.0/33", "0 to 32")]
    [InlineData("10.0.0.0/255.0.255.0", "netmask")]
    [InlineData("::/129", "0 to 128")]
    [InlineData("host/24", "no IPv4 or IPv6 address")]
    [InlineData("10.0.0.256", "no IPv4 address")]
    [InlineData("-x", "is no host name")]
    [InlineData("a b", "is no host name")]
    [InlineData("", "1 to 253 characters")]
    public void Errors_name_what_is_wrong_in_one_line(string text, string part)
    {
        Assert.Null(ClientRule.Parse(text, out string? error));
        Assert.Contains(part, error, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error!);
    }

    [Theory]
    [InlineData("192.0.2.1", "192.0.2.1", "the very host")]
    [InlineData("192.0.2.9", "198.51.100.9", "a host of that name")]
    [InlineData("192.0.2.5", "192.0.2.0/24", "the first network")]
    [InlineData("192.0.3.5", "192.0.0.0/16", "")]
    [InlineData("203.0.113.1", "*", "everybody")]
    public void The_most_specific_rule_decides(string client, string host, string _)
    {
        Export export = Make("*(ro)", "192.0.0.0/16(ro)", "192.0.2.0/24(ro)", "10.0.0.0/8(rw)", "192.0.2.1(rw)", "named.example(rw)");
        var names = new HostNameCache(static name => [IPAddress.Parse("192.0.2.9")]);
        names.Refresh(["named.example"]);
        var table = new ExportTable([export], names);
        ExportAccess access = table.Decide(Address(client), 900, export);
        Assert.True(access.IsAllowed);

        // Of two networks the first in the list counts, as exports(5) says, not the narrower one.
        string expected = host switch { "192.0.2.0/24" => "192.0.0.0/16", "198.51.100.9" => "named.example", _ => host };
        Assert.Equal(expected, access.Rule!.Host);
        Assert.Contains(expected, access.Explain(Address(client), 900, export), StringComparison.Ordinal);
    }

    [Fact]
    public void Refusals_say_why()
    {
        Export export = Make("10.0.0.0/8(rw)");
        var table = new ExportTable([export], NoHostNames.Instance);
        ExportAccess access = table.Decide(Address("192.0.2.1"), 900, export);
        Assert.Equal(ExportVerdict.NoRule, access.Verdict);
        Assert.Equal("192.0.2.1 may not use /x: none of its 1 clients is that address.", access.Explain(Address("192.0.2.1"), 900, export));
        access = table.Decide(Address("10.0.2.1"), 1024, export);
        Assert.Equal(ExportVerdict.InsecurePort, access.Verdict);
        Assert.Contains("below 1024", access.Explain(Address("10.0.2.1"), 1024, export), StringComparison.Ordinal);
        Assert.True(table.Decide(Address("10.0.2.1"), 1023, export).IsAllowed);
        Export empty = Make();
        Assert.Contains("has no clients", table.Decide(Address("10.0.2.1"), 1, empty).Explain(Address("10.0.2.1"), 1, empty), StringComparison.Ordinal);
    }

    [Fact]
    public void IPv4_clients_are_the_same_over_an_IPv6_socket()
    {
        Export export = Make("10.0.0.0/8(rw)");
        var table = new ExportTable([export], NoHostNames.Instance);
        Assert.True(table.Decide(Address("::ffff:10.1.1.1"), 1, export).IsAllowed);
        Assert.False(table.Decide(Address("::10.1.1.1"), 1, export).IsAllowed);
        Assert.Equal(Address("10.1.1.1"), Address("::ffff:10.1.1.1"));
        Export six = Make("2001:db8::/33(rw)");
        Assert.True(table.Decide(Address("2001:db8:7fff::1"), 1, six).IsAllowed);
        Assert.False(table.Decide(Address("2001:db8:8000::1"), 1, six).IsAllowed);
        Assert.True(table.Decide(Address("2001:db8:8000::1"), 1, Make("::/0(rw)")).IsAllowed);
    }

    [Fact]
    public void Tables_find_by_id_and_path_and_tell_which_exports_lie_on_the_way()
    {
        Export root = new(1, "/", InodeId.Root, []), a = new(2, "/a", new InodeId(5), []), ab = new(7, "/a/b", new InodeId(6), []);
        var table = new ExportTable([ab, root, a], NoHostNames.Instance);
        Assert.Same(a, table.Find(2));
        Assert.Null(table.Find(3));
        Assert.Same(ab, table.Find("/a/b"u8));
        Assert.Same(ab, table.Find("//a/b/"u8));
        Assert.Null(table.Find("/a/bc"u8));
        Assert.Same(root, table.Find("/"u8));
        List<(uint, string)> way = [];
        int cursor = 0;
        while (table.NextCovering("/a/b/c/d"u8, ref cursor, out ReadOnlySpan<byte> rest) is { } export)
            way.Add((export.Id, System.Text.Encoding.ASCII.GetString(rest)));
        Assert.Equal([(7u, "/c/d"), (2u, "/b/c/d"), (1u, "/a/b/c/d")], way);
        Assert.Throws<ArgumentException>(() => new ExportTable([a, a], NoHostNames.Instance));
        Assert.Throws<ArgumentException>(() => new Export(1, "/a/", InodeId.Root, []));
        Assert.Throws<ArgumentException>(() => new Export(0, "/a", InodeId.Root, []));
    }

    [Fact]
    public void Lookups_and_decisions_allocate_nothing()
    {
        var table = new ExportTable([new Export(9, "/a/b", InodeId.Root, Make("10.0.0.0/8(rw)", "*(ro)").Rules)], NoHostNames.Instance);
        ClientAddress client = Address("192.0.2.1");
        long Once()
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++)
                Assert.True(table.Find(9) is { } export && table.Decide(client, 1, export).IsAllowed && table.Find("/a/b"u8) == export);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Once();
        Assert.Equal(0, Once());
    }

    [Fact]
    public void A_name_whose_lookup_fails_keeps_its_addresses()
    {
        bool isDown = false;
        var names = new HostNameCache(name => isDown ? throw new SocketException((int)SocketError.TryAgain) : [IPAddress.Parse("192.0.2.9")]);
        Assert.Empty(names.Refresh(["h"]));
        isDown = true;
        Assert.Equal("g", names.Refresh(["h", "g"])[1].Host);
        Assert.True(names.IsAddressOf("h", Address("192.0.2.9")));
        Assert.False(names.IsResolved("g"));
        names.Refresh([]);
        Assert.False(names.IsAddressOf("h", Address("192.0.2.9")));
    }

    [Fact]
    public void A_file_of_exports_is_read_as_exports_5_has_it()
    {
        const string text = """
            # comment
            /srv/a   10.0.0.0/8(rw,no_subtree_check,fsid=0) host(ro)   # more
            "/srv/with space" -rw,async *.bad(ro)
            /srv/b\040c -rw,insecure h1 \
                     h2(ro) *

            /open
            """;
        IReadOnlyList<ExportsEntry> entries = ExportsFile.Parse(text, out IReadOnlyList<ExportsError> errors);
        Assert.Equal("line 3: client '*.bad': patterns of host names are not known here, for they need reverse lookups; name the hosts or their network", Assert.Single(errors).ToString());
        Assert.Equal(["/srv/a", "/srv/b c", "/open"], entries.Select(static e => e.Path));
        Assert.Equal((2, 4, 7), (entries[0].Line, entries[1].Line, entries[2].Line));
        Assert.Equal(["no_subtree_check", "fsid"], entries[0].Ignored);
        Assert.Equal(["h1", "h2", "*"], entries[1].Rules.Select(static r => r.Host));
        Assert.Equal([(true, true), (false, true), (true, true)], entries[1].Rules.Select(static r => (r.Options.Writable, r.Options.Insecure)));
        Assert.Equal("*(ro,root_squash,anonuid=65534,anongid=65534,secure,sync,sec=sys)", Assert.Single(entries[2].Rules).ToString());
    }

    [Theory]
    [InlineData("relative *(rw)", "line 1: 'relative': the path of an export begins with '/'")]
    [InlineData("/a *(rw)\n/a/ *(ro)", "line 2: '/a' has the client * already, in line 1")]
    [InlineData("/a 10.0.0.1(rw) 10.0.0.1/32(ro)", "line 1: '/a' has the client 10.0.0.1 already, in line 1")]
    [InlineData("/a 10.0.0.1(rw,refer=/x@y)", "line 1: client '10.0.0.1': option 'refer' cannot be served")]
    [InlineData("/a 10.0.0.1(sec=krb5,rw,sec=sys,ro)", "line 1: client '10.0.0.1': sec=krb5 cannot be served")]
    [InlineData("/a *(rw", "line 1: '*(rw'")]
    [InlineData("\n\"/a *(rw)", "line 2: a quotation mark is not closed")]
    [InlineData("/a/../b *", "line 1: '/a/../b'")]
    [InlineData("/a -bogus *", "line 1: option 'bogus'")]
    public void Errors_of_a_file_name_the_line(string text, string start)
    {
        ExportsFile.Parse(text, out IReadOnlyList<ExportsError> errors);
        Assert.StartsWith(start, Assert.Single(errors).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_path_may_stand_in_several_lines_and_what_is_open_to_all_by_a_blank_is_marked()
    {
        const string text = """
            /a 10.0.0.1(rw,sec=krb5p:sys)
            /a 10.0.0.2 (rw)
            /b
            /c *(ro)
            """;
        IReadOnlyList<ExportsEntry> entries = ExportsFile.Parse(text, out IReadOnlyList<ExportsError> errors);
        Assert.Empty(errors);
        Assert.Equal([(1, "/a", false), (2, "/a", true), (3, "/b", true), (4, "/c", false)], entries.Select(static e => (e.Line, e.Path, e.IsOpenUnsaid)));
        Assert.Equal("sec=krb5p", Assert.Single(entries[0].Ignored));
    }

    private static Export Make(params string[] rules) => new(1, "/x", InodeId.Root, rules.Select(static rule => ClientRule.Parse(rule, out _)!));

    private static ClientAddress Address(string text)
    {
        Assert.True(ClientAddress.TryParse(text, out ClientAddress address));
        return address;
    }
}
