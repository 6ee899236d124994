using System.Buffers.Binary;
using StoreCore.Rpc;

namespace StoreCore.Tests.Rpc;

/// <summary>Builds calls as a client sends them.</summary>
internal static class RpcMessages
{
    /// <summary>A call without mark, by AUTH_NONE or AUTH_SYS (uid 1000, gid 100, the groups given).</summary>
    public static byte[] Call(
        uint xid, uint procedure, ReadOnlySpan<byte> arguments = default, uint program = EchoProgram.Number, uint version = 1, uint[]? groups = null)
    {
        byte[] space = new byte[arguments.Length + 1024];
        var call = new XdrWriter(space);
        call.U32(xid);
        call.U32(RpcProtocol.Call);
        call.U32(RpcProtocol.Version);
        call.U32(program);
        call.U32(version);
        call.U32(procedure);
        if (groups is null)
        {
            call.U64(0);
        }
        else
        {
            call.U32((uint)RpcAuthFlavor.Sys);
            int lengthAt = call.Position;
            call.U32(0);
            call.U32(0x1234); // stamp
            call.String("client"u8);
            call.U32(1000);
            call.U32(100);
            call.U32((uint)groups.Length);
            foreach (uint group in groups)
                call.U32(group);
            call.PatchU32(lengthAt, (uint)(call.Position - lengthAt - 4));
        }

        call.U64(0); // verifier
        call.Fixed(arguments);
        return call.Written.ToArray();
    }

    /// <summary>A message as fragments of at most <paramref name="fragmentBytes"/> bytes.</summary>
    public static byte[] Record(ReadOnlySpan<byte> message, int fragmentBytes = int.MaxValue)
    {
        var record = new List<byte>();
        byte[] mark = new byte[4];
        do
        {
            int length = Math.Min(fragmentBytes, message.Length);
            bool last = length == message.Length;
            BinaryPrimitives.WriteUInt32BigEndian(mark, (uint)length | (last ? RpcProtocol.LastFragment : 0));
            record.AddRange(mark);
            record.AddRange(message[..length]);
            message = message[length..];
        }
        while (message.Length > 0);

        return [.. record];
    }

    /// <summary>Variable-length opaque data.</summary>
    public static byte[] Opaque(ReadOnlySpan<byte> bytes)
    {
        byte[] space = new byte[bytes.Length + 8];
        var writer = new XdrWriter(space);
        writer.Opaque(bytes);
        return writer.Written.ToArray();
    }

    public static byte[] Word(uint value)
    {
        byte[] word = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(word, value);
        return word;
    }
}
