using System.Buffers.Binary;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

public sealed class RpcRecordReaderTests : IDisposable
{
    private readonly NativeBufferPool _pool = new(Limits.RpcBufferBytes, maxIdle: 4);
    private readonly RpcRecordReader _reader = new(Limits.RpcMaxRecordBytes);

    public void Dispose()
    {
        _reader.Dispose();
        Assert.Equal(0, _pool.RentedCount);
        _pool.Dispose();
    }

    /// <summary>Feeds a stream in pieces that end at the given places, as a socket would give them.</summary>
    private List<byte[]> Feed(ReadOnlySpan<byte> stream, params IEnumerable<int> ends)
    {
        var records = new List<byte[]>();
        byte[] input = new byte[Limits.RpcReceiveBytes];
        int have = 0;
        int fed = 0;
        foreach (int end in ends.Append(stream.Length))
        {
            while (fed < end)
            {
                Span<byte> direct = _reader.Direct;
                Span<byte> space = direct.IsEmpty ? input.AsSpan(have) : direct;
                int count = Math.Min(space.Length, end - fed);
                stream.Slice(fed, count).CopyTo(space);
                fed += count;
                if (direct.IsEmpty)
                    have += count;
                else
                    _reader.Received(count);
                have = Take(input, have, records);
            }
        }

        Assert.Equal(0, have);
        Assert.False(_reader.Midway);
        return records;
    }

    private int Take(byte[] input, int have, List<byte[]> records)
    {
        int at = 0;
        while (true)
        {
            int whole = _reader.Midway ? -1 : RpcRecordReader.WholeLength(input.AsSpan(at, have - at));
            bool able = _reader.Midway || RpcRecordReader.CanGoOn(input.AsSpan(at, have - at));
            int before = at;
            RpcRecordStep step = _reader.Next(input.AsSpan(0, have), ref at, out int start, out int length);
            Assert.Equal(whole, step == RpcRecordStep.Record ? length : -1);
            Assert.True(able || (step == RpcRecordStep.NeedsInput && at == before));
            switch (step)
            {
                case RpcRecordStep.NeedsInput:
                    input.AsSpan(at, have - at).CopyTo(input);
                    return have - at;
                case RpcRecordStep.NeedsBuffer:
                    _reader.Supply(_pool.Rent());
                    break;
                case RpcRecordStep.Record:
                    records.Add(input.AsSpan(start, length).ToArray());
                    break;
                case RpcRecordStep.LargeRecord:
                    using (NativeBuffer buffer = _reader.TakeLarge(out start, out length))
                        records.Add(buffer.Span.Slice(start, length).ToArray());
                    break;
                default:
                    Assert.Fail(_reader.Problem);
                    break;
            }
        }
    }

    private static byte[] Bytes(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    [Fact]
    public void A_stream_may_be_cut_anywhere()
    {
        byte[][] messages = [Bytes(40, 1), [], Bytes(3, 2), Bytes(100, 3)];
        byte[] stream = [.. messages.SelectMany(static (message, i) => RpcMessages.Record(message, i == 3 ? 33 : int.MaxValue))];
        for (int cut = 0; cut <= stream.Length; cut++)
            Assert.Equal(messages, Feed(stream, cut));
        Assert.Equal(messages, Feed(stream, Enumerable.Range(1, stream.Length)));
    }

    [Fact]
    public void A_record_may_be_split_into_fragments_anywhere()
    {
        byte[] message = Bytes(60, 4);
        for (int fragment = 1; fragment <= message.Length; fragment++)
            Assert.Equal([message, message], Feed([.. RpcMessages.Record(message, fragment), .. RpcMessages.Record(message)]));
    }

    [Theory]
    [InlineData(Limits.RpcSmallRecordBytes)]
    [InlineData(Limits.RpcSmallRecordBytes + 1)]
    [InlineData(Limits.RpcReceiveBytes)]
    [InlineData(1024 * 1024)]
    [InlineData(Limits.RpcMaxRecordBytes)]
    public void Records_of_every_size_come_out_whole(int length)
    {
        byte[] message = Bytes(length, length);
        byte[] small = Bytes(44, 5);
        byte[] stream = [.. RpcMessages.Record(small), .. RpcMessages.Record(message), .. RpcMessages.Record(small), .. RpcMessages.Record(message, 8192), .. RpcMessages.Record(small)];
        Assert.Equal([small, message, small, message, small], Feed(stream));
        Assert.Equal([small, message, small, message, small], Feed(stream, Enumerable.Range(1, stream.Length / 1000).Select(static i => i * 1000)));
    }

    [Fact]
    public void A_large_record_ends_on_a_page_boundary()
    {
        byte[] record = RpcMessages.Record(Bytes(100_001, 6));
        int at = 0;
        Assert.Equal(RpcRecordStep.NeedsBuffer, _reader.Next(record.AsSpan(0, 60_000), ref at, out _, out _));
        _reader.Supply(_pool.Rent());
        Assert.Equal(RpcRecordStep.NeedsInput, _reader.Next(record.AsSpan(0, 60_000), ref at, out _, out _));
        Assert.Equal(60_000, at);
        Assert.Equal(record.Length - 60_000, _reader.Direct.Length);
        record.AsSpan(60_000).CopyTo(_reader.Direct);
        _reader.Received(_reader.Direct.Length);
        at = 0;
        Assert.Equal(RpcRecordStep.LargeRecord, _reader.Next([], ref at, out _, out _));
        using NativeBuffer buffer = _reader.TakeLarge(out int start, out int length);
        Assert.Equal(0, (start + length) % NativeBuffer.AlignmentBytes);
        Assert.Equal(record.AsSpan(4), buffer.Span.Slice(start, length));
    }

    [Theory]
    [InlineData(Limits.RpcMaxRecordBytes + 1u | RpcProtocol.LastFragment)]
    [InlineData(Limits.RpcMaxRecordBytes + 1u)]
    [InlineData(0x7FFF_FFFFu)]
    [InlineData(uint.MaxValue)]
    public void A_record_above_the_limit_is_refused_before_anything_is_taken(uint mark)
    {
        int at = 0;
        Assert.Equal(RpcRecordStep.Malformed, _reader.Next(RpcMessages.Word(mark), ref at, out _, out _));
        Assert.Equal(0, _pool.RentedCount);
        Assert.Contains("bytes", _reader.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Fragments_that_add_up_beyond_the_limit_are_refused()
    {
        byte[] first = RpcMessages.Record(new byte[Limits.RpcMaxRecordBytes]);
        BinaryPrimitives.WriteUInt32BigEndian(first, Limits.RpcMaxRecordBytes); // not the last
        byte[] stream = [.. first, .. RpcMessages.Word(1 | RpcProtocol.LastFragment)];
        int at = 0;
        Assert.Equal(RpcRecordStep.NeedsBuffer, _reader.Next(stream, ref at, out _, out _));
        _reader.Supply(_pool.Rent());
        Assert.Equal(RpcRecordStep.Malformed, _reader.Next(stream, ref at, out _, out _));
    }

    [Fact]
    public void Endless_empty_fragments_are_refused()
    {
        byte[] stream = new byte[4 * (Limits.RpcMaxFragments + 1)];
        int at = 0;
        Assert.Equal(RpcRecordStep.NeedsBuffer, _reader.Next(stream, ref at, out _, out _));
        _reader.Supply(_pool.Rent());
        Assert.Equal(RpcRecordStep.Malformed, _reader.Next(stream, ref at, out _, out _));
        Assert.Equal(4 * Limits.RpcMaxFragments, at);
    }
}
