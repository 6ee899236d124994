namespace Sim;

/// <summary>The simulated machine has lost its power: whoever still runs on it gets this until the test crashes and reopens its parts.</summary>
public sealed class SimPowerCutException() : Exception("the simulated machine has lost its power");

/// <summary>
/// The power supply that simulated stores and disks of one machine share: every change counts a step, and the power can be cut at a chosen
/// one, so that a crash also falls into the midst of an operation. Thread safe.
/// </summary>
public sealed class SimPower
{
    private long _steps;
    private long _cutAt = long.MaxValue;

    /// <summary>Changes so far.</summary>
    public long Steps => Interlocked.Read(ref _steps);

    public bool IsCut => Steps >= Interlocked.Read(ref _cutAt);

    /// <summary>Cuts the power when so many more changes have been made; that many and no more succeed.</summary>
    public void CutAfter(long steps) => Interlocked.Exchange(ref _cutAt, Steps + steps + 1);

    /// <summary>The power is back, for the parts as they were reopened.</summary>
    public void Restore() => Interlocked.Exchange(ref _cutAt, long.MaxValue);

    /// <summary>Called by the parts before each change.</summary>
    internal void Step()
    {
        if (IsCut || Interlocked.Increment(ref _steps) >= Interlocked.Read(ref _cutAt))
            throw new SimPowerCutException();
    }

    internal void ThrowIfCut()
    {
        if (IsCut)
            throw new SimPowerCutException();
    }
}
