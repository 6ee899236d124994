namespace EndToEnd;

/// <summary>Each option of an export, with clients that it is for and clients that it is not for.</summary>
public sealed class NfsExportTests
{
    private const uint Refused = 13, Stale = 70, BadHandle = 10001;

    /// <summary>Two machines of one network and one of another; the first of them has a name.</summary>
    private const string Machines =
        """
        echo '10.77.0.2 near.example' >$ROOT/hosts
        echo "fd77::1 gateway6.example" >>$ROOT/hosts
        mount --bind $ROOT/hosts /etc/hosts
        ip address add 10.78.0.1/24 dev bridge
        client near 10.77.0.2/24 fd77::2/64
        client next 10.77.0.3/24 fd77::3/64
        client away 10.78.0.2/24
        start --nfs [::]:2049
        mkdir $ROOT/mnt/d
        chmod 777 $ROOT/mnt/d
        echo content >$ROOT/mnt/d/file
        URL=nfs://10.77.0.1/d
        fail() { echo "wrong: $*" >&2; exit 1; }
        # rules RULE...: the export has these and no others.
        rules() { printf '/d'; printf ' %s' "$@"; echo; }
        export_to() { rules "$@" >$ROOT/exports; ctl export import $ROOT/exports >/dev/null; }
        url() { [ $1 != away ] && echo nfs://10.77.0.1/d || echo nfs://10.78.0.1/d; }
        reads() { [ "$(on $1 nfs-cat $(url $1)/file?version=3 2>/dev/null)" = content ]; }
        writes() { on $1 nfs-cp $ROOT/hosts "$(url $1)/from-$1?version=3" >/dev/null 2>&1; }
        # let RULES in MACHINE...: these may read and no others.
        let() {
            export_to $1
            for machine in near next away; do
                case " ${*:2} " in
                *" $machine "*) reads $machine || fail "$1 keeps $machine out" ;;
                *) if reads $machine; then fail "$1 lets $machine in"; fi ;;
                esac
            done
        }

        """;

    [Fact]
    public void Addresses_networks_names_and_everybody()
    {
        using var world = new NfsWorld();
        world.Succeed(Machines +
            """
            let '10.77.0.2(ro)' near
            let '10.77.0.0/24(ro)' near next
            let '10.77.0.2/31(ro)' near next
            let '10.77.0.0/255.255.255.0(ro)' near next
            let '10.0.0.0/8(ro)' near next away
            let '10.78.0.2(ro)' away
            let 'near.example(ro)' near
            let 'NEAR.example(ro) 10.78.0.0/16(ro)' near away
            let '*(ro)' near next away
            let '192.0.2.0/24(ro)'
            let 'fd77::2(ro)'

            # libnfs knows no literal IPv6 address, and asks rpcbind over IPv4 only.
            six() { [ "$(on $1 nfs-cat "nfs://gateway6.example/d/file?version=3&nfsport=2049&mountport=2049" 2>/dev/null)" = content ]; }
            export_to 'fd77::2(ro)'
            six near || fail "IPv6 address"
            if six next; then fail "another IPv6 address"; fi
            export_to 'fd77::/64(ro)'
            six next || fail "IPv6 network"

            # The rule for the very host decides, whatever stands before it; what it does not say is the default.
            export_to '*(rw)' '10.77.0.0/24(rw)' '10.77.0.2(ro)' 'near.example(rw)'
            reads near || fail "near cannot read"
            if writes near; then fail "near writes"; fi
            writes next || fail "next cannot write"
            writes away || fail "away cannot write"
            export_to '*(ro)' 'near.example(rw)'
            rm $ROOT/mnt/d/from-*
            writes near || fail "near cannot write"
            if writes away; then fail "away writes"; fi
            """);
    }

