namespace Gateway.Admin.Contract;

/// <summary>How gatewayd and gatewayctl end. The numbers are those of &lt;sysexits.h&gt;; 1 is a "no" that is no failure (fsck found damage).</summary>
internal enum ExitCode
{
    Ok = 0,

    /// <summary>The check ran and its answer is no: it found damage, or the client is refused.</summary>
    Damaged = 1,

    /// <summary>EX_USAGE: a wrong command line.</summary>
    Usage = 64,

    /// <summary>EX_DATAERR: the data directory is damaged, or is none.</summary>
    DataError = 65,

    /// <summary>EX_NOINPUT: a file, directory or mount point does not exist.</summary>
    NoInput = 66,

    /// <summary>EX_UNAVAILABLE: the daemon is not running, or a library is missing.</summary>
    Unavailable = 69,

    /// <summary>EX_SOFTWARE: a broken invariant in the program itself.</summary>
    Software = 70,

    /// <summary>EX_OSERR: the kernel refused an operation (mount, socket).</summary>
    OsError = 71,

    /// <summary>EX_OSFILE: /dev/fuse is missing or cannot be opened.</summary>
    OsFile = 72,

    /// <summary>EX_CANTCREAT: a path that is to be made is taken or cannot be made.</summary>
    CannotCreate = 73,

    /// <summary>EX_IOERR: the disk failed; the store has stopped itself.</summary>
    IoError = 74,

    /// <summary>EX_TEMPFAIL: in use by another: the data directory, the mount point, the port.</summary>
    Busy = 75,

    /// <summary>EX_PROTOCOL: a data directory or peer of another version.</summary>
    Version = 76,

    /// <summary>EX_NOPERM: not allowed to this user.</summary>
    NoPermission = 77,

    /// <summary>EX_CONFIG: the configuration is refused.</summary>
    Config = 78,
}

/// <summary>The table of exit codes as help texts and documentation print it.</summary>
internal static class ExitCodes
{
    public static readonly IReadOnlyList<(ExitCode Code, string Meaning)> All =
    [
        (ExitCode.Ok, "done; for the daemon: stopped cleanly"),
        (ExitCode.Damaged, "the check ran and its answer is no: damage found, client refused"),
        (ExitCode.Usage, "wrong command line"),
        (ExitCode.DataError, "the data directory is damaged, or is none"),
        (ExitCode.NoInput, "a file, directory or mount point does not exist"),
        (ExitCode.Unavailable, "the daemon is not running, or a library is missing"),
        (ExitCode.Software, "an error in the program itself; please report it"),
        (ExitCode.OsError, "the kernel refused an operation"),
        (ExitCode.OsFile, "/dev/fuse is missing or cannot be opened"),
        (ExitCode.CannotCreate, "a path that is to be made is taken or cannot be made"),
        (ExitCode.IoError, "the disk failed and the store has stopped itself"),
        (ExitCode.Busy, "in use by another: data directory, mount point, port"),
        (ExitCode.Version, "data directory or daemon of another version"),
        (ExitCode.NoPermission, "not allowed to this user"),
        (ExitCode.Config, "the configuration is refused"),
    ];
}
