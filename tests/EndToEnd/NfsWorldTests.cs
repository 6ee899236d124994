namespace EndToEnd;

/// <summary>With rpcbind and several clients.</summary>
public sealed class NfsWorldTests : IDisposable
{
    private readonly NfsWorld _world = new();

    public void Dispose() => _world.Dispose();

    [Fact]
    public void The_tools_of_other_machines_find_programs_and_exports()
    {
        ShellResult result = _world.Run(
            """
            start
            ctl export add / --client 127.0.0.1:rw --client 192.0.2.0/24 >/dev/null
            ctl status | grep 'rpcbind: registered'
            rpcinfo -p 127.0.0.1
            showmount -e 127.0.0.1
            echo content >$ROOT/mnt/file
            nfs-cat 'nfs://127.0.0.1//file?version=3'
            showmount -a 127.0.0.1
            killed
            start
            kill $daemon; wait $daemon
            echo gone:
            rpcinfo -p 127.0.0.1
            """);
        Assert.True(result.ExitCode == 0, result.ToString());
        string[] parts = result.Output.Split("gone:");
        foreach (string line in (string[])["100003    3   tcp   2049  nfs", "100005    3   tcp   2049  mountd", "100021    4   tcp   2049  nlockmgr", "100024    1   udp   2049  status", "/ 127.0.0.1,192.0.2.0/24", "127.0.0.1:/\n"])
            Assert.Contains(line, parts[0], StringComparison.Ordinal);
        Assert.DoesNotContain("2049", parts[1], StringComparison.Ordinal);
    }

    /// <summary>What each guest of a lock test begins with.</summary>
    private void WriteGuest(int number, string script) => _world.WriteGuest(
        number,
        $$"""
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
        ShellResult result = _world.Run(
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
    public void Locks_of_a_client_that_has_crashed_are_dropped_when_it_says_so_by_UDP()
    {
        WriteGuest(2, "flock -x 9; cp -r /var/lib/nfs state; touch has-it; poweroff -f");
        _world.WriteGuest(
            3,
            """
            rpcbind -w
            mkdir -p /mnt
            mount -t nfs -o vers=3,proto=tcp,nolock,noac 10.77.0.1:/ /mnt
            cp -r /mnt/state/* /var/lib/nfs/
            sm-notify
            n=0; until [ -e /mnt/locked ]; do sleep 0.2; n=$((n + 1)); [ $n -lt 300 ] || exit 1; done
            umount /mnt
            """);
        ShellResult result = _world.Run(
            """
            start
            ctl export add / --client 10.77.0.0/24:rw,no_root_squash >/dev/null
            guest 2 || true
            [ -e $ROOT/mnt/has-it ]
            lock $ROOT/mnt/file && exit 4
            ip link delete tap2
            guest 2 $ROOT/guest3 & again=$!
            wait_for lock $ROOT/mnt/file
            touch $ROOT/mnt/locked
            wait $again
            grep 'has rebooted (told by 10.77.0.2)' $ROOT/log
            kill $daemon
            wait $daemon
            """);
        Assert.True(result.ExitCode == 0, result.ToString());
    }

    [Fact]
    public void A_client_is_told_of_a_restart_and_gets_its_locks_back()
    {
        WriteGuest(2, "flock -x 9; touch has-it; wait_for release; flock -u 9; touch released");
        ShellResult result = _world.Run(
            """
            start
            ctl export add / --client 10.77.0.0/24:rw,no_root_squash >/dev/null
            guest 2 & first=$!
            wait_for [ -e $ROOT/mnt/has-it ]
            killed
            start

            # Whoever asks now asks before the client has its lock back, and waits until it has.
            lock $ROOT/mnt/file && exit 4
            ctl status --json | grep -q '"locksHeld":1,'
            grep 'locks are given to everybody again' $ROOT/log
            touch $ROOT/mnt/release
            wait $first
            lock $ROOT/mnt/file
            kill $daemon
            wait $daemon
            """);
        Assert.True(result.ExitCode == 0, result.ToString());
    }

    [Fact]
    public void Without_rpcbind_all_but_locks_works_and_it_is_registered_once_there_is_one()
    {
        _world.Succeed(
            """
            kill $rpcbind
            wait $rpcbind || true
            rm -f /run/rpcbind.sock
            start --set nfs.rpcbind=auto
            grep 'NFS is not registered with rpcbind: .*(port=, mountport=) and mount with nolock' $ROOT/log
            ctl status | grep 'rpcbind: rpcbind cannot be reached'
            ctl export add / --client 127.0.0.1:rw >/dev/null
            echo content >$ROOT/mnt/file
            [ "$(nfs-cat 'nfs://127.0.0.1//file?version=3&nfsport=2049&mountport=2049')" = content ]
            rpcbind -f &
            rpcbind=$!
            shown() { showmount -e 127.0.0.1 2>/dev/null | grep -q '/ 127.0.0.1'; }
            wait_for shown
            told() { ctl status | grep -q "rpcbind: $1"; }
            wait_for told registered
            grep 'NFS is registered with rpcbind now' $ROOT/log
            kill $rpcbind
            wait $rpcbind || true
            wait_for told 'rpcbind cannot be reached'
            """);
    }

    [Fact]
    public void Without_rpcbind_a_start_that_wants_it_is_refused()
    {
        ShellResult result = _world.Run($"kill %1; wait; rm -f /run/rpcbind.sock; {Shell.Program("gatewayd")} --data $ROOT/data --nfs 127.0.0.1:2049 --set nfs.rpcbind=yes");
        Assert.True(result.ExitCode == 69, result.ToString());
        Assert.Contains("start rpcbind (package rpcbind)", result.Error, StringComparison.Ordinal);
    }
}
