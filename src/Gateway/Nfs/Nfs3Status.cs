using System.Diagnostics;
using StoreCore.Primitives;

namespace Gateway.Nfs;

/// <summary>nfsstat3 (RFC 1813 §2.6).</summary>
public enum Nfs3Status : uint
{
    Ok = 0,
    NotOwner = 1,
    NoEntry = 2,
    Io = 5,
    NoDevice = 6,
    Access = 13,
    Exists = 17,
    CrossDevice = 18,
    NoSuchDevice = 19,
    NotDirectory = 20,
    IsDirectory = 21,
    Invalid = 22,
    FileTooBig = 27,
    NoSpace = 28,
    ReadOnly = 30,
    TooManyLinks = 31,
    NameTooLong = 63,
    NotEmpty = 66,
    Quota = 69,
    Stale = 70,
    Remote = 71,
    BadHandle = 10001,
    NotSync = 10002,
    BadCookie = 10003,
    NotSupported = 10004,
    TooSmall = 10005,
    ServerFault = 10006,
    BadType = 10007,

    /// <summary>Come again later: the client repeats the call as a new one.</summary>
    Jukebox = 10008,
}

/// <summary>The total map of a status of the file system onto nfsstat3.</summary>
public static class Nfs3StatusMap
{
    /// <summary>Every value has one, which a test checks.</summary>
    public static Nfs3Status From(FsStatus status) => status switch
    {
        FsStatus.Ok => Nfs3Status.Ok,
        FsStatus.NotPermitted => Nfs3Status.NotOwner,
        FsStatus.NotFound => Nfs3Status.NoEntry,
        FsStatus.IoError => Nfs3Status.Io,
        FsStatus.NoSuchAddress => Nfs3Status.NoDevice,
        FsStatus.AccessDenied => Nfs3Status.Access,
        FsStatus.Exists => Nfs3Status.Exists,
        FsStatus.CrossDevice => Nfs3Status.CrossDevice,
        FsStatus.NotDirectory => Nfs3Status.NotDirectory,
        FsStatus.IsDirectory => Nfs3Status.IsDirectory,
        FsStatus.TooLarge or FsStatus.Overflow => Nfs3Status.FileTooBig,
        FsStatus.NoSpace => Nfs3Status.NoSpace,
        FsStatus.ReadOnly => Nfs3Status.ReadOnly,
        FsStatus.TooManyLinks => Nfs3Status.TooManyLinks,
        FsStatus.NameTooLong => Nfs3Status.NameTooLong,
        FsStatus.NotEmpty => Nfs3Status.NotEmpty,
        FsStatus.Stale => Nfs3Status.Stale,
        FsStatus.BadHandle => Nfs3Status.BadHandle,
        FsStatus.OutOfRange => Nfs3Status.TooSmall,
        FsStatus.OutOfSync => Nfs3Status.NotSync,
        FsStatus.NotImplemented or FsStatus.NotSupported or FsStatus.NoSuchControl => Nfs3Status.NotSupported,
        FsStatus.Invalid or FsStatus.Busy or FsStatus.NoData or FsStatus.ArgumentTooLong or FsStatus.Deadlock => Nfs3Status.Invalid,

        // Nothing is wrong with the call: the client is to come again. A store that has stopped itself is served again by its next start, whose
        // other write verifier then makes clients send again what was not stable.
        FsStatus.Interrupted or FsStatus.WouldBlock or FsStatus.Stopped => Nfs3Status.Jukebox,
        _ => throw new UnreachableException($"status {status} has no nfsstat3"),
    };
}
