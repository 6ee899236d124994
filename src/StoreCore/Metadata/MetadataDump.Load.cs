using System.Buffers.Text;
using System.Text;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>Reading a dump.</summary>
public static partial class MetadataDump
{
    /// <summary>Bytes of effects in one batch.</summary>
    private const int BatchBytes = 1 << 20;

    /// <summary>
    /// Loads a dump into a store without metadata. The superblock is written last, when counts and checksum were found right: until then the store is not one that
    /// can be opened, and a load that failed leaves it so. The op log begins with the load's last record.
    /// </summary>
    /// <param name="progress">Is told now and then what is loaded and how many lines of it are done.</param>
    /// <exception cref="MetadataException">The store is not empty, or the dump is truncated, damaged or of another version.</exception>
    public static MetadataDumpCounts Load(IKvStore kv, Stream stream, Action<string, long>? progress = null)
    {
        MetadataStore.CheckEmpty(kv);
        var lines = new LineReader(stream);
        var loader = new Loader(kv);
        lines.Next();
        if (lines.Word() != Header)
            throw new MetadataException("this is not a metadata dump: its first line is another one");
        ulong version = lines.Number();
        if (version is not Version and not VersionWithoutCluster)
            throw new MetadataException($"the dump has format version {version}, this program knows versions up to {Version}");
        lines.EndLine();
        lines.Next();
        lines.Expect("filesystem");
        loader.Begin(lines);

        var counts = default(MetadataDumpCounts);
        while (true)
        {
            uint checksum = lines.Checksum;
            lines.Next();
            string kind = lines.Word();
            if (kind == "end")
            {
                CheckEnd(lines, counts, checksum, version);
                loader.Finish();
                return counts;
            }

            counts = loader.Load(kind, lines, counts, progress);
            lines.EndLine();
        }
    }

    private static void CheckEnd(LineReader lines, MetadataDumpCounts counts, uint checksum, ulong version)
    {
        var expected = new MetadataDumpCounts(
            (long)lines.Number(), (long)lines.Number(), (long)lines.Number(), (long)lines.Number(), version == VersionWithoutCluster ? 0 : (long)lines.Number());
        ulong expectedChecksum = lines.Number('x');
        lines.EndLine();
        if (expected != counts)
            throw new MetadataException($"the dump is damaged: it names {expected} and holds {counts}");
        if (expectedChecksum != checksum)
            throw new MetadataException("the dump is damaged: its checksum is wrong");
    }

    /// <summary>Turns lines into rows. They go the way of all changes, through op records, but the log keeps the last one only.</summary>
    private sealed class Loader(IKvStore kv)
    {
        private readonly OpRecordBuilder _record = new();
        private readonly KvBatch _batch = new();
        private MetadataState _state;
        private ulong _sequence;
        private byte[] _name = new byte[Limits.MaxNameBytes];
        private byte[] _value = new byte[Limits.MaxXattrValueBytes];
        private byte[] _last = [];

        public void Begin(LineReader lines)
        {
            if (!Guid.TryParseExact(lines.Word(), "D", out Guid id))
                throw lines.Malformed();
            _state.Term = new Term(lines.Number());
            _sequence = lines.Number();
            _state.NextInode = lines.Number();
            lines.EndLine();
            _record.Begin();
            _record.Format(id);
        }

        public MetadataDumpCounts Load(string kind, LineReader lines, MetadataDumpCounts counts, Action<string, long>? progress)
        {
            switch (kind)
            {
                case "inode":
                    LoadInode(lines);
                    counts = counts with { Inodes = counts.Inodes + 1 };
                    Progress(progress, "inodes", counts.Inodes);
                    break;
                case "name":
                    LoadName(lines);
                    counts = counts with { Names = counts.Names + 1 };
                    Progress(progress, "names", counts.Names);
                    break;
                case "xattr":
                    var inode = new InodeId(lines.Number());
                    int nameBytes = lines.Bytes(ref _name), valueBytes = lines.Bytes(ref _value);
                    if (nameBytes > Limits.MaxXattrNameBytes || valueBytes > Limits.MaxXattrValueBytes)
                        throw lines.Malformed();
                    _record.PutXattr(inode, _name.AsSpan(0, nameBytes), _value.AsSpan(0, valueBytes));
                    counts = counts with { Xattrs = counts.Xattrs + 1 };
                    Progress(progress, "attributes", counts.Xattrs);
                    break;
                case "pending":
                    var pending = (PendingKind)lines.Number();
                    if (!Enum.IsDefined(pending))
                        throw lines.Malformed();
                    _record.PutPending(pending, new InodeId(lines.Number()), lines.Number());
                    counts = counts with { Pending = counts.Pending + 1 };
                    break;
                case "cluster":
                    LoadCluster(lines);
                    counts = counts with { Cluster = counts.Cluster + 1 };
                    break;
                default:
                    throw lines.Malformed();
            }

            if (_record.SizeBytes >= BatchBytes)
                Write();
            return counts;
        }

