using Gateway.Fuse;
using StoreCore.Primitives;

namespace Gateway.Tests.Fuse;

public class FuseKnownNodesTests
{
    private readonly FuseKnownNodes _known = new(InodeId.Root);

    [Fact]
    public void Held_is_what_was_answered_and_not_forgotten_as_often()
    {
        var inode = new InodeId(77);
        Assert.False(_known.MayHold(inode));
        _known.Add(inode);
        _known.Add(inode);
        _known.Forget(inode, 1);
        Assert.True(_known.MayHold(inode));
        _known.Forget(inode, 1);
        Assert.False(_known.MayHold(inode));
    }

    [Fact]
    public void The_root_is_always_held()
    {
        _known.Forget(InodeId.Root, ulong.MaxValue);
        Assert.True(_known.MayHold(InodeId.Root));
    }

    [Theory]
    [InlineData(1000ul)]
    [InlineData(ulong.MaxValue)]
    public void More_forgets_than_answers_leave_no_debt(ulong forgets)
    {
        var inode = new InodeId(77);
        _known.Add(inode);
        _known.Forget(inode, forgets);
        Assert.False(_known.MayHold(inode));
        _known.Add(inode);
        Assert.True(_known.MayHold(inode));
    }
}
