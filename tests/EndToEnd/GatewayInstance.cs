using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace EndToEnd;

/// <summary>
/// A gatewayd with a data directory and a mount point of its own in a temporary directory. <see cref="Dispose"/> takes everything away, whatever became of
/// the test: the process by its own number, the mounts below the directory, the directory.
/// </summary>
internal sealed partial class GatewayInstance : Crash.IDaemonUnderTest
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly StringBuilder _log = new();
    private Process? _process;

    public GatewayInstance()
    {
        Root = Directory.CreateTempSubdirectory("gateway").FullName;
        Data = Path.Combine(Root, "data");
        MountPoint = Path.Combine(Root, "mnt");
        Directory.CreateDirectory(MountPoint);
    }

    public string Root { get; }

    public string Data { get; }

    public string MountPoint { get; }

    /// <summary>Options of the mount, as behind -o.</summary>
    public string MountOptions { get; init; } = "";

    /// <summary>Further arguments of gatewayd.</summary>
    public string[] Arguments { get; init; } = [];

    public string Log
    {
        get
        {
            lock (_log)
                return _log.ToString();
        }
    }

    public int Pid => _process!.Id;

    public void Start()
    {
        string mount = MountOptions.Length > 0 ? $"{MountPoint},{MountOptions}" : MountPoint;
        using var serving = new ManualResetEventSlim();
        _process?.Dispose();
        _process = Process.Start(new ProcessStartInfo(Shell.Program("gatewayd"), ["--data", Data, "--mount", mount, .. Arguments])
        {
            RedirectStandardError = true,
            RedirectStandardInput = true,
        })!;
        Process process = _process;
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_log)
                _log.Append(line.Data).Append('\n');
            if (line.Data?.Contains(": serving ", StringComparison.Ordinal) != false)
                serving.Set();
        };
        process.BeginErrorReadLine();
        Assert.True(serving.Wait(Patience) && !process.HasExited, $"gatewayd does not serve:\n{Log}");
    }

    /// <summary>SIGTERM; returns the exit code.</summary>
    public int Stop()
    {
        Signal(Pid, Terminate);
        Assert.True(_process!.WaitForExit(Patience), $"gatewayd does not end:\n{Log}");
        return _process.ExitCode;
    }

    /// <summary>SIGKILL, and waits until the process is gone.</summary>
    public void Kill()
    {
        _process!.Kill();
        _process.WaitForExit();
    }

    /// <summary>The process stands still until <see cref="Thaw"/>.</summary>
    public void Freeze() => Signal(Pid, StopProcess);

    public void Thaw() => Signal(Pid, ContinueProcess);

    /// <summary>fsck of the data directory while no daemon runs; null when it is clean.</summary>
    public string? Check()
    {
        ShellResult result = Shell.Run(Shell.Program("gatewayd"), "fsck", "--data", Data);
        return result.ExitCode == 0 ? null : result.ToString();
    }

    /// <summary>gatewayctl for this daemon.</summary>
    public ShellResult Control(params IEnumerable<string> arguments) => Shell.Run(Shell.Program("gatewayctl"), ["--data", Data, .. arguments]);

    /// <summary>As <see cref="Control"/>, asserting success.</summary>
    public string Ask(params IEnumerable<string> arguments) => Shell.Succeed(Shell.Program("gatewayctl"), ["--data", Data, .. arguments]);

    public string PathOf(string name) => Path.Combine(MountPoint, name);

    /// <summary>The options of a mount as the kernel shows them, or null where nothing of ours is mounted.</summary>
    public static string? MountedWith(string directory) => File.ReadLines("/proc/self/mountinfo")
        .Select(line => line.Split(' '))
        .Where(fields => fields[4] == directory && fields[Array.IndexOf(fields, "-") + 1] == "fuse.gatewayfs")
        .Select(fields => fields[5])
        .LastOrDefault();

    public void Dispose()
    {
        if (!Directory.Exists(Root))
            return;
        if (_process is { HasExited: false })
            Kill();
        _process?.Dispose();
        _process = null;
        foreach (string mount in File.ReadLines("/proc/self/mountinfo").Select(line => line.Split(' ')[4]).Where(mount => mount.StartsWith(Root + "/", StringComparison.Ordinal)).Reverse())
            Shell.Succeed("umount", "-l", mount);
        Directory.Delete(Root, recursive: true);
    }

    private const int Terminate = 15, ContinueProcess = 18, StopProcess = 19;

    private static void Signal(int pid, int signal)
    {
        if (Kill(pid, signal) != 0)
            throw new InvalidOperationException($"signal {signal} to {pid}: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int pid, int signal);
}
