using System.Globalization;

namespace Gateway.Nfs.Exports;

/// <summary>Whose user and group numbers a client's are replaced by the anonymous ones.</summary>
public enum ExportSquash : byte
{
    /// <summary>root_squash, the default: uid 0 and gid 0.</summary>
    Root,

    /// <summary>no_root_squash: nobody's.</summary>
    None,

    /// <summary>all_squash: everybody's.</summary>
    All,
}

/// <summary>What a rule grants, named and defaulted as exports(5) has it. The default value of the type is exports(5)'s default but for the anonymous numbers: use <see cref="Default"/>.</summary>
public readonly record struct ExportOptions
{
    /// <summary>nobody and nogroup, as exports(5) defaults to.</summary>
    public const uint Nobody = 65534;

    public static readonly ExportOptions Default = new() { AnonymousUid = Nobody, AnonymousGid = Nobody };

    /// <summary>rw; default ro.</summary>
    public bool Writable { get; init; }

    /// <summary>all_squash, which counts whatever is said of root.</summary>
    public bool SquashesAll { get; init; }

    /// <summary>no_root_squash.</summary>
    public bool TrustsRoot { get; init; }

    /// <summary>What follows from both.</summary>
    public ExportSquash Squash => SquashesAll ? ExportSquash.All : TrustsRoot ? ExportSquash.None : ExportSquash.Root;

    public uint AnonymousUid { get; init; }

    public uint AnonymousGid { get; init; }

    /// <summary>insecure: source ports from 1024 on are accepted too.</summary>
    public bool Insecure { get; init; }

    /// <summary>async: changes are answered before they are stable.</summary>
    public bool Async { get; init; }

    /// <summary>All options spelled out, which <see cref="ExportOptionsParser"/> reads back to the same effect.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{(Writable ? "rw" : "ro")},{SquashText},anonuid={AnonymousUid},anongid={AnonymousGid},{(Insecure ? "insecure" : "secure")},{(Async ? "async" : "sync")},sec=sys");

    private string SquashText => Squash switch { ExportSquash.None => "no_root_squash", ExportSquash.All => "all_squash", _ => "root_squash" };
}
