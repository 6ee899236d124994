using System.Collections.Frozen;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Gateway.Admin.Contract;
using Gateway.Nfs.Exports;
using Gateway.Vfs;
using Microsoft.Extensions.Logging;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Daemon;

/// <summary>
/// The exports: kept in the metadata, made into the table that requests are decided by, and administered. A change is in the metadata, stable, before it is in the table. Where a
/// path leads, and the addresses of host names, are looked up here and never while a request is decided: anew when a name on the way to an export changes, host names once a minute.
/// Any thread may call any member.
/// </summary>
internal sealed class ExportSet : IVfsObserver, IDisposable
{
    /// <summary>How stale the addresses of host names may be.</summary>
    private static readonly TimeSpan NameRefreshInterval = TimeSpan.FromMinutes(1);

    /// <summary>Names that change all the time on the way to an export have it looked up so often at most.</summary>
    private static readonly TimeSpan LeastPause = TimeSpan.FromMilliseconds(100);

    private readonly IMetadata _metadata;
    private readonly IVfs _vfs;
    private readonly ILogger _log;
    private readonly HostNameCache _names;
    private readonly Lock _gate = new(); // one change at a time, from the metadata to the table
    private readonly AutoResetEvent _wake = new(false);
    private readonly ManualResetEvent _end = new(false);
    private readonly Thread _refresher;
    private volatile FrozenSet<InodeId> _watched = FrozenSet<InodeId>.Empty;
    private volatile FrozenDictionary<uint, string> _unreadable = FrozenDictionary<uint, string>.Empty;

    /// <exception cref="OperatingException">The store does not answer.</exception>
    public ExportSet(IMetadata metadata, IVfs vfs, ILogger log, HostNameCache? names = null)
    {
        _metadata = metadata;
        _vfs = vfs;
        _log = log;
        _names = names ?? new HostNameCache();
        vfs.Subscribe(this);
        lock (_gate)
            Reload(resolveHosts: true);
        _refresher = new Thread(Refresh) { Name = "exports", IsBackground = true };
        _refresher.Start();
    }

    /// <summary>The table of the moment, for the NFS server.</summary>
    public ExportTableSource Source { get; } = new();

    public void Dispose()
    {
        _vfs.Unsubscribe(this);
        _end.Set();
        _refresher.Join();
        _wake.Dispose();
        _end.Dispose();
    }

    public IReadOnlyList<ExportInfo> List() => [.. Stored().Select(Describe)];

    /// <exception cref="OperatingException">A client or path is wrong.</exception>
    public ExportInfo Add(string path, IReadOnlyList<string> clients)
    {
        string normal = Normal(path);
        List<ClientRule> rules = [.. clients.Select(ParseClient)];
        if (rules.Count == 0)
            throw new OperatingException(ExitCode.Usage, $"export {normal}: no client is named; add --client CLIENT:OPTIONS, for example --client 192.168.1.0/24:rw");
        if (rules.CountBy(static rule => rule.Host).FirstOrDefault(static host => host.Value > 1).Key is { } twice)
            throw new OperatingException(ExitCode.Usage, $"export {normal}: the client {twice} is named twice; name it once, with all its options");
        if (Resolve(normal, null, out string obstacle) == InodeId.None)
        {
            throw new OperatingException(
                ExitCode.NoInput, $"export {normal}: {obstacle}; name a directory (paths of exports count from the root of the file system, not from a mount point)");
        }

        lock (_gate)
        {
            ExportDefinition stored = Put(normal, rules, replace: false);
            Reload(resolveHosts: true);
            return Describe(stored);
        }
    }

    /// <param name="export">Path or number.</param>
    /// <param name="client">One client of it; null: all of it.</param>
    /// <exception cref="OperatingException">There is no such export or client.</exception>
    public void Remove(string export, string? client)
    {
        lock (_gate)
        {
            ExportDefinition found = Find(export);
            if (client is null)
            {
                Check(_metadata.RemoveExport(found.Id), found.Path);
            }
            else
            {
                string host = ParseClient(client).Host;
                List<ClientRule> rules = [.. Readable(found)];
                if (rules.RemoveAll(rule => rule.Host == host) == 0)
                {
                    string known = string.Join(", ", rules.Select(rule => rule.Host));
                    throw new OperatingException(ExitCode.NoInput, $"export {found.Path}: it has no client {host}; it has: {(known.Length > 0 ? known : "none")}");
                }

                Check(_metadata.PutExport(found with { Rules = Join(rules) }, out _), found.Path);
            }

            Reload(resolveHosts: true);
        }
    }

