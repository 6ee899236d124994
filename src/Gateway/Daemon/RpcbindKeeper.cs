using Microsoft.Extensions.Logging;
using StoreCore.Rpc;

namespace Gateway.Daemon;

/// <summary>
/// Keeps the NFS programs registered with this machine's rpcbind: also with one that is installed later, or was restarted and has forgotten them. Where another server has taken
/// the place it is left to it. Any thread may ask for the state.
/// </summary>
internal sealed class RpcbindKeeper : IDisposable
{
    /// <summary>What the state says where rpcbind knows the programs.</summary>
    private const string Registered = "registered";

    /// <summary>How soon it is noticed that rpcbind came or went; asking costs one connection on this machine.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    /// <summary>rpcbind is on this machine: one that does not answer by then hangs.</summary>
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(3);

    private readonly RpcbindRegistration _registration = new(Timeout);
    private readonly IReadOnlyList<IRpcProgram> _programs;
    private readonly IReadOnlyList<RpcPeer> _endpoints;
    private readonly ILogger _log;
    private readonly ManualResetEvent _end = new(false);
    private readonly Thread _thread;
    private volatile string _state;

    /// <param name="error">Why they are not registered now, one line for people; null where they are.</param>
    public RpcbindKeeper(IReadOnlyList<IRpcProgram> programs, IReadOnlyList<RpcPeer> endpoints, ILogger log, out string? error)
    {
        _programs = programs;
        _endpoints = endpoints;
        _log = log;
        error = _registration.Register(programs, endpoints);
        _state = error ?? Registered;
        _thread = new Thread(Keep) { Name = "rpcbind", IsBackground = true };
        _thread.Start();
    }

    /// <summary>"registered", or why not.</summary>
    public string State => _state;

    /// <summary>Takes the registration back.</summary>
    public void Dispose()
    {
        _end.Set();
        _thread.Join();
        _registration.Dispose();
        _end.Dispose();
    }

    private void Keep()
    {
        while (!_end.WaitOne(Interval))
        {
            RpcbindHolding holding = _registration.Look(out string? reason);
            if (holding == RpcbindHolding.Missing)
                reason = _registration.Register(_programs, _endpoints);
            if (_state != Registered && reason is null)
                _log.LogInformation("NFS is registered with rpcbind now");
            else if (_state == Registered && reason is not null)
                _log.LogWarning("NFS is not registered with rpcbind any more: {Reason}. Clients that do not name the port cannot mount, and new ones cannot lock files", reason);
            _state = reason ?? Registered;
        }
    }
}
