namespace EndToEnd;

/// <summary>
/// A world of its own (network, /run, process ids) for scripts with rpcbind, machines and a gatewayd: the real machine's rpcbind, if it has one, sees nothing of it, and whatever is
/// left ends with it.
/// </summary>
internal sealed class NfsWorld : IDisposable
{
    /// <summary>$ROOT of the scripts.</summary>
    public string Root { get; } = Directory.CreateTempSubdirectory("world").FullName;

    public void Dispose() => Directory.Delete(Root, recursive: true);

    /// <summary>A script that <c>guest NUMBER</c> runs in a virtual machine.</summary>
    public void WriteGuest(int number, string script) => File.WriteAllText(Path.Combine(Root, $"guest{number}"), "set -e\n" + script);

    /// <summary>
    /// Runs a script with rpcbind, in the middle of a network: 10.77.0.1 and fd77::1 are its addresses. It calls <c>start</c> for a daemon on port 2049 of all IPv4 addresses, mounted on
    /// $ROOT/mnt and registered with rpcbind, <c>killed</c> to kill it, <c>ctl</c> for its gatewayctl, and has the machines that <c>client</c> and <c>guest</c> make.
    /// </summary>
    public ShellResult Run(string script)
    {
        string file = Path.Combine(Root, "script");
        File.WriteAllText(
            file,
            $$"""
            set -eu
            ROOT={{Root}}
            ctl() { {{Shell.Program("gatewayctl")}} --data $ROOT/data "$@"; }
            wait_for() { local tries=600; until "$@"; do [ $((tries -= 1)) -gt 0 ] || { echo "never: $*" >&2; exit 1; }; sleep 0.1; done; }
            # start [OPTION...]
            start() {
                : >$ROOT/log
                {{Shell.Program("gatewayd")}} --data $ROOT/data --mount $ROOT/mnt --nfs 0.0.0.0:2049 --set nfs.rpcbind=yes --set nfs.grace-period=20s "$@" 2>$ROOT/log &
                daemon=$!
                wait_for grep -q ': serving ' $ROOT/log
            }
            # lock FILE [wait]: takes a POSIX lock as a local program does, and lets it go.
            lock() { perl -e 'use Fcntl qw(:DEFAULT); open my $file, "+<", $ARGV[0] or die; my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0); exit(fcntl($file, $ARGV[1] ? F_SETLKW : F_SETLK, $lock) ? 0 : 1)' "$@"; }
            killed() { kill -9 $daemon; wait $daemon || true; umount -l $ROOT/mnt; }
            # guest NUMBER [SCRIPT]: a machine with the address 10.77.0.NUMBER that runs SCRIPT, or $ROOT/guestNUMBER.
            guest() {
                ip tuntap add tap$1 mode tap
                ip link set tap$1 master bridge up
                {{Path.Combine(Shell.Checkout, "scripts", "nfs-guest")}} --tap tap$1 --address 10.77.0.$1/24 --program rpcbind --program rpc.statd --program flock --program sm-notify --timeout 110 ${2:-$ROOT/guest$1}
            }
            # client NAME ADDRESS/BITS...: a machine with these addresses, in which "on NAME COMMAND..." runs programs.
            client() {
                local name=$1
                ip netns add $name
                ip link add to-$name type veth peer name net netns $name
                ip link set to-$name master bridge up
                shift
                for address; do ip -n $name address add $address dev net nodad; done
                ip -n $name link set net up
            }
            on() { nsenter --net=/run/netns/$1 "${@:2}"; }
            mount -t tmpfs none /run
            ip link set lo up
            ip link add bridge type bridge
            ip address add 10.77.0.1/24 dev bridge
            ip address add fd77::1/64 dev bridge nodad
            ip link set bridge up
            mkdir -p $ROOT/mnt
            rpcbind -f &
            rpcbind=$!
            wait_for rpcinfo -p 127.0.0.1 >/dev/null 2>&1
            {{script}}
            """);
        return Shell.Run("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", file);
    }

    /// <summary>As <see cref="Run"/>, asserting success; returns what was printed.</summary>
    public string Succeed(string script)
    {
        ShellResult result = Run(script);
        Assert.True(result.ExitCode == 0, result.ToString());
        return result.Output;
    }
}
