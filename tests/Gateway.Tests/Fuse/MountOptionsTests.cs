using Gateway.Fuse;

namespace Gateway.Tests.Fuse;

public sealed class MountOptionsTests
{
    [Fact]
    public void NothingGivenIsTheStandard()
    {
        MountOptions options = Parse("");
        Assert.Equal(MountFlags.None, options.Flags);
        Assert.False(options.AllowOther || options.Writeback || options.ReadOnly);
        Assert.Empty(options.Subdirectory);
        Assert.Equal(TimeSpan.FromSeconds(10), options.AttributeTimeout);
    }

    [Fact]
    public void FlagsAreThoseOfMount()
    {
        MountOptions options = Parse("ro,noatime,nodev,nosuid,noexec,sync,dirsync,nodiratime");
        Assert.True(options.ReadOnly);
        Assert.Equal(
            MountFlags.ReadOnly | MountFlags.NoAccessTime | MountFlags.NoDevices | MountFlags.NoSuid | MountFlags.NoExec | MountFlags.Synchronous
                | MountFlags.DirectorySync | MountFlags.NoDirectoryAccessTime,
            options.Flags);
    }

    [Fact]
    public void TheLastOfOppositesCounts()
    {
        Assert.False(Parse("ro,rw").ReadOnly);
        Assert.True(Parse("rw,ro").ReadOnly);
        Assert.Equal(MountFlags.NoDevices, Parse("nodev,nosuid,suid").Flags);
    }

    [Fact]
    public void WhatFstabAndMountPassOnIsTaken() =>
        Assert.Equal(
            MountFlags.None,
            Parse("defaults,_netdev,nofail,noauto,auto,user,user=joe,users,x-systemd.requires=gatewayd.service,comment=it is,owner,group,default_permissions").Flags);

    [Fact]
    public void OwnOptionsAreRead()
    {
        MountOptions options = Parse("allow_other,writeback,subdir=/home//joe/,attr_timeout=0,entry_timeout=1.5,negative_timeout=60,read_ahead_kb=128");
        Assert.True(options.AllowOther && options.Writeback);
        Assert.Equal(["home", "joe"], options.Subdirectory);
        Assert.Equal(TimeSpan.Zero, options.AttributeTimeout);
        Assert.Equal(TimeSpan.FromSeconds(1.5), options.EntryTimeout);
        Assert.Equal(TimeSpan.FromMinutes(1), options.NegativeTimeout);
        Assert.Equal(128, options.ReadAheadKiB);
        Assert.Equal(["a,b", "c\\d"], Parse(@"subdir=a\,b/c\\d").Subdirectory);
    }

    [Theory]
    [InlineData("nonsense", "\"nonsense\"")]
    [InlineData("ro,alow_other", "\"alow_other\"")]
    [InlineData("unknown=5", "\"unknown\"")]
    [InlineData("attr_timeout=-1", "attr_timeout=-1")]
    [InlineData("attr_timeout=1e3", "attr_timeout=1e3")]
    [InlineData("attr_timeout", "attr_timeout")]
    [InlineData("entry_timeout=86401", "86400")]
    [InlineData("read_ahead_kb=x", "read_ahead_kb=x")]
    [InlineData("subdir", "subdir=DIR")]
    [InlineData("subdir=a/../b", "..")]
    [InlineData("writeback=1", "writeback takes no value")]
    [InlineData("remount", "remount")]
    public void ABadOptionIsRefusedByName(string text, string named)
    {
        Assert.Null(MountOptions.Parse(text, out string? error));
        Assert.Contains(named, error, StringComparison.Ordinal);
    }

    [Fact]
    public void TheMountTableIsRead()
    {
        const string Text =
            """
            22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
            36 22 0:39 / /mnt/with\040blank\134\303\251 rw,nosuid - fuse.gatewayfs gatewayfs#null rw,user_id=0
            not a line of that form
            37 22 0:40 / /mnt/x rw shared:1 master:2 - fuse.gatewayfs gatewayfs#n rw

            """;
        IReadOnlyList<MountTableEntry> entries = MountTable.Parse(Text);
        Assert.Equal(
            [
                new MountTableEntry("/", 0, 21, "ext4", "/dev/sda1"),
                new MountTableEntry("/mnt/with blank\\é", 0, 39, "fuse.gatewayfs", "gatewayfs#null"),
                new MountTableEntry("/mnt/x", 0, 40, "fuse.gatewayfs", "gatewayfs#n"),
            ],
            entries);
    }

    private static MountOptions Parse(string text)
    {
        MountOptions? options = MountOptions.Parse(text, out string? error);
        Assert.Null(error);
        return options!;
    }
}
