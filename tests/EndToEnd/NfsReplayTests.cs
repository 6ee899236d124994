using Gateway.Tests.Nfs;

namespace EndToEnd;

/// <summary>
/// A client that has heard no answer sends the same bytes again, perhaps to a server that was killed in between: it gets the answer of the first time, and nothing is done twice.
/// Over a kill the answer is made anew from the op log, so it says what is true now of what changes with time, and nothing of how directories were before:
/// a client that is told pre_op_attr takes all that has happened since for its own doing.
/// </summary>
public sealed class NfsReplayTests : IDisposable
{
    private const uint GetAttr = 1, Create = 8, MkDir = 9, Symlink = 10, Remove = 12, RmDir = 13, Rename = 14, Link = 15;
    private const uint Guarded = 1, Exclusive = 2;

    private readonly NfsShare _share = new(mountOptions: "noatime"); // what the tests see of the tree is not to change it
    private readonly RawNfsClient _client, _other;
    private readonly byte[] _root;

    public NfsReplayTests()
    {
        _share.Export("/", "127.0.0.0/8:rw,no_root_squash,insecure");
        _client = new RawNfsClient(_share.Port, "127.0.0.1");
        _other = new RawNfsClient(_share.Port, "127.0.0.2");
        _root = _client.MountRoot("/");
    }

    private GatewayInstance Gateway => _share.Gateway;

    public void Dispose()
    {
        _client.Dispose();
        _other.Dispose();
        _share.Dispose();
    }

    /// <summary>One call of each kind, each in directories of its own (d0, d1, …), so that nothing but itself changes what it answers.</summary>
    /// <param name="Made">Whether the answer names an object that was made.</param>
    private sealed record Case(uint Xid, string Name, uint Procedure, bool Made, byte[] Message);

    private List<Case> MakeCases()
    {
        List<Case> cases = [];
        byte[] Directory()
        {
            string name = $"d{cases.Count}";
            System.IO.Directory.CreateDirectory(Gateway.PathOf(name + "/gone-dir"));
            System.IO.Directory.CreateDirectory(Gateway.PathOf(name + "/to"));
            File.WriteAllText(Gateway.PathOf(name + "/gone"), "removed");
            File.WriteAllText(Gateway.PathOf(name + "/there"), "content");
            return _client.Lookup(_root, name);
        }

        void Add(string name, uint procedure, bool made, Func<byte[], Xdr> arguments)
        {
            uint xid = 1000 + (uint)cases.Count;
            cases.Add(new Case(xid, name, procedure, made, RawNfsClient.Call(xid, procedure, arguments(Directory()))));
        }

        Add("MKDIR", MkDir, made: true, static d => new Xdr().Opaque(d).Text("new").Sattr(mode: 0x1ED));
        Add("CREATE EXCLUSIVE", Create, made: true, static d => new Xdr().Opaque(d).Text("new").U32(Exclusive).U64(0x1234567890));
        Add("CREATE GUARDED", Create, made: true, static d => new Xdr().Opaque(d).Text("new").U32(Guarded).Sattr(mode: 0x1A4, size: 5));
        Add("SYMLINK", Symlink, made: true, static d => new Xdr().Opaque(d).Text("new").Sattr().Text("target"));
        Add("REMOVE", Remove, made: false, static d => new Xdr().Opaque(d).Text("gone"));
        Add("RMDIR", RmDir, made: false, static d => new Xdr().Opaque(d).Text("gone-dir"));
        Add("RENAME", Rename, made: false, d => new Xdr().Opaque(d).Text("there").Opaque(_client.Lookup(d, "to")).Text("new"));
        Add("LINK", Link, made: false, d => new Xdr().Opaque(_client.Lookup(d, "there")).Opaque(d).Text("new"));
        Shell.Succeed("bash", "-c", $"sync {Gateway.MountPoint}/d*/{{gone,there}}"); // a kill may take the times of writes that nobody has fsynced
        return cases;
    }

    private void Restart()
    {
        Gateway.Kill();
        Shell.Succeed("umount", "-l", Gateway.MountPoint);
        Gateway.Start();
        _client.Reconnect();
        _other.Reconnect();
    }

    /// <summary>The answer without the wcc_attr of its wcc_data, which stands at the end of all of them and before its post_op_attr.</summary>
    private static byte[] WithoutBefore(Case call, byte[] reply)
    {
        const int wccAttr = 24, postOp = 4 + 84, wcc = 4 + wccAttr + postOp;
        int[] starts = call.Procedure == Rename ? [reply.Length - 2 * wcc, reply.Length - wcc] : [reply.Length - wcc];
        foreach (int start in starts.Reverse())
        {
            Assert.Equal(1, reply[start + 3]);
            reply = [.. reply[..start], 0, 0, 0, 0, .. reply[(start + 4 + wccAttr)..]];
        }

        return reply;
    }

    private static uint StatusOf(byte[] reply) => RawNfsClient.Results(reply).U32();

    private string Tree() => Shell.Bash($"cd {Gateway.MountPoint} && find . -printf '%p %i %y %n %s %T@ %C@ %l\n' | sort").Output;

