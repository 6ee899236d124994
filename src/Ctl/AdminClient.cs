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
    /// <summary>What is asked comes from the daemon's memory: one that takes longer than this hangs.</summary>
    private static readonly TimeSpan ShortWork = TimeSpan.FromSeconds(5);

    /// <summary>Silence of one that works: a mount waits for the kernel, an export for name servers, a check sends its progress five times a second.</summary>
    private static readonly TimeSpan LongWork = TimeSpan.FromMinutes(2);

    private const int MaxHeaderBytes = 32 << 10;

    /// <summary>The answer as the daemon sent it.</summary>
    /// <param name="works">The daemon has to work for it, as it has for every change; otherwise it only has to look.</param>
    public byte[] Send(string method, string path, byte[]? body = null, bool works = false)
    {
        using Stream answer = works || method != "GET" ? OpenLong(method, path, body) : Open(method, path, body, ShortWork);
        return ReadAll(answer);
    }

    public T Get<T>(string path, JsonTypeInfo<T> type) => Parse(Send("GET", path), type);

    /// <summary>Runs long work: hands on its progress, returns its end.</summary>
    public WorkEnd Run(string method, string path, Action<WorkProgress> progress)
    {
        using Stream answer = OpenLong(method, path);
        using var lines = new StreamReader(answer, Encoding.UTF8);
        while (true)
        {
            string line = lines.ReadLine() ??
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

    /// <summary>The answer to long work as a stream, which the caller reads and disposes. A daemon that hangs is told from one that works by a short question before.</summary>
    public Stream OpenLong(string method, string path, byte[]? body = null)
    {
        Open("GET", "/v1/version", null, ShortWork).Dispose();
        return Open(method, path, body, LongWork);
    }

    private Answer Open(string method, string path, byte[]? body, TimeSpan patience)
    {
        Socket socket = target.Connect(patience);
        var stream = new NetworkStream(socket, ownsSocket: true);
        try
        {
            string head = $"{method} {path} HTTP/1.0\r\nHost: gateway\r\n"
                + (method == "GET" ? "" : $"Content-Type: {AdminProtocol.JsonType}\r\nContent-Length: {body?.Length ?? 0}\r\n") + "\r\n";
            byte[] request = [.. Encoding.ASCII.GetBytes(head), .. body ?? []];
            Guard(stream, () => stream.Write(request));
            (int status, byte[] rest) = ReadHead(stream);
            var answer = new Answer(rest, stream);
            if (status is >= 200 and < 300)
                return answer;
            throw Failure(Parse(ReadAll(answer), AdminJson.Default.ErrorBody));
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    private static byte[] ReadAll(Stream answer)
    {
        using var all = new MemoryStream();
        answer.CopyTo(all);
        return all.ToArray();
    }

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
                Guard(stream, () => read = stream.Read(buffer, length, buffer.Length - length));
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
    private static void Guard(NetworkStream stream, Action transfer)
    {
        try
        {
            transfer();
        }
        catch (IOException error) when (error.InnerException is SocketException { SocketErrorCode: SocketError.TimedOut or SocketError.WouldBlock })
        {
            throw Target.Silent(TimeSpan.FromMilliseconds(stream.ReadTimeout), error);
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

        public override int Read(byte[] buffer, int offset, int count)
        {
            int taken = Math.Min(count, rest.Length - _given);
            if (taken == 0)
                Guard(stream, () => taken = stream.Read(buffer, offset, count));
            else
                rest.AsSpan(_given, taken).CopyTo(buffer.AsSpan(offset));
            _given = Math.Min(rest.Length, _given + taken);
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
