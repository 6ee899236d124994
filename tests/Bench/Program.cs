using System.Net;
using Bench;
using Bench.Load;

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
    case ["nfs-serve", var directory, var port] when int.TryParse(port, out int number):
        return NfsBench.Serve(directory, number);
    case ["nfs-load", var server, var export, var connections, var duration, .. var words] when IPEndPoint.TryParse(server, out IPEndPoint? endpoint)
        && int.TryParse(connections, out int count) && count > 0 && int.TryParse(duration, out int wanted) && wanted > 0:
        return NfsLoad.Run(endpoint, export, count, wanted, words);
    case ["nfs-fuzz", var calls] when long.TryParse(calls, out long count) && count > 0:
        return NfsBench.Fuzz(count, 1);
    case ["nfs-fuzz", var calls, var seed] when long.TryParse(calls, out long count) && count > 0 && int.TryParse(seed, out int first):
        return NfsBench.Fuzz(count, first);
    case ["nfs-fuzz-socket", var server, var writable, var readOnly, var calls, .. var seed] when IPEndPoint.TryParse(server, out IPEndPoint? endpoint)
        && long.TryParse(calls, out long count) && count > 0:
        return NfsBench.FuzzSocket(endpoint, writable, readOnly, count, seed is [var text] && int.TryParse(text, out int given) ? given : 1);
    case ["rpc-fuzz", var records] when long.TryParse(records, out long count) && count > 0:
        return RpcBench.Fuzz(count, 1);
    case ["rpc-fuzz", var records, var seed] when long.TryParse(records, out long count) && count > 0 && int.TryParse(seed, out int first):
        return RpcBench.Fuzz(count, first);
    case ["rpc-pingpong"]:
        return RpcBench.PingPong(2);
    case ["rpc-pingpong", var duration] when double.TryParse(duration, out double seconds) && seconds > 0:
        return RpcBench.PingPong(seconds);
    default:
        Console.Error.WriteLine(
            "usage: Bench fuse-mount DIR [POLL_US BULK_US LONG_US READERS] | fuse-fuzz N [SEED] | blocks DIR [MIB] | "
            + "mount-jobs DIR | nfs-serve DIR PORT | nfs-fuzz N [SEED] | nfs-fuzz-socket ADDRESS:PORT WRITABLE READONLY N [SEED] | nfs-load ADDRESS:PORT EXPORT CONNECTIONS SECONDS [NAME=VALUE...] | crash-simulation SEEDS [FIRST] | metadata-scale N DIR | metadata-lookups N DIR | metadata-whole DIR | metadata-threads N DIR | "
            + "metadata-operations N DIR | metadata-batching N DIR | rpc-fuzz N [SEED] | rpc-pingpong [SECONDS]");
        return 64;
}
