using System.CommandLine;

namespace Gateway.Daemon;

/// <summary>Work on a data directory that no daemon has open: gatewayctl runs it as a child, for here is the program that knows the stores.</summary>
internal static class OfflineCommands
{
    public static void AddTo(RootCommand root)
    {
    }
}
