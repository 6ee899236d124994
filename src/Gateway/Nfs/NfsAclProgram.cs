using System.Buffers.Binary;
using Gateway.Nfs.Exports;
using Gateway.Vfs;
using StoreCore.Metadata;
using StoreCore.Primitives;
using StoreCore.Rpc;

namespace Gateway.Nfs;

/// <summary>
/// NFSACL version 3 (program 100227), the side protocol by which Linux and Solaris clients read and set POSIX ACLs (no RFC; include/uapi/linux/nfsacl.h and fs/nfs_common/nfsacl.c are its description). Any thread.
/// </summary>
/// <remarks>
/// On the wire an ACL is: count u32 · count u32 again · entries of type, id, permissions (u32 each). Types are those of Solaris: owner 1, user 2, group 4, named group 8, mask 0x10, other 0x20; 0x1000 besides in a
/// default ACL. In the store it is the kernel's xattr: version 2 u32, entries of tag u16, permissions u16, id u32, little endian.
/// </remarks>
internal sealed class NfsAclProgram(NfsContext context) : IRpcProgram
{
    public const uint ProgramNumber = 100227;

    private const uint GetAcl = 1, SetAcl = 2;

    /// <summary>What of both ACLs is asked for or given; 2 and 8 are their counts, which are always told.</summary>
    private const uint MaskAccess = 1, MaskDefault = 4, MaskAll = 0xF;

    /// <summary>NFS_ACL_MAX_ENTRIES.</summary>
    private const int MaxEntries = 1024;

    private const uint DefaultType = 0x1000;

    private const uint XattrVersion = 2;
    private const int XattrHeadBytes = 4, XattrEntryBytes = 8, WireEntryBytes = 12;

    // Tags of the store's entries, which are also the wire's types but for the two named ones.
    private const uint OwnerTag = 1, GroupTag = 4, MaskTag = 0x10, OtherTag = 0x20;

    private static readonly string[] Names = ["NULL", "GETACL", "SETACL"];

    public uint Program => ProgramNumber;

    public uint LowestVersion => 3;

    public uint HighestVersion => 3;

    public string Name => "nfsacl";

    public int Procedures => Names.Length;

    public string ProcedureName(uint procedure) => procedure < (uint)Names.Length ? Names[procedure] : "unknown";

    public RpcAcceptStatus Call(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        context.Clients.Of(call.Connection);
        return call.Procedure switch
        {
            GetAcl => Get(call, ref arguments, ref results),
            SetAcl => Set(call, ref arguments, ref results),
            _ => RpcAcceptStatus.ProcedureUnavailable,
        };
    }

    public void ConnectionClosed(IRpcConnection connection) => context.Clients.ConnectionClosed(connection);

    /// <summary>GETACL: object, mask. Answer: status, post_op_attr; mask, access ACL, default ACL.</summary>
    private RpcAcceptStatus Get(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        ReadOnlySpan<byte> handle = arguments.Opaque(Nfs3Program.MaxHandleBytes);
        uint mask = arguments.U32();
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        Nfs3Status status = context.Resolve(call, handle, out NfsFileHandle target, out _, out _, out InodeRecord record);
        if (status == Nfs3Status.Ok && (mask & ~MaskAll) != 0)
            status = Nfs3Status.Invalid;
        Span<byte> access = stackalloc byte[XattrHeadBytes + MaxEntries * XattrEntryBytes];
        Span<byte> inherited = stackalloc byte[XattrHeadBytes + MaxEntries * XattrEntryBytes];
        int accessBytes = 0, inheritedBytes = 0;
        if (status == Nfs3Status.Ok)
            status = Read(target.Inode, "system.posix_acl_access"u8, access, out accessBytes);
        if (status == Nfs3Status.Ok && record.IsDirectory)
            status = Read(target.Inode, "system.posix_acl_default"u8, inherited, out inheritedBytes);

        results.U32((uint)status);
        WriteAttributes(ref results, record);
        if (status != Nfs3Status.Ok)
            return RpcAcceptStatus.Success;

        results.U32(mask);
        if (accessBytes == 0)
            WriteMode(ref results, record.Mode, (mask & MaskAccess) != 0);
        else
            WriteAcl(ref results, access[..accessBytes], 0, (mask & MaskAccess) != 0);
        WriteAcl(ref results, inherited[..inheritedBytes], DefaultType, (mask & MaskDefault) != 0);
        return RpcAcceptStatus.Success;
    }

    /// <summary>SETACL: object, mask, access ACL, default ACL. Answer: status, post_op_attr.</summary>
    private RpcAcceptStatus Set(in RpcCall call, ref XdrReader arguments, ref XdrWriter results)
    {
        Span<byte> access = stackalloc byte[XattrHeadBytes + MaxEntries * XattrEntryBytes];
        Span<byte> inherited = stackalloc byte[XattrHeadBytes + MaxEntries * XattrEntryBytes];
        ReadOnlySpan<byte> handle = arguments.Opaque(Nfs3Program.MaxHandleBytes);
        uint mask = arguments.U32();
        int accessBytes = ReadAcl(ref arguments, 0, access), inheritedBytes = ReadAcl(ref arguments, DefaultType, inherited);
        if (!arguments.AtEnd)
            return RpcAcceptStatus.GarbageArguments;

        Nfs3Status status = context.Resolve(call, handle, out NfsFileHandle target, out _, out ExportOptions options, out InodeRecord record);
        if (status == Nfs3Status.Ok && !options.Writable)
            status = Nfs3Status.ReadOnly;
        if (status == Nfs3Status.Ok && (mask & ~MaskAll) != 0)
            status = Nfs3Status.Invalid;
        Caller caller = NfsSquash.Apply(call, options, context.Groups);
        if (status == Nfs3Status.Ok && (mask & MaskAccess) != 0)
            status = Change(caller, target.Inode, "system.posix_acl_access"u8, access[..accessBytes]);
        if (status == Nfs3Status.Ok && (mask & MaskDefault) != 0 && record.IsDirectory)
            status = Change(caller, target.Inode, "system.posix_acl_default"u8, inherited[..inheritedBytes]);
        if (record.Inode != InodeId.None && context.Vfs.GetAttributes(record.Inode, out record) != FsStatus.Ok)
            record = default;
        results.U32((uint)status);
        WriteAttributes(ref results, record);
        return status == Nfs3Status.Ok && !options.Async ? RpcAcceptStatus.SuccessOnceStable : RpcAcceptStatus.Success;
    }

