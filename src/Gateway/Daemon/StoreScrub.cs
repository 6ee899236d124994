using Gateway.Admin.Contract;
using StoreCore.Blocks;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>Reads all data and verifies its checksums, while the store serves. Every bad chunk is named; reading it answers with an error.</summary>
internal sealed class StoreScrub(BlockStore blocks, Action<WorkProgress> progress, CancellationToken cancellation, TimeProvider clock)
{
    /// <summary>Read in one step: a fraction of a second, so that an interrupt is heeded soon.</summary>
    private const long StepBytes = 64 << 20;

    public CheckReport Run()
    {
        long started = clock.GetTimestamp();
        long verified = 0, bad = 0;
        ScrubStep step = default;
        while (!step.Done)
        {
            cancellation.ThrowIfCancellationRequested();
            FsStatus status = blocks.Scrub(step.Next, StepBytes, out step);
            if (status != FsStatus.Ok)
                throw new OperatingException(ExitCode.IoError, $"the store answers {status} ({blocks.StopReason ?? "no reason known"}); look into the daemon's log");
            verified += step.VerifiedBytes;
            bad += step.BadChunks;
            progress(new WorkProgress("scrub", verified, Math.Max(verified, blocks.Space.UsedBytes), "bytes"));
        }

        // What was met before this scrub is still bad, unless it was overwritten since: it is told as well.
        List<string> findings = bad == 0 ? [] : [.. blocks.Faults.Remembered.Take(CheckReport.FindingsShownAtMost).Select(fault => fault.ToString())];
        return new CheckReport(0, 0, verified / StoreCore.Limits.ChunkSizeBytes, verified, bad, 0, findings, clock.GetElapsedTime(started).TotalSeconds);
    }
}
