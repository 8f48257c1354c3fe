"""COCO's run-length encoding (RLE) of masks.

A mask is read column by column as runs of 0, 1, 0, 1, …: the first run counts zeros and may be
empty. A file holds the runs as a list ("uncompressed") or as a string ("compressed"): from the
fourth run on each is written as its difference from the run two before, in groups of five
bits, lowest first, one printable character per group (48 + bits, + 32 when more groups follow); the
highest bit of the last group is the sign. This is `rleToString` of cocoapi's maskApi.c.

The decoder is NumPy and trusts nothing: files come from strangers, and the C decoders read or write
outside their memory when the runs do not add up.
"""

from reprlib import repr as short

import numpy as np

MAX_PIXELS = 50_000_000  # of a mask or image; a small file can claim one that fills the memory
_MAX_GROUPS = 7  # 35 bits hold every run of 50 million pixels, with its sign


def encode_rle(mask: np.ndarray, compress: bool = True) -> dict:
    """Encode a mask.

    Args:
        mask: ``bool or uint8[H, W]``; everything but 0 belongs to the object.
        compress: Write a string instead of a list.

    Returns:
        ``{"size": [H, W], "counts": str or list of int}``.
    """
    from faster_coco_eval.core import mask as mask_api

    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"mask must be [H, W] with at least one pixel, got {list(mask.shape)}")
    code = mask_api.encode(np.asarray(mask != 0, np.uint8, order="F"))["counts"]
    counts = code.decode() if compress else decompress_counts(code).tolist()
    return {"size": list(mask.shape), "counts": counts}


def decode_rle(rle: dict) -> np.ndarray:
    """Decode ``{"size": [H, W], "counts": str, bytes or list of int}`` to ``uint8[H, W]``.

    Raises:
        ValueError: When anything does not add up; the message names the fault.
    """
    counts, height, width = check_rle(rle)
    values = np.arange(len(counts), dtype=np.int64).astype(np.uint8) & 1  # 0, 1, 0, 1, …
    return np.repeat(values, counts).reshape(width, height).T.copy()  # [H, W]


def check_rle(rle: dict) -> tuple[np.ndarray, int, int]:
    """Read the runs ``int64[N]``, height and width of an RLE, and make sure that they agree.

    Raises:
        ValueError: When the size, a run or the sum of the runs is impossible.
    """
    size = rle.get("size") if isinstance(rle, dict) else None
    if not (isinstance(size, list | tuple) and len(size) == 2 and all(map(_is_integer, size))):
        raise ValueError(f"RLE size must be [height, width], got {short(size)}")
    height, width = (int(side) for side in size)
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"RLE size must have 1 to {MAX_PIXELS} pixels, got {height} x {width}")
    counts = rle.get("counts")
    if isinstance(counts, str | bytes):
        counts = decompress_counts(counts, limit=height * width + 1)
    elif not isinstance(counts, list | tuple | np.ndarray) or not all(map(_is_integer, counts)):
        raise ValueError(f"RLE counts must be a string or a list of integers, got {short(counts)}")
    elif any(abs(int(count)) > MAX_PIXELS for count in counts):
        raise ValueError(f"RLE counts has a run longer than {MAX_PIXELS} pixels")
    counts = np.asarray(counts, dtype=np.int64)
    if len(counts) > height * width + 1:
        raise ValueError(f"RLE counts has {len(counts)} runs for {height * width} pixels")
    if (counts < 0).any():
        index = int(np.argmax(counts < 0))
        raise ValueError(f"RLE counts has a negative run, {counts[index]} at index {index}")
    if counts.sum() != height * width:
        raise ValueError(
            f"RLE counts add up to {counts.sum()}, but {height} x {width} has {height * width}"
        )
    return counts, height, width


def decompress_counts(text: str | bytes, limit: int = MAX_PIXELS) -> np.ndarray:
    """Read COCO's string as runs ``int64[N]``, which are not checked against a size.

    Raises:
        ValueError: When a character is foreign, the string ends inside a run, or it has more runs
            than the limit.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    if len(data) > limit * _MAX_GROUPS:
        raise ValueError(f"RLE string of {len(data)} characters is too long for its mask")
    codes = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any():
        index = int(np.argmax((codes < 0) | (codes > 63)))
        raise ValueError(f"RLE string has byte {data[index]} at index {index}, outside '0'..'o'")
    if not len(codes):
        return codes
    last = codes < 32  # the last group of its run
    if not last[-1]:
        raise ValueError("RLE string ends inside a run; it was cut off")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_GROUPS:
        raise ValueError(f"RLE string has a run of {lengths.max()} groups; {_MAX_GROUPS} suffice")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)  # sign of the last group
    if len(runs) > 3:  # undo the differences; each chain has every other run
        runs[1::2] = np.cumsum(runs[1::2])
        runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
