namespace StoreCore.Tests.Blocks;

public sealed class BlockFuzzTests
{
    /// <summary>Seeds of one run; GATEWAY_BLOCK_SEEDS raises it for a long one, GATEWAY_BLOCK_SEED replays one.</summary>
    [Fact]
    public void Survives_crashes_kills_and_failing_flushes_at_random()
    {
        if (int.TryParse(Environment.GetEnvironmentVariable("GATEWAY_BLOCK_SEED"), out int seed))
        {
            BlockFuzz.Run(seed, steps: 120);
            return;
        }

        if (!int.TryParse(Environment.GetEnvironmentVariable("GATEWAY_BLOCK_SEEDS"), out int seeds))
            seeds = 200;
        for (int i = 1; i <= seeds; i++)
            BlockFuzz.Run(i, steps: 120);
    }
}
