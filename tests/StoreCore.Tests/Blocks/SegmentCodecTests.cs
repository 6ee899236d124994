using StoreCore.Blocks;

namespace StoreCore.Tests.Blocks;

public sealed class SegmentCodecTests
{
    [Fact]
    public void Every_map_survives_the_round_trip()
    {
        var random = new Random(7);
        byte[] row = new byte[SegmentCodec.MaxSizeBytes];
        for (int i = 0; i < 20_000; i++)
        {
            SegmentMap map = RandomMap(random);
            Span<byte> encoded = SegmentCodec.Encode(map, row);
            Assert.True(SegmentCodec.TryDecode(encoded, out SegmentMap decoded));
            Assert.Equal(map.End, decoded.End);
            for (int chunk = 0; chunk < Limits.ChunksPerSegment; chunk++)
            {
                Assert.Equal(map.Locations[chunk], decoded.Locations[chunk]);
                Assert.Equal(map.Checksums[chunk], decoded.Checksums[chunk]);
            }
        }
    }

    [Fact]
    public void Damaged_rows_are_refused_or_decode_within_bounds()
    {
        var random = new Random(8);
        byte[] row = new byte[SegmentCodec.MaxSizeBytes];
        for (int i = 0; i < 50_000; i++)
        {
            Span<byte> encoded = SegmentCodec.Encode(RandomMap(random), row);
            if (encoded.IsEmpty)
                continue;

            encoded[random.Next(encoded.Length)] ^= (byte)(1 << random.Next(8));
            if (SegmentCodec.TryDecode(encoded[..random.Next(encoded.Length + 1)], out SegmentMap map))
                Assert.InRange(map.End, 0, Limits.SegmentSizeBytes);
        }
    }

    [Fact]
    public void A_contiguous_segment_takes_some_140_bytes()
    {
        SegmentMap map = default;
        map.End = Limits.SegmentSizeBytes;
        for (int chunk = 0; chunk < Limits.ChunksPerSegment; chunk++)
            map.Set(chunk, new ChunkLocation(3, 77 + chunk), (uint)chunk);
        Assert.Equal(5 + 9 + 128, SegmentCodec.Encode(map, new byte[SegmentCodec.MaxSizeBytes]).Length);
        Assert.Equal(1, map.CountPieces());
    }

    private static SegmentMap RandomMap(Random random)
    {
        SegmentMap map = default;
        map.End = random.Next(Limits.SegmentSizeBytes + 1);
        for (int chunk = 0; chunk < Limits.ChunksPerSegment;)
        {
            int run = Math.Min(1 + random.Next(8), Limits.ChunksPerSegment - chunk);
            var first = new ChunkLocation((uint)random.Next(1, int.MaxValue), random.Next(1, 1 << 30));
            int kind = random.Next(4);
            for (int i = 0; i < run; i++, chunk++)
            {
                ChunkLocation location = kind switch
                {
                    0 => ChunkLocation.Hole,
                    1 => ChunkLocation.Inline,
                    2 => ChunkLocation.Lost,
                    _ => first.Plus(i),
                };
                map.Set(chunk, location, location.IsHole ? 0 : (uint)random.Next());
            }
        }

        return map;
    }
}
