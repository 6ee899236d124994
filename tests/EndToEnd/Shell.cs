using System.Diagnostics;

namespace EndToEnd;

/// <summary>How a program ended.</summary>
internal sealed record ShellResult(int ExitCode, string Output, string Error)
{
    /// <summary>The result as a failed assertion shows it.</summary>
    public override string ToString() => $"exit code {ExitCode}\n{Output}\n{Error}";
}

/// <summary>Runs the programs of this build and of the system.</summary>
internal static class Shell
{
    /// <summary>The checkout that the tests were built in.</summary>
    public static readonly string Checkout = FindCheckout();

    /// <summary>Far above what any command takes; a hang fails the test instead of the whole run.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    public static string Program(string name)
    {
        string path = Path.Combine(Checkout, "out", "bin", name);
        return File.Exists(path) ? path : throw new FileNotFoundException($"{path} is not built: run scripts/build", path);
    }

    public static ShellResult Run(string program, params IEnumerable<string> arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        })!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} did not end");
        }

        // A daemon that a script has started keeps no pipe of ours: it has its log.
        return new ShellResult(process.ExitCode, output.Result, error.Result);
    }

    public static ShellResult Bash(string script) => Run("bash", "-c", script);

    /// <summary>Runs and asserts success; returns what was printed.</summary>
    public static string Succeed(string program, params IEnumerable<string> arguments)
    {
        ShellResult result = Run(program, arguments);
        Assert.True(result.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {result}");
        return result.Output;
    }

    /// <summary>Asserts an exit code and a single line of explanation that contains <paramref name="words"/>.</summary>
    public static void Refuse(int exitCode, string words, string program, params IEnumerable<string> arguments)
    {
        ShellResult result = Run(program, arguments);
        string[] lines = result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(result.ExitCode == exitCode, $"wanted {exitCode}, got {result}");
        Assert.True(lines.Length == 1, $"wanted one line, got {result}");
        Assert.Contains(words, lines[0], StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", lines[0], StringComparison.Ordinal);
    }

    private static string FindCheckout()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(Path.Combine(directory, "Gateway.sln")))
            directory = Path.GetDirectoryName(directory);
        return directory ?? throw new DirectoryNotFoundException("the tests have to run inside the checkout");
    }
}
