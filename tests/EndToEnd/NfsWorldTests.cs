namespace EndToEnd;

/// <summary>
/// With rpcbind and several clients, in a world of their own (network, /run, process ids): the machine's rpcbind, if it has one, sees nothing of it, and whatever is left ends with it.
/// </summary>
public sealed class NfsWorldTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("world").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    /// <summary>Runs a script with rpcbind and a gatewayd that serves on port 2049 of all addresses, mounted on $ROOT/mnt.</summary>
    private ShellResult Run(string script)
    {
        string file = Path.Combine(_root, "script");
        File.WriteAllText(
            file,
            $$"""
            set -eu
            ROOT={{_root}}
            ctl() { {{Shell.Program("gatewayctl")}} --data $ROOT/data "$@"; }
            wait_for() { local tries=600; until "$@"; do [ $((tries -= 1)) -gt 0 ] || { echo "never: $*" >&2; exit 1; }; sleep 0.1; done; }
            start() {
                : >$ROOT/log
                {{Shell.Program("gatewayd")}} --data $ROOT/data --mount $ROOT/mnt --nfs 0.0.0.0:2049 --set nfs.rpcbind=yes 2>$ROOT/log &
                daemon=$!
                wait_for grep -q ': serving ' $ROOT/log
            }
            # lock FILE [wait]: takes a POSIX lock as a local program does, and lets it go.
            lock() { perl -e 'use Fcntl qw(:DEFAULT); open my $file, "+<", $ARGV[0] or die; my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0); exit(fcntl($file, $ARGV[1] ? F_SETLKW : F_SETLK, $lock) ? 0 : 1)' "$@"; }
            # guest NUMBER: a machine with the address 10.77.0.NUMBER that runs $ROOT/guestNUMBER.
            guest() {
                ip tuntap add tap$1 mode tap
                ip link set tap$1 master bridge up
                {{Path.Combine(Shell.Checkout, "scripts", "nfs-guest")}} --tap tap$1 --address 10.77.0.$1/24 --program rpcbind --program rpc.statd --program flock --timeout 110 $ROOT/guest$1
            }
            mount -t tmpfs none /run
            ip link set lo up
            ip link add bridge type bridge
            ip address add 10.77.0.1/24 dev bridge
            ip link set bridge up
            mkdir -p $ROOT/mnt
            rpcbind -f &
            wait_for rpcinfo -p 127.0.0.1 >/dev/null 2>&1
            {{script}}
            """);
        return Shell.Run("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", file);
    }

    [Fact]
    public void The_tools_of_other_machines_find_programs_and_exports()
    {
        ShellResult result = Run(
            """
            start
            ctl export add / --client 127.0.0.1:rw --client 192.0.2.0/24 >/dev/null
            ctl status | grep 'rpcbind: registered'
            rpcinfo -p 127.0.0.1
            showmount -e 127.0.0.1
            kill -9 $daemon; wait $daemon || true
            umount -l $ROOT/mnt
            start
            kill $daemon; wait $daemon
            echo gone:
            rpcinfo -p 127.0.0.1
            """);
        Assert.True(result.ExitCode == 0, result.ToString());
        string[] parts = result.Output.Split("gone:");
        foreach (string line in (string[])["100003    3   tcp   2049  nfs", "100005    3   tcp   2049  mountd", "100021    4   tcp   2049  nlockmgr", "/ 127.0.0.1,192.0.2.0/24"])
            Assert.Contains(line, parts[0], StringComparison.Ordinal);
        Assert.DoesNotContain("2049", parts[1], StringComparison.Ordinal);
    }

    /// <summary>What each guest of a lock test begins with.</summary>
    private void WriteGuest(int number, string script) => File.WriteAllText(
        Path.Combine(_root, $"guest{number}"),
        $$"""
        set -e
        wait_for() { n=0; until [ -e $1 ]; do sleep 0.2; n=$((n + 1)); [ $n -lt 400 ] || { echo "never: $1"; exit 1; }; done; }
        rpcbind -w
        rpc.statd --no-notify
        mkdir -p /mnt
        mount -t nfs -o vers=3,proto=tcp,noac 10.77.0.1:/ /mnt
        cd /mnt
        exec 9>>file
        {{script}}
        """);

    [Fact]
    public void Locks_of_two_clients_and_of_local_programs_exclude_each_other_and_waiters_are_woken()
    {
        WriteGuest(2, "flock -x 9; touch first-has-it; wait_for release; flock -u 9");
        WriteGuest(3, "wait_for first-has-it; flock -n 9 && exit 3; touch second-refused; flock -x 9; [ -e release ]; touch second-has-it; wait_for release-second");
        ShellResult result = Run(
            """
            start
            ctl export add / --client 10.77.0.0/24:rw,no_root_squash >/dev/null
            guest 2 & first=$!
            guest 3 & second=$!
            cd $ROOT/mnt
            wait_for [ -e second-refused ]
            lock file && exit 4
            sleep 1
            [ ! -e second-has-it ]
            touch release
            wait_for [ -e second-has-it ]
            lock file && exit 5
            touch release-second
            lock file wait
            wait $first
            wait $second
            cd /
            kill $daemon
            wait $daemon
            """);
        Assert.True(result.ExitCode == 0, result.ToString());
    }

    [Fact]
    public void A_client_is_told_of_a_restart_and_gets_its_locks_back()
    {
        WriteGuest(2, "flock -x 9; touch has-it; wait_for release; flock -u 9; touch released");
        ShellResult result = Run(
            """
            start
            ctl export add / --client 10.77.0.0/24:rw,no_root_squash >/dev/null
            guest 2 & first=$!
            wait_for [ -e $ROOT/mnt/has-it ]
            kill -9 $daemon; wait $daemon || true
            umount -l $ROOT/mnt
            start
            locks_held() { ctl status --json | grep -q '"locksHeld":1,'; }
            wait_for locks_held
            lock $ROOT/mnt/file && exit 4
            touch $ROOT/mnt/release
            wait $first
            lock $ROOT/mnt/file
            kill $daemon
            wait $daemon
            """);
        Assert.True(result.ExitCode == 0, result.ToString());
    }

    [Fact]
    public void Without_rpcbind_a_start_that_wants_it_is_refused()
    {
        ShellResult result = Run($"kill %1; wait; rm -f /run/rpcbind.sock; {Shell.Program("gatewayd")} --data $ROOT/data --nfs 127.0.0.1:2049 --set nfs.rpcbind=yes");
        Assert.True(result.ExitCode == 69, result.ToString());
        Assert.Contains("start rpcbind (package rpcbind), or set nfs.rpcbind to auto", result.Error, StringComparison.Ordinal);
    }
}
