namespace Gateway.Admin.Contract;

// The JSON of the admin API, version 1, in the order of its paths. Sizes are bytes, times are seconds or milliseconds as the name says. gatewayctl is built
// from this very file; for others: members are only added, never renamed or given another meaning, while the path says /v1.

/// <summary>Every answer that is no success: what went wrong, how to mend it, and the exit code that gatewayctl ends with.</summary>
internal sealed record ErrorBody(string Error, string Mend, int Code);

/// <summary>GET /v1: one path of the API.</summary>
internal sealed record ApiPath(string Method, string Path, string Meaning);

/// <summary>GET /v1/version.</summary>
internal sealed record VersionInfo(string Version, string Revision, string Runtime, int ApiVersion, int DataFormat);

/// <summary>GET /v1/status.</summary>
/// <param name="State">"serving", or "stopped" with the reason.</param>
/// <param name="FuseRequests">Requests answered since the start, over all mounts.</param>
/// <param name="OpenInodes">Inodes that are open, dirty or in use.</param>
/// <param name="FreeingBacklog">Unlinked inodes whose space is still to be freed.</param>
/// <param name="BlockFaults">Chunks found with a wrong checksum since the start.</param>
internal sealed record NodeStatus(
    string State, string Reason, string Version, int Pid, double UptimeSeconds, string DataDirectory, string FileSystemId, SpaceInfo Space, MemoryInfo Memory,
    IReadOnlyList<MountInfo> Mounts, long FuseRequests, long OpenInodes, long LocksHeld, long FreeingBacklog, long BlockFaults, RecoveryInfo Recovered,
    NfsInfo? Nfs = null);

/// <summary>GET /v1/df. Bytes as statfs tells them to the mounts, and where they go.</summary>
/// <param name="MetadataBytes">Key-value store on disk: metadata, block index, small data, logs.</param>
/// <param name="HostTotalBytes">The file system that holds the data directory.</param>
internal sealed record SpaceInfo(
    ulong TotalBytes, ulong UsedBytes, ulong AvailableBytes, ulong InodesUsed, ulong InodesFree, long MetadataBytes, long HostTotalBytes, long HostAvailableBytes);

/// <param name="ManagedBytes">Heap of the runtime.</param>
/// <param name="KeyValueBytes">Held by the key-value store.</param>
internal sealed record MemoryInfo(long BudgetBytes, long ResidentBytes, long ManagedBytes, long KeyValueBytes);

/// <summary>What the last start found and mended.</summary>
internal sealed record RecoveryInfo(int TruncationsFinished, int SizesMeasured, int UnlinkedFound, int PurgesFound, double Milliseconds);

/// <summary>The NFS server of this daemon; absent where it is off.</summary>
/// <param name="Listen">ADDRESS:PORT.</param>
/// <param name="Rpcbind">"registered", or why not.</param>
/// <param name="Requests">Calls answered since the start, all programs together.</param>
internal sealed record NfsInfo(string Listen, string Rpcbind, int Exports, int Clients, int Connections, long Requests);

/// <summary>GET /v1/mounts: one mount of this daemon.</summary>
/// <param name="State">"mounted", or "gone" once somebody has unmounted it from outside.</param>
internal sealed record MountInfo(string Directory, string Source, string Options, string State, long Requests);

/// <summary>POST /v1/mounts.</summary>
/// <param name="Options">As behind mount's -o, with commas; may be empty.</param>
internal sealed record MountRequest(string Directory, string? Options = null, string? Source = null);

/// <summary>GET /v1/config: one key.</summary>
/// <param name="Origin">"default", file:line or the flag.</param>
internal sealed record ConfigValue(string Section, string Name, string Value, string Origin, string Default, string Allowed, string Meaning);

/// <summary>GET and PUT /v1/log-level.</summary>
internal sealed record LogLevelInfo(string Level);

/// <summary>GET /v1/stat?path=…: an inode, and where its data lies.</summary>
/// <param name="Verified">The data was read and its checksums compared.</param>
/// <param name="Regions">The first <see cref="RegionsShownAtMost"/> of <see cref="RegionCount"/>, in file order.</param>
internal sealed record InodeStat(
    string Path, ulong Inode, uint Generation, string Kind, string Mode, uint Uid, uint Gid, uint Links, ulong SizeBytes, long AllocatedBytes,
    string Accessed, string Modified, string Changed, string Born, bool Verified, IReadOnlyList<BlockRegion> Regions, int RegionCount)
{
    public const int RegionsShownAtMost = 10_000;
}

/// <summary>A run of a file's bytes that is stored in one piece. What no region covers is a hole and reads as zeros.</summary>
/// <param name="Place">"volume", "inline" (in the key-value store) or "lost".</param>
/// <param name="Volume">Name of the volume file, or empty.</param>
/// <param name="BadChunks">Chunks of 4 KiB whose checksum is wrong; -1 where the data was not read.</param>
internal sealed record BlockRegion(ulong FileOffset, long LengthBytes, string Place, string Volume, long VolumeOffset, int BadChunks);

/// <summary>GET /v1/tree-size?path=…: the sum over a tree. Hard links count once.</summary>
internal sealed record TreeSize(string Path, long Files, long Directories, long Others, ulong SizeBytes, long AllocatedBytes);

