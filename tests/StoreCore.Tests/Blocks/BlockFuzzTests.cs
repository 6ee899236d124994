namespace StoreCore.Tests.Blocks;

public sealed class BlockFuzzTests
{
    /// <summary>Seeds of one run; GATEWAY_BLOCK_SEEDS raises it for a long one, GATEWAY_BLOCK_SEED replays one.</summary>
    [Fact]
    public void Survives_crashes_kills_and_failing_flushes_at_random()
    {
        if (int.TryParse(Environment.GetEnvironmentVariable("GATEWAY_BLOCK_SEED"), out int replayed))
        {
            BlockFuzz.Run(replayed, steps: 120);
            return;
        }

        if (!int.TryParse(Environment.GetEnvironmentVariable("GATEWAY_BLOCK_SEEDS"), out int seeds))
            seeds = 200;

        // A long run uses all processors; each seed is a world of its own, on one thread.
        Parallel.For(1, seeds + 1, seed => BlockFuzz.Run(seed, steps: 120));
    }
}
