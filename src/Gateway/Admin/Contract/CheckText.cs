using System.Globalization;
using System.Text;

namespace Gateway.Admin.Contract;

/// <summary>The report of a check as text for people: online by gatewayctl and offline by gatewayd it looks the same.</summary>
internal static class CheckText
{
    public static string Render(CheckReport report)
    {
        var text = new StringBuilder();
        foreach (string finding in report.Findings)
            text.Append(finding).Append('\n');
        if (report.FindingCount > report.Findings.Count)
            text.Append(CultureInfo.InvariantCulture, $"… and {report.FindingCount - report.Findings.Count:#,0} more\n");
        string looked = report.BytesVerified > 0
            ? string.Create(CultureInfo.InvariantCulture, $"{report.BytesVerified:#,0} bytes read and verified")
            : string.Create(CultureInfo.InvariantCulture, $"{report.InodesChecked:#,0} inodes, {report.NamesChecked:#,0} names, {report.ChunksChecked:#,0} chunks checked");
        text.Append(CultureInfo.InvariantCulture, $"{looked} in {report.Seconds:0.0} s: ");
        text.Append(report.FindingCount == 0
            ? "no damage\n"
            : string.Create(CultureInfo.InvariantCulture, $"{report.FindingCount:#,0} findings, {report.Repaired:#,0} repaired\n"));
        return text.ToString();
    }
}
