using System.CommandLine;
using System.Text;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>Operations per second with their latencies, and what is being worked on now; anew every interval, like top(1).</summary>
internal static class TopCommand
{
    public static void Add(Command root)
    {
        Option<double> interval = CommandTree.Interval("Seconds between two looks", 2);
        var count = new Option<int>("--count", "-n") { Description = "Looks before it ends; 0: until interrupted", HelpName = "N" };
        count.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 0)
                result.AddError("--count: allowed is 0 and more");
        });
        CommandTree.Add(root, "top", "Live operations: rates, latencies, what is being worked on",
            result => Run(result, TimeSpan.FromSeconds(result.GetValue(interval)), result.GetValue(count)), "gatewayctl top -d 1", interval, count);
    }

    private static int Run(ParseResult result, TimeSpan interval, int count)
    {
        AdminClient client = CommandTree.Client(result);
        if (result.GetValue(CommandTree.Json))
            return CommandTree.Print(Encoding.UTF8.GetString(client.Send("GET", "/v1/top")) + "\n");

        TopReport before = client.Get("/v1/top", AdminJson.Default.TopReport);
        for (int i = 0; count == 0 || i < count; i++)
        {
            Thread.Sleep(interval);
            TopReport now = client.Get("/v1/top", AdminJson.Default.TopReport);
            if (!Console.IsOutputRedirected && count != 1)
                Console.Out.Write("\e[H\e[2J");
            Console.Out.Write(Render(before, now));
            before = now;
        }

        return (int)ExitCode.Ok;
    }

    private static string Render(TopReport before, TopReport now)
    {
        double seconds = Math.Max(now.UptimeSeconds - before.UptimeSeconds, 0.001);
        Dictionary<string, OperationStat> earlier = before.Operations.Concat(before.Nfs ?? []).ToDictionary(operation => operation.Name);
        var rows = new List<(double Rate, string[] Cells)>();
        foreach (OperationStat operation in now.Operations.Concat(now.Nfs ?? []))
        {
            OperationStat? old = earlier.GetValueOrDefault(operation.Name);
            double done = operation.Count - (old?.Count ?? 0);
            double mean = done > 0 ? (operation.TotalMicroseconds - (old?.TotalMicroseconds ?? 0)) / done : 0;
            rows.Add((done / seconds,
            [
                operation.Name, Text.Count(done / seconds), Text.Micros(mean),
                Text.Micros(operation.P50Microseconds), Text.Micros(operation.P99Microseconds), Text.Micros(operation.MaxMicroseconds),
                Text.Count(operation.Count), Text.Count(operation.Errors),
            ]));
        }

        string text = Text.Table(
            ["OPERATION", "PER SECOND", "MEAN", "P50*", "P99*", "MAX*", "TOTAL", "ERRORS"], [false, true, true, true, true, true, true, true],
            rows.OrderByDescending(row => row.Rate).ThenBy(row => row.Cells[0], StringComparer.Ordinal).Select(row => row.Cells));
        text += "* since the start of the daemon\n";
        if (now.Live.Count > 0)
        {
            text += "\n" + Text.Table(
                ["NOW", "INODE", "PID", "SINCE", "MOUNT"], [false, true, true, true, false],
                now.Live.OrderByDescending(live => live.Milliseconds).Select(live => new[]
                {
                    live.Name, live.Inode.ToString(System.Globalization.CultureInfo.InvariantCulture),
                    live.Pid.ToString(System.Globalization.CultureInfo.InvariantCulture), Text.Micros(live.Milliseconds * 1000), live.Mount,
                }));
        }

        return text;
    }
}