    /// <summary>Which rule decides for a client at a path, and why.</summary>
    /// <param name="client">Address or host name.</param>
    /// <exception cref="OperatingException">The client is none.</exception>
    public ExportCheck Decide(string client, string path, int port)
    {
        string normal = Normal(path);
        ClientAddress address = AddressOf(client);
        ExportTable table = Source.Current;
        int cursor = 0;
        if (table.NextCovering(Encoding.UTF8.GetBytes(normal), ref cursor, out _) is not { } export)
        {
            string known = string.Join(", ", table.All.Select(export => export.Path));
            return new ExportCheck(false, "", "", "", $"{normal} lies in no export; {(known.Length > 0 ? $"there are: {known}" : "there are none")}.");
        }

        ExportAccess access = table.Decide(address, port, export);
        bool isThere = Resolve(normal, null, out string obstacle) != InodeId.None;
        string reason = access.Explain(address, port, export);
        return new ExportCheck(
            access.IsAllowed && isThere, export.Path, access.Rule?.Host ?? "", access.Rule is { } rule ? rule.Options.ToString() : "",
            isThere ? reason : $"{reason[..^1]}, but {obstacle}.");
    }

    /// <summary>Takes over exports from text in the format of exports(5): each that it names gets exactly the clients named there.</summary>
    /// <exception cref="OperatingException">The text is wrong somewhere: then nothing has been changed.</exception>
    public ExportImportReport Import(string text)
    {
        IReadOnlyList<ExportsEntry> entries = ExportsFile.Parse(text, out IReadOnlyList<ExportsError> errors);
        if (errors.Count > 0)
        {
            string more = errors.Count > 1 ? $" (wrong too: line {string.Join(", ", errors.Skip(1).Select(static error => error.Line))})" : "";
            throw new OperatingException(ExitCode.DataError, $"{errors[0]}{more}; nothing was imported: mend the text and import it again");
        }

        lock (_gate)
        {
            List<string> notes = [];
            List<ExportDefinition> stored = [];
            foreach (IGrouping<string, ExportsEntry> export in entries.GroupBy(static entry => entry.Path))
            {
                stored.Add(Put(export.Key, [.. export.SelectMany(static entry => entry.Rules)], replace: true));
                foreach (ExportsEntry entry in export)
                    notes.AddRange(Notes(entry));
                if (Resolve(export.Key, null, out string obstacle) == InodeId.None)
                    notes.Add($"export {export.Key}: {obstacle}; it is served as soon as there is one");
            }

            Reload(resolveHosts: true);
            List<ExportInfo> exports = [.. stored.Select(Describe)];
            foreach (ExportInfo export in exports)
                notes.AddRange(export.Clients.Where(static client => client.Note.Length > 0).Select(client => $"export {export.Path}: client {client.Client}: {client.Note}"));
            return new ExportImportReport(exports, notes);
        }
    }

    /// <summary>What an administrator might not expect of a line that is taken over.</summary>
    private static IEnumerable<string> Notes(ExportsEntry entry)
    {
        if (entry.Ignored.Count > 0)
            yield return string.Create(CultureInfo.InvariantCulture, $"line {entry.Line}: without effect here: {string.Join(", ", entry.Ignored)}");
        if (entry.IsOpenUnsaid)
            yield return string.Create(CultureInfo.InvariantCulture, $"line {entry.Line}: no client is named, so {entry.Path} is exported to everybody; is there a blank before the bracket?");
    }

    void IVfsObserver.InodeChanged(InodeId inode, long offset, long lengthBytes, int origin)
    {
    }

