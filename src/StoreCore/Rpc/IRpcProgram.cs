namespace StoreCore.Rpc;

/// <summary>
/// A program (RFC 5531 §7.3) in a range of versions. Several objects may serve one program number, if their versions do not overlap.
/// </summary>
public interface IRpcProgram
{
    /// <summary>The program number (NFS 100003, MOUNT 100005, NLM 100021).</summary>
    uint Program { get; }

    uint LowestVersion { get; }

    uint HighestVersion { get; }

    /// <summary>For counters, logs and people ("nfs").</summary>
    string Name { get; }

    /// <summary>One above the highest procedure number of any version, at most 64: the size of the table of counters.</summary>
    int Procedures { get; }

    /// <summary>Whether it may be asked by datagram too (<see cref="RpcDatagramServer"/>): its calls and replies are small, and it asks itself what a sender's address is worth.</summary>
    bool ServesDatagrams => false;

    /// <summary>For counters, logs and people ("GETATTR").</summary>
    string ProcedureName(uint procedure);

    /// <summary>
    /// Carries a call out and writes its results. Never called for procedure 0, which the dispatcher answers. Any thread, many at once, also for one
    /// connection; may block (the server has others wait for requests meanwhile).
    /// </summary>
    /// <param name="arguments">Exactly the arguments: <see cref="XdrReader.AtEnd"/> must hold behind the last, else they are garbage.</param>
    /// <param name="results">Room for the largest reply; whatever was written is taken back unless the call succeeds. <see cref="XdrWriter.Overflow"/> at
    /// the end is a defect.</param>
    /// <returns>Any but <see cref="RpcAcceptStatus.ProgramUnavailable"/> and <see cref="RpcAcceptStatus.ProgramMismatch"/>. An exception that gets out
    /// is a defect: logged, counted, answered as <see cref="RpcAcceptStatus.SystemError"/>.</returns>
    RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results);

    /// <summary>
    /// Makes stable whatever calls have done that ended before with <see cref="RpcAcceptStatus.SuccessOnceStable"/>, so that their replies may go: once for
    /// several, since one flush of a disk serves all. Any thread, many at once; may block.
    /// </summary>
    /// <param name="connection">Whose calls they were.</param>
    /// <param name="calls">How many.</param>
    /// <returns>False: it cannot be made stable. None of them is answered, the connection is closed; whoever serves next is asked again.</returns>
    bool Settle(IRpcConnection connection, int calls) => true;

    /// <summary>A connection has ended; no call of it is in progress any more.</summary>
    void ConnectionClosed(IRpcConnection connection)
    {
    }
}
