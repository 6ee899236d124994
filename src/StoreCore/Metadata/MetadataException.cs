namespace StoreCore.Metadata;

/// <summary>
/// The stored metadata cannot be used: of another format, damaged, or not what an operation on it as a whole (format, load) expects. The
/// message is one line for the person who runs the store.
/// </summary>
public sealed class MetadataException(string message, Exception? inner = null) : Exception(message, inner);