    /// <summary>Wakes the refresher where a name on the way to an export has changed.</summary>
    void IVfsObserver.EntryChanged(InodeId directory, ReadOnlySpan<byte> name, InodeId child, int origin)
    {
        if (_watched.Contains(directory))
            _wake.Set();
    }

    /// <summary>Adds or changes an export in the metadata. Under the gate.</summary>
    private ExportDefinition Put(string path, IReadOnlyList<ClientRule> rules, bool replace)
    {
        ExportDefinition? there = Stored().FirstOrDefault(export => export.Path == path);
        List<ClientRule> all = replace || there is null ? [] : [.. Readable(there)];
        foreach (ClientRule rule in rules)
        {
            int at = all.FindIndex(old => old.Host == rule.Host);
            if (at < 0)
                all.Add(rule);
            else
                all[at] = rule;
        }

        Check(_metadata.PutExport(new ExportDefinition(there?.Id ?? 0, path, Join(all)), out ExportDefinition? stored), path);
        return stored!;
    }

    /// <summary>Makes the table anew from what the metadata holds. Under the gate.</summary>
    /// <param name="resolveHosts">Ask for the addresses of host names that are not known yet, which may take a while.</param>
    private void Reload(bool resolveHosts)
    {
        List<Export> exports = [];
        var watched = new HashSet<InodeId>();
        var unreadable = new Dictionary<uint, string>();
        IReadOnlyList<ExportDefinition> stored = Stored();
        foreach (ExportDefinition definition in stored)
        {
            // One rule that cannot be read could be the one that refuses: then nobody is let in.
            if (TryRead(definition, out IReadOnlyList<ClientRule> rules, out string? error))
            {
                exports.Add(new Export(definition.Id, definition.Path, Resolve(definition.Path, watched, out _), rules));
                continue;
            }

            unreadable[definition.Id] = error!;
            if (!_unreadable.ContainsKey(definition.Id))
                _log.LogError("export {Id} of {Path} is not served: {Error}; set it anew with gatewayctl export", definition.Id, definition.Path, error);
        }

        _watched = watched.ToFrozenSet();
        _unreadable = unreadable.ToFrozenDictionary();
        var table = new ExportTable(exports, _names);
        if (resolveHosts && table.HostNames.Any(host => !_names.IsResolved(host)))
            RefreshNames(table);
        Source.Current = table;
    }

    private void RefreshNames(ExportTable table)
    {
        foreach ((string host, string reason) in _names.Refresh(table.HostNames))
            _log.LogWarning("the address of NFS client {Host} cannot be found: {Reason}; tried again in {Seconds} s", host, reason, NameRefreshInterval.TotalSeconds);
    }

    private void Refresh()
    {
        WaitHandle[] signals = [_end, _wake];
        do
        {
            int signal = WaitHandle.WaitAny(signals, NameRefreshInterval);
            if (signal == 0)
                return;
            try
            {
                if (signal == WaitHandle.WaitTimeout)
                    RefreshNames(Source.Current);
                lock (_gate)
                    Reload(resolveHosts: false);
            }
            catch (OperatingException error)
            {
                _log.LogError("the exports cannot be read: {Reason}", error.Message);
            }
        }
        while (!_end.WaitOne(LeastPause));
    }

    /// <summary>The directory at a path; none where there is none. Adds the directories whose names lead there.</summary>
    /// <param name="obstacle">Why there is none, without a full stop.</param>
    private InodeId Resolve(string path, HashSet<InodeId>? watched, out string obstacle)
    {
        obstacle = "";
        InodeId at = InodeId.Root;
        string way = "";
        foreach (string name in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            way += $"/{name}";
            watched?.Add(at);
            FsStatus status = _vfs.Lookup(Caller.System, at, Encoding.UTF8.GetBytes(name), out InodeRecord record);
            if (status is FsStatus.NotFound or FsStatus.NotDirectory or FsStatus.Stale or FsStatus.NameTooLong)
                obstacle = $"there is no directory {way}";
            else if (status == FsStatus.Ok && !record.IsDirectory)
                obstacle = record.Kind == InodeKind.Symlink ? $"{way} is a symbolic link, which exports do not follow" : $"{way} is no directory";
            if (obstacle.Length > 0)
                return InodeId.None;
            Check(status, path);
            at = record.Inode;
        }

        return at;
    }

