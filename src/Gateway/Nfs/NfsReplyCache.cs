using StoreCore.Metadata;

namespace Gateway.Nfs;

/// <summary>What is known of a request when it arrives.</summary>
internal enum ReplyLookup
{
    /// <summary>Nothing: it is to be carried out, and <see cref="NfsReplyCache.End"/> must follow.</summary>
    New,

    /// <summary>Its first sending is being carried out.</summary>
    InProgress,

    /// <summary>It was carried out, and this was the answer.</summary>
    Answered,
}

/// <summary>
/// The duplicate-request cache (Juszczak, "Improving the Performance and Correctness of an NFS Server", 1989): a procedure that would answer
/// differently the second time gives a retransmission its first answer. In memory and bounded by count; what a restart forgets, the metadata's op log knows.
/// Any thread; striped, so that calls hardly ever meet.
/// </summary>
internal sealed class NfsReplyCache
{
    private const int Stripes = 16;

    /// <summary>
    /// Answers kept. A client sends again within minutes; at 20,000 changes a second by all clients this is some seconds' worth, at the ordinary hundreds, minutes.
    /// With answers of at most 300 bytes some 30 MiB when full.
    /// </summary>
    public const int Capacity = 65536;

    private readonly Stripe[] _stripes = [.. Enumerable.Range(0, Stripes).Select(static _ => new Stripe())];

    /// <summary>Retransmissions that were given their first answer.</summary>
    public long Repeated => _stripes.Sum(static stripe => Volatile.Read(ref stripe.Repeated));

    /// <summary>Retransmissions that were passed over while the first was in progress.</summary>
    public long Dropped => _stripes.Sum(static stripe => Volatile.Read(ref stripe.Dropped));

    /// <param name="answer">A view that stays as it is: answers are never changed.</param>
    public ReplyLookup Begin(RequestId id, out ReadOnlySpan<byte> answer) => _stripes[id.Low % Stripes].Begin(id, out answer);

    /// <param name="answer">Empty where nothing is to be remembered: the next sending is carried out again.</param>
    public void End(RequestId id, ReadOnlySpan<byte> answer) => _stripes[id.Low % Stripes].End(id, answer);

    private sealed class Stripe
    {
        public long Repeated;
        public long Dropped;

        private readonly Lock _gate = new();

        /// <summary>Null while the first sending is in progress.</summary>
        private readonly Dictionary<RequestId, byte[]?> _answers = [];

        /// <summary>Answered ones in the order of their answers: the oldest goes first. What is in progress is never pushed out.</summary>
        private readonly Queue<RequestId> _order = [];

        public ReplyLookup Begin(RequestId id, out ReadOnlySpan<byte> answer)
        {
            lock (_gate)
            {
                answer = default;
                if (_answers.TryAdd(id, null))
                    return ReplyLookup.New;
                if (_answers[id] is not { } known)
                {
                    Dropped++;
                    return ReplyLookup.InProgress;
                }

                Repeated++;
                answer = known;
                return ReplyLookup.Answered;
            }
        }

        public void End(RequestId id, ReadOnlySpan<byte> answer)
        {
            byte[]? kept = answer.IsEmpty ? null : answer.ToArray();
            lock (_gate)
            {
                if (kept is null)
                {
                    _answers.Remove(id);
                    return;
                }

                _answers[id] = kept;
                _order.Enqueue(id);
                if (_order.Count > Capacity / Stripes)
                    _answers.Remove(_order.Dequeue());
            }
        }
    }
}
