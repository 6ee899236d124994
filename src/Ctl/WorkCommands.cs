using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>Commands that take long: they show progress, and run through the daemon, or where it may not run, through its program.</summary>
internal static class WorkCommands
{
    public static void AddTo(Command root)
    {
        var repair = new Option<bool>("--repair") { Description = "Mend what is found; the daemon must not be running" };
        CommandTree.Add(root, "fsck", "Checks metadata against blocks, both ways. Online through the daemon; --repair (and without a daemon) offline",
            result => Check(result, result.GetValue(repair)), "gatewayctl fsck; gatewayctl --data /var/lib/gateway fsck --repair", repair);
        CommandTree.Add(root, "scrub", "Reads all data and verifies its checksums", result => Report(result, "/v1/scrub", "scrub"), "gatewayctl scrub");

        var file = new Argument<string>("FILE") { Description = "The dump; - for standard output or input" };
        CommandTree.Add(root, "dump", "Writes all metadata (not the data of files) as of now to a file, while the daemon runs",
            result => Dump(result, result.GetRequiredValue(file)), "gatewayctl dump /backup/gateway.dump", file);
        CommandTree.Add(root, "load", "Reads a dump into a new data directory; its files have no data until that is restored",
            result => Load(result, result.GetRequiredValue(file)), "gatewayctl --data /srv/new load /backup/gateway.dump", file);
    }

    public static int TreeSize(ParseResult result, Argument<string> path)
    {
        string full = ServerPath.Of(result.GetRequiredValue(path));
        TreeSize tree = Progress.Show(result, "measuring", progress =>
            CommandTree.Client(result).Run("GET", $"/v1/tree-size?path={Uri.EscapeDataString(full)}", progress)).Tree!;
        return CommandTree.Print(result.GetValue(CommandTree.Json)
            ? JsonSerializer.Serialize(tree, AdminJson.Default.TreeSize) + "\n"
            : Text.Pairs(
                ("path", tree.Path), ("files", Text.Count(tree.Files)), ("directories", Text.Count(tree.Directories)), ("others", Text.Count(tree.Others)),
                ("size", $"{Text.Bytes(tree.SizeBytes)} ({Text.Count(tree.SizeBytes)} bytes)"), ("on disk", Text.Bytes(tree.AllocatedBytes))));
    }

    private static int Check(ParseResult result, bool repair)
    {
        Target target = CommandTree.TargetOf(result);
        if (!repair && IsRunning(target))
            return Report(result, "/v1/fsck", "fsck");

        List<string> arguments = ["fsck", "--data", DataOf(target, "fsck")];
        if (repair)
            arguments.Add("--repair");
        return RunDaemonProgram(result, arguments);
    }

    private static int Load(ParseResult result, string file) =>
        RunDaemonProgram(result, ["load", "--data", DataOf(CommandTree.TargetOf(result), "load"), file]);

    private static int Dump(ParseResult result, string file)
    {
        AdminClient client = CommandTree.Client(result);
        using Stream source = client.OpenLong("GET", "/v1/dump");
        if (file == "-")
        {
            using Stream output = Console.OpenStandardOutput();
            source.CopyTo(output);
            return (int)ExitCode.Ok;
        }

        // The dump appears under its name when it is whole and on disk, never before.
        string temporary = file + ".partial";
        try
        {
            long bytes = Progress.Show(result, "dumping", progress => CopyToFile(source, temporary, progress));
            File.Move(temporary, file, overwrite: true);
            return CommandTree.Print(result.GetValue(CommandTree.Json) ? $"{{\"bytes\":{bytes}}}\n" : $"{file}: {Text.Bytes(bytes)}\n");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            File.Delete(temporary);
            throw new OperatingException(ExitCode.CannotCreate, $"{file}: {error.Message}; name a file that can be written", error);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    private static long CopyToFile(Stream source, string file, Action<WorkProgress> progress)
    {
        // It holds the secret of file handles: its owner's alone, as the data directory is.
        using var target = new FileStream(file, new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        var buffer = new byte[1 << 20];
        long total = 0;
        for (int read; (read = source.Read(buffer)) > 0;)
        {
            target.Write(buffer, 0, read);
            total += read;
            progress(new WorkProgress("dumping", total, 0, "bytes"));
        }

        target.Flush(flushToDisk: true);
        return total;
    }

    /// <summary>Runs a check through the daemon and reports it.</summary>
    private static int Report(ParseResult result, string path, string name)
    {
        CheckReport report = Progress.Show(result, name, progress => CommandTree.Client(result).Run("POST", path, progress)).Check!;
        Console.Out.Write(result.GetValue(CommandTree.Json)
            ? JsonSerializer.Serialize(report, AdminJson.Default.CheckReport) + "\n"
            : CheckText.Render(report));
        return (int)(report.FindingCount > report.Repaired ? ExitCode.Damaged : ExitCode.Ok);
    }

    /// <summary>Offline work is done by gatewayd itself, which has the lock of the data directory to refuse it while a daemon runs.</summary>
    private static int RunDaemonProgram(ParseResult result, List<string> arguments)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "gatewayd");
        if (!File.Exists(program))
            throw new OperatingException(ExitCode.Unavailable, $"{program}: not found beside gatewayctl; run scripts/build");
        if (result.GetValue(CommandTree.Json))
            arguments.Add("--json");
        using var child = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false })!;
        child.WaitForExit();
        return child.ExitCode;
    }

    private static bool IsRunning(Target target)
    {
        try
        {
            using System.Net.Sockets.Socket socket = target.Connect(TimeSpan.FromSeconds(5));
            return true;
        }
        catch (OperatingException error) when (error.Code == ExitCode.Unavailable)
        {
            return false;
        }
    }

    private static string DataOf(Target target, string command) =>
        target.DataDirectory ?? throw new OperatingException(ExitCode.Usage, $"{command} works offline here and needs the data directory; name it with --data");
}
