using System.Globalization;

namespace Gateway.Configuration;

/// <summary>Sizes and durations as people write them: a whole number with a unit behind it.</summary>
internal static class Units
{
    private static readonly (string Suffix, long Bytes)[] Sizes =
        [("T", 1L << 40), ("G", 1L << 30), ("M", 1L << 20), ("K", 1L << 10), ("", 1)];

    private static readonly (string Suffix, long Ticks)[] Durations =
    [
        ("d", TimeSpan.TicksPerDay), ("h", TimeSpan.TicksPerHour), ("m", TimeSpan.TicksPerMinute),
        ("s", TimeSpan.TicksPerSecond), ("ms", TimeSpan.TicksPerMillisecond),
    ];

    /// <summary>Bytes; K, M, G and T are powers of 1024 and may be followed by "iB" or "B".</summary>
    public static bool TryParseSize(string text, out long bytes)
    {
        ReadOnlySpan<char> rest = text;
        if (rest.EndsWith("iB", StringComparison.OrdinalIgnoreCase))
            rest = rest[..^2];
        else if (rest.EndsWith("B", StringComparison.OrdinalIgnoreCase))
            rest = rest[..^1];

        long unit = 1;
        foreach ((string suffix, long value) in Sizes)
        {
            if (suffix.Length > 0 && rest.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))
            {
                rest = rest[..^1];
                unit = value;
                break;
            }
        }

        return TryMultiply(rest, unit, out bytes);
    }

    /// <summary>A number followed by ms, s, m, h or d; a plain 0 needs no unit, any other number does.</summary>
    public static bool TryParseDuration(string text, out TimeSpan duration)
    {
        ReadOnlySpan<char> all = text;
        int digits = all.IndexOfAnyExceptInRange('0', '9');
        ReadOnlySpan<char> unit = digits < 0 ? default : all[digits..].TrimStart();
        foreach ((string suffix, long ticks) in Durations)
        {
            if (unit.SequenceEqual(suffix) && TryMultiply(all[..digits], ticks, out long total))
            {
                duration = new TimeSpan(total);
                return true;
            }
        }

        duration = TimeSpan.Zero;
        return text == "0";
    }

    /// <summary>The size with the largest unit that divides it, so that it parses back to the same number.</summary>
    public static string FormatSize(long bytes)
    {
        foreach ((string suffix, long unit) in Sizes)
        {
            if (bytes >= unit && bytes % unit == 0)
                return (bytes / unit).ToString(CultureInfo.InvariantCulture) + suffix;
        }

        return bytes.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>The duration with the largest unit that divides it.</summary>
    public static string FormatDuration(TimeSpan duration)
    {
        foreach ((string suffix, long unit) in Durations)
        {
            if (duration.Ticks >= unit && duration.Ticks % unit == 0)
                return (duration.Ticks / unit).ToString(CultureInfo.InvariantCulture) + suffix;
        }

        return "0";
    }

    private static bool TryMultiply(ReadOnlySpan<char> digits, long unit, out long product)
    {
        product = 0;
        if (!long.TryParse(digits.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long number) || number > long.MaxValue / unit)
            return false;
        product = number * unit;
        return true;
    }
}
