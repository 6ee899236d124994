using System.Globalization;
using System.Text;

namespace Ctl;

/// <summary>Figures and tables for people.</summary>
internal static class Text
{
    private static readonly string[] ByteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

    /// <summary>"1.5 GiB": three significant digits at least.</summary>
    public static string Bytes(double bytes)
    {
        int unit = 0;
        double value = bytes;
        for (; Math.Abs(value) >= 1024 && unit < ByteUnits.Length - 1; unit++)
            value /= 1024;
        return value.ToString(unit == 0 || value >= 100 ? "0" : value >= 10 ? "0.0" : "0.00", CultureInfo.InvariantCulture) + " " + ByteUnits[unit];
    }

    public static string Count(double number) => number.ToString("#,0", CultureInfo.InvariantCulture);

    public static string Duration(double seconds)
    {
        var time = TimeSpan.FromSeconds(seconds);
        return time.TotalDays >= 1 ? $"{(int)time.TotalDays} d {time.Hours} h"
            : time.TotalHours >= 1 ? $"{time.Hours} h {time.Minutes} min"
            : time.TotalMinutes >= 1 ? $"{time.Minutes} min {time.Seconds} s"
            : string.Create(CultureInfo.InvariantCulture, $"{seconds:0.0} s");
    }

    public static string Micros(double microseconds) =>
        microseconds >= 1e6 ? string.Create(CultureInfo.InvariantCulture, $"{microseconds / 1e6:0.00} s")
        : microseconds >= 1e3 ? string.Create(CultureInfo.InvariantCulture, $"{microseconds / 1e3:0.00} ms")
        : string.Create(CultureInfo.InvariantCulture, $"{microseconds:0} µs");

    public static string Percent(double part, double whole) =>
        whole <= 0 ? "-" : string.Create(CultureInfo.InvariantCulture, $"{100 * part / whole:0} %");

    /// <summary>Columns as wide as their widest cell; figures to the right. The last column is not padded.</summary>
    public static string Table(string[] head, bool[] right, IEnumerable<string[]> rows)
    {
        List<string[]> all = [head, .. rows];
        int[] widths = [.. head.Select((_, i) => all.Max(row => row[i].Length))];
        var text = new StringBuilder();
        foreach (string[] row in all)
        {
            for (int i = 0; i < row.Length; i++)
            {
                string cell = right[i] ? row[i].PadLeft(widths[i]) : i == row.Length - 1 ? row[i] : row[i].PadRight(widths[i]);
                text.Append(i == 0 ? "" : "  ").Append(cell);
            }

            text.Append('\n');
        }

        return text.ToString();
    }

    /// <summary>"name   value" lines.</summary>
    public static string Pairs(params ReadOnlySpan<(string Name, string Value)> pairs)
    {
        int width = 0;
        foreach ((string name, _) in pairs)
            width = Math.Max(width, name.Length);
        var text = new StringBuilder();
        foreach ((string name, string value) in pairs)
            text.Append(name.PadRight(width)).Append("  ").Append(value).Append('\n');
        return text.ToString();
    }
}
