using System.Text;
using Gateway.Daemon;
using Microsoft.Extensions.Logging;

namespace Gateway.Tests.Daemon;

public class StandardErrorLoggerTests
{
    private static string Log(bool journal, LogLevel threshold, Action<ILogger, StandardErrorLogger> use)
    {
        var output = new MemoryStream();
        using var logger = new StandardErrorLogger(threshold, journal, TimeProvider.System, output);
        use(logger.CreateLogger("Gateway.Daemon.Part"), logger);
        return Encoding.UTF8.GetString(output.ToArray());
    }

    [Theory]
    [InlineData(LogLevel.Debug, "<7>Part: x\n")]
    [InlineData(LogLevel.Information, "<6>Part: x\n")]
    [InlineData(LogLevel.Warning, "<4>Part: x\n")]
    [InlineData(LogLevel.Error, "<3>Part: x\n")]
    [InlineData(LogLevel.Critical, "<2>Part: x\n")]
    public void The_journal_gets_priorities(LogLevel level, string line) =>
        Assert.Equal(line, Log(true, LogLevel.Trace, (log, _) => log.Log(level, "x")));

    [Fact]
    public void Elsewhere_there_is_a_time() =>
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARN  Part: x\n$", Log(false, LogLevel.Trace, (log, _) => log.LogWarning("x")));

    [Fact]
    public void The_level_can_be_changed_at_any_time() =>
        Assert.Equal("<6>Part: b\n<7>Part: d\n", Log(true, LogLevel.Information, (log, logger) =>
        {
            log.LogDebug("a");
            log.LogInformation("b");
            logger.Level = LogLevel.Debug;
            log.LogDebug("d");
            logger.Level = LogLevel.Error;
            log.LogWarning("e");
        }));

    [Fact]
    public void An_entry_is_one_line_without_control_characters() =>
        Assert.Equal("<6>Part: a | b?[31m\n", Log(true, LogLevel.Trace, (log, _) => log.LogInformation("{Text}", "a\nb\e[31m")));
}
