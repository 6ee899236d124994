using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>All commands with their options, help texts and examples.</summary>
internal static class CommandTree
{
    public const string Name = "gatewayctl";

    /// <summary>EPIPE as .NET carries it in <see cref="Exception.HResult"/>.</summary>
    public const int BrokenPipe = 32;

    public static readonly Option<string?> Data = new("--data")
    {
        Description = $"Data directory of the daemon that is meant [{Target.DataVariable}, else {Target.DefaultData}]",
        Recursive = true,
        HelpName = "DIR",
    };

    public static readonly Option<string?> Socket = new("--socket")
    {
        Description = "Admin socket of the daemon that is meant, instead of --data",
        Recursive = true,
        HelpName = "PATH",
    };

    public static readonly Option<bool> Json = new("--json") { Description = "Print JSON, as the admin API has it", Recursive = true };

    public static RootCommand Build()
    {
        var root = new RootCommand("Administers a running gatewayd.") { Data, Socket, Json };
        root.Directives.Clear();

        Add(root, "status", "How the daemon is: space, memory, mounts, what the last start mended", QueryCommands.Status, "gatewayctl status");
        Add(root, "df", "Space and inodes, and where the space goes", QueryCommands.DiskFree, "gatewayctl df --json");

        var path = new Argument<string>("PATH") { Description = "A path below a mount, store:/PATH, or inode:NUMBER" };
        var verify = new Option<bool>("--verify") { Description = "Read all data and compare its checksums, also where the file is large" };
        Add(root, "stat", "An inode: its attributes, where its blocks lie, whether their checksums are right",
            result => QueryCommands.Stat(result, path, verify), "gatewayctl stat /mnt/gateway/file", path, verify);
        Add(root, "tree-size", "Sum of sizes and space over a tree, hard links counted once",
            result => WorkCommands.TreeSize(result, path), "gatewayctl tree-size /mnt/gateway", path);

        Add(root, "mounts", "Mounts of the daemon", QueryCommands.Mounts, "gatewayctl mounts");
        MountCommands.Add(root);
        Add(root, "config", "Every configuration key: value, where it was set, what is allowed", QueryCommands.Config, "gatewayctl config");

        var level = new Argument<string?>("LEVEL") { Description = "trace, debug, info, warning or error; without it the level is shown", Arity = ArgumentArity.ZeroOrOne };
        Add(root, "log-level", "Shows or changes the level of the daemon's log", result => QueryCommands.LogLevel(result, level), "gatewayctl log-level debug", level);

        ExportCommands.AddTo(root);
        ClientCommands.AddTo(root);
        TopCommand.Add(root);
        WorkCommands.AddTo(root);
        Add(root, "version", "Versions of the tool and of the daemon", QueryCommands.Version, "gatewayctl version");

        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or fish" };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        Add(root, "completion", "Prints the completion script of a shell",
            result => Print(Completion.Script(result.GetRequiredValue(shell), root)), "source <(gatewayctl completion bash)", shell);

        ShowExamples(root);
        return root;
    }

    /// <summary>A command with its example, which the help shows.</summary>
    public static Command Add(Command parent, string name, string meaning, Func<ParseResult, int> action, string example, params Symbol[] symbols)
    {
        var command = new Command(name, meaning);
        foreach (Symbol symbol in symbols)
        {
            if (symbol is Argument argument)
                command.Add(argument);
            else
                command.Add((Option)symbol);
        }

        command.SetAction(action);
        Examples[command] = example;
        parent.Add(command);
        return command;
    }

    /// <summary>--interval of the commands that measure.</summary>
    public static Option<double> Interval(string meaning, double seconds)
    {
        var interval = new Option<double>("--interval", "-d") { Description = meaning, HelpName = "SECONDS", DefaultValueFactory = _ => seconds };
        interval.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double>() is not (>= 0.1 and <= 3600))
                result.AddError("--interval: allowed are 0.1 to 3600 seconds");
        });
        return interval;
    }

    public static Target TargetOf(ParseResult result) => Target.Resolve(result.GetValue(Socket), result.GetValue(Data));

    public static AdminClient Client(ParseResult result) => new(TargetOf(result));

    public static int Print(string text)
    {
        Console.Out.Write(text);
        return (int)ExitCode.Ok;
    }

    private static readonly Dictionary<Command, string> Examples = [];

    private static void ShowExamples(RootCommand root)
    {
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
    }

    private sealed class HelpWithExamples(HelpAction inner) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            int result = inner.Invoke(parseResult);
            TextWriter output = parseResult.InvocationConfiguration.Output;
            if (Examples.TryGetValue(parseResult.CommandResult.Command, out string? example))
                output.WriteLine($"Example:\n  {example}\n");
            else if (parseResult.CommandResult.Command is RootCommand)
                output.WriteLine($"Exit codes:\n{string.Join('\n', ExitCodes.All.Select(code => $"  {(int)code.Code,3}  {code.Meaning}"))}\n");
            return result;
        }
    }
}
