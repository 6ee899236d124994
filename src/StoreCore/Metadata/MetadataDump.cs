using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Metadata;

/// <summary>How many rows a dump holds.</summary>
public readonly record struct MetadataDumpCounts(long Inodes, long Names, long Xattrs, long Pending, long Cluster);

/// <summary>
/// The whole metadata (not the data of files) as lines of ASCII text: independent of row formats, so it carries a file system from one format version to another,
/// and readable with every tool. Written from a snapshot while the store is in use; loaded into an empty store.
/// </summary>
/// <remarks>
/// Fields are separated by one space, lines end in a line feed; numbers are decimal unless noted. Names, targets and values are escaped: bytes 0x21 to 0x7E
/// except '%' stand for themselves, all others are %XX; an empty one is written as "%". Times are SECONDS.NANOSECONDS with nine digits (the seconds may be negative, the
/// nanoseconds always count up from them).
/// <code>
/// gateway-metadata 2
/// filesystem GUID TERM SEQUENCE NEXT-INODE
/// inode NUMBER MODE(octal) GENERATION UID GID LINKS FLAGS(hex) SIZE ALLOCATED ATIME MTIME CTIME BTIME PARENT NEXT-COOKIE DEVICE
/// name DIRECTORY COOKIE CHILD KIND NAME
/// xattr INODE NAME VALUE            a symlink's target has the empty name
/// pending KIND INODE VALUE
/// cluster KIND NUMBER ROW           exports and the secret of the cluster: a dump is to be kept as the data itself
/// end INODES NAMES XATTRS PENDING CLUSTER CRC32C(hex, of all bytes before this line)
/// </code>
/// The lines of one kind stand together, in this order, each kind in the order of its numbers. Version 1 had no cluster lines and no count of them; it can be loaded.
/// Answers of clients' requests are not dumped: nobody waits for them that long.
/// </remarks>
public static partial class MetadataDump
{
    /// <summary>Version of the text format.</summary>
    public const int Version = 2;

    private const int VersionWithoutCluster = 1;

    private const string Header = "gateway-metadata";

    /// <param name="progress">Is told now and then what is written and how many rows of it are done.</param>
    /// <exception cref="MetadataException">There is nothing to dump, or a row is damaged.</exception>
    public static MetadataDumpCounts Write(IKvStore kv, Stream stream, Action<string, long>? progress = null)
    {
        using IKvSnapshot snapshot = kv.Snapshot();
        var reader = new SnapshotReader(kv, snapshot);
        MetadataState state = MetadataState.Load(reader.Get);
        if (!state.IsFormatted)
            throw new MetadataException("the store holds no file system yet: there is nothing to dump");

        var writer = new LineWriter(stream);
        writer.Word(Header).Number(Version).EndLine();
        writer.Word("filesystem").Word(state.FileSystemId.ToString("D", CultureInfo.InvariantCulture)).Number(state.Term.Value)
            .Number(state.Sequence.Value).Number(state.NextInode).EndLine();
        long inodes = WriteInodes(reader, writer, progress), names = WriteNames(reader, writer, progress);
        long xattrs = WriteXattrs(reader, writer, progress), pending = WritePending(reader, writer), cluster = WriteCluster(reader, writer);
        uint checksum = writer.Checksum();
        writer.Word("end").Number(inodes).Number(names).Number(xattrs).Number(pending).Number(cluster).Word(checksum.ToString("x8", CultureInfo.InvariantCulture)).EndLine();
        writer.Flush();
        return new MetadataDumpCounts(inodes, names, xattrs, pending, cluster);
    }

    private static long WriteInodes(SnapshotReader reader, LineWriter writer, Action<string, long>? progress)
    {
        long count = 0;
        foreach (InodeRecord inode in reader.Inodes(InodeId.None))
        {
            writer.Word("inode").Number(inode.Inode.Value).Word(Convert.ToString(inode.Mode, 8)).Number(inode.Generation).Number(inode.Uid).Number(inode.Gid)
                .Number(inode.Links).Word(((uint)inode.Flags).ToString("x", CultureInfo.InvariantCulture)).Number(inode.SizeBytes).Number(inode.AllocatedBytes)
                .Time(inode.Accessed).Time(inode.Modified).Time(inode.Changed).Time(inode.Born)
                .Number(inode.Parent.Value).Number(inode.NextCookie).Number(inode.Device).EndLine();
            Progress(progress, "inodes", ++count);
        }

        return count;
    }

    private static long WriteNames(SnapshotReader reader, LineWriter writer, Action<string, long>? progress)
    {
        long count = 0;
        using SnapshotReader.Cursor rows = reader.Open(KvTable.Entries);
        while (rows.Next())
        {
            EntryRow row = EntryRow.Decode(rows.Owner, rows.Value);
            writer.Word("name").Number(rows.Owner.Value).Number(BinaryPrimitives.ReadUInt64BigEndian(rows.Rest)).Number(row.Child.Value)
                .Number((byte)row.Kind).Bytes(row.Name).EndLine();
            Progress(progress, "names", ++count);
        }

        return count;
    }

