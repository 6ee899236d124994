namespace Gateway.Configuration;

/// <summary>Whether the NFS programs are registered with the machine's rpcbind.</summary>
internal enum RpcbindUse
{
    /// <summary>Where one is running.</summary>
    Auto,

    /// <summary>Without it the server does not start.</summary>
    Yes,

    No,
}
