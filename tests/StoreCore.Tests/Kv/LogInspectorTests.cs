using StoreCore.Kv;

namespace StoreCore.Tests.Kv;

/// <summary>The judgement of the log over hand-made files: what is whole, what is cut, what is refused.</summary>
public sealed class LogInspectorTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private LogInspector.EngineView _engine;
    private int _asked;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_whole_log_is_left_as_it_is()
    {
        Log(1).Batch(1, 2).Batch(3, 1, rest: 100_000).Batch(4, 5).Save(PathOf(1));
        Log(2).Save(PathOf(2));
        Log(3).Batch(9, 1).Save(PathOf(3));
        Assert.Null(Inspect(stable: 9));
        Assert.Equal(0, _asked);
    }

    [Fact]
    public void Every_record_is_found_wherever_block_borders_fall()
    {
        for (int rest = 32 * 1024 - 60; rest < 32 * 1024; rest++)
        {
            LogFileWriter log = Log(1).Batch(1, 1, rest).Batch(2, 3, 20).Batch(5, 1, 70_000);
            log.Save(PathOf(1));
            LogFile found = LogScanner.Scan(PathOf(1), 1);
            Assert.Equal((1ul, 6ul, (long)log.Ends[^1], false), (found.FirstSequence, found.NextSequence, found.GoodBytes, found.IsTorn));
        }
    }

    [Fact]
    public void Zeros_at_the_end_are_no_damage()
    {
        LogFileWriter log = Log(1).Batch(1, 1);
        File.WriteAllBytes(PathOf(1), [.. log.Bytes, .. new byte[100_000]]);
        Assert.Null(Inspect(stable: 1));
    }

    [Fact]
    public void A_torn_end_that_was_not_flushed_is_cut()
    {
        LogFileWriter log = Log(1).Batch(1, 1).Batch(2, 1).Batch(3, 1);
        File.WriteAllBytes(PathOf(1), log.Bytes[..(log.Ends[1] + 20)]);
        Assert.Contains("cut", Inspect(stable: 1), StringComparison.Ordinal);
        Assert.Equal(log.Bytes[..log.Ends[1]], File.ReadAllBytes(PathOf(1)));
        Assert.Null(Inspect(stable: 1));
    }

    [Fact]
    public void What_stands_behind_a_hole_is_cut_too()
    {
        // The hole begins where a record would: the engine's own reader would pass over it.
        LogFileWriter log = Log(1).Batch(1, 1).Batch(2, 1, rest: 40_000).Batch(3, 1).Batch(4, 1);
        byte[] bytes = log.Bytes;
        bytes.AsSpan(log.Ends[0], log.Ends[1] - log.Ends[0]).Clear();
        File.WriteAllBytes(PathOf(1), bytes);
        Assert.NotNull(Inspect(stable: 1));
        Assert.Equal(log.Ends[0], new FileInfo(PathOf(1)).Length);
    }

    [Fact]
    public void A_record_that_does_not_continue_the_sequence_ends_the_log()
    {
        LogFileWriter log = Log(1).Batch(1, 1).Batch(2, 1).Batch(7, 1);
        log.Save(PathOf(1));
        Assert.NotNull(Inspect(stable: 2));
        Assert.Equal(log.Ends[1], new FileInfo(PathOf(1)).Length);
    }

    [Fact]
    public void Damage_to_what_was_flushed_is_refused_and_nothing_is_changed()
    {
        LogFileWriter log = Log(1).Batch(1, 1).Batch(2, 1).Batch(3, 1);
        for (int at = 0; at < log.Bytes.Length; at++)
        {
            byte[] bytes = log.Bytes;
            bytes[at] ^= 0x10;
            File.WriteAllBytes(PathOf(1), bytes);
            string message = Assert.Throws<KvFailedException>(() => Inspect(stable: 3)).Message;
            Assert.Contains("000001.log", message, StringComparison.Ordinal);
            Assert.Equal(bytes, File.ReadAllBytes(PathOf(1)));
        }
    }

    [Fact]
    public void A_log_that_ends_before_what_was_flushed_is_refused_unless_tables_have_the_rest()
    {
        LogFileWriter log = Log(1).Batch(1, 1).Batch(2, 1).Batch(3, 1);
        File.WriteAllBytes(PathOf(1), log.Bytes[..log.Ends[1]]);
        _engine = new LogInspector.EngineView(0, 2);
        Assert.Contains("missing", Assert.Throws<KvFailedException>(() => Inspect(stable: 3)).Message, StringComparison.Ordinal);
        _engine = new LogInspector.EngineView(0, 3);
        Assert.Null(Inspect(stable: 3));
        File.Delete(PathOf(1));
        Assert.Null(Inspect(stable: 3));
        _engine = default;
        Assert.Throws<KvFailedException>(() => Inspect(stable: 3));
    }

    [Fact]
    public void Old_files_that_the_engine_does_not_need_do_not_matter()
    {
        Log(1).Batch(1, 1).Save(PathOf(1));
        LogFileWriter torn = Log(3).Batch(5, 1).Batch(6, 1);
        File.WriteAllBytes(PathOf(3), torn.Bytes[..^1]);
        Log(4).Batch(20, 1).Save(PathOf(4));
        _engine = new LogInspector.EngineView(4, 20);
        Assert.Null(Inspect(stable: 19));
        Assert.True(File.Exists(PathOf(1)) && File.Exists(PathOf(3)));
    }

    [Fact]
    public void Damage_between_files_ends_the_log_there_if_it_was_not_flushed()
    {
        LogFileWriter first = Log(1).Batch(1, 1).Batch(2, 1);
        first.Save(PathOf(1));
        Log(2).Batch(9, 1).Save(PathOf(2));
        Log(3).Batch(10, 1).Save(PathOf(3));
        Assert.NotNull(Inspect(stable: 2));

        // One byte behind the last whole record: the engine shall see that something is missing.
        Assert.Equal(first.Bytes.Length + 1, new FileInfo(PathOf(1)).Length);
        Assert.False(File.Exists(PathOf(2)) || File.Exists(PathOf(3)));
    }

    [Fact]
    public void Damage_between_files_is_refused_if_it_was_flushed()
    {
        Log(1).Batch(1, 1).Batch(2, 1).Save(PathOf(1));
        Log(2).Batch(9, 1).Save(PathOf(2));
        Assert.Contains("000001.log", Assert.Throws<KvFailedException>(() => Inspect(stable: 9)).Message, StringComparison.Ordinal);
        Assert.True(File.Exists(PathOf(2)));
    }

    [Fact]
    public void Garbage_is_never_taken_for_a_record()
    {
        var random = new Random(9);
        for (int round = 0; round < 200; round++)
        {
            byte[] bytes = new byte[random.Next(1, 70_000)];
            random.NextBytes(bytes);
            bytes[6] = (byte)random.Next(6);
            File.WriteAllBytes(PathOf(1), bytes);
            LogFile found = LogScanner.Scan(PathOf(1), 1);
            Assert.Equal((0ul, 0L, true), (found.NextSequence, found.GoodBytes, found.IsTorn));
        }
    }

    private static LogFileWriter Log(int number)
    {
        Assert.InRange(number, 1, 9);
        return new LogFileWriter();
    }

    private string PathOf(int number) => _directory[$"{number:D6}.log"];

    private string? Inspect(ulong stable) => new LogInspector(_directory.Path, stable, () =>
    {
        _asked++;
        return _engine;
    }).Inspect();
}
