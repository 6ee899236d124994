using Sim.FileSystem;

namespace Gateway.Tests.Vfs;

public class CrashSimulationTests
{
    /// <summary>Some dozens of seeds here; thousands with the bench command <c>crash-simulation</c>.</summary>
    [Theory]
    [InlineData(0, 60)]
    public void What_was_synced_survives_every_crash(int firstSeed, int seeds)
    {
        for (int seed = firstSeed; seed < firstSeed + seeds; seed++)
            new CrashSimulation(seed).Run(crashes: 4);
    }
}
