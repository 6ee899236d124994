using System.Text;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Something in the metadata that cannot be.</summary>
public sealed class MetadataFinding
{
    internal MetadataFinding(InodeId inode, string text, Action<MetadataRepair> mend)
    {
        Inode = inode;
        Text = text;
        Mend = mend;
    }

    /// <summary>Which inode it concerns; <see cref="InodeId.None"/> where it is not about one.</summary>
    public InodeId Inode { get; }

    /// <summary>A sentence for people.</summary>
    public string Text { get; }

    /// <summary>What mends it in a store that nobody uses; every finding has one.</summary>
    internal Action<MetadataRepair> Mend { get; }

    public override string ToString() => Text;
}

/// <summary>How many rows a check has seen, and how many findings it has reported.</summary>
public readonly record struct MetadataCheckCounts(long Inodes, long Names, long Xattrs, long Pending, long LogRecords, long Findings);

/// <summary>
/// Checks that all metadata agrees with itself: rows are well formed, names and entries agree, counts and links are right, every directory hangs under the root once,
/// nothing unlinked is forgotten, flags tell the truth, kept answers and exports can be read, and the op log has no gap. Walks a snapshot, so it may run while the store is in use. Memory is bounded: the rows are
/// merged in the order of their inodes, and links are counted for a window of inodes at a time.
/// </summary>
public sealed partial class MetadataCheck
{
    private readonly SnapshotReader _reader;
    private readonly Func<MetadataFinding, bool> _report;
    private readonly Action<string, long>? _progress;
    private MetadataState _state;
    private long _inodes, _names, _xattrs, _pending, _logRecords, _findings;
    private bool _isStopped;

    private MetadataCheck(SnapshotReader reader, in MetadataState state, Func<MetadataFinding, bool> report, Action<string, long>? progress)
    {
        _reader = reader;
        _state = state;
        _report = report;
        _progress = progress;
    }

    /// <param name="report">Receives each finding; returns false to end the check early.</param>
    /// <param name="progress">Is told now and then what is walked and how many rows of it are done.</param>
    /// <exception cref="MetadataException">There is no usable superblock: nothing can be checked.</exception>
    public static MetadataCheckCounts Run(IKvStore kv, Func<MetadataFinding, bool> report, Action<string, long>? progress = null)
    {
        using IKvSnapshot snapshot = kv.Snapshot();
        var reader = new SnapshotReader(kv, snapshot);
        MetadataState state = MetadataState.Load(reader.Get);
        if (!state.IsFormatted)
            throw new MetadataException("the store holds no file system yet: there is nothing to check");

        var check = new MetadataCheck(reader, state, report, progress);
        check.CheckLog();
        check.CheckRows();
        check.CheckLinks();
        check.CheckTree();
        check.CheckRequests();
        check.CheckCluster();
        return new MetadataCheckCounts(check._inodes, check._names, check._xattrs, check._pending, check._logRecords, check._findings);
    }

    /// <summary>
    /// Checks and mends until nothing is found. The store must not be in use. What hangs nowhere comes into <c>/lost+found</c>. Each mending is an operation in the log
    /// of its own, so that standbys follow.
    /// </summary>
    /// <returns>How many findings were mended.</returns>
    /// <exception cref="MetadataException">The same finding comes again and again.</exception>
    public static long Repair(IKvStore kv, Timestamp now, Action<MetadataFinding> report, Action<string, long>? progress = null)
    {
        // A mending can bring the next finding to light: a removed name changes a count. A tree as deep as this many rounds would take has not been seen.
        const int maxRounds = 64, findingsPerRound = 4096;
        long mended = 0;
        for (int round = 0; round < maxRounds; round++)
        {
            var found = new List<MetadataFinding>();
            Run(kv, finding => { found.Add(finding); return found.Count < findingsPerRound; }, progress);
            if (found.Count == 0)
                return mended;

            var repair = new MetadataRepair(kv, now);
            foreach (MetadataFinding finding in found)
            {
                report(finding);
                finding.Mend(repair);
                mended++;
            }

            kv.Sync();
            round = found.Count == findingsPerRound ? round - 1 : round;
        }

        throw new MetadataException($"the metadata is still not consistent after {maxRounds} rounds of repair; restore the data directory from a backup");
    }

    private void Find(InodeId inode, string text, Action<MetadataRepair> mend)
    {
        if (_isStopped)
            return;
        _findings++;
        _isStopped = !_report(new MetadataFinding(inode, text, mend));
    }

    private void Progress(string what, long done)
    {
        const int every = 1 << 16;
        if (done % every == 0)
            _progress?.Invoke(what, done);
    }

    /// <summary>A name as text for people: what is not printable ASCII as \xNN.</summary>
    private static string Show(ReadOnlySpan<byte> name)
    {
        var text = new StringBuilder("'");
        foreach (byte b in name)
            _ = b is >= 0x20 and < 0x7F ? text.Append((char)b) : text.Append($"\\x{b:X2}");
        return text.Append('\'').ToString();
    }

    /// <summary>That the log goes without a gap from its first record to the one that the superblock names.</summary>
    private void CheckLog()
    {
        ulong next = _state.Log.First;
        var term = default(Term);
        string? fault = null;
        using (SnapshotReader.Cursor rows = _reader.Open(KvTable.OpLog))
        {
            while (fault is null && rows.Next())
            {
                fault = CheckLogRecord(rows, ref next, ref term);
                Progress("op log", ++_logRecords);
            }
        }

        if (fault is null && next != _state.Sequence.Value + 1)
            fault = $"the op log ends before record {next}, the superblock names {_state.Sequence.Value} as the last";
        if (fault is not null)
            Find(InodeId.None, fault, repair => repair.RestartLog());
    }

    private static string? CheckLogRecord(SnapshotReader.Cursor rows, ref ulong next, ref Term term)
    {
        ulong sequence = rows.Owner.Value;
        if (sequence != next)
            return $"the op log holds record {sequence} where {next} should stand";
        try
        {
            OpRecord record = OpRecord.Parse(rows.Value);
            if (record.Sequence.Value != sequence || record.Term.CompareTo(term) < 0)
                return $"the op log holds record {record.Sequence.Value} of term {record.Term.Value} at place {sequence} after term {term.Value}";
            term = record.Term;
        }
        catch (MetadataException e)
        {
            return e.Message;
        }

        next++;
        return null;
    }
}
