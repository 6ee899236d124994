using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>export …: which directories NFS clients may mount, and what they may do there.</summary>
internal static class ExportCommands
{
    public static void AddTo(Command root)
    {
        var export = new Command("export", "Directories that NFS clients may mount: who, and what they may do there");
        root.Add(export);

        var path = new Argument<string>("PATH") { Description = "A directory, from the root of the file system: / is everything" };
        var clients = new Option<string[]>("--client")
        {
            Description = "Who, and what they may: an address, network, host name or *, then ':' and options as in exports(5): ro or rw, root_squash, no_root_squash or all_squash, "
                + "anonuid=N, anongid=N, secure or insecure, sync or async. May be repeated",
            HelpName = "CLIENT[:OPTIONS]",
            Required = true,
        };
        CommandTree.Add(export, "add", "Exports a directory, or adds clients to its export; a client that is there gets the new options",
            result => Add(result, result.GetRequiredValue(path), result.GetRequiredValue(clients)),
            "gatewayctl export add /projects --client 192.168.1.0/24:rw --client backup.example.org:ro,no_root_squash", path, clients);

        var which = new Argument<string>("EXPORT") { Description = "Path or number of an export" };
        var client = new Option<string?>("--client") { Description = "Takes this client alone off the export", HelpName = "CLIENT" };
        CommandTree.Add(export, "rm", "Takes an export away; clients that have it mounted get errors from then on",
            result => Remove(result, result.GetRequiredValue(which), result.GetValue(client)), "gatewayctl export rm /projects", which, client);

        CommandTree.Add(export, "list", "All exports", List, "gatewayctl export list");
        CommandTree.Add(export, "show", "One export, with all options of each client",
            result => ShowOne(result, result.GetRequiredValue(which)), "gatewayctl export show /projects", which);

        var who = new Argument<string>("CLIENT") { Description = "Address or host name of a client" };
        var below = new Argument<string>("PATH") { Description = "What it wants to mount, from the root of the file system" };
        var port = new Option<int?>("--port") { Description = "The port it comes from [a reserved one, below 1024]", HelpName = "PORT" };
        CommandTree.Add(export, "check", "Which rule decides for a client, and why; exit code 1 where it is refused",
            result => Check(result, result.GetRequiredValue(who), result.GetRequiredValue(below), result.GetValue(port)),
            "gatewayctl export check 192.168.1.7 /projects/a", who, below, port);

        var file = new Argument<string>("FILE") { Description = "In the format of exports(5); - for standard input" };
        CommandTree.Add(export, "import", "Takes over the exports of a file; those that it does not name stay",
            result => Import(result, result.GetRequiredValue(file)), "gatewayctl export import /etc/exports", file);
    }

