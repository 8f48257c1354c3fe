"""Large images in tiles: the windows cover everything, and what lies on a border is found once."""

from types import SimpleNamespace

import pytest
import torch

from mrcnn_lite.config import lite
from mrcnn_lite.models.postprocess import PastedMasks
from mrcnn_lite.models.tiles import detect_in_tiles, tile_windows
from mrcnn_lite.ops import paste_masks


def test_windows_by_hand():
    assert tile_windows((4, 10), 4, 2) == [(x, 0, x + 4, 4) for x in (0, 2, 4, 6)]
    assert tile_windows((4, 9), 4, 1) == [(0, 0, 4, 4), (3, 0, 7, 4), (5, 0, 9, 4)]
    assert tile_windows((3, 3), 4, 1) == [(0, 0, 3, 3)]


@pytest.mark.parametrize("size", [(50, 70), (64, 64), (33, 100)])
def test_windows_cover_and_overlap(size):
    seen = torch.zeros(size)
    windows = tile_windows(size, 32, 10)
    for x1, y1, x2, y2 in windows:
        assert (x2 - x1, y2 - y1) == (32, 32)
        seen[y1:y2, x1:x2] += 1
    assert seen.min() >= 1
    # Any object of 10 pixels lies whole in some tile.
    for y in range(size[0] - 9):
        for x in range(size[1] - 9):
            assert any(a <= x and b <= y and x + 10 <= c and y + 10 <= d for a, b, c, d in windows)


def test_wrong_overlaps_are_refused():
    for overlap in (-1, 32):
        with pytest.raises(ValueError, match="give 0 to 31"):
            tile_windows((64, 64), 32, overlap)


class BrightSquares:
    """Stands in for a network: each bright region of a row of squares is a detection."""

    roi_heads = SimpleNamespace(config=lite())

    def __call__(self, images, lazy_masks):
        (image,) = images
        columns = (image[0] > 0.5).any(dim=0).int()
        edges = torch.diff(torch.cat([torch.zeros(1), columns, torch.zeros(1)]))
        starts, ends = (edges == 1).nonzero()[:, 0], (edges == -1).nonzero()[:, 0]
        rows = (image[0] > 0.5).any(dim=1).nonzero()[:, 0]
        boxes = [[float(a), float(rows[0]), float(b), float(rows[-1] + 1)]
                 for a, b in zip(starts, ends)]  # fmt: skip
        boxes = torch.tensor(boxes).reshape(-1, 4)
        ones = torch.ones(len(boxes))
        masks = PastedMasks(torch.ones(len(boxes), 4, 4), boxes, image.shape[-2:], "pixel_centres")
        return [{"boxes": boxes, "labels": ones.long(), "scores": 0.9 * ones, "masks": masks}]


def test_an_object_on_a_border_is_found_once_and_whole():
    image = torch.zeros(3, 40, 100)
    squares = [(0, 10), (28, 38), (60, 70), (90, 100)]  # the second crosses the first tile's border
    for a, b in squares:
        image[:, 10:20, a:b] = 1
    found = detect_in_tiles(BrightSquares(), image, tile=32, overlap=14)
    boxes = sorted(found["boxes"].tolist())
    assert boxes == [[a, 10, b, 20] for a, b in squares]
    whole = paste_masks(torch.ones(4, 4, 4), found["boxes"], (40, 100), "pixel_centres")
    assert torch.equal(found["masks"][:], whole)
