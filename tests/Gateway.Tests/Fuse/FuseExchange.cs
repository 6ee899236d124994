using System.Buffers.Binary;
using System.Text;
using Gateway.Fuse;
using Microsoft.Extensions.Logging.Abstractions;
using StoreCore.Metadata;
using StoreCore.Primitives;

namespace Gateway.Tests.Fuse;

/// <summary>A dispatcher with a recording file system behind it; makes requests and takes replies apart byte by byte.</summary>
internal sealed class FuseExchange : IFuseReplyChannel
{
    public const ulong Unique = 0x1234_5678_9ABC_DEF0;

    public RecordingVfs Vfs { get; } = new();

    public FuseDispatcher Dispatcher { get; }

    public FuseStatistics Statistics { get; } = new();

    public FuseLane Lane { get; }

    public List<byte[]> LateReplies { get; } = [];

    public FuseExchange(bool initialised = true, Func<FuseDispatcherOptions, FuseDispatcherOptions>? configure = null)
    {
        var options = new FuseDispatcherOptions { Session = 7 };
        Dispatcher = new FuseDispatcher(Vfs, configure?.Invoke(options) ?? options, Statistics, NullLogger.Instance);
        Lane = new FuseLane(this, TimeProvider.System);
        Statistics.Add(Lane);
        Vfs.Record = Sample;
        if (initialised)
            Initialise();
    }

    /// <summary>An inode with another value in every field.</summary>
    public static InodeRecord Sample => new()
    {
        Inode = new InodeId(0x42),
        Generation = 3,
        Mode = 0x81A4,
        Uid = 1000,
        Gid = 1001,
        Links = 2,
        Device = 0x12345678,
        SizeBytes = 5000,
        AllocatedBytes = 8192,
        Accessed = new Timestamp(100, 1),
        Modified = new Timestamp(-200, 2),
        Changed = new Timestamp(300, 3),
        Born = new Timestamp(50, 4),
    };

    public void Initialise(ulong flags = ulong.MaxValue, uint minor = 45)
    {
        (int error, _) = Send(FuseOpcode.Init, 0, W32(7), W32(minor), W32(131072), W32((uint)flags), W32((uint)(flags >> 32)), new byte[44]);
        Assert.Equal(0, error);
    }

    /// <summary>Sends a request by uid 1000, gid 1001, pid 77; returns the errno and the payload of the reply.</summary>
    public (int Error, byte[] Payload) Send(FuseOpcode opcode, ulong node, params byte[][] body)
    {
        byte[] request = Request(opcode, node, [.. body.SelectMany(static part => part)]);
        byte[]? reply = Raw(request);
        Assert.NotNull(reply);
        Assert.Equal((uint)reply.Length, BinaryPrimitives.ReadUInt32LittleEndian(reply));
        Assert.Equal(Unique, BinaryPrimitives.ReadUInt64LittleEndian(reply.AsSpan(8)));
        return (-BinaryPrimitives.ReadInt32LittleEndian(reply.AsSpan(4)), reply[16..]);
    }

    /// <summary>The reply to any bytes; null where there is none.</summary>
    public byte[]? Raw(byte[] request)
    {
        byte[] reply = new byte[FuseProtocol.MaxReplyBytes];
        int length = Dispatcher.Dispatch(Lane, request, reply);
        return length == 0 ? null : reply[..length];
    }

    public static byte[] Request(FuseOpcode opcode, ulong node, byte[] body, byte[]? extensions = null, ulong unique = Unique)
    {
        extensions ??= [];
        byte[] request =
        [
            .. W32((uint)(40 + body.Length + extensions.Length)), .. W32((uint)opcode), .. W64(unique), .. W64(node),
            .. W32(1000), .. W32(1001), .. W32(77), .. W16((ushort)(extensions.Length / 8)), .. W16(0), .. body, .. extensions,
        ];
        return request;
    }

    public static byte[] W16(ushort value) => BitConverter.GetBytes(value);

    public static byte[] W32(uint value) => BitConverter.GetBytes(value);

    public static byte[] W64(ulong value) => BitConverter.GetBytes(value);

    /// <summary>Text with a zero behind it.</summary>
    public static byte[] Z(string text) => [.. Encoding.Latin1.GetBytes(text), 0];

    void IFuseReplyChannel.Send(ReadOnlySpan<byte> reply) => LateReplies.Add(reply.ToArray());
}