    private IReadOnlyList<ExportDefinition> Stored()
    {
        Check(_metadata.ListExports(out IReadOnlyList<ExportDefinition> exports), "exports");
        return exports;
    }

    private ExportDefinition Find(string export)
    {
        IReadOnlyList<ExportDefinition> stored = Stored();
        ExportDefinition? found = uint.TryParse(export, NumberStyles.None, CultureInfo.InvariantCulture, out uint id)
            ? stored.FirstOrDefault(one => one.Id == id)
            : stored.FirstOrDefault(one => one.Path == Normal(export));
        if (found is not null)
            return found;
        string known = string.Join(", ", stored.Select(one => one.Path));
        throw new OperatingException(ExitCode.NoInput, $"there is no export {export}; {(known.Length > 0 ? $"there are: {known}" : "gatewayctl export add makes one")}");
    }

    private ExportInfo Describe(ExportDefinition definition)
    {
        if (!TryRead(definition, out IReadOnlyList<ClientRule> rules, out string? error))
            return new ExportInfo(definition.Id, definition.Path, $"unreadable: {error}", []);
        bool isThere = Resolve(definition.Path, null, out _) != InodeId.None;
        return new ExportInfo(definition.Id, definition.Path, isThere ? "served" : "missing", [.. rules.Select(Describe)]);
    }

    private ExportClientInfo Describe(ClientRule rule) => new(
        rule.Host, rule.Options.ToString(), rule.Match == ClientMatch.Host && !_names.IsResolved(rule.Host) ? "its address is not known" : "");

    private static string Normal(string path) =>
        Export.NormalPath(path, out string? error)
            ?? throw new OperatingException(ExitCode.Usage, $"{error}; write the path as it is in the file system, for example /projects");

    private static ClientRule ParseClient(string text) =>
        ClientRule.Parse(text, out string? error)
            ?? throw new OperatingException(ExitCode.Usage, $"{error}; write CLIENT:OPTIONS, for example 192.168.1.0/24:rw,no_root_squash");

    private static ClientAddress AddressOf(string client)
    {
        if (ClientAddress.TryParse(client, out ClientAddress address))
            return address;
        try
        {
            return ClientAddress.From(Dns.GetHostAddresses(client)[0]);
        }
        catch (Exception error) when (error is SocketException or ArgumentException)
        {
            throw new OperatingException(ExitCode.Usage, $"client {client} is no address and no host that can be resolved ({error.Message}); give its address", error);
        }
    }

    private static IReadOnlyList<ClientRule> Readable(ExportDefinition definition) => TryRead(definition, out IReadOnlyList<ClientRule> rules, out string? error)
        ? rules
        : throw new OperatingException(ExitCode.DataError, $"export {definition.Path}: {error}; remove it and add it anew");

    /// <summary>The rules as <see cref="Join"/> has written them.</summary>
    private static bool TryRead(ExportDefinition definition, out IReadOnlyList<ClientRule> rules, out string? error)
    {
        List<ClientRule> read = [];
        rules = read;
        error = Export.NormalPath(definition.Path, out string? wrong) == definition.Path ? null : wrong ?? "its path has no normal form";
        foreach (string text in definition.Rules.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (error is null && ClientRule.Parse(text, out error) is { } rule)
                read.Add(rule);
        }

        return error is null;
    }

    private static string Join(IEnumerable<ClientRule> rules) => string.Join(' ', rules);

    private static void Check(FsStatus status, string what)
    {
        switch (status)
        {
            case FsStatus.Ok:
                return;
            case FsStatus.NoSpace:
                throw new OperatingException(ExitCode.CannotCreate, $"export {what}: there are as many exports as there can be; remove one that is not needed");
            case FsStatus.Invalid:
                throw new OperatingException(ExitCode.Usage, $"export {what}: its path or its list of clients is too long; name networks instead of single clients");
            default:
                throw new OperatingException(ExitCode.IoError, $"{what}: the store answers {status}; look into the daemon's log");
        }
    }
}