/// <summary>GET /v1/top: operations since the start of the daemon; two answers make rates.</summary>
/// <param name="Operations">Of the mounts.</param>
/// <param name="Nfs">Of the NFS server, each with its program before it: "NFS READ".</param>
internal sealed record TopReport(
    double UptimeSeconds, IReadOnlyList<OperationStat> Operations, IReadOnlyList<LiveOperation> Live, IReadOnlyList<OperationStat>? Nfs = null);

/// <param name="Name">LOOKUP, READ, …</param>
/// <param name="TotalMicroseconds">Sum of the latencies.</param>
internal sealed record OperationStat(
    string Name, long Count, long Errors, double TotalMicroseconds, double P50Microseconds, double P99Microseconds, double MaxMicroseconds);

/// <summary>A request that is being worked on now.</summary>
internal sealed record LiveOperation(string Mount, string Name, ulong Inode, uint Pid, double Milliseconds);

/// <summary>GET /v1/exports: a directory that NFS clients may mount.</summary>
/// <param name="Id">Part of file handles; never given again.</param>
/// <param name="Path">From the root of the file system.</param>
/// <param name="State">"served"; "missing" while there is no directory at the path; "unreadable" with the reason.</param>
/// <param name="Clients">In the order in which they were given.</param>
internal sealed record ExportInfo(uint Id, string Path, string State, IReadOnlyList<ExportClientInfo> Clients);

/// <summary>Which clients, and what they may.</summary>
/// <param name="Client">An address, a network, a host name, or * for everybody.</param>
/// <param name="Options">As exports(5) writes them, all of them.</param>
/// <param name="Note">What is to be known besides: that a host name cannot be resolved.</param>
internal sealed record ExportClientInfo(string Client, string Options, string Note);

/// <summary>POST /v1/exports: adds clients to the export of a path, which is made if it is not there; a client that is there already gets the new options.</summary>
/// <param name="Clients">Each CLIENT:OPTIONS or CLIENT(OPTIONS).</param>
internal sealed record ExportRequest(string Path, IReadOnlyList<string> Clients);

/// <summary>POST /v1/exports/import.</summary>
/// <param name="Text">In the format of exports(5).</param>
internal sealed record ExportImportRequest(string Text);

/// <summary>What an import has done. Exports that the text does not name stay as they are.</summary>
/// <param name="Notes">Options without effect here, directories that are not there yet.</param>
internal sealed record ExportImportReport(IReadOnlyList<ExportInfo> Exports, IReadOnlyList<string> Notes);

/// <summary>GET /v1/exports/check?client=…&amp;path=…: which rule decides for a client at a path, and why.</summary>
/// <param name="Export">Path of the export that serves it; empty where none does.</param>
/// <param name="Client">Of the rule that decides; empty where none does.</param>
/// <param name="Reason">One sentence.</param>
internal sealed record ExportCheck(bool Allowed, string Export, string Client, string Options, string Reason);

/// <summary>GET /v1/clients: an NFS client by its address. Counted since it came; two answers make rates.</summary>
/// <param name="Mounts">Paths that it has mounted, as far as it has said so.</param>
/// <param name="IdleSeconds">Since its last call; -1 for none.</param>
/// <param name="LastError">The last answer that was an error, for example "LOOKUP NoEntry"; empty for none.</param>
internal sealed record ClientInfo(
    string Address, int Connections, IReadOnlyList<string> Mounts, long Calls, long Errors, long ReadBytes, long WrittenBytes, double TotalMicroseconds,
    double IdleSeconds, string LastError);

/// <summary>DELETE /v1/clients?address=…: a client's connections were closed, so many, and its locks dropped.</summary>
internal sealed record EvictReport(string Address, int Connections);

/// <summary>A line of a long answer (application/x-ndjson): how far the work is. The last line is a <see cref="WorkEnd"/>.</summary>
/// <param name="Unit">"bytes", "inodes", …</param>
/// <param name="Total">0: not known.</param>
internal sealed record WorkProgress(string Phase, long Done, long Total, string Unit);

/// <summary>The last line of a long answer: exactly one member is set, or <see cref="Error"/>.</summary>
internal sealed record WorkEnd(CheckReport? Check = null, TreeSize? Tree = null, ErrorBody? Error = null);

/// <summary>One line of a long answer: exactly one of the two is set.</summary>
internal sealed record WorkLine(WorkProgress? Progress = null, WorkEnd? End = null);

/// <summary>What fsck and scrub found.</summary>
/// <param name="Findings">In plain words, the first <see cref="FindingsShownAtMost"/>.</param>
/// <param name="FindingCount">All of them.</param>
/// <param name="Repaired">How many were repaired.</param>
internal sealed record CheckReport(
    long InodesChecked, long NamesChecked, long ChunksChecked, long BytesVerified, long FindingCount, long Repaired, IReadOnlyList<string> Findings, double Seconds)
{
    public const int FindingsShownAtMost = 1000;
}

/// <summary>What a load of a dump brought in.</summary>
internal sealed record LoadReport(long Inodes, long Names, long Xattrs, double Seconds);