        /// <summary>The last record, with it the superblock: from here on the store is one.</summary>
        public void Finish()
        {
            if (_state.Inodes == 0)
                throw new MetadataException("the dump holds no inode");
            Write();

            // The sequence goes on where the dumped store stood, so that it never goes back for those who remember it.
            _state.Sequence = new LogIndex(Math.Max(_sequence, _state.Sequence.Value));
            Apply();
            _state.Log.Restart(_state.Sequence.Value, _batch);
            _batch.Put(KvTable.OpLog, MetadataKeys.LogRecord(stackalloc byte[sizeof(ulong)], _state.Sequence.Value), _last);
            _state.Save(_batch);
            kv.Write(_batch);
            kv.Sync();
        }

        private void LoadInode(LineReader lines)
        {
            var inode = new InodeRecord
            {
                Inode = new InodeId(lines.Number()),
                Mode = lines.Small('o'),
                Generation = lines.Small(),
                Uid = lines.Small(),
                Gid = lines.Small(),
                Links = lines.Small(),
                Flags = (InodeFlags)lines.Small('x'),
                SizeBytes = lines.Number(),
                AllocatedBytes = lines.Signed(),
                Accessed = lines.Time(),
                Modified = lines.Time(),
                Changed = lines.Time(),
                Born = lines.Time(),
                Parent = new InodeId(lines.Number()),
                NextCookie = lines.Number(),
                Device = lines.Small(),
            };
            if (inode.Mode > ushort.MaxValue || inode.Inode == InodeId.None || inode.Inode.Value >= Math.Max(_state.NextInode, MetadataState.FirstInode))
                throw lines.Malformed();
            _record.PutInode(inode);
            _state.Inodes++;
        }

        private void LoadName(LineReader lines)
        {
            ulong directory = lines.Number(), cookie = lines.Number(), child = lines.Number();
            uint kind = lines.Small();
            int nameBytes = lines.Bytes(ref _name);
            if (kind > 15 || nameBytes > Limits.MaxNameBytes || MetadataCore.CheckName(_name.AsSpan(0, nameBytes)) != FsStatus.Ok)
                throw lines.Malformed();
            _record.PutEntry(new InodeId(directory), cookie, new InodeId(child), (InodeKind)kind, _name.AsSpan(0, nameBytes));
        }

        private void LoadCluster(LineReader lines)
        {
            uint kind = lines.Small(), number = lines.Small();
            int rowBytes = lines.Bytes(ref _value);
            ReadOnlySpan<byte> row = _value.AsSpan(0, rowBytes);
            if (kind > byte.MaxValue || !ClusterRow.IsValid((ClusterKind)kind, number, row))
                throw lines.Malformed();
            _record.PutCluster((ClusterKind)kind, number, row);
        }

        private void Write()
        {
            Apply();
            kv.Write(_batch);
        }

        private void Apply()
        {
            _batch.Clear();
            ReadOnlySpan<byte> record = _record.Finish(
                OpKind.Load, new LogIndex(_state.Sequence.Value + 1), _state.Term, default, _state.NextInode, _state.Inodes);
            MetadataCore.Apply(OpRecord.Parse(record), ref _state, _batch);
            _last = record.ToArray();
            _record.Begin();
        }
    }

    /// <summary>Reads lines field by field; anything unexpected is a damaged dump.</summary>
    private sealed class LineReader(Stream stream)
    {
        /// <summary>The longest line: a value with every byte escaped, and its name.</summary>
        private const int MaxLineBytes = 3 * (Limits.MaxXattrValueBytes + Limits.MaxXattrNameBytes) + 256;

