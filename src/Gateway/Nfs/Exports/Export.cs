using System.Collections.Immutable;
using System.Text;
using StoreCore.Primitives;

namespace Gateway.Nfs.Exports;

/// <summary>A directory that clients may mount, and the rules of who may. Immutable.</summary>
public sealed class Export
{
    /// <summary>Longest path that a MOUNT request can carry (RFC 1813 §5.1.1, MNTPATHLEN).</summary>
    public const int MaxPathBytes = 1024;

    /// <param name="id">Stands in every handle given out under this export and is never given again. Not 0.</param>
    /// <param name="path">Normal form; see <see cref="NormalPath"/>.</param>
    /// <param name="root">The directory that <paramref name="path"/> leads to; <see cref="InodeId.None"/> where there is none at present.</param>
    /// <exception cref="ArgumentException">The id or path cannot be.</exception>
    public Export(uint id, string path, InodeId root, IEnumerable<ClientRule> rules)
    {
        if (id == 0 || NormalPath(path, out string? error) != path)
            throw new ArgumentException($"export {id} of '{path}' cannot be");

        Id = id;
        Path = path;
        Root = root;
        Rules = [.. rules];
        PathBytes = Encoding.UTF8.GetBytes(path);

        // Ordered once as they decide: by kind, and within a kind as they were given (exports(5)).
        Deciding = [.. Rules.OrderBy(static rule => rule.Match == ClientMatch.Host ? ClientMatch.Address : rule.Match)];
    }

    public uint Id { get; }

    /// <summary>From the root of the file system: "/" or "/a/b".</summary>
    public string Path { get; }

    public InodeId Root { get; }

    /// <summary>As they were given.</summary>
    public ImmutableArray<ClientRule> Rules { get; }

    internal byte[] PathBytes { get; }

    /// <summary>The rules in the order in which they decide.</summary>
    internal ImmutableArray<ClientRule> Deciding { get; }

    /// <summary>The path without doubled and trailing slashes; null with an error of one line where it cannot be an export's.</summary>
    public static string? NormalPath(string path, out string? error)
    {
        error = null;
        if (Encoding.UTF8.GetByteCount(path) > MaxPathBytes)
            error = $"the path of an export has at most {MaxPathBytes} bytes";
        else if (!path.StartsWith('/'))
            error = $"'{path}': the path of an export begins with '/', the root of the file system";
        else if (path.Contains('\0'))
            error = "the path of an export has no zero byte";
        string[] parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        if (error is null && Array.Exists(parts, static part => part is "." or ".."))
            error = $"'{path}': the path of an export has no '.' and '..'";
        return error is null ? "/" + string.Join('/', parts) : null;
    }

    /// <summary>Whether the path (any number of slashes between names) leads to this export's root or below it; tells where the rest begins.</summary>
    internal bool Covers(ReadOnlySpan<byte> path, out int restAt)
    {
        restAt = 0;
        foreach (Range part in PathBytes.AsSpan().Split((byte)'/'))
        {
            ReadOnlySpan<byte> name = PathBytes.AsSpan()[part];
            if (name.IsEmpty)
                continue;
            while (restAt < path.Length && path[restAt] == '/')
                restAt++;
            ReadOnlySpan<byte> rest = path[restAt..];
            if (!rest.StartsWith(name) || (rest.Length > name.Length && rest[name.Length] != '/'))
                return false;
            restAt += name.Length;
        }

        return true;
    }

    public override string ToString() => $"{Path} {string.Join(' ', Rules)}";
}
