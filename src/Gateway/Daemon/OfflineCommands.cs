using System.CommandLine;
using System.Text.Json;
using Gateway.Admin.Contract;
using Gateway.Configuration;
using StoreCore.Kv;
using StoreCore.Metadata;

namespace Gateway.Daemon;

/// <summary>
/// Work on a data directory that no daemon has open: the lock sees to that. gatewayctl runs these as a child, for here is the program that knows the stores.
/// </summary>
internal static class OfflineCommands
{
    private static readonly Option<string> Data = new("--data") { Description = "Data directory; no daemon may have it open", HelpName = "DIR", Required = true };

    private static readonly Option<bool> Json = new("--json") { Description = "Print the result as JSON" };

    private static readonly TimeProvider Clock = TimeProvider.System;

    public static void AddTo(RootCommand root)
    {
        var repair = new Option<bool>("--repair") { Description = "Mend what is found" };
        var fsck = new Command("fsck", "Checks metadata against blocks, both ways, while no daemon runs") { Data, repair, Json };
        fsck.SetAction(result => (int)Guard(result, () => Check(result, result.GetValue(repair))));
        root.Add(fsck);

        var file = new Argument<string>("FILE") { Description = "The dump; - for standard input" };
        var load = new Command("load", "Reads a dump of metadata into a new data directory") { file, Data, Json };
        load.SetAction(result => (int)Guard(result, () => Load(result, result.GetRequiredValue(file))));
        root.Add(load);
    }

    private static ExitCode Check(ParseResult result, bool repair)
    {
        using DataDirectory directory = DataDirectory.Open(DirectoryOf(result), create: false);
        MemoryPlan memory = Memory();
        List<string> findings = [];
        long mended = 0;
        using StoreStack stack = StoreStack.Open(
            directory, memory, Clock, create: false, repairVolumes: repair,
            prepare: keyValues => mended = repair ? StoreCheck.RepairMetadata(keyValues, findings, Progress(result), Clock) : 0);
        var check = new StoreCheck(stack, Progress(result), CancellationToken.None, Clock);
        CheckReport report = repair ? check.Repair(mended, findings) : check.Check();
        if (repair)
            Flush(stack);
        Print(result, AdminJson.Default.CheckReport, report, CheckText.Render(report));
        return report.FindingCount > report.Repaired ? ExitCode.Damaged : ExitCode.Ok;
    }

    private static ExitCode Load(ParseResult result, string file)
    {
        using Stream source = file == "-" ? Console.OpenStandardInput() : OpenDump(file);
        using DataDirectory directory = DataDirectory.Open(DirectoryOf(result));
        if (!directory.IsNew)
        {
            throw new OperatingException(
                ExitCode.CannotCreate, $"data directory {directory.Path}: there is a store in it already; name a new directory with --data");
        }

        long started = Clock.GetTimestamp();
        var counts = default(MetadataDumpCounts);
        Action<WorkProgress> progress = Progress(result);
        using (StoreStack stack = StoreStack.Open(
            directory, Memory(), Clock, create: false, prepare: keyValues => counts = LoadDump(keyValues, source, file, progress)))
        {
            Flush(stack);
            directory.Keep();
        }

        var report = new LoadReport(counts.Inodes, counts.Names, counts.Xattrs, Clock.GetElapsedTime(started).TotalSeconds);
        Print(
            result, AdminJson.Default.LoadReport, report,
            $"loaded {report.Inodes} inodes, {report.Names} names, {report.Xattrs} extended attributes; the data of files is no part of a dump\n");
        return ExitCode.Ok;
    }

    private static MetadataDumpCounts LoadDump(IKvStore keyValues, Stream source, string file, Action<WorkProgress> progress)
    {
        try
        {
            return MetadataDump.Load(keyValues, source, (what, done) => progress(new WorkProgress(what, done, 0, "lines")));
        }
        catch (MetadataException error)
        {
            throw new OperatingException(ExitCode.DataError, $"{file}: {error.Message}; name a whole file made by gatewayctl dump", error);
        }
    }

    /// <summary>What the stores throw while they are walked, in one line.</summary>
    private static ExitCode Guard(ParseResult result, Func<ExitCode> work)
    {
        try
        {
            return work();
        }
        catch (Exception error) when (StoreStack.Explain(error, DirectoryOf(result)) is { } explained)
        {
            throw explained;
        }
    }

    private static void Flush(StoreStack stack)
    {
        StoreCore.Primitives.FsStatus status = stack.Vfs.SyncAll();
        if (status != StoreCore.Primitives.FsStatus.Ok)
            throw new OperatingException(ExitCode.IoError, $"the last flush answers {status} ({stack.Blocks.StopReason}); look at that disk (dmesg)");
    }

    private static FileStream OpenDump(string file)
    {
        try
        {
            return new FileStream(file, FileMode.Open, FileAccess.Read);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new OperatingException(ExitCode.NoInput, $"{file}: no such file; name a dump made by gatewayctl dump");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new OperatingException(ExitCode.NoPermission, $"{file}: it cannot be read ({error.Message}); name a readable file");
        }
    }

    private static string DirectoryOf(ParseResult result) => Path.GetFullPath(result.GetRequiredValue(Data));

    private static MemoryPlan Memory()
    {
        var memory = new MemoryPlan(GatewayConfig.Default.Get(ConfigTable.MemoryBudget));
        memory.Apply();
        return memory;
    }

    /// <summary>A line that is written over, on a terminal; nothing elsewhere.</summary>
    private static Action<WorkProgress> Progress(ParseResult result)
    {
        if (Console.IsErrorRedirected || result.GetValue(Json))
            return _ => { };
        return progress => Console.Error.Write($"\r{progress.Phase}: {progress.Done} {progress.Unit}\e[K\r");
    }

    private static void Print<T>(ParseResult result, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type, T report, string text)
    {
        if (result.GetValue(Json))
            Console.Out.WriteLine(JsonSerializer.Serialize(report, type));
        else
            Console.Out.Write(text);
    }
}
