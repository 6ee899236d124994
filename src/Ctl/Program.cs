using System.CommandLine;
using System.CommandLine.Invocation;
using Ctl;
using Gateway.Admin.Contract;

RootCommand root = CommandTree.Build();

// A client may begin with "@": that names no file to read arguments from.
ParseResult parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
if (parsed.Errors.Count > 0 && parsed.Action is ParseErrorAction)
{
    // One line, and where the rest can be read: the whole help text would push the reason off the screen.
    string command = string.Join(' ', CommandTree.PathOf(parsed.CommandResult.Command));
    string reason = parsed.UnmatchedTokens is [string unknown, ..] ? $"Unrecognized command or argument '{unknown}'" : parsed.Errors[0].Message.TrimEnd('.');
    Console.Error.WriteLine($"gatewayctl: {reason}; see {command} --help");
    return (int)ExitCode.Usage;
}

try
{
    return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
}
catch (OperatingException error)
{
    Console.Error.WriteLine($"gatewayctl: {error.Message}");
    return (int)error.Code;
}
catch (IOException error) when (Console.IsOutputRedirected && error.HResult == CommandTree.BrokenPipe)
{
    // Whoever read our output has gone (head, less): that is no failure.
    return (int)ExitCode.Ok;
}
