using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Gateway.Admin.Contract;
using Gateway.Configuration;

namespace Gateway.Daemon;

/// <summary>
/// The command line of gatewayd. Whatever a person can mend ends in one line on standard error and a documented exit code; only a broken
/// invariant of the program shows a stack trace.
/// </summary>
internal static class DaemonProgram
{
    private static readonly Option<string?> Config = new("--config")
    {
        Description = $"Configuration file [{GatewayConfig.DefaultFile}, if it is there]",
        HelpName = "FILE",
    };

    /// <summary>Flags for keys of the configuration; they win over the file.</summary>
    private static readonly (Option<string[]> Option, ConfigKey Key)[] KeyFlags =
    [
        (Flag("--data", "DIR", "Data directory", ConfigTable.DataDirectory), ConfigTable.DataDirectory),
        (Flag("--mount", "DIR[,OPTION...]", "Mount the file system there; may be repeated", ConfigTable.Mounts), ConfigTable.Mounts),
        (Flag("--nfs", "ADDRESS:PORT", "Serve the exports to NFS clients there", ConfigTable.NfsListen), ConfigTable.NfsListen),
        (Flag("--socket", "PATH", "Admin socket", ConfigTable.AdminSocket), ConfigTable.AdminSocket),
        (Flag("--log-level", "LEVEL", "Least level that is logged", ConfigTable.LogThreshold), ConfigTable.LogThreshold),
        (Flag("--memory-budget", "SIZE", "Memory of the whole process", ConfigTable.MemoryBudget), ConfigTable.MemoryBudget),
        (Flag("--sync-interval", "TIME", "Longest time that data nobody has fsynced stays in memory alone", ConfigTable.SyncInterval), ConfigTable.SyncInterval),
    ];

    private static readonly Option<string[]> Set = new("--set")
    {
        Description = "Any other key of the configuration; may be repeated",
        HelpName = "SECTION.KEY=VALUE",
    };

    private static readonly Option<bool> PrintDefaults = new("--print-default-config") { Description = "Print a configuration file with every key, its meaning and its default" };

    /// <summary>For the README, which a test compares with it.</summary>
    private static readonly Option<bool> PrintTable = new("--print-config-table") { Description = "Print all keys as a Markdown table", Hidden = true };

    private static readonly Option<bool> CheckConfig = new("--check-config") { Description = "Read and check the configuration, then end" };

    public static int Run(string[] args)
    {
        RootCommand root = Build();
        ParseResult parsed = root.Parse(args);
        if (CommandLineMistake.Find(parsed, "gatewayd") is { } mistake)
            return Refuse(ExitCode.Usage, mistake);
        try
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (OperatingException error)
        {
            return Refuse(error.Code, error.Message);
        }
    }

    private static RootCommand Build()
    {
        var root = new RootCommand("Serves the files of one data directory: mounts them, and answers gatewayctl. Runs in the foreground until SIGTERM or SIGINT.");
        root.Directives.Clear();
        root.Add(Config);
        foreach ((Option<string[]> option, _) in KeyFlags)
            root.Add(option);
        root.Add(Set);
        root.Add(PrintDefaults);
        root.Add(PrintTable);
        root.Add(CheckConfig);
        root.SetAction(result =>
        {
            if (result.GetValue(PrintDefaults) || result.GetValue(PrintTable))
            {
                Console.Out.Write(result.GetValue(PrintTable) ? ConfigTable.MarkdownTable() : ConfigTable.DefaultFile());
                return (int)ExitCode.Ok;
            }

            GatewayConfig config = GatewayConfig.Load(result.GetValue(Config), Flags(result));
            if (!result.GetValue(CheckConfig))
                return (int)DaemonHost.Run(config);
            Console.Out.WriteLine("the configuration is right");
            return (int)ExitCode.Ok;
        });
        OfflineCommands.AddTo(root);

        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExitCodes((HelpAction)help.Action!);
        return root;
    }

    private static List<(ConfigKey Key, string Text, string Flag)> Flags(ParseResult result)
    {
        List<(ConfigKey, string, string)> flags = [];
        foreach ((Option<string[]> option, ConfigKey key) in KeyFlags)
        {
            foreach (string text in result.GetValue(option) ?? [])
            {
                // A path on the command line is relative to where the person is; in the file it has to be absolute.
                bool path = key == ConfigTable.DataDirectory || key == ConfigTable.AdminSocket || key == ConfigTable.Mounts;
                flags.Add((key, path && text.Length > 0 ? Path.GetFullPath(text) : text, option.Name));
            }
        }

        foreach (string setting in result.GetValue(Set) ?? [])
        {
            int equals = setting.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? setting : setting[..equals];
            ConfigKey? key = ConfigTable.All.FirstOrDefault(key => key.FullName == name);
            if (equals < 0 || key is null)
            {
                throw new OperatingException(
                    ExitCode.Usage,
                    equals < 0 ? $"--set {setting}: there is no '='; write --set SECTION.KEY=VALUE"
                        : $"--set {setting}: unknown key \"{name}\"{Spelling.Hint(name, ConfigTable.All.Select(known => known.FullName))}; gatewayd --print-default-config lists all");
            }

            flags.Add((key, setting[(equals + 1)..], $"--set {name}"));
        }

        return flags;
    }

    private static Option<string[]> Flag(string name, string helpName, string description, ConfigKey key) => new(name)
    {
        Description = key.Default.Length > 0 ? $"{description} [{key.Default}]" : description,
        HelpName = helpName,
    };

    internal static int Refuse(ExitCode code, string message)
    {
        // Several mistakes in one configuration are several lines; everything else is one.
        foreach (string line in message.Split('\n'))
            Console.Error.WriteLine($"gatewayd: {line}");
        return (int)code;
    }

    private sealed class HelpWithExitCodes(HelpAction inner) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            int result = inner.Invoke(parseResult);
            TextWriter output = parseResult.InvocationConfiguration.Output;
            output.WriteLine("Exit codes:");
            foreach ((ExitCode code, string meaning) in ExitCodes.All)
                output.WriteLine($"  {(int)code,3}  {meaning}");
            return result;
        }
    }
}
