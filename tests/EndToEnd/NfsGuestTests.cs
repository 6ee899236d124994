namespace EndToEnd;

/// <summary>A real Linux kernel's NFS client in a small virtual machine.</summary>
public sealed class NfsGuestTests : IDisposable
{
    private readonly NfsShare _share = new();

    public NfsGuestTests() => _share.Export("/", "127.0.0.1:rw,no_root_squash,insecure"); // QEMU's network comes from any port

    private GatewayInstance Gateway => _share.Gateway;

    public void Dispose() => _share.Dispose();

    private string Run(string script, params string[] files)
    {
        ShellResult result = _share.Guest("mkdir -p /mnt; mount -t nfs -o $OPTIONS $SERVER:/ /mnt; cd /mnt\n" + script + "\ncd /; umount /mnt", files);
        Assert.True(result.ExitCode == 0, result.ToString());
        return result.Output;
    }

    [Fact]
    public void A_tree_copied_in_has_the_same_checksums_through_FUSE_and_after_a_remount()
    {
        string output = Run(
            """
            i=0; mkdir tree; cd tree
            while [ $i -lt 300 ]; do
                mkdir -p d$((i % 7))/e$((i % 3)); head -c $((i * 37 % 9000)) /dev/urandom >d$((i % 7))/e$((i % 3))/f$i; i=$((i + 1))
            done
            head -c 3000000 /dev/urandom >large
            cp -r /bin/busybox busybox
            find . -type f | sort | xargs md5sum >/tmp/sums
            cd /; umount /mnt; mount -t nfs -o $OPTIONS $SERVER:/ /mnt; cd /mnt/tree
            md5sum -c /tmp/sums >/tmp/log || { grep -v ': OK' /tmp/log; exit 1; }
            cat /tmp/sums
            """);
        Assert.Equal(302, output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        string sums = Path.Combine(Gateway.Root, "sums");
        File.WriteAllText(sums, output);
        Shell.Succeed("bash", "-c", $"cd {Gateway.PathOf("tree")} && md5sum --quiet -c {sums}");
        Assert.Equal(0, Gateway.Stop());
        Assert.Null(Gateway.Check());
    }

    [Fact]
    public void The_client_finds_what_POSIX_promises()
    {
        string longest = new('ü', 127);
        Run(
            $$"""
            fail() { echo "wrong: $1"; exit 1; }
            echo one >open; exec 3<>open; rm open; echo two >&3; ls -a | grep -q '^open$' && fail "unlinked name"; exec 3>&-
            ls -a | grep -q nfs && fail "silly rename left over"
            echo a >appended; echo b >>appended; [ "$(cat appended)" = "$(printf 'a\nb')" ] || fail append
            dd if=/dev/zero of=sparse bs=1 count=1 seek=5368709120 2>/dev/null; [ $(stat -c %s sparse) = 5368709121 ] || fail "beyond 4 GiB"
            [ $(stat -c %b sparse) -lt 100 ] || fail "a hole takes space"
            truncate -s 3 appended; [ "$(cat appended)" = "$(printf 'a\nb')" ] || fail truncate
            echo x >'{{longest}}x'; [ "$(cat '{{longest}}x')" = x ] || fail "255 bytes"
            { echo x >'{{longest}}xy'; } 2>/dev/null && fail "256 bytes"
            ln -s loop loop; cat loop 2>/dev/null && fail "a loop of symlinks"
            mkdir m; mv m n; mv appended n/; [ -f n/appended ] || fail rename; ln n/appended hard; [ $(stat -c %h hard) = 2 ] || fail link
            rmdir n 2>/dev/null && fail "rmdir of a full directory"
            mkfifo fifo; [ -p fifo ] || fail fifo
            touch -d '2001-02-03 04:05:06' hard; [ $(date -r hard +%Y) = 2001 ] || fail times
            chmod 4751 hard; [ $(stat -c %a hard) = 4751 ] || fail mode
            set -o noclobber; echo x >exclusive; { echo y >exclusive; } 2>/dev/null && fail "exclusive create"; set +o noclobber
            i=0; mkdir many; while [ $i -lt 1500 ]; do : >many/entry-with-a-name-$i; i=$((i + 1)); done
            [ $(ls many | sort -u | wc -l) = 1500 ] || fail listing; rm -r many
            """);
        Assert.True(File.Exists(Gateway.PathOf(longest + "x")));
        Assert.False(File.Exists(Gateway.PathOf("open")));
    }

    [Fact]
    public void Users_and_groups_may_what_they_may_on_a_local_file_system()
    {
        Run(
            """
            fail() { echo "wrong: $1"; exit 1; }
            as() { su u$1 -c "$2"; }
            refused() { as $1 "$2" 2>/dev/null && fail "$1 may: $2"; true; }
            may() { as $1 "$2" || fail "$1 may not: $2"; }
            for id in 1000 1001 1002; do echo "u$id:x:$id:$id::/:/bin/sh" >>/etc/passwd; done
            echo friends:x:3000:u1001 >>/etc/group
            i=1; while [ $i -le 20 ]; do echo "g$i:x:$((5000 + i)):u1002" >>/etc/group; i=$((i + 1)); done
            mkdir -m 777 d; cd d

            for name in private shared first last; do echo secret >$name; chmod 640 $name; done
            chgrp 3000 shared; chgrp 5001 first; chgrp 5020 last; echo open >open; chmod 666 open
            for name in private shared first; do refused 1000 "cat $name"; done
            refused 1000 'echo x >>private'; refused 1000 'chmod 666 private'; refused 1000 'chown 1000 private'; refused 1000 'chgrp 1000 private'
            may 1001 'cat shared >/dev/null'; refused 1001 'echo x >>shared'
            may 1002 'cat first >/dev/null'; refused 1002 'cat last' # a call names 16 groups (RFC 5531, appendix A)
            may 1000 'echo x >>open'; may 1000 'touch open'; refused 1000 'touch -d 2001-02-03 open'
            may 1001 'echo x >given; chgrp 3000 given'; refused 1001 'chgrp 5001 given'; refused 1001 'chown 1000 given'

            mkdir -m 1777 sticky; may 1000 'echo x >sticky/mine'
            refused 1001 'rm -f sticky/mine'; refused 1001 'mv sticky/mine sticky/theirs'; may 1000 'mv sticky/mine sticky/still-mine; rm sticky/still-mine'
            mkdir setgid; chgrp 3000 setgid; chmod 2777 setgid; may 1000 'echo x >setgid/file; mkdir setgid/below'
            [ "$(stat -c %g setgid/file) $(stat -c %g setgid/below)" = '3000 3000' ] || fail "the group of what is made in a setgid directory"
            [ -g setgid/below ] || fail "a directory made in a setgid directory"
            may 1000 'echo x >suid; chmod 6755 suid; echo y >>suid'; [ $(stat -c %a suid) = 755 ] || fail "a write keeps setuid: $(stat -c %a suid)"

            # Whoever has made a file may write to it through that descriptor, whatever its mode; whoever may execute may have it read.
            may 1000 'umask 777; echo mine >no-mode'; [ "$(cat no-mode)" = mine ] || fail "a file made without permissions"
            cp /bin/busybox busybox; chmod 711 busybox; may 1000 './busybox true'; refused 1000 'cat busybox'

            mknod null c 1 3; [ -c null ] || fail mknod; echo x >null; refused 1000 'mknod another c 1 3'; may 1000 'mkfifo fifo'
            exec 3>>appended 4>>appended; echo 1 >&3; echo 2 >&4; echo 3 >&3; exec 3>&- 4>&-; [ "$(echo $(cat appended))" = '1 2 3' ] || fail "two that append"
            [ $(df -k . | awk 'END { print $2 }') -gt 1000 ] || fail df
            """);
    }

    [Fact]
    public async Task A_writer_goes_on_when_the_daemon_is_killed()
    {
        Task<string> guest = Task.Run(() => Run(
            """
            head -c 30000000 /dev/urandom >/tmp/data
            i=0
            while [ $i -lt 6 ]; do
                cp /tmp/data copy$i; mkdir dir$i; mv copy$i dir$i/moved; ln dir$i/moved linked$i; i=$((i + 1))
            done
            sync; md5sum </tmp/data
            """));
        Assert.True(SpinWait.SpinUntil(() => guest.IsCompleted || Directory.Exists(Gateway.PathOf("dir1")), TimeSpan.FromSeconds(60)));
        for (int round = 0; round < 2; round++)
        {
            Assert.False(guest.IsCompleted, guest.IsCompleted ? "the guest was faster than the kill" : "");
            Gateway.Kill();
            Shell.Succeed("umount", "-l", Gateway.MountPoint);
            Gateway.Start();
            Thread.Sleep(1000);
        }

        string sum = (await guest).Split(' ')[0];
        for (int i = 0; i < 6; i++)
            Assert.StartsWith(sum, Shell.Succeed("md5sum", Gateway.PathOf($"linked{i}")), StringComparison.Ordinal);
        Assert.Equal(0, Gateway.Stop());
        Assert.Null(Gateway.Check());
    }
}
