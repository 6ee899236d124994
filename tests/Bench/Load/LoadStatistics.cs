using System.Globalization;
using System.Numerics;
using Gateway.Nfs;

namespace Bench.Load;

/// <summary>Durations by procedure, in buckets a sixteenth wide. One thread; <see cref="Add"/> afterwards.</summary>
internal sealed class LoadStatistics
{
    private const int Shift = 4, Buckets = 32 << Shift;

    private readonly long[][] _counts = [.. Enumerable.Range(0, Nfs3OpTable.Size).Select(static _ => new long[Buckets])];
    private readonly long[] _max = new long[Nfs3OpTable.Size];

    public long Total => _counts.Sum(static buckets => buckets.Sum());

    public void Count(Nfs3Procedure procedure, long microseconds)
    {
        _counts[(int)procedure][Bucket(microseconds)]++;
        _max[(int)procedure] = Math.Max(_max[(int)procedure], microseconds);
    }

    public void Add(LoadStatistics other)
    {
        for (int i = 0; i < _counts.Length; i++)
        {
            for (int bucket = 0; bucket < Buckets; bucket++)
                _counts[i][bucket] += other._counts[i][bucket];
            _max[i] = Math.Max(_max[i], other._max[i]);
        }
    }

    public IEnumerable<string> Lines(double seconds)
    {
        for (int i = 0; i < _counts.Length; i++)
        {
            long count = _counts[i].Sum();
            if (count > 0)
            {
                yield return string.Create(CultureInfo.InvariantCulture,
                    $"{Nfs3OpTable.NameOf((uint)i),-12} {count,9} {count / seconds,8:F0}/s  p50 {Quantile(i, count, 0.5),8:F2}  p99 {Quantile(i, count, 0.99),8:F2}  p999 {Quantile(i, count, 0.999),8:F2}  max {_max[i] / 1e3,8:F2} ms");
            }
        }
    }

    /// <summary>Upper end of the bucket in which the quantile lies, in milliseconds.</summary>
    private double Quantile(int procedure, long count, double quantile)
    {
        long rank = (long)Math.Ceiling(count * quantile);
        int bucket = -1;
        while (rank > 0)
            rank -= _counts[procedure][++bucket];
        int exponent = bucket >> Shift;
        return exponent == 0 ? bucket / 1e3 : ((1L << Shift) + (bucket & ((1 << Shift) - 1)) + 1) * Math.Pow(2, exponent - 1) / 1e3;
    }

    private static int Bucket(long microseconds)
    {
        ulong value = (ulong)Math.Max(microseconds, 0);
        int exponent = Math.Max(0, BitOperations.Log2(value | 1) - Shift + 1);
        int bucket = exponent == 0 ? (int)value : (exponent << Shift) + (int)((value >> (exponent - 1)) & ((1 << Shift) - 1));
        return Math.Min(bucket, Buckets - 1);
    }
}
