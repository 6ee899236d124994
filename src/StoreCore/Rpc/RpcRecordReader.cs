using System.Buffers.Binary;
using StoreCore.Primitives;

namespace StoreCore.Rpc;

internal enum RpcRecordStep
{
    /// <summary>What is there was used up, or is the beginning of something: receive more, into <see cref="RpcRecordReader.Direct"/> if that is not empty.</summary>
    NeedsInput,

    /// <summary>A large record begins: <see cref="RpcRecordReader.Supply"/> a buffer.</summary>
    NeedsBuffer,

    /// <summary>A whole record lies in the input.</summary>
    Record,

    /// <summary>A whole record lies in the supplied buffer: <see cref="RpcRecordReader.TakeLarge"/>.</summary>
    LargeRecord,

    /// <summary>The peer breaks the rules; nothing after this can be understood. See <see cref="RpcRecordReader.Problem"/>.</summary>
    Malformed,
}

/// <summary>
/// Finds the records in a stream (RFC 5531 §11: each is a sequence of fragments, each fragment behind a mark of its length and whether it is the last).
/// Pure: bytes in, records out. A small record of one fragment, the usual call, is a view of the input; any other is gathered in one contiguous
/// buffer, into which its bytes should be received directly. It is placed so that it ends on a page boundary where its length is known: then
/// the payload of a WRITE of whole pages lies on pages. One thread at a time.
/// </summary>
internal sealed class RpcRecordReader(int maxRecordBytes) : IDisposable
{
    private bool _inFragment;
    private int _missing; // bytes of this fragment that have not come
    private bool _last;
    private int _fragments;
    private NativeBuffer? _buffer;
    private int _start;
    private int _length;

    /// <summary>Why it is malformed; one line for people.</summary>
    public string Problem { get; private set; } = "";

    /// <summary>Part of a large record was taken from the input.</summary>
    public bool Midway => _fragments > 0;

    /// <summary>The place where the next bytes of the stream belong; empty if they are to be passed to <see cref="Next"/>.</summary>
    public Span<byte> Direct =>
        _buffer is not null && _inFragment ? _buffer.Span.Slice(_start + _length, _missing) : default;

    /// <summary>Looks for the next record.</summary>
    /// <param name="input">What has come and not been used.</param>
    /// <param name="at">Where in the input to go on; moved behind what was used.</param>
    /// <param name="start">Where in the input the record is, for <see cref="RpcRecordStep.Record"/>.</param>
    /// <param name="length">The length of the record.</param>
    public RpcRecordStep Next(ReadOnlySpan<byte> input, ref int at, out int start, out int length)
    {
        while (true)
        {
            start = length = 0;
            if (!_inFragment)
            {
                if (input.Length - at < RpcProtocol.RecordMarkBytes)
                    return RpcRecordStep.NeedsInput;

                uint mark = BinaryPrimitives.ReadUInt32BigEndian(input[at..]);
                uint bytes = mark & ~RpcProtocol.LastFragment;
                bool last = mark != bytes;
                if (bytes > (uint)(maxRecordBytes - _length))
                    return Refuse($"a record of {_length + (long)bytes} bytes or more; {maxRecordBytes} is the most");

                if (last && _fragments == 0 && bytes <= Limits.RpcSmallRecordBytes)
                {
                    if (input.Length - at - RpcProtocol.RecordMarkBytes < (int)bytes)
                        return RpcRecordStep.NeedsInput;
                    start = at + RpcProtocol.RecordMarkBytes;
                    length = (int)bytes;
                    at = start + length;
                    return RpcRecordStep.Record;
                }

                if (_fragments == Limits.RpcMaxFragments)
                    return Refuse($"a record of more than {Limits.RpcMaxFragments} fragments");

                at += RpcProtocol.RecordMarkBytes;
                _fragments++;
                _inFragment = true;
                _missing = (int)bytes;
                _last = last;
                if (_fragments == 1)
                    _start = last ? -_missing & (NativeBuffer.AlignmentBytes - 1) : 0;
            }

            if (_buffer is null)
                return RpcRecordStep.NeedsBuffer;

            int here = Math.Min(_missing, input.Length - at);
            input.Slice(at, here).CopyTo(_buffer.Span[(_start + _length)..]);
            at += here;
            Received(here);
            if (_missing > 0)
                return RpcRecordStep.NeedsInput;

            _inFragment = false;
            if (_last)
            {
                length = _length;
                return RpcRecordStep.LargeRecord;
            }
        }
    }

    /// <summary>Bytes were put into <see cref="Direct"/>.</summary>
    public void Received(int bytes)
    {
        _missing -= bytes;
        _length += bytes;
    }

    /// <param name="buffer">Of at least the most bytes of a record and a page; the reader owns it from now on.</param>
    public void Supply(NativeBuffer buffer) => _buffer = buffer;

    /// <summary>Hands the buffer over, with the record at <paramref name="start"/>.</summary>
    public NativeBuffer TakeLarge(out int start, out int length)
    {
        NativeBuffer buffer = _buffer ?? throw new InvalidOperationException("there is no record");
        start = _start;
        length = _length;
        _buffer = null;
        _fragments = 0;
        _length = 0;
        return buffer;
    }

    /// <summary>The length of the whole small record at the beginning of the input, between two records of the stream; -1 if there is none.</summary>
    public static int WholeLength(ReadOnlySpan<byte> input)
    {
        int length = SmallLength(input);
        return length <= input.Length - RpcProtocol.RecordMarkBytes ? length : -1;
    }

    /// <summary>Whether, between two records, <see cref="Next"/> could do anything with the input before more is received.</summary>
    public static bool CanGoOn(ReadOnlySpan<byte> input) =>
        input.Length >= RpcProtocol.RecordMarkBytes && SmallLength(input) <= input.Length - RpcProtocol.RecordMarkBytes;

    /// <summary>The length in the mark at the beginning, if that is of a small record of one fragment; else -1.</summary>
    private static int SmallLength(ReadOnlySpan<byte> input)
    {
        if (input.Length < RpcProtocol.RecordMarkBytes)
            return -1;

        uint mark = BinaryPrimitives.ReadUInt32BigEndian(input);
        uint bytes = mark & ~RpcProtocol.LastFragment;
        return mark != bytes && bytes <= Limits.RpcSmallRecordBytes ? (int)bytes : -1;
    }

    /// <summary>Gives back the buffer of a record that will never be whole.</summary>
    public void Dispose()
    {
        _buffer?.Dispose();
        _buffer = null;
    }

    private RpcRecordStep Refuse(string problem)
    {
        Problem = problem;
        return RpcRecordStep.Malformed;
    }
}