    private static long WriteXattrs(SnapshotReader reader, LineWriter writer, Action<string, long>? progress)
    {
        long count = 0;
        using SnapshotReader.Cursor rows = reader.Open(KvTable.Xattrs);
        while (rows.Next())
        {
            writer.Word("xattr").Number(rows.Owner.Value).Bytes(rows.Rest).Bytes(rows.Value).EndLine();
            Progress(progress, "attributes", ++count);
        }

        return count;
    }

    private static long WritePending(SnapshotReader reader, LineWriter writer)
    {
        long count = 0;
        foreach (PendingKind kind in Enum.GetValues<PendingKind>())
        {
            using SnapshotReader.Cursor rows = reader.OpenPending(kind);
            while (rows.Next())
            {
                writer.Word("pending").Number((byte)kind).Number(rows.Owner.Value).Number(BinaryPrimitives.ReadUInt64LittleEndian(rows.Value)).EndLine();
                count++;
            }
        }

        return count;
    }

    private static long WriteCluster(SnapshotReader reader, LineWriter writer)
    {
        long count = 0;
        using IKvIterator rows = reader.Rows(KvTable.Cluster);
        while (rows.Next())
        {
            if (rows.Key.Length != MetadataKeys.ClusterBytes)
                throw new MetadataException("metadata is damaged: the Cluster table has a key that none of its rows has; run gatewayctl fsck --repair");
            writer.Word("cluster").Number((ulong)rows.Key[0]).Number((ulong)BinaryPrimitives.ReadUInt32BigEndian(rows.Key[1..])).Bytes(rows.Value).EndLine();
            count++;
        }

        return count;
    }

    private static void Progress(Action<string, long>? progress, string what, long done)
    {
        const int every = 1 << 16;
        if (done % every == 0)
            progress?.Invoke(what, done);
    }

    /// <summary>Builds lines in a buffer, checksums and writes it when it is full.</summary>
    private sealed class LineWriter(Stream stream)
    {
        private const int FlushAt = 64 * 1024;

        private byte[] _buffer = new byte[2 * FlushAt];
        private int _length;
        private uint _crc;
        private bool _isInLine;

        public LineWriter Word(string word)
        {
            Separate();
            _length += Encoding.ASCII.GetBytes(word, Room(word.Length));
            return this;
        }

        public LineWriter Number(ulong value)
        {
            Separate();
            value.TryFormat(Room(20), out int written, default, CultureInfo.InvariantCulture);
            _length += written;
            return this;
        }

        public LineWriter Number(long value)
        {
            Separate();
            value.TryFormat(Room(20), out int written, default, CultureInfo.InvariantCulture);
            _length += written;
            return this;
        }

        public LineWriter Time(Timestamp time)
        {
            Number(time.Seconds);
            Room(1)[0] = (byte)'.';
            _length++;
            time.Nanoseconds.TryFormat(Room(9), out int written, "D9", CultureInfo.InvariantCulture);
            _length += written;
            return this;
        }

        public LineWriter Bytes(ReadOnlySpan<byte> bytes)
        {
            Separate();
            Span<byte> to = Room(3 * bytes.Length + 1);
            int at = 0;
            foreach (byte b in bytes)
            {
                if (b is > 0x20 and < 0x7F and not (byte)'%')
                {
                    to[at++] = b;
                    continue;
                }

                to[at++] = (byte)'%';
                to[at++] = HexDigit(b >> 4);
                to[at++] = HexDigit(b & 15);
            }

            if (bytes.IsEmpty)
                to[at++] = (byte)'%';
            _length += at;
            return this;
        }

        public void EndLine()
        {
            Room(1)[0] = (byte)'\n';
            _length++;
            _isInLine = false;
            if (_length >= FlushAt)
                Flush();
        }

        /// <summary>The checksum of all lines so far.</summary>
        public uint Checksum()
        {
            Flush();
            return _crc;
        }

        public void Flush()
        {
            ReadOnlySpan<byte> bytes = _buffer.AsSpan(0, _length);
            _crc = Crc32C.Compute(bytes, _crc);
            stream.Write(bytes);
            _length = 0;
        }

        private void Separate()
        {
            if (_isInLine)
            {
                Room(1)[0] = (byte)' ';
                _length++;
            }

            _isInLine = true;
        }

        private Span<byte> Room(int bytes)
        {
            if (_buffer.Length - _length < bytes)
                Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, _length + bytes));
            return _buffer.AsSpan(_length);
        }

        private static byte HexDigit(int value) => (byte)(value < 10 ? '0' + value : 'A' + value - 10);
    }
}
