using System.CommandLine;
using System.Globalization;
using System.Text;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>clients, client evict: who is connected over NFS.</summary>
internal static class ClientCommands
{
    public static void AddTo(Command root)
    {
        Option<double> interval = CommandTree.Interval("Seconds over which rates are measured", 1);
        CommandTree.Add(root, "clients", "NFS clients: what they have mounted, rates, latency, last error",
            result => List(result, TimeSpan.FromSeconds(result.GetValue(interval))), "gatewayctl clients -d 5", interval);

        var client = new Command("client", "What is done to one NFS client");
        root.Add(client);
        var address = new Argument<string>("ADDRESS") { Description = "Address of the client, as gatewayctl clients shows it" };
        CommandTree.Add(client, "evict", "Closes its connections and drops its locks; it may come back if the exports let it",
            result => Evict(result, result.GetRequiredValue(address)), "gatewayctl client evict 192.168.1.7", address);
    }

    private static int List(ParseResult result, TimeSpan interval)
    {
        AdminClient client = CommandTree.Client(result);
        if (result.GetValue(CommandTree.Json))
            return CommandTree.Print(Encoding.UTF8.GetString(client.Send("GET", "/v1/clients")) + "\n");

        IReadOnlyList<ClientInfo> before = client.Get("/v1/clients", AdminJson.Default.IReadOnlyListClientInfo);
        if (before.Count == 0)
            return CommandTree.Print("no clients\n");
        Thread.Sleep(interval);
        IReadOnlyList<ClientInfo> now = client.Get("/v1/clients", AdminJson.Default.IReadOnlyListClientInfo);
        return CommandTree.Print(Render(before, now, interval.TotalSeconds));
    }

    private static string Render(IReadOnlyList<ClientInfo> before, IReadOnlyList<ClientInfo> now, double seconds)
    {
        Dictionary<string, ClientInfo> earlier = before.ToDictionary(client => client.Address);
        return Text.Table(
            ["CLIENT", "CONNECTIONS", "CALLS/S", "READ/S", "WRITE/S", "MEAN", "CALLS", "ERRORS", "IDLE", "MOUNTS", "LAST ERROR"],
            [false, true, true, true, true, true, true, true, true, false, false],
            now.OrderByDescending(client => client.Calls).Select(client =>
            {
                ClientInfo? old = earlier.GetValueOrDefault(client.Address);
                double calls = client.Calls - (old?.Calls ?? 0);
                return new[]
                {
                    client.Address, client.Connections.ToString(CultureInfo.InvariantCulture), Text.Count(calls / seconds),
                    Text.Bytes((client.ReadBytes - (old?.ReadBytes ?? 0)) / seconds), Text.Bytes((client.WrittenBytes - (old?.WrittenBytes ?? 0)) / seconds),
                    calls > 0 ? Text.Micros((client.TotalMicroseconds - (old?.TotalMicroseconds ?? 0)) / calls) : "-",
                    Text.Count(client.Calls), Text.Count(client.Errors), client.IdleSeconds < 0 ? "-" : Text.Duration(client.IdleSeconds),
                    client.Mounts.Count == 0 ? "-" : string.Join(' ', client.Mounts), client.LastError.Length == 0 ? "-" : client.LastError,
                };
            }));
    }

    private static int Evict(ParseResult result, string address) => QueryCommands.Show(
        result, $"/v1/clients?address={Uri.EscapeDataString(address)}", AdminJson.Default.EvictReport,
        report => $"{report.Address}: {Text.Count(report.Connections)} connections closed, locks dropped\n", "DELETE");
}
