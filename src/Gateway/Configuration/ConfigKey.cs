namespace Gateway.Configuration;

/// <summary>One key of the configuration: all that validation, the documentation and <c>gatewayctl config</c> need to know of it.</summary>
/// <param name="Section">Name of the INI section.</param>
/// <param name="Name">Name within the section.</param>
/// <param name="Default">The value where none is given, as text.</param>
/// <param name="Allowed">What values are allowed, as text that completes "allowed: …".</param>
/// <param name="Meaning">What it is for and what it costs; one or two sentences.</param>
/// <param name="Repeatable">May stand several times; the values add up.</param>
internal abstract record ConfigKey(string Section, string Name, string Default, string Allowed, string Meaning, bool Repeatable)
{
    /// <summary>"section.name": how flags and messages call it.</summary>
    public string FullName => $"{Section}.{Name}";

    /// <summary>Parses a value; null where it is not allowed (the message is then made of <see cref="Allowed"/>).</summary>
    public abstract object? Parse(string text);
}

/// <summary>A key whose values are of type <typeparamref name="T"/>.</summary>
internal sealed record ConfigKey<T>(
    string Section, string Name, string Default, string Allowed, string Meaning, Func<string, (bool Ok, T Value)> Parser, bool Repeatable = false)
    : ConfigKey(Section, Name, Default, Allowed, Meaning, Repeatable)
    where T : notnull
{
    public override object? Parse(string text) => Parser(text) is (true, var value) ? value : null;
}
