"""Run-length encoding: equal to pycocotools on masks, and closed to everything malformed."""

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as peer

from mrcnn_lite.datasets.rle import check_rle, decode_rle, decompress_counts, encode_rle

QUICK = settings(derandomize=True, deadline=None, max_examples=500)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)
MASKS = SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))


def test_by_hand():
    # columns are 0 1, 1 1, 0 0: runs of zeros and ones are 1, 3, 2
    mask = np.array([[0, 1, 0], [1, 1, 0]], dtype=np.uint8)
    assert encode_rle(mask, compress=False) == {"size": [2, 3], "counts": [1, 3, 2]}
    assert encode_rle(mask)["counts"] == "132"  # '0' + run
    assert (decode_rle({"size": [2, 3], "counts": "132"}) == mask).all()


def test_differences_and_signs_by_hand():
    # From the fourth run on, the difference from two before: 5, 40, 7, 41 - wait for the sign: 3.
    counts = [5, 40, 7, 41, 3]
    #  5 -> 00101 -> '5';  40 = 1 01000 -> 01000 + more, 00001 -> 'X1';  7 -> '7'
    #  41 - 40 = 1 -> '1';  3 - 7 = -4 -> 11100, sign bit set -> chr(48 + 28) = 'L'
    column = np.repeat(np.arange(5, dtype=np.uint8) & 1, counts)[:, None]
    assert encode_rle(column)["counts"] == "5X171L"
    assert decompress_counts("5X171L").tolist() == counts


@QUICK
@given(MASKS)
@example(np.zeros((7, 5), np.uint8))
@example(np.ones((7, 5), np.uint8))
@example(np.ones((1, 9), np.uint8))
@example(np.ones((9, 1), np.uint8))
def test_round_trip_equals_pycocotools(mask):
    theirs = peer.encode(np.asfortranarray(mask))
    ours = encode_rle(mask)
    assert ours["counts"] == theirs["counts"].decode()
    assert ours["size"] == list(theirs["size"])
    assert (decode_rle(ours) == mask).all()
    assert (decode_rle(theirs) == mask).all()  # bytes are read too
    assert (decode_rle(encode_rle(mask, compress=False)) == mask).all()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_large_masks(share):
    mask = (np.random.default_rng(0).random((700, 900)) < share).astype(np.uint8)
    assert encode_rle(mask)["counts"] == peer.encode(np.asfortranarray(mask))["counts"].decode()
    assert (decode_rle(encode_rle(mask)) == mask).all()


@QUICK
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30))
def test_counts_of_pycocotools(counts):
    theirs = peer.frPyObjects({"size": [1, sum(counts)], "counts": counts}, 1, sum(counts))
    assert decompress_counts(theirs["counts"]).tolist() == counts


MALFORMED = {
    "not a dict": [1, 2],
    "no size": {"counts": [4]},
    "size of three": {"size": [2, 2, 1], "counts": [4]},
    "size of text": {"size": ["2", 2], "counts": [4]},
    "size of truth": {"size": [True, 4], "counts": [4]},
    "empty size": {"size": [0, 4], "counts": []},
    "negative size": {"size": [-2, -2], "counts": [4]},
    "huge size": {"size": [10**6, 10**6], "counts": [10**12]},
    "no counts": {"size": [2, 2]},
    "counts of floats": {"size": [2, 2], "counts": [4.0]},
    "counts of text": {"size": [2, 2], "counts": ["4"]},
    "too few pixels": {"size": [2, 2], "counts": [3]},
    "too many pixels": {"size": [2, 2], "counts": [1, 4]},
    "no runs": {"size": [2, 2], "counts": []},
    "empty string": {"size": [2, 2], "counts": ""},
    "negative run": {"size": [2, 2], "counts": [6, -2]},
    "overflow": {"size": [2, 2], "counts": [2**63, 2**63, 4]},
    "huge run": {"size": [2, 2], "counts": [2**62, 2**62, 4]},
    "more runs than pixels": {"size": [2, 2], "counts": [0, 0, 0, 0, 0, 4]},
    "string too short": {"size": [2, 2], "counts": "3"},
    "cut string": {"size": [9, 9], "counts": "X"},
    "foreign letter": {"size": [2, 2], "counts": "4 "},
    "high letter": {"size": [2, 2], "counts": "4z"},
    "not ASCII": {"size": [2, 2], "counts": "4é"},
    "negative in string": {"size": [2, 2], "counts": "6N"},
    "endless run": {"size": [2, 2], "counts": "o" * 100 + "0"},
    "long string": {"size": [2, 2], "counts": "0" * 10_000},
}


@pytest.mark.parametrize("rle", MALFORMED.values(), ids=MALFORMED)
def test_malformed_is_refused(rle):
    with pytest.raises(ValueError, match="RLE"):
        decode_rle(rle)


@settings(QUICK, max_examples=2000)
@given(
    st.text(alphabet=[chr(c) for c in range(40, 120)], max_size=40),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_no_string_does_harm(text, height, width):
    begin = time.perf_counter()
    try:
        counts, _, _ = check_rle({"size": [height, width], "counts": text})
    except ValueError:
        return
    assert counts.sum() == height * width
    assert (counts >= 0).all()
    assert decode_rle({"size": [height, width], "counts": text}).shape == (height, width)
    assert time.perf_counter() - begin < 1


def test_masks_to_encode_are_checked():
    for wrong in (np.zeros((0, 3)), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="mask"):
            encode_rle(wrong)
