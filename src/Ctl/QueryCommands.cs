using System.CommandLine;
using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>Commands that ask one short question and print the answer.</summary>
internal static class QueryCommands
{
    public static int Status(ParseResult result) => Show(result, "/v1/status", AdminJson.Default.NodeStatus, status => Text.Pairs(
        ("state", status.State + (status.Reason.Length > 0 ? $": {status.Reason}" : "")),
        ("daemon", $"pid {status.Pid}, version {status.Version}, up {Text.Duration(status.UptimeSeconds)}"),
        ("data", status.DataDirectory),
        ("space", $"{Text.Bytes(status.Space.UsedBytes)} used, {Text.Bytes(status.Space.AvailableBytes)} available of {Text.Bytes(status.Space.TotalBytes)}"),
        ("inodes", $"{Text.Count(status.Space.InodesUsed)} in use"),
        ("memory", $"{Text.Bytes(status.Memory.ResidentBytes)} resident (budget {Text.Bytes(status.Memory.BudgetBytes)}; "
            + $"runtime {Text.Bytes(status.Memory.ManagedBytes)}, key-value store {Text.Bytes(status.Memory.KeyValueBytes)})"),
        ("mounts", status.Mounts.Count == 0 ? "none" : string.Join(", ", status.Mounts.Select(mount => mount.Directory + (mount.State == "mounted" ? "" : $" ({mount.State})")))),
        ("NFS", status.Nfs is not { } nfs ? "off"
            : $"{nfs.Listen}, {Text.Count(nfs.Exports)} exports, {Text.Count(nfs.Clients)} clients, {Text.Count(nfs.Requests)} calls answered" + (nfs.Rpcbind.Length > 0 ? $"; rpcbind: {nfs.Rpcbind}" : "")),
        ("requests", $"{Text.Count(status.FuseRequests)} answered; {Text.Count(status.OpenInodes)} inodes open, {Text.Count(status.LocksHeld)} locks held"),
        ("freeing", status.FreeingBacklog == 0 ? "nothing waits" : $"{Text.Count(status.FreeingBacklog)} unlinked files wait to be freed"),
        ("faults", status.BlockFaults == 0 ? "none found" : $"{Text.Count(status.BlockFaults)} damaged chunks found: run gatewayctl scrub"),
        ("last start", Recovered(status.Recovered))));

    public static int DiskFree(ParseResult result) => Show(result, "/v1/df", AdminJson.Default.SpaceInfo, space => Text.Pairs(
        ("size", Text.Bytes(space.TotalBytes)),
        ("used", $"{Text.Bytes(space.UsedBytes)} ({Text.Percent(space.UsedBytes, space.UsedBytes + space.AvailableBytes)})"),
        ("available", Text.Bytes(space.AvailableBytes)),
        ("inodes used", Text.Count(space.InodesUsed)),
        ("inodes free", Text.Count(space.InodesFree)),
        ("metadata on disk", Text.Bytes(space.MetadataBytes)),
        ("host file system", $"{Text.Bytes(space.HostAvailableBytes)} available of {Text.Bytes(space.HostTotalBytes)}")));

    public static int Mounts(ParseResult result) => Show(result, "/v1/mounts", AdminJson.Default.IReadOnlyListMountInfo, mounts =>
        mounts.Count == 0
            ? "no mounts; mount with: gatewayctl mount SOURCE DIRECTORY\n"
            : Text.Table(
                ["DIRECTORY", "STATE", "REQUESTS", "SOURCE", "OPTIONS"], [false, false, true, false, false],
                mounts.Select(mount => new[] { mount.Directory, mount.State, Text.Count(mount.Requests), mount.Source, mount.Options })));

    public static int Config(ParseResult result) => Show(result, "/v1/config", AdminJson.Default.IReadOnlyListConfigValue, values =>
    {
        var text = new StringBuilder();
        foreach (IGrouping<string, ConfigValue> section in values.GroupBy(value => value.Section))
        {
            text.Append(CultureInfo.InvariantCulture, $"[{section.Key}]\n");
            foreach (ConfigValue value in section)
                text.Append(CultureInfo.InvariantCulture, $"  {value.Name} = {value.Value}   ({value.Origin})\n      {value.Meaning} Allowed: {value.Allowed}.\n");
        }

        return text.ToString();
    });

