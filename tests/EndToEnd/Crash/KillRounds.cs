using System.Diagnostics;

namespace EndToEnd.Crash;

/// <summary>
/// Kills a real gatewayd with SIGKILL at random moments under writers that know of every fsync that returned, starts it again on the same
/// data, and verifies. One instance per data directory; <see cref="Dispose"/> ends what is left.
/// </summary>
internal sealed class KillRounds(IDaemonUnderTest daemon, int seed) : IDisposable
{
    private const int Writers = 3;

    private readonly Random _random = new(seed);
    private readonly List<FsyncWriter> _writers = [];

    /// <summary>fsyncs that returned over all rounds.</summary>
    public long Acknowledged => _writers.Sum(w => w.Acknowledged);

    /// <summary>Runs the rounds; returns what was wrong after the first round in which something was, else nothing.</summary>
    public List<string> Run(int rounds, Action<string>? progress = null)
    {
        for (int i = 0; i < Writers; i++)
            _writers.Add(new FsyncWriter(Path.Combine(daemon.MountPoint, $"w{i}"), seed + i));
        for (int round = 1; round <= rounds; round++)
        {
            daemon.Start();
            List<string> wrong = Verify();
            if (wrong.Count == 0)
                Burst();
            if (wrong.Count == 0 && daemon.Check() is { } finding)
                wrong.Add(finding);
            if (wrong.Count > 0)
                return [$"round {round}, seed {seed}:", .. wrong];
            progress?.Invoke($"round {round}: {Acknowledged} fsyncs acknowledged so far");
        }

        daemon.Start();
        return Verify();
    }

    public void Dispose() => daemon.Dispose();

    /// <summary>Lets the writers work and kills the daemon below them.</summary>
    private void Burst()
    {
        Thread[] threads = _writers.ConvertAll(w => new Thread(() => w.Run())).ToArray();
        foreach (Thread thread in threads)
            thread.Start();
        var elapsed = Stopwatch.StartNew();
        int milliseconds = _random.Next(20, 600);
        while (elapsed.ElapsedMilliseconds < milliseconds)
            Thread.Sleep(1);
        daemon.Kill();
        foreach (Thread thread in threads)
            thread.Join();
    }

    private List<string> Verify()
    {
        var wrong = new List<string>();
        foreach (FsyncWriter writer in _writers)
            wrong.AddRange(writer.Verify());
        return wrong;
    }
}

/// <summary>The daemon as the rounds need it.</summary>
internal interface IDaemonUnderTest : IDisposable
{
    string MountPoint { get; }

    /// <summary>Starts it on its data directory and returns when the mount serves.</summary>
    void Start();

    /// <summary>SIGKILL, and waits until the process is gone.</summary>
    void Kill();

    /// <summary>fsck of the data directory while the daemon is dead; null when clean, else what it found.</summary>
    string? Check();
}
