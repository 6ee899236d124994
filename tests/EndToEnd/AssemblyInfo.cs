using Xunit;

// Daemons, mounts and kills: one at a time, so that a failure names its cause and two cores are not short of time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
