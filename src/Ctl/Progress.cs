using System.CommandLine;
using Gateway.Admin.Contract;
using Spectre.Console;

namespace Ctl;

/// <summary>A progress bar on standard error while long work runs; none where that is no terminal, or JSON is wanted.</summary>
internal static class Progress
{
    public static T Show<T>(ParseResult result, string title, Func<Action<WorkProgress>, T> work)
    {
        if (Console.IsErrorRedirected || result.GetValue(CommandTree.Json))
            return work(_ => { });

        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        T answer = default!;
        console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask(title);
                task.IsIndeterminate = true;
                answer = work(progress =>
                {
                    task.IsIndeterminate = progress.Total == 0;
                    task.MaxValue = Math.Max(1, progress.Total);
                    task.Value = Math.Min(progress.Done, task.MaxValue);
                    string done = progress.Unit == "bytes" ? Text.Bytes(progress.Done) : $"{Text.Count(progress.Done)} {progress.Unit}";
                    task.Description = Markup.Escape($"{progress.Phase}: {done}");
                });
            });
        return answer;
    }
}
