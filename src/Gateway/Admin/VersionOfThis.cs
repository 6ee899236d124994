using System.Reflection;
using System.Runtime.InteropServices;
using Gateway.Admin.Contract;
using Gateway.Daemon;

namespace Gateway.Admin;

/// <summary>The version of this build.</summary>
internal static class VersionOfThis
{
    public static VersionInfo Get()
    {
        // "0.1.0+1a2b3c…": the version of the project and the revision that it was built from.
        string[] parts = (typeof(VersionOfThis).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0").Split('+');
        return new VersionInfo(
            parts[0], parts.Length > 1 ? parts[1][..Math.Min(12, parts[1].Length)] : "unknown", RuntimeInformation.FrameworkDescription,
            AdminProtocol.ApiVersion, DataDirectory.FormatVersion);
    }
}