    private static int Add(ParseResult result, string path, string[] clients)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(new ExportRequest(path, clients), AdminJson.Default.ExportRequest);
        return QueryCommands.Show(result, "/v1/exports", AdminJson.Default.ExportInfo, Render, "POST", body);
    }

    private static int Remove(ParseResult result, string which, string? client)
    {
        string query = $"/v1/exports?export={Uri.EscapeDataString(which)}" + (client is null ? "" : $"&client={Uri.EscapeDataString(client)}");
        CommandTree.Client(result).Send("DELETE", query);
        return CommandTree.Print(result.GetValue(CommandTree.Json) ? "{}\n" : client is null ? $"export {which} removed\n" : $"client {client} removed from export {which}\n");
    }

    private static int List(ParseResult result) => QueryCommands.Show(result, "/v1/exports", AdminJson.Default.IReadOnlyListExportInfo, exports =>
        exports.Count == 0
            ? "no exports; export with: gatewayctl export add PATH --client CLIENT:OPTIONS\n"
            : Text.Table(
                ["ID", "PATH", "STATE", "CLIENTS"], [true, false, false, false],
                exports.Select(export => new[]
                {
                    export.Id.ToString(CultureInfo.InvariantCulture), export.Path, export.State, string.Join(' ', export.Clients.Select(client => $"{client.Client}({Shorten(client.Options)})")),
                })));

    private static int ShowOne(ParseResult result, string which)
    {
        byte[] answer = CommandTree.Client(result).Send("GET", "/v1/exports");
        IReadOnlyList<ExportInfo> exports = JsonSerializer.Deserialize(answer, AdminJson.Default.IReadOnlyListExportInfo)!;
        ExportInfo? found = exports.FirstOrDefault(export => export.Path == which || export.Path == which.TrimEnd('/') || export.Id.ToString(CultureInfo.InvariantCulture) == which);
        if (found is null)
        {
            string known = string.Join(", ", exports.Select(export => export.Path));
            throw new OperatingException(ExitCode.NoInput, $"there is no export {which}; {(known.Length > 0 ? $"there are: {known}" : "gatewayctl export add makes one")}");
        }

        return CommandTree.Print(result.GetValue(CommandTree.Json) ? JsonSerializer.Serialize(found, AdminJson.Default.ExportInfo) + "\n" : Render(found));
    }

    private static int Check(ParseResult result, string client, string path, int? port)
    {
        string query = $"/v1/exports/check?client={Uri.EscapeDataString(client)}&path={Uri.EscapeDataString(path)}"
            + (port is { } given ? string.Create(CultureInfo.InvariantCulture, $"&port={given}") : "");
        byte[] answer = CommandTree.Client(result).Send("GET", query, works: true);
        ExportCheck check = JsonSerializer.Deserialize(answer, AdminJson.Default.ExportCheck)!;
        Console.Out.Write(result.GetValue(CommandTree.Json) ? Encoding.UTF8.GetString(answer) + "\n" : $"{(check.Allowed ? "allowed" : "refused")}: {check.Reason}\n");
        return (int)(check.Allowed ? ExitCode.Ok : ExitCode.Damaged);
    }

    private static int Import(ParseResult result, string file)
    {
        string text;
        if (Directory.Exists(file))
            throw new OperatingException(ExitCode.NoInput, $"{file} is a directory; name a file in the format of exports(5)");
        try
        {
            text = file == "-" ? Console.In.ReadToEnd() : File.ReadAllText(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            bool isMissing = error is FileNotFoundException or DirectoryNotFoundException;
            throw new OperatingException(
                isMissing ? ExitCode.NoInput : ExitCode.NoPermission, $"{file}: {(isMissing ? "there is no such file" : error.Message)}; name a file in the format of exports(5)", error);
        }

        byte[] body = JsonSerializer.SerializeToUtf8Bytes(new ExportImportRequest(text), AdminJson.Default.ExportImportRequest);
        if (body.Length > AdminProtocol.MaxRequestBytes)
            throw new OperatingException(ExitCode.DataError, $"{file}: it is larger than {Text.Bytes(AdminProtocol.MaxRequestBytes)}; name networks instead of single clients");
        try
        {
            return QueryCommands.Show(result, "/v1/exports/import", AdminJson.Default.ExportImportReport, Render, "POST", body);
        }
        catch (OperatingException error) when (error.Code == ExitCode.DataError)
        {
            throw new OperatingException(error.Code, $"{(file == "-" ? "standard input" : file)}: {error.Message}", error);
        }
    }

    private static string Render(ExportImportReport report)
    {
        var text = new StringBuilder();
        foreach (string note in report.Notes)
            text.Append("note: ").Append(note).Append('\n');
        text.Append(CultureInfo.InvariantCulture, $"{report.Exports.Count} exports taken over: {string.Join(", ", report.Exports.Select(export => export.Path))}\n");
        return text.ToString();
    }

    private static string Render(ExportInfo export) =>
        string.Create(CultureInfo.InvariantCulture, $"{export.Path}, export {export.Id}, {export.State}\n")
        + (export.Clients.Count == 0
            ? "no clients\n"
            : Text.Table(["CLIENT", "OPTIONS"], [false, false], export.Clients.Select(client => new[] { client.Client, client.Options + (client.Note.Length > 0 ? $"   ({client.Note})" : "") })));

    /// <summary>Without what is the default: lines stay short where nothing special is meant.</summary>
    private static string Shorten(string options)
    {
        string[] defaults = ["root_squash", "anonuid=65534", "anongid=65534", "secure", "sync", "sec=sys"];
        return string.Join(',', options.Split(',').Except(defaults));
    }
}
