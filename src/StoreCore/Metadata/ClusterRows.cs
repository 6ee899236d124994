using System.Buffers.Binary;
using System.Text;

namespace StoreCore.Metadata;

/// <summary>What a row of the Cluster table is. Append only.</summary>
internal enum ClusterKind : byte
{
    /// <summary>Number 0: the secret, <see cref="Limits.SecretBytes"/> bytes.</summary>
    Secret = 1,

    /// <summary>Number 0: the number of the next new export, u32.</summary>
    NextExport = 2,

    /// <summary>By the export's number: <see cref="ExportRow"/>.</summary>
    Export = 3,

    /// <summary>Number 0: the number of the present life of the lock service, u32.</summary>
    LockLife = 4,

    /// <summary>By a number of no meaning: <see cref="LockClientRow"/>.</summary>
    LockClient = 5,
}

internal static class ClusterRow
{
    /// <summary>Whether a row is one that this version writes.</summary>
    public static bool IsValid(ClusterKind kind, uint number, ReadOnlySpan<byte> row) => kind switch
    {
        ClusterKind.Secret => number == 0 && row.Length == Limits.SecretBytes,
        ClusterKind.NextExport => number == 0 && row.Length == sizeof(uint),
        ClusterKind.Export => ExportRow.TryDecode(number, row, out _),
        ClusterKind.LockLife => number == 0 && row.Length == sizeof(uint),
        ClusterKind.LockClient => LockClientRow.TryDecode(number, row, out _),
        _ => false,
    };
}

/// <summary>
/// A directory that is exported, and to whom. Both texts are what the administrator has given; the metadata keeps them and does not read them.
/// </summary>
/// <param name="Id">Given once and never again, for it is part of file handles; 0 for one that is new.</param>
/// <param name="Path">Of a directory from the root of the file system, with '/' at its start.</param>
/// <param name="Rules">Who may do what there, in the front end's own language.</param>
public sealed record ExportDefinition(uint Id, string Path, string Rules);

/// <summary>A client that holds locks, and is to be told when the service that gave them has restarted.</summary>
/// <param name="Id">Chosen by who adds it.</param>
/// <param name="Name">What it calls itself.</param>
/// <param name="Address">IPv6, or IPv4 as IPv6 maps it.</param>
/// <param name="Server">The address of ours by which it knows us.</param>
public sealed record LockClient(uint Id, string Name, UInt128 Address, UInt128 Server);

/// <summary>A row of an export.</summary>
/// <remarks>Layout, little-endian: version u8 = 1, length of the path u16, path, rules to the end; both UTF-8.</remarks>
internal static class ExportRow
{
    private const byte Version = 1;
    private const int HeaderBytes = 3;

    private static readonly UTF8Encoding Text = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Null where the texts are too long, empty or no valid Unicode.</summary>
    public static byte[]? Encode(ExportDefinition export)
    {
        try
        {
            byte[] path = Text.GetBytes(export.Path), rules = Text.GetBytes(export.Rules);
            if (path.Length is 0 or > Limits.MaxExportPathBytes || path[0] != '/' || path.Contains((byte)0) || rules.Length > Limits.MaxExportRulesBytes)
                return null;
            byte[] row = new byte[HeaderBytes + path.Length + rules.Length];
            row[0] = Version;
            BinaryPrimitives.WriteUInt16LittleEndian(row.AsSpan(1), (ushort)path.Length);
            path.CopyTo(row.AsSpan(HeaderBytes));
            rules.CopyTo(row.AsSpan(HeaderBytes + path.Length));
            return row;
        }
        catch (EncoderFallbackException)
        {
            return null;
        }
    }

    public static bool TryDecode(uint id, ReadOnlySpan<byte> row, out ExportDefinition? export)
    {
        export = null;
        if (row.Length <= HeaderBytes || row[0] != Version || id == 0)
            return false;
        int pathBytes = BinaryPrimitives.ReadUInt16LittleEndian(row[1..]);
        if (pathBytes is 0 or > Limits.MaxExportPathBytes || pathBytes > row.Length - HeaderBytes || row[HeaderBytes] != '/')
            return false;
        try
        {
            export = new ExportDefinition(id, Text.GetString(row.Slice(HeaderBytes, pathBytes)), Text.GetString(row[(HeaderBytes + pathBytes)..]));
            return true;
        }
        catch (DecoderFallbackException)
        {
            return false;
        }
    }
}

/// <summary>A row of a client that holds locks.</summary>
/// <remarks>Layout: version u8 = 1, address 16 bytes and server 16 bytes in network order, name to the end in UTF-8.</remarks>
internal static class LockClientRow
{
    public const int MaxNameBytes = 1024; // LM_MAXSTRLEN of NLM

    private const byte Version = 1;
    private const int HeaderBytes = 33;

    /// <summary>Null where the name is too long.</summary>
    public static byte[]? Encode(LockClient client)
    {
        byte[] name = Encoding.UTF8.GetBytes(client.Name);
        if (name.Length > MaxNameBytes)
            return null;
        byte[] row = new byte[HeaderBytes + name.Length];
        row[0] = Version;
        BinaryPrimitives.WriteUInt128BigEndian(row.AsSpan(1), client.Address);
        BinaryPrimitives.WriteUInt128BigEndian(row.AsSpan(17), client.Server);
        name.CopyTo(row.AsSpan(HeaderBytes));
        return row;
    }

    public static bool TryDecode(uint id, ReadOnlySpan<byte> row, out LockClient? client)
    {
        client = null;
        if (row.Length is < HeaderBytes or > HeaderBytes + MaxNameBytes || row[0] != Version)
            return false;
        client = new LockClient(
            id, Encoding.UTF8.GetString(row[HeaderBytes..]), BinaryPrimitives.ReadUInt128BigEndian(row[1..]), BinaryPrimitives.ReadUInt128BigEndian(row[17..]));
        return true;
    }
}
