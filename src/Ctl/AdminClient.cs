using System.Buffers.Text;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Gateway.Admin.Contract;

namespace Ctl;

/// <summary>
/// A client of the admin API: one HTTP/1.0 request per connection. Written on the bare socket, because HttpClient alone
/// would take longer to start than everything else that this tool does.
/// </summary>
internal sealed class AdminClient(Target target)
{
    /// <summary>All short answers come from the daemon's memory: one that takes longer than this hangs.</summary>
    private static readonly TimeSpan ShortWork = TimeSpan.FromSeconds(30);

    /// <summary>Long answers show progress five times a second.</summary>
    private static readonly TimeSpan SilenceOfLongWork = TimeSpan.FromMinutes(2);

    private const int MaxHeaderBytes = 32 << 10;

    /// <summary>The answer as the daemon sent it.</summary>
    public byte[] Send(string method, string path, byte[]? body = null)
    {
        using Stream answer = Open(method, path, body, ShortWork);
        var all = new MemoryStream();
        Guard(() => answer.CopyTo(all));
        return all.ToArray();
    }

    public T Get<T>(string path, JsonTypeInfo<T> type) => Parse(Send("GET", path), type);

    /// <summary>Runs long work: hands on its progress, returns its end.</summary>
    public WorkEnd Run(string method, string path, Action<WorkProgress> progress)
    {
        using Stream answer = Open(method, path, null, SilenceOfLongWork);
        using var lines = new StreamReader(answer, Encoding.UTF8);
        while (true)
        {
            string? line = null;
            Guard(() => line = lines.ReadLine());
            if (line is null)
                throw new OperatingException(ExitCode.Unavailable, "the daemon ended before the work did; look into its log");
            WorkLine parsed = Parse(Encoding.UTF8.GetBytes(line), AdminJson.Default.WorkLine);
            if (parsed.Progress is not null)
                progress(parsed.Progress);
            if (parsed.End?.Error is { } error)
                throw Failure(error);
            if (parsed.End is not null)
                return parsed.End;
        }
    }

    /// <summary>The answer as a stream that the caller reads and disposes.</summary>
    public Stream Open(string method, string path, byte[]? body, TimeSpan patience)
    {
        Socket socket = target.Connect(patience);
        var stream = new NetworkStream(socket, ownsSocket: true);
        try
        {
            string head = $"{method} {path} HTTP/1.0\r\nHost: gateway\r\n"
                + (method == "GET" ? "" : $"Content-Type: {AdminProtocol.JsonType}\r\nContent-Length: {body?.Length ?? 0}\r\n") + "\r\n";
            byte[] request = [.. Encoding.ASCII.GetBytes(head), .. body ?? []];
            Guard(() => stream.Write(request));
            (int status, byte[] rest) = ReadHead(stream);
            var answer = new Answer(rest, stream);
            if (status is >= 200 and < 300)
                return answer;
            using var all = new MemoryStream();
            Guard(() => answer.CopyTo(all));
            throw Failure(Parse(all.ToArray(), AdminJson.Default.ErrorBody));
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Long work over a stream of bytes (dump).</summary>
    public Stream OpenLong(string path) => Open("GET", path, null, SilenceOfLongWork);

    private static (int Status, byte[] Behind) ReadHead(NetworkStream stream)
    {
        var buffer = new byte[MaxHeaderBytes];
        int length = 0;
        while (true)
        {
            int end = buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8);
            if (end >= 0)
            {
                // "HTTP/1.1 200 OK"
                int space = buffer.AsSpan(0, end).IndexOf((byte)' ');
                if (space < 0 || !Utf8Parser.TryParse(buffer.AsSpan(space + 1, end - space - 1), out int status, out _))
                    throw NoGateway();
                return (status, buffer[(end + 4)..length]);
            }

            int read = 0;
            if (length < buffer.Length)
                Guard(() => read = stream.Read(buffer, length, buffer.Length - length));
            if (read == 0)
                throw NoGateway();
            length += read;
        }
    }

    private static T Parse<T>(byte[] json, JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(json, type) ?? throw NoGateway();
        }
        catch (JsonException)
        {
            throw NoGateway();
        }
    }

    private static OperatingException Failure(ErrorBody error) =>
        new((ExitCode)error.Code, error.Mend.Length > 0 ? $"{error.Error}; {error.Mend}" : error.Error);

    private static OperatingException NoGateway() =>
        new(ExitCode.Version, "what listens on that socket does not speak as gatewayd of this version does; use the gatewayctl of the same build");

    /// <summary>Turns what a connection can suffer into one line.</summary>
    private static void Guard(Action transfer)
    {
        try
        {
            transfer();
        }
        catch (IOException error) when (error.InnerException is SocketException { SocketErrorCode: SocketError.TimedOut or SocketError.WouldBlock })
        {
            throw new OperatingException(ExitCode.Unavailable, "the daemon does not answer; its disk may hang: look into its log and dmesg", error);
        }
        catch (IOException error)
        {
            throw new OperatingException(ExitCode.Unavailable, $"the connection to the daemon broke ({error.InnerException?.Message ?? error.Message}); look into its log", error);
        }
    }

    /// <summary>What was read behind the header, then the rest of the stream. Failures of the connection surface as operating errors.</summary>
    private sealed class Answer(byte[] rest, NetworkStream stream) : Stream
    {
        private int _given;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer)
        {
            if (_given == rest.Length)
                return stream.Read(buffer);
            int taken = Math.Min(buffer.Length, rest.Length - _given);
            rest.AsSpan(_given, taken).CopyTo(buffer);
            _given += taken;
            return taken;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                stream.Dispose();
            base.Dispose(disposing);
        }
    }
}
