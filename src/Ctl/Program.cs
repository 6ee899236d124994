using System.CommandLine;
using System.CommandLine.Invocation;
using Ctl;
using Gateway.Admin.Contract;

RootCommand root = CommandTree.Build();

// A client may begin with "@": that names no file to read arguments from.
ParseResult parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
if (CommandLineMistake.Find(parsed, CommandTree.Name) is { } mistake)
{
    Console.Error.WriteLine($"{CommandTree.Name}: {mistake}");
    return (int)ExitCode.Usage;
}

try
{
    return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
}
catch (OperatingException error)
{
    Console.Error.WriteLine($"{CommandTree.Name}: {error.Message}");
    return (int)error.Code;
}
catch (IOException error) when (Console.IsOutputRedirected && error.HResult == CommandTree.BrokenPipe)
{
    // Whoever read our output has gone (head, less): that is no failure.
    return (int)ExitCode.Ok;
}
