using System.Text.Json.Serialization;

namespace Gateway.Admin.Contract;

/// <summary>Serialization of the messages, generated when building: no reflection at run time, so that a first answer takes no warm-up.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(ErrorBody))]
[JsonSerializable(typeof(IReadOnlyList<ApiPath>))]
[JsonSerializable(typeof(VersionInfo))]
[JsonSerializable(typeof(NodeStatus))]
[JsonSerializable(typeof(SpaceInfo))]
[JsonSerializable(typeof(IReadOnlyList<MountInfo>))]
[JsonSerializable(typeof(MountInfo))]
[JsonSerializable(typeof(MountRequest))]
[JsonSerializable(typeof(IReadOnlyList<ConfigValue>))]
[JsonSerializable(typeof(LogLevelInfo))]
[JsonSerializable(typeof(InodeStat))]
[JsonSerializable(typeof(TreeSize))]
[JsonSerializable(typeof(TopReport))]
[JsonSerializable(typeof(CheckReport))]
[JsonSerializable(typeof(LoadReport))]
[JsonSerializable(typeof(IReadOnlyList<ExportInfo>))]
[JsonSerializable(typeof(ExportInfo))]
[JsonSerializable(typeof(ExportRequest))]
[JsonSerializable(typeof(ExportImportRequest))]
[JsonSerializable(typeof(ExportImportReport))]
[JsonSerializable(typeof(ExportCheck))]
[JsonSerializable(typeof(IReadOnlyList<ClientInfo>))]
[JsonSerializable(typeof(EvictReport))]
[JsonSerializable(typeof(WorkLine))]
internal sealed partial class AdminJson : JsonSerializerContext;

/// <summary>What both ends have to agree on besides the messages.</summary>
internal static class AdminProtocol
{
    public const int ApiVersion = 1;

    /// <summary>Name of the socket in the data directory.</summary>
    public const string SocketName = "admin.sock";

    /// <summary>Largest body of a request: an import of many thousand clients.</summary>
    public const int MaxRequestBytes = 4 << 20;

    public const string LinesType = "application/x-ndjson";
    public const string JsonType = "application/json";
}
