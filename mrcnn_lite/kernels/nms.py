"""Non-maximum suppression of many problems at once, without waiting for the host.

The boxes come sorted, best first. Two kernels:

- In the first, one program owns 64 boxes and 64 others after them. It asks of all these pairs
  whether they conflict, and writes the answers as bits: for each box one word of 64.
- In the second, one program owns a problem, and decides 64 boxes at a time. What earlier boxes
  strike out is the bitwise "or" of the words of those that were kept; inside the 64 it iterates the
  equation of `ops.nms` until nothing changes. All but this short chain has run in parallel before.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ops.nms import largest_at_most
from .overlap import box_at, overlap

BLOCK = tl.constexpr(64)  # boxes per word
CHUNK = 256  # words that the second kernel reads at a time: 2 KB


@triton.jit
def _conflict_kernel(
    # pointers: boxes [P, N, 4] of P problems, best first, their groups [P, N], one number
    box_ptr, group_ptr, limit_ptr,
    word_ptr,  # [P, blocks, 64 * blocks]: for 64 boxes, the conflicts with each box before them
    # sizes
    boxes, blocks,
    # compile-time constants
    GROUPED: tl.constexpr,
):  # fmt: skip
    problem = (tl.program_id(0) // (blocks * blocks)).to(tl.int64)
    first, second = tl.program_id(0) // blocks % blocks, tl.program_id(0) % blocks
    if first > second:
        return
    lane = tl.arange(0, BLOCK)
    i, j = first * BLOCK + lane, second * BLOCK + lane  # [BLOCK]
    box_ptr += problem * boxes * 4
    ax1, ay1, ax2, ay2 = box_at(box_ptr, i, i < boxes)
    bx1, by1, bx2, by2 = box_at(box_ptr, j, j < boxes)
    iou = overlap(
        ax1[:, None], ay1[:, None], ax2[:, None], ay2[:, None],
        bx1[None, :], by1[None, :], bx2[None, :], by2[None, :],
    )  # fmt: skip
    conflict = (iou > tl.load(limit_ptr)) & (i[:, None] < j[None, :])  # [BLOCK, BLOCK]
    if GROUPED:
        group_ptr += problem * boxes
        of_i = tl.load(group_ptr + i, mask=i < boxes, other=0)
        of_j = tl.load(group_ptr + j, mask=j < boxes, other=0)
        conflict = conflict & (of_i[:, None] == of_j[None, :])
    word = tl.sum(conflict.to(tl.int64) << lane.to(tl.int64)[None, :], axis=1)  # [BLOCK]
    tl.store(word_ptr + (problem * blocks + second) * blocks * BLOCK + i, word)


@triton.jit
def _word(bits, kept):
    """The columns in which a kept row of bits [N, BLOCK] has a 1, as one word."""
    struck = tl.max(tl.where(kept[:, None] != 0, bits, 0), axis=0)  # [BLOCK]
    return tl.sum(struck.to(tl.int64) << tl.arange(0, BLOCK).to(tl.int64), axis=0)


@triton.jit
def _solve_kernel(
    # pointers: the words of the first kernel, which boxes take part [P, N]
    word_ptr, valid_ptr,
    keep_ptr,  # [P, N], also read again
    # sizes
    boxes, blocks,
    # compile-time constants
    CHUNK: tl.constexpr,
):  # fmt: skip
    problem = tl.program_id(0).to(tl.int64)
    word_ptr += problem * blocks * blocks * BLOCK
    valid_ptr += problem * boxes
    keep_ptr += problem * boxes
    lane = tl.arange(0, BLOCK).to(tl.int64)
    for block in range(blocks):
        # What boxes before these 64 strike out: first "or" by position in the chunk, then over it.
        struck = tl.zeros((CHUNK,), dtype=tl.int64)
        for begin in range(0, block * BLOCK, CHUNK):
            i = begin + tl.arange(0, CHUNK)
            word = tl.load(word_ptr + i, mask=i < block * BLOCK, other=0)
            kept = tl.load(keep_ptr + i, mask=i < block * BLOCK, other=0)
            struck |= tl.where(kept != 0, word, 0)
        bits = ((struck[:, None] >> lane[None, :]) & 1).to(tl.int32)  # [CHUNK, BLOCK]
        row = block * BLOCK + lane
        valid = tl.load(valid_ptr + row, mask=row < boxes, other=0).to(tl.int64)
        alive = tl.sum(valid << lane, axis=0) & ~_word(bits, struck)

        # Then among themselves: one more box is settled in every round, at the least.
        own = tl.load(word_ptr + row)
        bits = ((own[:, None] >> lane[None, :]) & 1).to(tl.int32)  # [BLOCK, BLOCK]
        keep = alive
        better = alive & ~_word(bits, (keep >> lane) & 1)
        while better != keep:
            keep = better
            better = alive & ~_word(bits, (keep >> lane) & 1)
        tl.store(keep_ptr + row, ((keep >> lane) & 1).to(tl.uint8), mask=row < boxes)
        tl.debug_barrier()  # the next round reads what other threads wrote here
        word_ptr += blocks * BLOCK


@torch.library.custom_op("mrcnn_lite::suppress", mutates_args=())
def suppress(boxes: Tensor, valid: Tensor, groups: Tensor | None, iou_threshold: float) -> Tensor:
    """The kernel form of `ops.nms.suppress`, for P problems: keep, Tensor[P, N] bool.

    Bytes moved: per problem N² / 16 to write the words and as many to read them, from cache.
    """
    keep = torch.empty_like(valid, dtype=torch.uint8, memory_format=torch.contiguous_format)
    if keep.numel():
        boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32)).contiguous()
        (problems, count), blocks = valid.shape, triton.cdiv(valid.shape[1], BLOCK.value)
        limit = largest_at_most(iou_threshold, boxes.dtype)
        limit = torch.full((1,), limit, dtype=boxes.dtype, device=boxes.device)
        words = torch.empty(
            problems, blocks, blocks * BLOCK.value, dtype=torch.int64, device=boxes.device
        )
        _conflict_kernel[problems * blocks**2,](
            boxes, keep if groups is None else groups.contiguous(), limit, words, count, blocks,
            GROUPED=groups is not None, num_warps=8, enable_fp_fusion=False,
        )  # fmt: skip
        chunk = min(CHUNK, triton.next_power_of_2(blocks * BLOCK.value))
        _solve_kernel[problems,](
            words, valid.contiguous().view(torch.uint8), keep, count, blocks,
            CHUNK=chunk, num_warps=8, enable_fp_fusion=False,
        )  # fmt: skip
    return keep.view(torch.bool)  # [P, N]


@suppress.register_fake
def _(boxes, valid, groups, iou_threshold):
    return torch.empty_like(valid, memory_format=torch.contiguous_format)