    [Fact]
    public void What_a_kernel_client_may_and_may_not()
    {
        using var world = new NfsWorld();
        world.WriteGuest(
            2,
            """
            fail() { echo "wrong: $1"; exit 1; }
            wait_for() { n=0; until [ -e /mnt/all/$1 ]; do sleep 0.2; n=$((n + 1)); [ $n -lt 400 ] || fail "never: $1"; done; }
            # mount_on DIRECTORY PATH [OPTION]
            mount_on() { mkdir -p $1; mount -t nfs -o vers=3,proto=tcp,nolock,noac${3:+,$3} 10.77.0.1:$2 $1; }
            get() { mount_on /mnt/${1##*/} $1 ${2-}; }
            # refused WHY PATH [OPTION]
            refused() { if mount_on /refused $2 ${3-} 2>/tmp/error; then fail "$2 ${3-} is let in"; fi; grep -q "$1" /tmp/error || fail "$2 ${3-}: $(cat /tmp/error)"; }
            says() { words=$1; shift; "$@" 2>/tmp/error && fail "$* succeeds"; grep -q "$words" /tmp/error || fail "$*: $(cat /tmp/error)"; }
            owner() { [ "$(stat -c %u:%g $1)" = $2 ] || fail "$1 has $(stat -c %u:%g $1), not $2"; }
            # as UID COMMAND: a user with that number as group too.
            as() { grep -q "^u$1:" /etc/passwd || echo "u$1:x:$1:$1::/:/bin/sh" >>/etc/passwd; su u$1 -c "$2"; }
            get /all

            get /ro
            [ "$(cat /mnt/ro/file)" = content ] || fail "ro cannot read"
            says 'Read-only' touch /mnt/ro/new
            says 'Read-only' rm /mnt/ro/file
            says 'Read-only' mkdir /mnt/ro/new
            says 'Read-only' chmod 600 /mnt/ro/file

            refused denied /elsewhere
            refused denied /secure noresvport
            get /secure
            get /insecure noresvport
            touch /mnt/secure/a /mnt/insecure/a

            # What root may not where it is squashed: what is another's.
            get /root
            touch /mnt/root/by-root
            owner /mnt/root/by-root 65534:65534
            says 'denied' cat /mnt/root/private
            says 'not permitted' chown 5:5 /mnt/root/by-root
            says 'not permitted' chmod 777 /mnt/root/private
            as 1000 'touch /mnt/root/by-1000'
            owner /mnt/root/by-1000 1000:1000
            touch /mnt/all/by-root
            owner /mnt/all/by-root 0:0
            [ "$(cat /mnt/all/private)" = content ] || fail "no_root_squash cannot read"
            chown 5:6 /mnt/all/by-root
            owner /mnt/all/by-root 5:6
            as 1000 'cat /mnt/all/private' 2>/dev/null && fail "no_root_squash is for others than root"
            get /anyone
            touch /mnt/anyone/by-root
            as 1000 'touch /mnt/anyone/by-1000'
            owner /mnt/anyone/by-root 1234:5678
            owner /mnt/anyone/by-1000 1234:5678
            as 1000 'cat /mnt/anyone/mine' >/dev/null || fail "everybody is 1234"
            get /anon
            touch /mnt/anon/by-root
            as 1000 'touch /mnt/anon/by-1000'
            owner /mnt/anon/by-root 77:88
            owner /mnt/anon/by-1000 1000:1000

            # A directory below the root of the file system, and one below an export.
            get /all/deep/sub
            [ "$(ls -A /mnt/sub)" = inside ] || fail "sub shows $(ls -A /mnt/sub)"
            [ "$(stat -c %i /mnt/sub/.)" != "$(stat -c %i /mnt/sub/inside)" ]

            # All that follows while it is mounted, from one call to the next.
            touch /mnt/all/read-only; wait_for is-read-only
            says 'Read-only' touch /mnt/secure/b
            [ -e /mnt/secure/a ] || fail "read only, and cannot read"
            touch /mnt/all/read-write; wait_for is-read-write
            touch /mnt/secure/b || fail "not writable again"
            touch /mnt/all/another; wait_for is-another
            says 'denied' ls /mnt/secure/b
            touch /mnt/all/squashed; wait_for is-squashed
            touch /mnt/secure/c
            owner /mnt/secure/c 9:9
            touch /mnt/all/removed; wait_for is-removed
            says 'Stale' ls /mnt/secure/b
            refused 'No such' /secure
            """);
        world.Succeed(
            """
            start
            cd $ROOT/mnt
            mkdir -p all/deep/sub/inside ro elsewhere secure insecure root anyone anon
            chmod 777 *
            for directory in all ro root; do echo content >$directory/file; echo content >$directory/private; chmod 600 $directory/private; done
            echo mine >anyone/mine; chown 1234 anyone/mine; chmod 600 anyone/mine
            to() { ctl export add $1 --client 10.77.0.2:$2 >/dev/null; }
            to /all rw,no_root_squash
            to /ro ro,no_root_squash
            ctl export add /elsewhere --client 10.77.0.3:rw >/dev/null
            to /secure rw,secure
            to /insecure rw,insecure
            to /root rw
            to /anyone rw,no_root_squash,all_squash,anonuid=1234,anongid=5678
            to /anon rw,root_squash,anonuid=77,anongid=88,sec=sys,async
            guest 2 & guest=$!
            step() { wait_for [ -e all/$1 ]; "${@:2}" >/dev/null; touch all/is-$1; }
            step read-only to /secure ro
            step read-write to /secure rw
            step another ctl export import - <<<'/secure 10.77.0.3(rw)'
            step squashed to /secure rw,all_squash,anonuid=9,anongid=9
            step removed ctl export rm /secure
            wait $guest
            cd /
            kill $daemon
            wait $daemon
            """);
    }

