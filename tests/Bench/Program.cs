using Bench;

switch (args)
{
    case ["fuse-mount", _, ..]:
        return FuseBench.Mount(args[1..]);
    case ["fuse-fuzz", _, ..]:
        return FuseBench.Fuzz(args[1..]);
    case ["blocks", _, ..]:
        return BlockBench.Run(args[1..]);
    default:
        Console.Error.WriteLine("usage: Bench fuse-mount DIR [POLL_US BULK_US LONG_US READERS] | fuse-fuzz N [SEED] | blocks DIR [MIB]");
        return 64;
}
