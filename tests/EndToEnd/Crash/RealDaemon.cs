using System.Diagnostics;

namespace EndToEnd.Crash;

/// <summary>gatewayd from out/bin on a directory of its own, one mount.</summary>
internal sealed class RealDaemon : IDaemonUnderTest
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);

    private readonly string _binary;
    private readonly string _data;
    private Process? _process;

    /// <summary>What it logged since its start. Its own word that it serves is waited for: the mount point looks the same when dead and cached.</summary>
    private volatile string _errors = "";

    /// <param name="binaries">Where gatewayd lies.</param>
    /// <param name="directory">An empty directory; holds data and mount point, deleted at the end.</param>
    public RealDaemon(string binaries, string directory)
    {
        _binary = Path.Combine(binaries, "gatewayd");
        Root = directory;
        _data = Path.Combine(directory, "data");
        MountPoint = Path.Combine(directory, "mount");
        Directory.CreateDirectory(MountPoint);
    }

    public string Root { get; }

    public string MountPoint { get; }

    public void Start()
    {
        _process = Process.Start(new ProcessStartInfo(_binary, ["--data", _data, "--mount", MountPoint]) { RedirectStandardError = true })
            ?? throw new InvalidOperationException($"{_binary} did not start");
        _errors = "";
        _process.ErrorDataReceived += (_, line) => _errors += line.Data + "\n";
        _process.BeginErrorReadLine();
        var waited = Stopwatch.StartNew();
        while (!_errors.Contains(": serving ", StringComparison.Ordinal))
        {
            if (_process.HasExited)
                throw new InvalidOperationException($"gatewayd ended with {_process.ExitCode}: {_errors}");
            if (waited.Elapsed > StartLimit)
                throw new TimeoutException($"gatewayd did not mount within {StartLimit}: {_errors}");
            Thread.Sleep(5);
        }
    }

    public void Kill()
    {
        _process?.Kill();
        _process?.WaitForExit();
        _process?.Dispose();
        _process = null;
    }

    public string? Check()
    {
        (int code, string output) = Run(_binary, "fsck", "--data", _data);
        return code == 0 ? null : $"fsck ended with {code}: {output}";
    }

    public void Dispose()
    {
        Kill();
        Run("umount", "-l", MountPoint);
        Directory.Delete(Root, recursive: true);
    }

    private static (int Code, string Output) Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }
}
