using Sim;
using StoreCore.Primitives;

namespace StoreCore.Tests.Primitives;

public class TimestampTests
{
    [Theory]
    [InlineData(0L, 0L, 0u)]
    [InlineData(1L, 0L, 100u)]
    [InlineData(10_000_000L, 1L, 0u)]
    [InlineData(-1L, -1L, 999_999_900u)]
    [InlineData(-10_000_000L, -1L, 0u)]
    [InlineData(-10_000_001L, -2L, 999_999_900u)]
    public void Ticks_since_1970_become_seconds_and_nanoseconds(long ticks, long seconds, uint nanoseconds) =>
        Assert.Equal(new Timestamp(seconds, nanoseconds), Timestamp.From(DateTimeOffset.UnixEpoch.AddTicks(ticks)));

    [Fact]
    public void The_offset_of_the_zone_does_not_matter()
    {
        var local = new DateTimeOffset(2026, 5, 1, 12, 0, 0, TimeSpan.FromHours(5));
        Assert.Equal(Timestamp.From(local.ToUniversalTime()), Timestamp.From(local));
    }

    [Fact]
    public void Order_is_that_of_time()
    {
        Timestamp[] ascending = [new(-2, 999_999_999), new(-1, 0), new(-1, 5), new(0, 0), new(0, 1), new(1, 0)];
        for (int i = 0; i < ascending.Length; i++)
        {
            for (int j = 0; j < ascending.Length; j++)
                Assert.Equal(i.CompareTo(j), Math.Sign(ascending[i].CompareTo(ascending[j])));
        }
    }

    [Fact]
    public void Now_is_what_the_clock_shows()
    {
        var clock = new SimClock(DateTimeOffset.UnixEpoch);
        clock.Advance(TimeSpan.FromTicks(12_345_678));
        Assert.Equal(new Timestamp(1, 234_567_800), Timestamp.Now(clock));
        Assert.Equal(TimeSpan.FromTicks(12_345_678), clock.GetElapsedTime(clock.GetTimestamp() - 12_345_678));
    }
}
