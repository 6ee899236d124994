using System.Diagnostics;
using StoreCore.Primitives;

namespace Gateway.Fuse;

/// <summary>Linux errno values (asm-generic/errno-base.h and errno.h) and the total map onto them.</summary>
public static class FuseErrno
{
    public const int Perm = 1;
    public const int NoEntry = 2;
    public const int Interrupted = 4;
    public const int Io = 5;
    public const int NoSuchAddress = 6;
    public const int TooBig = 7;
    public const int BadFile = 9;
    public const int Again = 11;
    public const int Access = 13;
    public const int Busy = 16;
    public const int Exists = 17;
    public const int CrossDevice = 18;
    public const int NoDevice = 19;
    public const int NotDirectory = 20;
    public const int IsDirectory = 21;
    public const int Invalid = 22;
    public const int NotTty = 25;
    public const int FileTooBig = 27;
    public const int NoSpace = 28;
    public const int ReadOnly = 30;
    public const int TooManyLinks = 31;
    public const int Range = 34;
    public const int Deadlock = 35;
    public const int NameTooLong = 36;
    public const int NoSys = 38;
    public const int NotEmpty = 39;
    public const int NoData = 61;
    public const int Protocol = 71;
    public const int Overflow = 75;
    public const int NotSupported = 95;
    public const int ConnectionAborted = 103;
    public const int NotConnected = 107;
    public const int Shutdown = 108;
    public const int Stale = 116;
    public const int Canceled = 125;

    /// <summary>Replies with an error beyond this are refused by the kernel (fs/fuse/dev.c).</summary>
    public const int Max = 511;

    /// <summary>The errno of a status; 0 for <see cref="FsStatus.Ok"/>. Every value has one, which a test checks.</summary>
    public static int From(FsStatus status) => status switch
    {
        FsStatus.Ok => 0,
        FsStatus.NotPermitted => Perm,
        FsStatus.NotFound => NoEntry,
        FsStatus.Interrupted => Interrupted,
        FsStatus.IoError => Io,
        FsStatus.NoSuchAddress => NoSuchAddress,
        FsStatus.BadHandle => BadFile,
        FsStatus.WouldBlock => Again,
        FsStatus.AccessDenied => Access,
        FsStatus.Busy => Busy,
        FsStatus.Exists => Exists,
        FsStatus.CrossDevice => CrossDevice,
        FsStatus.NotDirectory => NotDirectory,
        FsStatus.IsDirectory => IsDirectory,
        FsStatus.Invalid => Invalid,
        FsStatus.TooLarge => FileTooBig,
        FsStatus.NoSpace => NoSpace,
        FsStatus.ReadOnly => ReadOnly,
        FsStatus.TooManyLinks => TooManyLinks,
        FsStatus.OutOfRange => Range,
        FsStatus.Deadlock => Deadlock,
        FsStatus.NameTooLong => NameTooLong,
        FsStatus.NotImplemented => NoSys,
        FsStatus.NotEmpty => NotEmpty,
        FsStatus.NoData => NoData,
        FsStatus.Overflow => Overflow,
        FsStatus.NotSupported => NotSupported,
        FsStatus.Stale => Stale,
        FsStatus.ArgumentTooLong => TooBig,
        FsStatus.NoSuchControl => NotTty,
        FsStatus.OutOfSync => Canceled,
        FsStatus.Stopped => Shutdown,
        _ => throw new UnreachableException($"status {status} has no errno"),
    };
}