    [Fact]
    public void Handles_do_not_lead_out_of_their_export()
    {
        using var share = new NfsShare();
        GatewayInstance gateway = share.Gateway;
        Directory.CreateDirectory(gateway.PathOf("a/sub/inside"));
        Directory.CreateDirectory(gateway.PathOf("a/secret"));
        share.Export("/a/sub", "127.0.0.1:rw,no_root_squash");
        share.Export("/a/secret", "192.0.2.1");
        using var client = new LibNfs("127.0.0.1", share.Port);
        Assert.Equal(Refused, client.Mount("/a/secret").Status);
        foreach (string path in (string[])["/", "/a", "/a/sub/../secret", "/a/sub/..", "/a/sub/../../a/secret"])
            Assert.NotEqual(0u, client.Mount(path).Status);

        byte[] root = Found(client.Mount("/a/sub")), inside = Found(client.Lookup(root, "inside"));
        Assert.Equal(root, Found(client.Lookup(root, "..")));
        Assert.Equal(root, Found(client.Lookup(inside, "..")));
        foreach (string name in (string[])["../secret", "../../a", "inside/../../secret", "/", ""])
            Assert.NotEqual(0u, client.Lookup(root, name).Status);

        // A directory that is moved out keeps its handle, but what it lies in now is none of the client's business.
        Directory.Move(gateway.PathOf("a/sub/inside"), gateway.PathOf("a/secret/inside"));
        Assert.Equal(inside, Found(client.Lookup(inside, ".")));
        Assert.Equal(Refused, client.Lookup(inside, "..").Status);
        for (int bit = 0; bit < root.Length * 8; bit += 7)
        {
            byte[] forged = [.. root];
            forged[bit / 8] ^= (byte)(1 << bit % 8);
            Assert.Equal(BadHandle, client.Lookup(forged, "x").Status);
        }

        // A handle of an export that is gone opens nothing, not even where another export holds the same directory.
        share.Export("/a", "127.0.0.1:rw,no_root_squash");
        gateway.Ask("export", "rm", "/a/sub");
        Assert.Equal(Stale, client.Lookup(root, ".").Status);
        Found(client.Lookup(Found(client.Mount("/a")), "secret"));

        static byte[] Found((uint Status, byte[] Handle) answer)
        {
            Assert.Equal(0u, answer.Status);
            return answer.Handle;
        }
    }
}
