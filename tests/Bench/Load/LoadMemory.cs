using System.Diagnostics;
using System.Globalization;

namespace Bench.Load;

/// <summary>Watches how much memory a process has resident. One thread.</summary>
/// <param name="process">Its number; 0: none.</param>
internal sealed class LoadMemory(int process)
{
    private readonly List<long> _kibibytes = [];

    /// <summary>Looks each second for so long.</summary>
    public void Watch(TimeSpan duration)
    {
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < duration)
        {
            Thread.Sleep(Math.Clamp((int)(duration - Stopwatch.GetElapsedTime(began)).TotalMilliseconds, 0, 1000));
            if (process != 0)
                _kibibytes.Add(Resident(process));
        }
    }

    public override string ToString() =>
        _kibibytes.Count == 0
            ? "memory was not watched"
            : $"resident: {_kibibytes[0] / 1024} MiB at first, {_kibibytes.Max() / 1024} MiB at most, {_kibibytes[^1] / 1024} MiB at last";

    private static long Resident(int process)
    {
        string line = File.ReadLines($"/proc/{process}/status").First(static line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture);
    }
}