    [Fact]
    public void A_call_repeated_over_a_kill_gets_its_first_answer_and_is_not_done_again()
    {
        List<Case> cases = MakeCases();
        var first = cases.ToDictionary(call => call.Xid, call => _client.Exchange(call.Message));
        Assert.All(cases, call => Assert.Equal((call.Name, 0u), (call.Name, StatusOf(first[call.Xid]))));

        // The same server: to the byte, also over another connection.
        _client.Reconnect();
        Assert.All(cases, call => Assert.Equal(first[call.Xid], _client.Exchange(call.Message)));
        string tree = Tree();

        // After a kill: to the byte but for the state before, and from then on to the byte again.
        Restart();
        foreach (Case call in cases)
        {
            byte[] answer = _client.Exchange(call.Message);
            Assert.Equal((call.Name, Convert.ToHexString(WithoutBefore(call, first[call.Xid]))), (call.Name, Convert.ToHexString(answer)));
            Assert.Equal(answer, _client.Exchange(call.Message));
        }

        Assert.Equal(tree, Tree());
        Assert.Equal(0, Gateway.Stop());
        Assert.Null(Gateway.Check());
    }

    [Fact]
    public void What_others_did_since_stays_and_the_answer_is_still_that_of_the_first_time()
    {
        List<Case> cases = MakeCases();
        var first = cases.ToDictionary(call => call.Xid, call => _client.Exchange(call.Message));

        // Another client's calls with the same numbers are calls of their own: what was made is there, what was removed is gone, for it too.
        Assert.All(cases, call => Assert.Equal((call.Name, call.Procedure is Remove or RmDir or Rename ? 2u : call.Name == "CREATE EXCLUSIVE" ? 0u : 17u), (call.Name, StatusOf(_other.Exchange(call.Message)))));
        Shell.Succeed("bash", "-ec", $"cd {Gateway.MountPoint}; rm -r d0/new d3/new; echo other >d4/gone; mkdir d5/gone-dir; echo other >d6/there; rm d7/new; echo changed >d2/new");
        Restart();

        string tree = Tree();
        foreach (Case call in cases)
        {
            byte[] answer = _client.Exchange(call.Message);
            Assert.Equal((call.Name, 0u), (call.Name, StatusOf(answer)));
            XdrView then = RawNfsClient.Results(first[call.Xid]), now = RawNfsClient.Results(answer);
            then.U32();
            now.U32();
            bool isThere = call.Made && now.Bool();
            Assert.Equal(call.Made && call.Xid is not (1000 or 1003), isThere);
            if (isThere && then.Bool())
                Assert.Equal(then.Opaque(), now.Opaque());
        }

        Assert.Equal(tree, Tree());

        // Where the directory itself is gone, what was done in it was done all the same.
        Shell.Succeed("bash", "-c", $"rm -r {Gateway.MountPoint}/d*");
        Restart();
        Assert.All(cases, call => Assert.Equal((call.Name, 0u), (call.Name, StatusOf(_client.Exchange(call.Message)))));
        XdrView mkdir = RawNfsClient.Results(first[1000]);
        Assert.Equal((0u, true), (mkdir.U32(), mkdir.Bool()));
        Assert.Equal(70u, StatusOf(_client.Exchange(RawNfsClient.Call(5000, MkDir, new Xdr().Opaque(mkdir.Opaque()).Text("x").Sattr())))); // STALE
        Assert.Equal(0, Gateway.Stop());
        Assert.Null(Gateway.Check());
    }

    [Fact]
    public void The_same_number_with_other_bytes_is_another_call()
    {
        string tail = new('t', 3000);
        byte[] Named(string name, string target) => RawNfsClient.Call(7, Symlink, new Xdr().Opaque(_root).Text(name).Sattr().Text(target));
        byte[] first = _client.Exchange(Named("a", tail + "1"));
        Restart();
        Assert.Equal(0u, StatusOf(_client.Exchange(Named("b", tail + "1"))));
        Assert.Equal(17u, StatusOf(_client.Exchange(Named("a", tail + "2")))); // differs in its last byte only
        Assert.Equal(17u, StatusOf(_client.Exchange(RawNfsClient.Call(8, Symlink, new Xdr().Opaque(_root).Text("a").Sattr().Text(tail + "1")))));
        Assert.Equal((0u, 0u), (StatusOf(first), StatusOf(_client.Exchange(Named("a", tail + "1")))));
        Assert.Equal(tail + "1", File.ResolveLinkTarget(Gateway.PathOf("a"), returnFinalTarget: false)!.Name);
    }

    [Fact]
    public void Copies_that_come_while_the_first_is_in_progress_are_not_carried_out()
    {
        byte[] Message(int round) => RawNfsClient.Call(9, MkDir, new Xdr().Opaque(_root).Text($"m{round}").Sattr());
        for (int round = 0; round < 20; round++)
        {
            using var client = new RawNfsClient(_share.Port, "127.0.0.1");
            client.Send([.. Enumerable.Repeat(Message(round), 30)]);
            byte[] answer = client.Receive();
            Assert.Equal(0u, StatusOf(answer));
            client.Send(RawNfsClient.Call(10, GetAttr, new Xdr().Opaque(_root)));

            // Some were passed over, some got the first answer; one more, after it, certainly does.
            _client.Send(Message(round));
            Assert.Equal(answer, _client.Receive());
            for (byte[] next = client.Receive(); next[3] != 10; next = client.Receive())
                Assert.Equal(answer, next);
        }
    }
}
