using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Gateway.Daemon;

/// <summary>
/// Tells systemd how the service is (sd_notify(3)): readiness, stopping and, where the unit asks for it, the watchdog's sign of life. Does nothing
/// where NOTIFY_SOCKET is not set.
/// </summary>
internal sealed class SystemdNotifier : IDisposable
{
    private readonly Socket? _socket;
    private readonly UnixDomainSocketEndPoint? _endPoint;
    private Timer? _watchdog;

    public SystemdNotifier(string? notifySocket)
    {
        if (string.IsNullOrEmpty(notifySocket))
            return;

        // A leading '@' stands for the zero byte of the abstract namespace.
        _endPoint = new UnixDomainSocketEndPoint(notifySocket[0] == '@' ? '\0' + notifySocket[1..] : notifySocket);
        _socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    }

    public void Ready(string status) => Send($"READY=1\nSTATUS={status}");

    public void Stopping() => Send("STOPPING=1");

    /// <summary>Starts the signs of life, at half of what the unit's WatchdogSec= allows. <paramref name="alive"/> false withholds one.</summary>
    public void StartWatchdog(string? watchdogMicroseconds, Func<bool> alive)
    {
        if (_socket is null || !long.TryParse(watchdogMicroseconds, NumberStyles.None, CultureInfo.InvariantCulture, out long microseconds) || microseconds <= 0)
            return;
        TimeSpan interval = TimeSpan.FromMicroseconds(microseconds / 2.0);
        _watchdog = new Timer(_ =>
        {
            if (alive())
                Send("WATCHDOG=1");
        }, null, interval, interval);
    }

    public void Dispose()
    {
        _watchdog?.Dispose();
        _socket?.Dispose();
    }

    private void Send(string message)
    {
        try
        {
            _socket?.SendTo(Encoding.UTF8.GetBytes(message), _endPoint!);
        }
        catch (SocketException error)
        {
            // The service manager's socket is gone: nothing of the file system depends on it.
            Console.Error.WriteLine($"gatewayd: systemd cannot be notified ({error.Message})");
        }
    }
}
