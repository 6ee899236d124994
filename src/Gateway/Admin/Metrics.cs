using System.Globalization;
using System.Text;
using Gateway.Admin.Contract;

namespace Gateway.Admin;

/// <summary>The figures of the daemon in Prometheus' text format, version 0.0.4.</summary>
internal static class Metrics
{
    public static string Render(NodeStatus status, TopReport top)
    {
        var text = new StringBuilder(8192);
        Gauge("gateway_up", "1 while the store serves, 0 once it has stopped itself.", status.State == "serving" ? 1 : 0);
        Gauge("gateway_uptime_seconds", "Time since the start.", status.UptimeSeconds);
        Gauge("gateway_space_total_bytes", "Size of the file system.", status.Space.TotalBytes);
        Gauge("gateway_space_used_bytes", "Used by files.", status.Space.UsedBytes);
        Gauge("gateway_space_available_bytes", "What can still be written.", status.Space.AvailableBytes);
        Gauge("gateway_metadata_disk_bytes", "Key-value store on disk.", status.Space.MetadataBytes);
        Gauge("gateway_inodes", "Inodes in use.", status.Space.InodesUsed);
        Gauge("gateway_memory_budget_bytes", "Configured memory of the process.", status.Memory.BudgetBytes);
        Gauge("gateway_memory_resident_bytes", "Resident memory of the process.", status.Memory.ResidentBytes);
        Gauge("gateway_memory_managed_bytes", "Heap of the runtime.", status.Memory.ManagedBytes);
        Gauge("gateway_memory_kv_bytes", "Held by the key-value store.", status.Memory.KeyValueBytes);
        Gauge("gateway_mounts", "Mounts served.", status.Mounts.Count);
        Gauge("gateway_open_inodes", "Inodes open, dirty or in use.", status.OpenInodes);
        Gauge("gateway_locks_held", "File locks held.", status.LocksHeld);
        Gauge("gateway_freeing_backlog", "Unlinked inodes whose space is still to be freed.", status.FreeingBacklog);
        Counter("gateway_block_faults_total", "Chunks found with a wrong checksum.", status.BlockFaults);

        if (status.Nfs is { } nfs)
        {
            Gauge("gateway_exports", "Exports.", nfs.Exports);
            Gauge("gateway_nfs_clients", "NFS clients with a connection.", nfs.Clients);
            Gauge("gateway_nfs_connections", "Connections of NFS clients.", nfs.Connections);
        }

        Header("gateway_operations_total", "counter", "File system operations answered.");
        foreach (OperationStat operation in top.Operations)
            Sample("gateway_operations_total", operation.Name, operation.Count);
        Header("gateway_operation_errors_total", "counter", "File system operations answered with an error (ENOENT of a lookup is one).");
        foreach (OperationStat operation in top.Operations)
            Sample("gateway_operation_errors_total", operation.Name, operation.Errors);
        Header("gateway_operation_seconds_total", "counter", "Sum of the times from request to answer.");
        foreach (OperationStat operation in top.Operations)
            Sample("gateway_operation_seconds_total", operation.Name, operation.TotalMicroseconds / 1e6);
        if (top.Nfs is not { } calls)
            return text.ToString();
        Header("gateway_nfs_calls_total", "counter", "Calls of NFS clients answered.");
        foreach (OperationStat call in calls)
            Sample("gateway_nfs_calls_total", call.Name, call.Count);
        Header("gateway_nfs_call_failures_total", "counter", "Calls answered with an error of the RPC protocol.");
        foreach (OperationStat call in calls)
            Sample("gateway_nfs_call_failures_total", call.Name, call.Errors);
        Header("gateway_nfs_call_seconds_total", "counter", "Sum of the times from call to answer.");
        foreach (OperationStat call in calls)
            Sample("gateway_nfs_call_seconds_total", call.Name, call.TotalMicroseconds / 1e6);
        return text.ToString();

        void Gauge(string name, string help, double value) => Single(name, "gauge", help, value);

        void Counter(string name, string help, double value) => Single(name, "counter", help, value);

        void Single(string name, string type, string help, double value)
        {
            Header(name, type, help);
            text.Append(CultureInfo.InvariantCulture, $"{name} {value}\n");
        }

        void Header(string name, string type, string help) => text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} {type}\n");

        void Sample(string name, string operation, double value) => text.Append(CultureInfo.InvariantCulture, $"{name}{{operation=\"{operation}\"}} {value}\n");
    }
}
