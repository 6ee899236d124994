using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Gateway.Fuse;

/// <summary>Writes the payload of one reply into the caller's buffer, behind the room for the header.</summary>
internal ref struct FuseReply(Span<byte> payload)
{
    private readonly Span<byte> _payload = payload;

    /// <summary>Payload bytes so far.</summary>
    public int Length { get; private set; }

    /// <summary>The answer comes later, from elsewhere (a waiting lock).</summary>
    public bool Deferred { get; set; }

    /// <summary>An errno that no status stands for; 0: the handler's status counts.</summary>
    public int Errno { get; set; }

    /// <summary>Room not written yet.</summary>
    public readonly Span<byte> Free => _payload[Length..];

    /// <summary>The next structure, cleared, to be filled in place. The buffer always has room for the fixed part of a reply.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref T Next<T>()
        where T : unmanaged
    {
        Span<byte> bytes = _payload.Slice(Length, Unsafe.SizeOf<T>());
        Length += bytes.Length;
        bytes.Clear();
        return ref MemoryMarshal.AsRef<T>(bytes);
    }

    /// <summary>Counts bytes that were written into <see cref="Free"/>.</summary>
    public void Advance(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)bytes, (uint)(_payload.Length - Length));
        Length += bytes;
    }
}
