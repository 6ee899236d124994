using Gateway.Configuration;

namespace Gateway.Tests.Configuration;

public class UnitsTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("4096", 4096)]
    [InlineData("64K", 65536)]
    [InlineData("64k", 65536)]
    [InlineData("64KiB", 65536)]
    [InlineData("64KB", 65536)]
    [InlineData("512 M", 536870912)]
    [InlineData("1G", 1073741824)]
    [InlineData("2T", 2199023255552)]
    [InlineData("100B", 100)]
    public void Sizes_have_binary_units(string text, long bytes)
    {
        Assert.True(Units.TryParseSize(text, out long parsed));
        Assert.Equal(bytes, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("K")]
    [InlineData("-1")]
    [InlineData("1.5G")]
    [InlineData("1X")]
    [InlineData("1GG")]
    [InlineData("9999999T")]
    [InlineData("99999999999999999999")]
    public void What_is_no_size_is_refused(string text) => Assert.False(Units.TryParseSize(text, out _));

    [Theory]
    [InlineData("0", 0)]
    [InlineData("10ms", 10)]
    [InlineData("1s", 1000)]
    [InlineData("5 m", 300_000)]
    [InlineData("2h", 7_200_000)]
    [InlineData("7d", 604_800_000)]
    public void Durations_have_a_unit(string text, long milliseconds)
    {
        Assert.True(Units.TryParseDuration(text, out TimeSpan parsed));
        Assert.Equal(milliseconds, parsed.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("5")]
    [InlineData("s")]
    [InlineData("-1s")]
    [InlineData("1.5s")]
    [InlineData("1week")]
    [InlineData("99999999999999d")]
    public void What_is_no_duration_is_refused(string text) => Assert.False(Units.TryParseDuration(text, out _));

    [Fact]
    public void What_is_formatted_parses_to_the_same()
    {
        foreach (long bytes in (long[])[0, 1, 1023, 1024, 1025, 1 << 20, 3L << 30, 5L << 40])
        {
            Assert.True(Units.TryParseSize(Units.FormatSize(bytes), out long parsed));
            Assert.Equal(bytes, parsed);
        }

        foreach (int milliseconds in (int[])[0, 1, 999, 1000, 1500, 60_000, 3_600_000, 86_400_000])
        {
            TimeSpan duration = TimeSpan.FromMilliseconds(milliseconds);
            Assert.True(Units.TryParseDuration(Units.FormatDuration(duration), out TimeSpan parsed));
            Assert.Equal(duration, parsed);
        }
    }
}
