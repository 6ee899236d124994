using Gateway.Admin.Contract;
using Gateway.Daemon;

namespace Gateway.Tests.Daemon;

public sealed class DataDirectoryTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("data").FullName;

    private string Data => Path.Combine(_root, "data");

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private static void Complete(DataDirectory directory)
    {
        File.WriteAllText(Path.Combine(directory.Database, "CURRENT"), "");
        directory.MarkComplete();
        directory.Keep();
    }

    /// <summary>As it is after a start that was interrupted.</summary>
    private void MakeUnfinished()
    {
        using DataDirectory directory = DataDirectory.Open(Data);
        directory.Keep();
    }

    private static OperatingException Refused(string path, bool create = true) =>
        Assert.Throws<OperatingException>(() => DataDirectory.Open(path, create).Dispose());

    [Fact]
    public void A_new_directory_is_made_and_stays_new_until_its_stores_are()
    {
        MakeUnfinished();
        using (DataDirectory second = DataDirectory.Open(Data))
        {
            Assert.True(second.IsNew);
            Complete(second);
        }

        using (DataDirectory third = DataDirectory.Open(Data))
            Assert.False(third.IsNew);
        Assert.Equal("gateway-data 2\n", File.ReadAllText(Path.Combine(Data, "FORMAT")));
        Assert.Equal($"{Environment.ProcessId}\n", File.ReadAllText(Path.Combine(Data, "LOCK")));
    }

    [Fact]
    public void What_nobody_keeps_goes_again_and_nothing_else()
    {
        string inner = Path.Combine(Data, "inner");
        using (DataDirectory directory = DataDirectory.Open(inner))
        {
            File.WriteAllText(Path.Combine(directory.Database, "CURRENT"), "");
            directory.MarkComplete();
        }

        Assert.False(Directory.Exists(Data));
        Directory.CreateDirectory(inner);
        using (DataDirectory.Open(inner))
            File.WriteAllText(Path.Combine(inner, "gatewayd.log"), "");
        Assert.Equal([Path.Combine(inner, "gatewayd.log")], Directory.GetFileSystemEntries(inner));

        // Not made by this opening.
        Directory.Delete(Data, recursive: true);
        MakeUnfinished();
        DataDirectory.Open(Data).Dispose();
        Assert.True(File.Exists(Path.Combine(Data, "FORMAT")));
    }

    [Fact]
    public void A_second_daemon_is_told_who_has_it()
    {
        using DataDirectory first = DataDirectory.Open(Data);
        OperatingException error = Refused(Data);
        Assert.Equal(ExitCode.Busy, error.Code);
        Assert.Contains($"pid {Environment.ProcessId}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_newer_format_is_refused()
    {
        MakeUnfinished();
        File.WriteAllText(Path.Combine(Data, "FORMAT"), "gateway-data 3\n");
        Assert.Equal(ExitCode.Version, Refused(Data).Code);
    }

    [Fact]
    public void An_older_format_is_marked_before_anything_is_changed()
    {
        using (DataDirectory made = DataDirectory.Open(Data))
            Complete(made);
        string format = Path.Combine(Data, "FORMAT");
        File.WriteAllText(format, "gateway-data 1\n");
        using DataDirectory directory = DataDirectory.Open(Data);
        Assert.Equal("gateway-data 1\n", File.ReadAllText(format));
        directory.MarkFormat();
        Assert.Equal("gateway-data 2\n", File.ReadAllText(format));
        Assert.False(directory.IsNew);
    }

    [Theory]
    [InlineData("")]
    [InlineData("ext4\n")]
    [InlineData("gateway-data\n")]
    [InlineData("gateway-data 0\n")]
    [InlineData("gateway-data -1\n")]
    [InlineData("gateway-data 1x\n")]
    public void A_damaged_format_is_refused(string text)
    {
        MakeUnfinished();
        File.WriteAllText(Path.Combine(Data, "FORMAT"), text);
        Assert.Equal(ExitCode.DataError, Refused(Data).Code);
    }

    [Fact]
    public void A_directory_of_something_else_is_refused_and_left_as_it_was()
    {
        Directory.CreateDirectory(Data);
        File.WriteAllText(Path.Combine(Data, "letter.txt"), "dear");
        OperatingException error = Refused(Data);
        Assert.Equal(ExitCode.DataError, error.Code);
        Assert.Contains("letter.txt", error.Message, StringComparison.Ordinal);
        Assert.Equal([Path.Combine(Data, "letter.txt")], Directory.GetFileSystemEntries(Data));
    }

    [Fact]
    public void What_an_interrupted_start_or_mkfs_leaves_is_no_hindrance()
    {
        Directory.CreateDirectory(Path.Combine(Data, "lost+found"));
        Directory.CreateDirectory(Path.Combine(Data, "db"));
        File.WriteAllText(Path.Combine(Data, "gatewayd.log"), "");
        File.WriteAllText(Path.Combine(Data, "LOCK"), "");
        DataDirectory.Open(Data).Dispose();
    }

    [Fact]
    public void A_store_whose_database_or_volumes_are_gone_is_damaged_not_new()
    {
        using (DataDirectory directory = DataDirectory.Open(Data))
            Complete(directory);
        Directory.Delete(Path.Combine(Data, "volumes"));
        Assert.Equal(ExitCode.DataError, Refused(Data).Code);
        Directory.CreateDirectory(Path.Combine(Data, "volumes"));
        File.Delete(Path.Combine(Data, "db", "CURRENT"));
        Assert.Equal(ExitCode.DataError, Refused(Data).Code);
    }

    [Fact]
    public void A_file_and_a_missing_directory_for_offline_tools_are_refused()
    {
        File.WriteAllText(Data, "");
        Assert.Equal(ExitCode.CannotCreate, Refused(Data).Code);
        Assert.Equal(ExitCode.NoInput, Refused(Path.Combine(_root, "other"), create: false).Code);
        Directory.CreateDirectory(Path.Combine(_root, "empty"));
        Assert.Equal(ExitCode.DataError, Refused(Path.Combine(_root, "empty"), create: false).Code);
    }
}