    public static int LogLevel(ParseResult result, Argument<string?> level)
    {
        if (result.GetValue(level) is not { } wanted)
            return Show(result, "/v1/log-level", AdminJson.Default.LogLevelInfo, info => info.Level + "\n");
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(new LogLevelInfo(wanted), AdminJson.Default.LogLevelInfo);
        return Show(result, "/v1/log-level", AdminJson.Default.LogLevelInfo, info => $"log level is {info.Level} now\n", "PUT", body);
    }

    public static int Stat(ParseResult result, Argument<string> path, Option<bool> verify)
    {
        string full = ServerPath.Of(result.GetRequiredValue(path));
        string query = $"/v1/stat?path={Uri.EscapeDataString(full)}{(result.GetValue(verify) ? "&verify=yes" : "")}";
        return Show(result, query, AdminJson.Default.InodeStat, stat =>
        {
            long bad = stat.Regions.Sum(region => (long)Math.Max(0, region.BadChunks));
            string text = Text.Pairs(
                ("path", stat.Path),
                ("inode", string.Create(CultureInfo.InvariantCulture, $"{stat.Inode} generation {stat.Generation}")),
                ("kind", $"{stat.Kind}, mode {stat.Mode}, links {stat.Links}, owner {stat.Uid}:{stat.Gid}"),
                ("size", $"{Text.Count(stat.SizeBytes)} bytes, {Text.Bytes(stat.AllocatedBytes)} on disk"),
                ("accessed", stat.Accessed), ("modified", stat.Modified), ("changed", stat.Changed), ("born", stat.Born),
                ("checksums", !stat.Verified ? "not compared (add --verify)" : bad == 0 ? "all right" : $"WRONG in {Text.Count(bad)} chunks: restore the file from a backup"));
            if (stat.Regions.Count == 0)
                return text;
            text += "\n" + Text.Table(
                ["FILE OFFSET", "LENGTH", "PLACE", "AT", "CHECKSUMS"], [true, true, false, false, false],
                stat.Regions.Select(region => new[]
                {
                    Text.Count(region.FileOffset), Text.Count(region.LengthBytes), region.Place,
                    region.Volume.Length > 0 ? $"{region.Volume} + {Text.Count(region.VolumeOffset)}" : "-",
                    region.BadChunks switch { -1 => "-", 0 => "ok", _ => $"{Text.Count(region.BadChunks)} wrong" },
                }));
            return stat.RegionCount > stat.Regions.Count ? text + $"… and {Text.Count(stat.RegionCount - stat.Regions.Count)} more\n" : text;
        }, works: true);
    }

    public static int Version(ParseResult result)
    {
        string own = typeof(QueryCommands).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0";
        if (!result.GetValue(CommandTree.Json))
            Console.Out.WriteLine($"gatewayctl {own}");
        return Show(result, "/v1/version", AdminJson.Default.VersionInfo, version =>
            $"gatewayd   {version.Version}+{version.Revision} on {version.Runtime}, API {version.ApiVersion}, data format {version.DataFormat}\n");
    }

    /// <summary>One request; its answer as JSON or as text for people.</summary>
    public static int Show<T>(ParseResult result, string path, JsonTypeInfo<T> type, Func<T, string> render, string method = "GET", byte[]? body = null, bool works = false)
    {
        byte[] answer = CommandTree.Client(result).Send(method, path, body, works);
        if (result.GetValue(CommandTree.Json))
            return CommandTree.Print(Encoding.UTF8.GetString(answer) + "\n");
        return CommandTree.Print(render(JsonSerializer.Deserialize(answer, type)!));
    }

    private static string Recovered(RecoveryInfo recovered)
    {
        int found = recovered.TruncationsFinished + recovered.SizesMeasured + recovered.UnlinkedFound + recovered.PurgesFound;
        string took = string.Create(CultureInfo.InvariantCulture, $"{recovered.Milliseconds:0} ms");
        return found == 0
            ? $"clean, {took}"
            : $"recovered in {took}: {Text.Count(recovered.SizesMeasured)} sizes measured, {Text.Count(recovered.TruncationsFinished)} truncations finished, "
                + $"{Text.Count(recovered.UnlinkedFound)} unlinked and {Text.Count(recovered.PurgesFound)} deleted files freed";
    }
}