    public bool Settle(IRpcConnection connection, int calls) => context.Settle(connection, calls);

    private Nfs3Status Read(InodeId inode, ReadOnlySpan<byte> name, Span<byte> acl, out int lengthBytes)
    {
        FsStatus status = context.Vfs.GetXattr(Caller.System, inode, name, acl, out lengthBytes);
        if (status != FsStatus.NoData)
            return Nfs3StatusMap.From(status);
        lengthBytes = 0;
        return Nfs3Status.Ok;
    }

    /// <summary>An empty ACL takes away what there is; an access ACL then is what the mode says.</summary>
    private Nfs3Status Change(in Caller caller, InodeId inode, ReadOnlySpan<byte> name, ReadOnlySpan<byte> acl)
    {
        if (acl.Length > XattrHeadBytes)
            return Nfs3StatusMap.From(context.Vfs.SetXattr(caller, inode, name, acl, XattrSetFlags.None, killSetgid: false));
        FsStatus status = context.Vfs.RemoveXattr(caller, inode, name);
        return status == FsStatus.NoData ? Nfs3Status.Ok : Nfs3StatusMap.From(status);
    }

    private void WriteAttributes(ref XdrWriter results, in InodeRecord record)
    {
        bool isKnown = record.Inode != InodeId.None;
        results.Bool(isKnown);
        if (isKnown)
            Nfs3Attributes.Write(ref results, record, context.Handles.FileSystem);
    }

    /// <summary>What a mode says as an ACL; clients expect a mask in it, of the group's permissions.</summary>
    private static void WriteMode(ref XdrWriter results, uint mode, bool withEntries)
    {
        const uint entries = 4;
        results.U32(entries);
        results.U32(withEntries ? entries : 0);
        if (!withEntries)
            return;
        foreach ((uint type, int shift) in ((uint, int)[])[(OwnerTag, 6), (GroupTag, 3), (MaskTag, 3), (OtherTag, 0)])
        {
            results.U32(type);
            results.U32(0);
            results.U32((mode >> shift) & 7);
        }
    }

    private static void WriteAcl(ref XdrWriter results, scoped ReadOnlySpan<byte> acl, uint typeBit, bool withEntries)
    {
        ReadOnlySpan<byte> entries = acl.Length > XattrHeadBytes ? acl[XattrHeadBytes..] : default;
        uint count = (uint)(entries.Length / XattrEntryBytes);
        results.U32(count);
        results.U32(withEntries ? count : 0);
        for (; withEntries && entries.Length >= XattrEntryBytes; entries = entries[XattrEntryBytes..])
        {
            uint tag = BinaryPrimitives.ReadUInt16LittleEndian(entries), id = BinaryPrimitives.ReadUInt32LittleEndian(entries[4..]);
            results.U32(tag | typeBit);
            results.U32(id == uint.MaxValue ? 0 : id);
            results.U32(BinaryPrimitives.ReadUInt16LittleEndian(entries[2..]));
        }
    }

    /// <summary>
    /// Reads an ACL into the store's form, in the store's order (by tag, then id); returns its length, 0 for none. Where there are no named entries, the mask that
    /// clients send along says nothing and is left out.
    /// </summary>
    private static int ReadAcl(ref XdrReader arguments, uint typeBit, scoped Span<byte> acl)
    {
        arguments.U32();
        uint count = arguments.U32();
        if (count > MaxEntries || count * WireEntryBytes > arguments.Remaining)
            arguments.Refuse();
        if (arguments.Malformed || count == 0)
            return 0;

        Span<(ushort Tag, uint Id, ushort Permissions)> entries = new (ushort, uint, ushort)[count];
        bool isNamed = false;
        foreach (ref (ushort Tag, uint Id, ushort Permissions) entry in entries)
        {
            uint type = arguments.U32() & ~typeBit, id = arguments.U32(), permissions = arguments.U32();
            if (type is not (OwnerTag or 2 or GroupTag or 8 or MaskTag or OtherTag) || permissions > 7)
                arguments.Refuse();
            bool hasName = type is 2 or 8;
            isNamed |= hasName;
            entry = ((ushort)type, hasName ? id : uint.MaxValue, (ushort)permissions);
        }

        if (arguments.Malformed)
            return 0;

        entries.Sort(static (a, b) => a.Tag != b.Tag ? a.Tag.CompareTo(b.Tag) : a.Id.CompareTo(b.Id));
        BinaryPrimitives.WriteUInt32LittleEndian(acl, XattrVersion);
        int length = XattrHeadBytes;
        foreach ((ushort tag, uint id, ushort permissions) in entries)
        {
            if (tag == MaskTag && !isNamed)
                continue;
            BinaryPrimitives.WriteUInt16LittleEndian(acl[length..], tag);
            BinaryPrimitives.WriteUInt16LittleEndian(acl[(length + 2)..], permissions);
            BinaryPrimitives.WriteUInt32LittleEndian(acl[(length + 4)..], id);
            length += XattrEntryBytes;
        }

        return length;
    }
}
