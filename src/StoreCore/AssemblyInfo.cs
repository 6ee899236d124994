using System.Runtime.CompilerServices;

// Names are looked up by the kernel loader only: all native calls are to libc and librocksdb, blittable throughout.
[assembly: DisableRuntimeMarshalling]
