using System.CommandLine;
using System.Text;
using System.Text.Json;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>mount, umount, and the helper that mount(8) calls.</summary>
internal static class MountCommands
{
    public static void Add(Command root)
    {
        var source = new Argument<string>("SOURCE") { Description = "Whose file system: localhost, a data directory, or an admin socket" };
        var directory = new Argument<string>("DIRECTORY") { Description = "Mount point; it has to exist" };
        var options = new Option<string[]>("-o")
        {
            Description = "Mount options with commas between: ro, noatime, nodev, nosuid, noexec, allow_other, subdir=PATH, writeback",
            HelpName = "OPTIONS",
        };
        CommandTree.Add(root, "mount", "Mounts the file system",
            result => Mount(result, result.GetRequiredValue(source), result.GetRequiredValue(directory), Join(result.GetValue(options))),
            "gatewayctl mount localhost /mnt/gateway -o noatime,subdir=/projects", source, directory, options);

        CommandTree.Add(root, "umount", "Unmounts what this daemon has mounted there",
            result => Unmount(result, result.GetRequiredValue(directory)), "gatewayctl umount /mnt/gateway", directory);

        // mount(8) adds flags of its own, which change nothing here: -n and -s (no mtab, sloppy), -v.
        Option<bool>[] flags = [new("-n"), new("-s"), new("-v"), new("-f")];
        Command helper = CommandTree.Add(root, "mount-helper", "Called by mount(8) as gatewayfs SOURCE DIRECTORY [-o OPTIONS]",
            result => result.GetValue(flags[3]) ? 0 : Mount(result, result.GetRequiredValue(source), result.GetRequiredValue(directory), Join(result.GetValue(options)), quiet: true),
            "mount -t fuse.gatewayfs localhost /mnt/gateway", [source, directory, options, .. flags]);
        helper.Hidden = true;
    }

    private static int Mount(ParseResult result, string source, string directory, string options, bool quiet = false)
    {
        bool explicitTarget = result.GetValue(CommandTree.Socket) is not null || result.GetValue(CommandTree.Data) is not null;
        Target target = explicitTarget && source == "localhost" ? CommandTree.TargetOf(result) : Target.FromSource(source);
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(
            new MountRequest(Path.GetFullPath(directory), options, source), AdminJson.Default.MountRequest);
        byte[] answer = new AdminClient(target).Send("POST", "/v1/mounts", body);
        if (result.GetValue(CommandTree.Json))
            return CommandTree.Print(Encoding.UTF8.GetString(answer) + "\n");
        return quiet ? 0 : CommandTree.Print($"mounted on {Path.GetFullPath(directory)}\n");
    }

    private static int Unmount(ParseResult result, string directory)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        CommandTree.Client(result).Send("DELETE", $"/v1/mounts?directory={Uri.EscapeDataString(full)}");
        return CommandTree.Print(result.GetValue(CommandTree.Json) ? "{}\n" : $"unmounted {full}\n");
    }

    private static string Join(string[]? options) => string.Join(',', options ?? []);
}
