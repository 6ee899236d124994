using System.Net;
using System.Net.Sockets;

namespace EndToEnd;

/// <summary>A gateway that serves NFS on a port of its own, and libnfs's tools as its clients.</summary>
internal sealed class NfsShare : IDisposable
{
    public NfsShare(string listen = "127.0.0.1", string mountOptions = "")
    {
        Port = FreePort();
        Gateway = new GatewayInstance { Arguments = ["--nfs", $"{listen}:{Port}"], MountOptions = mountOptions };
        Gateway.Start();
    }

    public GatewayInstance Gateway { get; }

    public int Port { get; }

    /// <summary>What mount.nfs needs to be told where nothing is registered with rpcbind.</summary>
    public string MountOptions => $"vers=3,nolock,proto=tcp,port={Port},mountport={Port}";

    public static int FreePort()
    {
        // Outside of the range that outgoing connections take theirs from.
        for (int port = 20000 + Environment.ProcessId % 5000; ; port++)
        {
            using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                probe.Bind(new IPEndPoint(IPAddress.Any, port));
                return port;
            }
            catch (SocketException error) when (error.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
            }
        }
    }

    public void Export(string path, params string[] clients) => Gateway.Ask(["export", "add", path, .. clients.SelectMany(client => (string[])["--client", client])]);

    /// <summary>libnfs mounts what stands before the last slash.</summary>
    public string Url(string path) => $"nfs://127.0.0.1/{path}?version=3&nfsport={Port}&mountport={Port}";

    public string Read(string path) => Shell.Succeed("nfs-cat", Url(path));

    public void Write(string path, string content)
    {
        string file = Path.Combine(Gateway.Root, "content");
        File.WriteAllText(file, content);
        Shell.Succeed("nfs-cp", file, Url(path));
    }

    /// <summary>Runs a script on a real kernel's NFS client, which finds the share as $SERVER with the options $OPTIONS.</summary>
    public ShellResult Guest(string script, params string[] files)
    {
        string file = Path.Combine(Gateway.Root, "script");
        File.WriteAllText(file, $"SERVER=10.0.2.2 OPTIONS={MountOptions}\nset -e\n{script}\n");
        return Shell.Run(Path.Combine(Shell.Checkout, "scripts", "nfs-guest"), ["--timeout", "110", file, .. files]);
    }

    public void Dispose() => Gateway.Dispose();
}
