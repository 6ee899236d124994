using System.CommandLine;
using System.Globalization;
using System.Text;

namespace Ctl;

/// <summary>Completion scripts, generated from the command tree: the shell completes without starting this program.</summary>
internal static class Completion
{
    public static string Script(string shell, RootCommand root) => shell switch
    {
        "bash" => Bash(root),
        "zsh" => "#compdef gatewayctl\nautoload -Uz bashcompinit && bashcompinit\n" + Bash(root),
        _ => Fish(root),
    };

    private static string Bash(RootCommand root)
    {
        var text = new StringBuilder();
        text.Append("_gatewayctl() {\n    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= i\n");
        text.Append("    case $previous in\n    --data | --socket) compopt -o default 2>/dev/null; return ;;\n    esac\n");
        text.Append("    for ((i = 1; i < COMP_CWORD; i++)); do\n        case ${COMP_WORDS[i]} in\n        --data | --socket) ((i++)) ;;\n        -*) ;;\n");
        string groups = string.Join(" | ", Groups(root).Select(group => group.Name));
        text.Append(CultureInfo.InvariantCulture, $"        *) command=\"${{command:+$command }}${{COMP_WORDS[i]}}\"; case $command in {groups}) ;; *) break ;; esac ;;\n");
        text.Append("        esac\n    done\n    case $command in\n");
        Line("''", [.. Visible(root).Select(command => command.Name), .. OptionsOf(root)], files: false);
        foreach (Command command in Visible(root).Except(Groups(root)))
            Line(command.Name, [.. ValuesOf(command), .. OptionsOf(command), .. OptionsOf(root)], files: TakesFile(command));
        foreach (Command group in Groups(root))
        {
            Line(group.Name, group.Subcommands.Select(command => command.Name), files: false);
            foreach (Command command in group.Subcommands)
                Line($"'{group.Name} {command.Name}'", [.. OptionsOf(command), .. OptionsOf(root)], files: TakesFile(command));
        }

        text.Append("    esac\n}\ncomplete -F _gatewayctl gatewayctl\n");
        return text.ToString();

        void Line(string pattern, IEnumerable<string> words, bool files)
        {
            string also = files ? "; compopt -o default 2>/dev/null" : "";
            text.Append(CultureInfo.InvariantCulture, $"    {pattern}) COMPREPLY=($(compgen -W \"{string.Join(' ', words)}\" -- \"$word\")){also} ;;\n");
        }
    }

    private static string Fish(RootCommand root)
    {
        var text = new StringBuilder("complete -c gatewayctl -f\n");
        foreach (Option option in root.Options.Where(option => !option.Hidden))
            text.Append(CultureInfo.InvariantCulture, $"complete -c gatewayctl -l {option.Name[2..]} -d {Quote(option.Description)}{(option.HelpName is null ? "" : " -rF")}\n");
        foreach (Command command in Visible(root))
        {
            text.Append(CultureInfo.InvariantCulture, $"complete -c gatewayctl -n __fish_use_subcommand -a {command.Name} -d {Quote(command.Description)}\n");
            if (command.Subcommands.Count == 0)
                Arguments(command, $"-n '__fish_seen_subcommand_from {command.Name}'");
        }

        foreach (Command group in Groups(root))
        {
            string names = string.Join(' ', group.Subcommands.Select(command => command.Name)), chosen = $"__fish_seen_subcommand_from {group.Name}";
            foreach (Command command in group.Subcommands)
            {
                text.Append(
                    CultureInfo.InvariantCulture,
                    $"complete -c gatewayctl -n '{chosen}; and not __fish_seen_subcommand_from {names}' -a {command.Name} -d {Quote(command.Description)}\n");
                Arguments(command, $"-n '{chosen}; and __fish_seen_subcommand_from {command.Name}'");
            }
        }

        return text.ToString();

        void Arguments(Command command, string condition)
        {
            if (TakesFile(command))
                text.Append(CultureInfo.InvariantCulture, $"complete -c gatewayctl {condition} -F\n");
            foreach (string value in ValuesOf(command))
                text.Append(CultureInfo.InvariantCulture, $"complete -c gatewayctl {condition} -a {value}\n");
            foreach (Option option in command.Options)
            {
                string name = option.Name.StartsWith("--", StringComparison.Ordinal) ? $"-l {option.Name[2..]}" : $"-s {option.Name[1..]}";
                text.Append(CultureInfo.InvariantCulture, $"complete -c gatewayctl {condition} {name} -d {Quote(option.Description)}{(option.HelpName is null ? "" : " -r")}\n");
            }
        }
    }

    private static IEnumerable<Command> Visible(RootCommand root) => root.Subcommands.Where(command => !command.Hidden);

    /// <summary>Commands that are only the first word of others: export, client.</summary>
    private static IEnumerable<Command> Groups(RootCommand root) => Visible(root).Where(command => command.Subcommands.Count > 0);

    private static IEnumerable<string> OptionsOf(Command command) => command.Options.Where(option => !option.Hidden).Select(option => option.Name);

    private static bool TakesFile(Command command) => command.Arguments.Any(argument => argument.Name is "PATH" or "FILE" or "DIRECTORY" or "SOURCE");

    private static IEnumerable<string> ValuesOf(Command command) => command.Name switch
    {
        "log-level" => ["trace", "debug", "info", "warning", "error"],
        "completion" => ["bash", "zsh", "fish"],
        _ => [],
    };

    private static string Quote(string? text) => "'" + (text ?? "").Replace("'", "\\'", StringComparison.Ordinal) + "'";
}
