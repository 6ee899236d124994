using StoreCore.Kv;
using StoreCore.Primitives;

namespace StoreCore.Tests.Kv;

/// <summary>Writes files of RocksDB's write-ahead log, for tests of their inspection (layout: <see cref="LogScanner"/>).</summary>
internal sealed class LogFileWriter
{
    private const int BlockBytes = 32 * 1024, HeaderBytes = 7;
    private readonly MemoryStream _bytes = new();

    /// <summary>Where each record ends.</summary>
    public List<int> Ends { get; } = [];

    public byte[] Bytes => _bytes.ToArray();

    /// <summary>One batch as a record: its sequence, its count, and so many further bytes.</summary>
    public LogFileWriter Batch(ulong sequence, uint count, int rest = 50)
    {
        byte[] payload = new byte[12 + rest];
        new Random((int)sequence).NextBytes(payload);
        var writer = new SpanWriter(payload);
        writer.U64Little(sequence);
        writer.U32Little(count);

        int at = 0;
        bool first = true;
        do
        {
            int room = BlockBytes - (int)(_bytes.Length % BlockBytes);
            if (room < HeaderBytes)
            {
                _bytes.Write(new byte[room]);
                continue;
            }

            int length = Math.Min(room - HeaderBytes, payload.Length - at);
            bool last = at + length == payload.Length;
            Record((byte)((first, last) switch { (true, true) => 1, (true, false) => 2, (false, false) => 3, _ => 4 }), payload.AsSpan(at, length));
            at += length;
            first = false;
        }
        while (at < payload.Length);

        Ends.Add((int)_bytes.Length);
        return this;
    }

    public void Save(string path) => File.WriteAllBytes(path, Bytes);

    private void Record(byte type, ReadOnlySpan<byte> payload)
    {
        byte[] record = new byte[HeaderBytes + payload.Length];
        record[6] = type;
        payload.CopyTo(record.AsSpan(HeaderBytes));
        uint crc = Crc32C.Compute(record.AsSpan(6));
        var writer = new SpanWriter(record);
        writer.U32Little(((crc >> 15) | (crc << 17)) + 0xA282EAD8);
        writer.U16Little((ushort)payload.Length);
        _bytes.Write(record);
    }
}
