using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

public class XdrTests
{
    [Fact]
    public void Values_are_written_as_RFC_4506_lays_them_out()
    {
        byte[] space = new byte[64];
        var writer = new XdrWriter(space);
        writer.U32(0x01020304);
        writer.I32(-2);
        writer.U64(0x0102030405060708);
        writer.Bool(true);
        writer.Opaque("abcde"u8);
        writer.Fixed("xyz"u8);
        writer.String(""u8);
        Assert.False(writer.Overflow);
        Assert.Equal(
            "01020304" + "FFFFFFFE" + "0102030405060708" + "00000001" + "000000056162636465000000" + "78797A00" + "00000000",
            Convert.ToHexString(writer.Written));

        var reader = new XdrReader(writer.Written);
        Assert.Equal(0x01020304u, reader.U32());
        Assert.Equal(-2, reader.I32());
        Assert.Equal(0x0102030405060708u, reader.U64());
        Assert.True(reader.Bool());
        Assert.Equal("abcde"u8, reader.Opaque(5));
        Assert.False(reader.AtEnd);
        Assert.Equal("xyz"u8, reader.Fixed(3));
        Assert.True(reader.String(0).IsEmpty);
        Assert.True(reader.AtEnd);
    }

    [Theory]
    [InlineData("000000")] // three bytes of four
    [InlineData("")]
    public void A_word_that_is_cut_off_is_malformed(string hex)
    {
        var reader = new XdrReader(Convert.FromHexString(hex));
        Assert.Equal(0u, reader.U32());
        Assert.True(reader.Malformed);
        Assert.False(reader.AtEnd);
    }

    [Theory]
    [InlineData("00000004616263")] // one byte short
    [InlineData("0000000361626300", 2)] // above its maximum
    [InlineData("00000003616263")] // no padding
    [InlineData("0000000361626301")] // padding that is not zero
    [InlineData("FFFFFFFF61626300")]
    [InlineData("7FFFFFFF61626300", int.MaxValue)]
    [InlineData("80000000", int.MaxValue)]
    public void Opaque_data_that_does_not_hold_is_malformed(string hex, int max = 100)
    {
        var reader = new XdrReader(Convert.FromHexString(hex));
        Assert.True(reader.Opaque(max).IsEmpty);
        Assert.True(reader.Malformed);
    }

    [Fact]
    public void The_first_failure_stays()
    {
        var reader = new XdrReader(Convert.FromHexString("0000000200000001"));
        Assert.False(reader.Bool());
        Assert.True(reader.Malformed);
        Assert.Equal(0u, reader.U32()); // though there is one
        Assert.True(reader.Fixed(0).IsEmpty);
        Assert.False(reader.AtEnd);
    }

    [Theory]
    [InlineData(0u, true)]
    [InlineData(7u, true)]
    [InlineData(8u, false)]
    [InlineData(uint.MaxValue, false)]
    public void An_enumeration_has_a_highest_value(uint value, bool good)
    {
        var reader = new XdrReader(RpcMessages.Word(value));
        Assert.Equal(good ? value : 0, reader.Enum(7));
        Assert.Equal(!good, reader.Malformed);
    }

    [Fact]
    public void Reading_never_goes_beyond_what_is_there()
    {
        // Every prefix of a message, read as if it were whole.
        byte[] message = RpcMessages.Opaque("some bytes"u8);
        for (int length = 0; length < message.Length; length++)
        {
            var reader = new XdrReader(message.AsSpan(0, length));
            reader.Opaque(100);
            Assert.True(reader.Malformed);
            Assert.InRange(reader.Position, 0, length);
        }
    }

    [Fact]
    public void What_does_not_fit_is_left_out_whole_and_so_is_what_follows()
    {
        byte[] space = new byte[12];
        var writer = new XdrWriter(space);
        writer.U32(1);
        writer.Opaque("abcde"u8); // 12 bytes, 8 are free
        Assert.True(writer.Overflow);
        Assert.Equal(4, writer.Position);
        writer.U32(2);
        Assert.Equal(4, writer.Position);

        writer.Rewind(4);
        Assert.False(writer.Overflow);
        writer.Opaque("abcd"u8);
        Assert.False(writer.Overflow);
        Assert.Equal(0, writer.Free);
    }

    [Theory]
    [InlineData(0, "00000000")]
    [InlineData(3, "0000000309090900")]
    [InlineData(8, "000000080909090909090909")]
    public void A_reservation_becomes_opaque_data_of_the_length_that_was_filled(int length, string expected)
    {
        byte[] space = new byte[12];
        var writer = new XdrWriter(space);
        Span<byte> place = writer.Reserve(8);
        Assert.Equal(8, place.Length);
        place.Fill(9);
        writer.Commit(length);
        Assert.Equal(expected, Convert.ToHexString(writer.Written));
    }

    [Fact]
    public void A_reservation_needs_room_for_its_length_and_its_padding()
    {
        var writer = new XdrWriter(new byte[12]);
        Assert.True(writer.Reserve(9).IsEmpty);
        Assert.True(writer.Overflow);
        writer.Commit(9); // after an overflow nothing happens
        Assert.Equal(0, writer.Position);

        writer = new XdrWriter(new byte[11]);
        Assert.True(writer.Reserve(7).IsEmpty);
        Assert.True(writer.Overflow);
    }

    [Fact]
    public void More_than_was_reserved_cannot_be_committed() => Assert.Throws<InvalidOperationException>(static () =>
    {
        var writer = new XdrWriter(new byte[64]);
        writer.Reserve(8);
        writer.Commit(9);
    });

    [Fact]
    public void A_commit_needs_a_reservation() => Assert.Throws<InvalidOperationException>(static () =>
    {
        var writer = new XdrWriter(new byte[64]);
        writer.Reserve(8);
        writer.Rewind(0);
        writer.Commit(0);
    });

    [Fact]
    public void A_word_is_patched_only_where_one_was_written()
    {
        var writer = new XdrWriter(new byte[8]);
        writer.U32(1);
        writer.PatchU32(0, 5);
        writer.PatchU32(4, 6);
        writer.PatchU32(-1, 7);
        Assert.Equal("00000005", Convert.ToHexString(writer.Written));
    }
}