        private readonly byte[] _buffer = new byte[MaxLineBytes + 64 * 1024];
        private int _at, _filled, _lineEnd;
        private long _line;

        /// <summary>CRC32C of all lines before the current one, and of it once it has ended.</summary>
        public uint Checksum { get; private set; }

        public void Next()
        {
            _line++;
            while (true)
            {
                int end = _buffer.AsSpan(_at, _filled - _at).IndexOf((byte)'\n');
                if (end >= 0)
                {
                    _lineEnd = _at + end;
                    Checksum = Crc32C.Compute(_buffer.AsSpan(_at, end + 1), Checksum);
                    return;
                }

                if (_filled - _at > MaxLineBytes)
                    throw Malformed();
                _buffer.AsSpan(_at, _filled - _at).CopyTo(_buffer);
                _filled -= _at;
                _at = 0;
                int read = stream.Read(_buffer, _filled, _buffer.Length - _filled);
                if (read == 0)
                    throw new MetadataException($"the dump is truncated: it ends in line {_line}, without its last line");
                _filled += read;
            }
        }

        public void EndLine()
        {
            if (_at != _lineEnd)
                throw Malformed();
            _at = _lineEnd + 1;
        }

        public void Expect(string word)
        {
            if (Word() != word)
                throw Malformed();
        }

        public string Word() => Encoding.ASCII.GetString(Field());

        public uint Small(char format = 'd')
        {
            ulong value = Number(format);
            return value <= uint.MaxValue ? (uint)value : throw Malformed();
        }

        public ulong Number(char format = 'd')
        {
            ReadOnlySpan<byte> field = Field();
            if (format == 'o')
                return Octal(field);
            return Utf8Parser.TryParse(field, out ulong value, out int used, format) && used == field.Length ? value : throw Malformed();
        }

        public long Signed() => ParseSigned(Field());

        public Timestamp Time()
        {
            ReadOnlySpan<byte> field = Field();
            int dot = field.IndexOf((byte)'.');
            if (dot < 0 || field.Length - dot != 10 || !Utf8Parser.TryParse(field[(dot + 1)..], out uint nanoseconds, out int used) || used != 9)
                throw Malformed();
            return new Timestamp(ParseSigned(field[..dot]), nanoseconds);
        }

        /// <summary>Unescapes a field into the buffer, which grows where it must; returns the length.</summary>
        public int Bytes(ref byte[] to)
        {
            ReadOnlySpan<byte> field = Field();
            if (field.SequenceEqual("%"u8))
                return 0;
            if (to.Length < field.Length)
                to = new byte[field.Length];
            int length = 0;
            for (int i = 0; i < field.Length; i++)
            {
                if (field[i] != (byte)'%')
                {
                    to[length++] = field[i];
                    continue;
                }

                if (i + 2 >= field.Length || !Utf8Parser.TryParse(field.Slice(i + 1, 2), out byte value, out int used, 'x') || used != 2)
                    throw Malformed();
                to[length++] = value;
                i += 2;
            }

            return length;
        }

        public MetadataException Malformed() => new($"the dump is damaged: line {_line} is not what stands there");

        private long ParseSigned(ReadOnlySpan<byte> field) =>
            Utf8Parser.TryParse(field, out long value, out int used) && used == field.Length ? value : throw Malformed();

        private ulong Octal(ReadOnlySpan<byte> field)
        {
            ulong value = 0;
            foreach (byte digit in field)
                value = digit is >= (byte)'0' and <= (byte)'7' && field.Length <= 8 ? value * 8 + digit - '0' : throw Malformed();
            return value;
        }

        private ReadOnlySpan<byte> Field()
        {
            if (_at >= _lineEnd)
                throw Malformed();
            ReadOnlySpan<byte> rest = _buffer.AsSpan(_at, _lineEnd - _at);
            int end = rest.IndexOf((byte)' ');
            ReadOnlySpan<byte> field = end < 0 ? rest : rest[..end];
            if (field.IsEmpty || end == rest.Length - 1)
                throw Malformed();
            _at += end < 0 ? field.Length : end + 1;
            return field;
        }
    }
}
