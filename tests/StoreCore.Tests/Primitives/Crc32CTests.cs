using StoreCore.Primitives;

namespace StoreCore.Tests.Primitives;

public class Crc32CTests
{
    /// <summary>RFC 3720 B.4, CRC examples (the RFC prints the bytes as sent, least significant first).</summary>
    [Fact]
    public void Known_vectors()
    {
        byte[] ascending = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
        byte[] descending = [.. Enumerable.Range(0, 32).Select(i => (byte)(31 - i))];
        byte[] ones = new byte[32];
        Array.Fill(ones, (byte)0xFF);
        byte[] readCommand = Convert.FromHexString("01C000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000");
        Assert.Equal(0x8A9136AAu, Crc32C.Compute(new byte[32]));
        Assert.Equal(0x62A8AB43u, Crc32C.Compute(ones));
        Assert.Equal(0x46DD794Eu, Crc32C.Compute(ascending));
        Assert.Equal(0x113FDB5Cu, Crc32C.Compute(descending));
        Assert.Equal(0xD9963A56u, Crc32C.Compute(readCommand));
        Assert.Equal(0xE3069283u, Crc32C.Compute("123456789"u8));
        Assert.Equal(0u, Crc32C.Compute(default));
    }

    [Fact]
    public void Every_length_up_to_5000_agrees_with_the_bytewise_table()
    {
        byte[] data = new byte[5001];
        new Random(3).NextBytes(data);
        uint reference = 0;
        for (int length = 0; length <= 5000; length++)
        {
            Assert.Equal(reference, Crc32C.Compute(data.AsSpan(0, length)));
            reference = Bytewise(data.AsSpan(length, 1), reference);
        }
    }

    [Fact]
    public void Parts_join_by_the_seed_wherever_they_are_split()
    {
        var random = new Random(4);
        byte[] data = new byte[9000];
        random.NextBytes(data);
        for (int round = 0; round < 2000; round++)
        {
            int start = random.Next(64), length = random.Next(data.Length - start), split = random.Next(length + 1);
            ReadOnlySpan<byte> all = data.AsSpan(start, length);
            Assert.Equal(Crc32C.Compute(all), Crc32C.Compute(all[split..], Crc32C.Compute(all[..split])));
        }
    }

    [Fact]
    public void A_large_buffer_agrees_too()
    {
        byte[] data = new byte[1 << 20];
        new Random(5).NextBytes(data);
        Assert.Equal(Bytewise(data, 0), Crc32C.Compute(data));
    }

    private static readonly uint[] Table = MakeTable();

    private static uint[] MakeTable()
    {
        const uint ReversedPolynomial = 0x82F63B78;
        var table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            uint value = i;
            for (int bit = 0; bit < 8; bit++)
                value = (value & 1) != 0 ? (value >> 1) ^ ReversedPolynomial : value >> 1;
            table[i] = value;
        }

        return table;
    }

    private static uint Bytewise(ReadOnlySpan<byte> data, uint seed)
    {
        uint crc = ~seed;
        foreach (byte b in data)
            crc = Table[(byte)(crc ^ b)] ^ (crc >> 8);
        return ~crc;
    }
}
