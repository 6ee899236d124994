using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;

namespace Gateway.Admin.Contract;

/// <summary>Says in one line what is wrong with a command line: the word that is not known, what was probably meant, and where the rest can be read.</summary>
internal static class CommandLineMistake
{
    /// <param name="program">The name that people call it by; the root command's own is that of its file.</param>
    /// <returns>Null where the command line is right, or asks for help.</returns>
    public static string? Find(ParseResult parsed, string program)
    {
        if (parsed.Action is not ParseErrorAction && parsed.Action != parsed.CommandResult.Command.Action)
            return null;

        Command command = parsed.CommandResult.Command;
        string help = $"see {string.Join(' ', [program, .. Path(command)])} --help";
        if (UnknownWord(parsed) is { } word)
            return $"{Describe(word, command)}; {help}";
        if (parsed.Errors.Count == 0)
            return null;
        if (command.Action is null && command.Subcommands.Count > 0)
            return $"{string.Join(' ', [program, .. Path(command)])} needs a command: {string.Join(", ", Commands(command))}; {help}";

        // The whole help text would push the reason off the screen; the parser's own words may have several lines.
        string[] words = parsed.Errors[0].Message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return $"{string.Join(' ', words).TrimEnd('.')}; {help}";
    }

    /// <summary>A word that belongs nowhere, or one that looks like an option and was taken for an argument.</summary>
    private static string? UnknownWord(ParseResult parsed)
    {
        if (parsed.UnmatchedTokens.Count > 0)
            return parsed.UnmatchedTokens[0];
        if (parsed.Tokens.Any(token => token.Type == TokenType.DoubleDash))
            return null;
        return parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens)
            .Select(token => token.Value).FirstOrDefault(LooksLikeOption);
    }

    private static string Describe(string word, Command command)
    {
        if (LooksLikeOption(word))
            return $"unknown option \"{word}\"{Spelling.Hint(word, Options(command))}";
        return command.Subcommands.Count > 0
            ? $"unknown command \"{word}\"{Spelling.Hint(word, Commands(command))}"
            : $"unexpected argument \"{word}\"";
    }

    /// <summary>"-" alone is standard input or output.</summary>
    private static bool LooksLikeOption(string word) => word.Length > 1 && word[0] == '-';

    private static IEnumerable<string> Commands(Command command) => command.Subcommands.Where(known => !known.Hidden).Select(known => known.Name);

    private static IEnumerable<string> Options(Command command)
    {
        IEnumerable<Option> inherited = Above(command).SelectMany(parent => parent.Options).Where(option => option.Recursive);
        return command.Options.Concat(inherited).Where(option => !option.Hidden).SelectMany(option => option.Aliases.Prepend(option.Name));
    }

    /// <summary>The names from below the root down to the command.</summary>
    private static IEnumerable<string> Path(Command command) =>
        Above(command).Reverse().Append(command).Where(part => part is not RootCommand).Select(part => part.Name);

    private static IEnumerable<Command> Above(Command command)
    {
        while (command.Parents.OfType<Command>().FirstOrDefault() is { } parent)
            yield return command = parent;
    }
}
