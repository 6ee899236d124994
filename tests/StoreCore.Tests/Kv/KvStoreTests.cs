using Sim;
using StoreCore.Kv;

namespace StoreCore.Tests.Kv;

public sealed class SimKvStoreConformance : KvStoreConformance
{
    protected override IKvStore Store { get; } = new SimKvStore();

    public override void Dispose() => Store.Dispose();
}

public sealed class RocksDbStoreConformance : KvStoreConformance
{
    private readonly TestDirectory _directory = new();

    public RocksDbStoreConformance() => Store = RocksDbStore.Open(_directory["kv"], new RocksDbOptions { MemoryBudgetBytes = 32 << 20 });

    protected override IKvStore Store { get; }

    public override void Dispose()
    {
        Store.Dispose();
        _directory.Dispose();
    }
}
