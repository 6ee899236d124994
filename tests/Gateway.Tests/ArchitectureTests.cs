using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace Gateway.Tests;

/// <summary>Dependencies point one way, and cores are pure: read from the sources, since a forgotten using is a dependency too.</summary>
public partial class ArchitectureTests
{
    /// <summary>Folder → namespaces of ours that it may use (itself and everything below it is always allowed).</summary>
    public static TheoryData<string, string[]> Allowed => new()
    {
        { "src/StoreCore/Primitives", [] },
        { "src/StoreCore/Kv", ["StoreCore.Primitives"] },
        { "src/StoreCore/Disk", ["StoreCore.Primitives"] },
        { "src/StoreCore/Blocks", ["StoreCore.Primitives", "StoreCore.Kv", "StoreCore.Disk"] },
        { "src/StoreCore/Rpc", ["StoreCore.Primitives"] },
        { "src/StoreCore/Metadata", ["StoreCore.Primitives", "StoreCore.Kv"] },
        { "src/Gateway/Vfs", ["StoreCore.Primitives", "StoreCore.Blocks", "StoreCore.Metadata"] },
        { "src/Gateway/Fuse", ["StoreCore.Primitives", "StoreCore.Metadata", "Gateway.Vfs"] },
        { "src/Gateway/Nfs", ["StoreCore.Primitives", "StoreCore.Metadata", "StoreCore.Rpc", "Gateway.Vfs"] },
        { "src/Gateway/Configuration", ["StoreCore.Primitives", "Gateway.Admin.Contract"] },

        // The messages of the admin API are compiled into both programs; there is nothing else between them.
        { "src/Ctl", ["Gateway.Admin.Contract"] },
    };

    [Theory]
    [MemberData(nameof(Allowed))]
    public void Dependencies_point_one_way(string folder, string[] allowed)
    {
        string own = folder["src/".Length..].Replace('/', '.');
        var wrong = new List<string>();
        foreach (string file in Sources(folder))
        {
            foreach (Match match in UsingOfOurs().Matches(File.ReadAllText(file)))
            {
                string used = match.Groups[1].Value;
                bool fine = used == "StoreCore" // limits
                    || used == own || used.StartsWith(own + ".", StringComparison.Ordinal)
                    || Array.Exists(allowed, a => used == a || used.StartsWith(a + ".", StringComparison.Ordinal));
                if (!fine)
                    wrong.Add($"{Path.GetRelativePath(Root(), file)} uses {used}");
            }
        }

        Assert.Empty(wrong);
    }

    /// <summary>Clocks, chance and threads come through seams; the simulation could not replay a seed otherwise.</summary>
    [Theory]
    [InlineData("src/StoreCore/Metadata")]
    [InlineData("src/StoreCore/Blocks")]
    [InlineData("src/StoreCore/Kv")]
    [InlineData("src/StoreCore/Disk")]
    [InlineData("src/Gateway/Vfs")]
    public void Clocks_and_chance_come_through_seams(string folder)
    {
        string[] forbidden = ["DateTime.UtcNow", "DateTime.Now", "DateTimeOffset.UtcNow", "DateTimeOffset.Now", "Random.Shared", "Guid.NewGuid", "Task.Run", "Thread.Sleep", "Environment.TickCount", "Stopwatch."];
        IEnumerable<string> wrong =
            from file in Sources(folder)
            let text = File.ReadAllText(file)
            from word in forbidden
            where text.Contains(word, StringComparison.Ordinal)
            select $"{Path.GetRelativePath(Root(), file)} uses {word}";
        Assert.Empty(wrong);
    }

    [Fact]
    public void Every_module_has_a_readme()
    {
        IEnumerable<string> missing =
            from folder in Directory.GetDirectories(Path.Combine(Root(), "src"), "*", SearchOption.AllDirectories).Append(Path.Combine(Root(), "src/Ctl"))
            where Path.GetRelativePath(Path.Combine(Root(), "src"), folder).Count(c => c == '/') == 1
            where Directory.EnumerateFiles(folder, "*.cs").Any() && !File.Exists(Path.Combine(folder, "README.md"))
            select folder;
        Assert.Empty(missing);
    }

    private static IEnumerable<string> Sources(string folder) =>
        Directory.EnumerateFiles(Path.Combine(Root(), folder), "*.cs", SearchOption.AllDirectories);

    private static string Root([CallerFilePath] string self = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(self)!, "../.."));

    [GeneratedRegex(@"(?m)^(?:global )?using (?:static )?((?:StoreCore|Gateway|Ctl)\b[\w.]*)(?: |;)")]
    private static partial Regex UsingOfOurs();
}
