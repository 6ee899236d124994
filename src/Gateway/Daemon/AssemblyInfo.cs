using System.Runtime.CompilerServices;

// All native calls are blittable.
[assembly: DisableRuntimeMarshalling]
