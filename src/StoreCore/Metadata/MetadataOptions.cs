namespace StoreCore.Metadata;

/// <summary>How a <see cref="MetadataStore"/> is run.</summary>
public sealed record MetadataOptions
{
    /// <summary>Memory of the inode cache in bytes; an eighth of the process's default budget of 1 GiB holds some 800,000 inodes.</summary>
    public long CacheBytes { get; init; } = 128L * 1024 * 1024;

    /// <summary>The clock that times of inodes and op records come from.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;
}
