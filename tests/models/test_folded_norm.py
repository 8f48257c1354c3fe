"""A folded frozen norm is the plain one, whatever is loaded, and stays where a graph reads it."""

import copy
import io

import pytest
import torch
from torch import nn

from mrcnn_lite.models.backbone import FrozenBatchNorm2d, ResNet
from mrcnn_lite.models.folded_norm import FoldedNorm, fold_norms


def randomised(module: nn.Module) -> nn.Module:
    """With statistics of every sign and size."""
    for buffer in module.buffers():
        buffer.copy_(torch.rand_like(buffer) + 0.2)
    return module


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-15), (torch.bfloat16, 2e-2)])
def test_it_is_the_plain_one(dtype, bound):
    plain = randomised(FrozenBatchNorm2d(6).double())
    folded = copy.deepcopy(plain)
    fold_norms(folded)
    assert type(folded) is FoldedNorm
    x = torch.randn(2, 6, 5, 4, dtype=dtype).to(memory_format=torch.channels_last)
    out, expected = (norm(x.clone().requires_grad_() * 1) for norm in (folded, plain))
    torch.testing.assert_close(out, expected, rtol=bound, atol=bound)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_a_body_with_its_gradients():
    plain = randomised(ResNet(18)).double()
    folded = copy.deepcopy(plain)
    fold_norms(folded)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    for a, b in zip(folded(x), plain(x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    for body in (folded, plain):
        sum(out.square().sum() for out in body(x)).backward()
    for a, b in zip(folded.parameters(), plain.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12)


def test_loading_writes_in_place_and_nothing_more_is_saved():
    norm = FrozenBatchNorm2d(4)
    fold_norms(norm)
    x = torch.randn(1, 4, 3, 3)
    norm(x)
    (kept,) = norm.kept.values()
    other = randomised(FrozenBatchNorm2d(4))
    norm.load_state_dict(other.state_dict())
    assert next(iter(norm.kept.values())) is kept
    torch.testing.assert_close(norm(x), other(x.clone()))
    assert norm.state_dict().keys() == other.state_dict().keys()
    norm.weight.zero_()
    norm.fold()
    torch.testing.assert_close(norm(x), other.bias[None, :, None, None].expand(1, 4, 3, 3))
    torch.save(norm, io.BytesIO())


def test_first_used_without_gradients_it_trains_afterwards():
    norm = FrozenBatchNorm2d(2)
    fold_norms(norm)
    with torch.inference_mode():
        norm(torch.ones(1, 2, 3, 3))
    x = torch.ones(1, 2, 3, 3, requires_grad=True)
    norm(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, (1 + norm.eps) ** -0.5))
