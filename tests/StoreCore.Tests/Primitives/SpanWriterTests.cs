using StoreCore.Primitives;

namespace StoreCore.Tests.Primitives;

public class SpanWriterTests
{
    [Fact]
    public void Fixed_width_values_have_their_byte_order()
    {
        Span<byte> bytes = stackalloc byte[64];
        var writer = new SpanWriter(bytes);
        writer.U8(0x01);
        writer.U16Big(0x0203);
        writer.U32Big(0x04050607);
        writer.U64Big(0x08090A0B0C0D0E0F);
        writer.U16Little(0x1110);
        writer.U32Little(0x15141312);
        writer.U64Little(0x1D1C1B1A19181716);
        writer.I64Little(-2);
        writer.Bytes([7, 8, 9]);
        Assert.Equal(40, writer.Length);
        Assert.Equal("0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1DFEFFFFFFFFFFFFFF070809", Convert.ToHexString(writer.Written));

        var reader = new SpanReader(writer.Written);
        Assert.Equal(0x01, reader.U8());
        Assert.Equal(0x0203, reader.U16Big());
        Assert.Equal(0x04050607u, reader.U32Big());
        Assert.Equal(0x08090A0B0C0D0E0Ful, reader.U64Big());
        Assert.Equal(0x1110, reader.U16Little());
        Assert.Equal(0x15141312u, reader.U32Little());
        Assert.Equal(0x1D1C1B1A19181716ul, reader.U64Little());
        Assert.Equal(-2, reader.I64Little());
        Assert.Equal([7, 8, 9], reader.Rest.ToArray());
        Assert.Equal([7, 8, 9], reader.Bytes(3).ToArray());
        Assert.True(reader.AtEnd);
    }

    [Theory]
    [InlineData(0ul, 1)]
    [InlineData(127ul, 1)]
    [InlineData(128ul, 2)]
    [InlineData(16383ul, 2)]
    [InlineData(16384ul, 3)]
    [InlineData(uint.MaxValue, 5)]
    [InlineData(ulong.MaxValue >> 1, 9)]
    [InlineData(ulong.MaxValue, 10)]
    public void Varints_take_seven_bits_a_byte(ulong value, int lengthBytes)
    {
        Span<byte> bytes = stackalloc byte[SpanWriter.MaxVarIntBytes];
        var writer = new SpanWriter(bytes);
        writer.VarUInt(value);
        Assert.Equal(lengthBytes, writer.Length);

        var reader = new SpanReader(writer.Written);
        Assert.Equal(value, reader.VarUInt());
        Assert.True(reader.AtEnd);
    }

    [Theory]
    [InlineData(0L)]
    [InlineData(-1L)]
    [InlineData(1L)]
    [InlineData(-64L)]
    [InlineData(long.MinValue)]
    [InlineData(long.MaxValue)]
    public void Signed_varints_return(long value)
    {
        Span<byte> bytes = stackalloc byte[SpanWriter.MaxVarIntBytes];
        var writer = new SpanWriter(bytes);
        writer.VarInt(value);
        Assert.Equal(value, new SpanReader(writer.Written).VarInt());
        if (value is >= -64 and < 64)
            Assert.Equal(1, writer.Length);
    }

    [Fact]
    public void What_does_not_fit_is_refused_and_nothing_is_written()
    {
        byte[] bytes = [0xEE, 0xEE, 0xEE];
        Assert.Throws<ArgumentException>(() => new SpanWriter(bytes).U32Big(1));
        Assert.Throws<ArgumentException>(() => new SpanWriter(bytes).Next(-1));
        Assert.Equal([0xEE, 0xEE, 0xEE], bytes);
    }

    [Fact]
    public void Bytes_that_end_too_early_are_refused()
    {
        Assert.Throws<InvalidDataException>(() => new SpanReader([1, 2, 3]).U32Little());
        Assert.Throws<InvalidDataException>(() => new SpanReader([1, 2, 3]).Bytes(-1));
        Assert.Throws<InvalidDataException>(() => new SpanReader([0x80]).VarUInt());
        Assert.Throws<InvalidDataException>(() => new SpanReader([5, 1, 2]).LengthAndBytes());
        Assert.Throws<InvalidDataException>(() => new SpanReader([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 1]).LengthAndBytes());
    }

    [Fact]
    public void A_varint_of_more_than_64_bits_is_refused()
    {
        Assert.Throws<InvalidDataException>(() => new SpanReader([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02]).VarUInt());
        Assert.Throws<InvalidDataException>(() => new SpanReader([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]).VarUInt());
    }
}
