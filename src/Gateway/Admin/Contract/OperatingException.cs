namespace Gateway.Admin.Contract;

/// <summary>
/// An error that the person who operates the gateway can mend: its message is what they read, in one line without a stack trace, of the form
/// "what: why; how to mend it". Never for broken invariants.
/// </summary>
internal sealed class OperatingException(ExitCode code, string message, Exception? inner = null) : Exception(message, inner)
{
    public ExitCode Code { get; } = code;

    /// <summary>The message without its last part, and that part: how to mend it.</summary>
    public (string What, string Mend) Parts
    {
        get
        {
            int at = Message.LastIndexOf("; ", StringComparison.Ordinal);
            return at < 0 ? (Message, "") : (Message[..at], Message[(at + 2)..]);
        }
    }
}
