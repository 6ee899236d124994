using System.Net.Sockets;
using System.Text;
using Gateway.Daemon;

namespace Gateway.Tests.Daemon;

public class SystemdNotifierTests
{
    [Fact]
    public void The_messages_are_those_of_sd_notify()
    {
        string directory = Directory.CreateTempSubdirectory("notify").FullName;
        try
        {
            string path = Path.Combine(directory, "socket");
            using var systemd = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            systemd.ReceiveTimeout = 10_000;
            systemd.Bind(new UnixDomainSocketEndPoint(path));
            using var notifier = new SystemdNotifier(path);
            notifier.Ready("serving /data");
            Assert.Equal("READY=1\nSTATUS=serving /data", Receive());
            notifier.StartWatchdog("20000", () => true);
            Assert.Equal("WATCHDOG=1", Receive());

            string Receive()
            {
                var buffer = new byte[256];
                return Encoding.UTF8.GetString(buffer, 0, systemd.Receive(buffer));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public void Without_systemd_nothing_happens()
    {
        using var notifier = new SystemdNotifier(null);
        notifier.Ready("");
        notifier.StartWatchdog("1000", () => true);
        notifier.Stopping();
    }
}
