using Bench;

switch (args)
{
    case ["fuse-mount", _, ..]:
        return FuseBench.Mount(args[1..]);
    case ["fuse-fuzz", _, ..]:
        return FuseBench.Fuzz(args[1..]);
    case ["blocks", _, ..]:
        return BlockBench.Run(args[1..]);
    case ["metadata-scale", var files, var directory] when long.TryParse(files, out long count) && count > 0:
        return MetadataBench.Scale(count, directory);
    case ["metadata-lookups", var files, var directory] when long.TryParse(files, out long count) && count > 0:
        return MetadataBench.Lookups(count, directory);
    case ["metadata-whole", var directory]:
        return MetadataBench.Whole(directory);
    case ["metadata-threads", var operations, var directory] when int.TryParse(operations, out int count) && count > 0:
        return MetadataBench.Threads(count, directory);
    case ["metadata-operations", var operations, var directory] when int.TryParse(operations, out int count) && count > 0:
        return MetadataBench.Operations(count, directory);
    case ["metadata-batching", var operations, var directory] when int.TryParse(operations, out int count) && count > 0:
        return MetadataBench.Batching(count, directory);
    case ["mount-jobs", var directory]:
        return MountJobs.Run(directory);
    case ["crash-simulation", var seeds] when int.TryParse(seeds, out int count) && count > 0:
        return MountJobs.Crashes(count, 0);
    case ["crash-simulation", var seeds, var from] when int.TryParse(seeds, out int count) && count > 0 && int.TryParse(from, out int first):
        return MountJobs.Crashes(count, first);
    default:
        Console.Error.WriteLine(
            "usage: Bench fuse-mount DIR [POLL_US BULK_US LONG_US READERS] | fuse-fuzz N [SEED] | blocks DIR [MIB] | "
            + "mount-jobs DIR | crash-simulation SEEDS [FIRST] | metadata-scale N DIR | metadata-lookups N DIR | metadata-whole DIR | metadata-threads N DIR | "
            + "metadata-operations N DIR | metadata-batching N DIR");
        return 64;
}
