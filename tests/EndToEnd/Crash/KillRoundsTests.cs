using System.Globalization;

namespace EndToEnd.Crash;

public class KillRoundsTests
{
    /// <summary>More of them with GATEWAY_KILL_ROUNDS=200.</summary>
    private const int DefaultRounds = 12;

    [Fact]
    public void Nothing_that_was_fsynced_is_lost_when_the_daemon_is_killed()
    {
        int rounds = int.Parse(Environment.GetEnvironmentVariable("GATEWAY_KILL_ROUNDS") ?? $"{DefaultRounds}", CultureInfo.InvariantCulture);
        int seed = int.Parse(Environment.GetEnvironmentVariable("GATEWAY_KILL_SEED") ?? "1", CultureInfo.InvariantCulture);
        using var rounder = new KillRounds(new GatewayInstance(), seed);
        List<string> wrong = rounder.Run(rounds);
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.True(rounder.Acknowledged > rounds, $"only {rounder.Acknowledged} fsyncs in {rounds} rounds: nothing was tested");
    }
}
