using System.Buffers.Binary;
using StoreCore.Rpc;

namespace Bench.Load;

/// <summary>A call of NFSv3 by root, with its record mark, from its head to its end.</summary>
internal static class LoadCall
{
    // A credential of AUTH_SYS: flavor, length, stamp, name, uid, gid, no groups; and the verifier of AUTH_NONE.
    private static readonly byte[] Credential = [0, 0, 0, 1, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 4, .. "load"u8, .. new byte[12], .. new byte[8]];

    /// <summary>Writes everything before the arguments.</summary>
    public static void Begin(ref XdrWriter call, uint xid, uint procedure)
    {
        call.U32(0);
        call.U32(xid);
        call.U32(RpcProtocol.Call);
        call.U32(RpcProtocol.Version);
        call.U32(Gateway.Nfs.Nfs3Program.ProgramNumber);
        call.U32(3);
        call.U32(procedure);
        call.Fixed(Credential);
    }

    /// <summary>Sets the mark; the length of it all.</summary>
    public static int End(ref XdrWriter call)
    {
        if (call.Overflow)
            throw new InvalidOperationException("the call does not fit");
        call.PatchU32(0, RpcProtocol.LastFragment | (uint)(call.Position - RpcProtocol.RecordMarkBytes));
        return call.Position;
    }

    /// <summary>The length of the reply at the beginning, mark included; 0: it is not whole.</summary>
    public static int WholeLength(ReadOnlySpan<byte> input)
    {
        if (input.Length < RpcProtocol.RecordMarkBytes)
            return 0;
        int length = RpcProtocol.RecordMarkBytes + (int)(BinaryPrimitives.ReadUInt32BigEndian(input) & ~RpcProtocol.LastFragment);
        return length <= input.Length ? length : 0;
    }
}
