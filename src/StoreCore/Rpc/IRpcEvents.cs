namespace StoreCore.Rpc;

/// <summary>What the log should know. Any thread may call; implementations return soon and do not throw.</summary>
public interface IRpcEvents
{
    /// <summary>A program threw, wrote more than fits or ignored malformed arguments: a defect. The call was answered with an error, the server goes on.</summary>
    void Defect(IRpcProgram program, uint version, uint procedure, Exception fault);

    void ConnectionOpened(IRpcConnection connection);

    /// <param name="reason">One line for people; "the client closed it" and the like.</param>
    void ConnectionClosed(IRpcConnection connection, string reason);

    /// <summary>Something of the server's own failed (accepting, a thread); it goes on as far as it can.</summary>
    void ServerFault(string what, Exception? fault);
}
