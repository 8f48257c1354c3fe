"""Small inputs that several tests of the operations share."""

import torch
from torch import Tensor


def article_map() -> Tensor:
    """The article's 6 x 6 map: Tensor[1, 1, 6, 6]."""
    return torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def article_rois(*corners: float) -> Tensor:
    """The article's proposal, or other corners, in image 0: Tensor[1, 5]."""
    return torch.tensor([[0.0, *(corners or (10, 10, 124, 124))]])


def ramp(height: int = 5, width: int = 5) -> Tensor:
    """0, 1, 2 ... row by row, as in detectron2's hand table: Tensor[1, 1, h, w]."""
    return torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)


def random_rois(
    count: int, images: int, size: tuple[int, int], seed: int, kinds: str = "all"
) -> Tensor:
    """RoIs of every kind: inside, sticking out, far outside, tiny, empty, reversed.

    Args:
        count: K.
        images: B.
        size: (H, W) in pixels.
        seed: of the generator.
        kinds: "all", or "proper" to leave out the reversed ones.

    Returns:
        Tensor[K, 5] float64.
    """
    g = torch.Generator().manual_seed(seed)
    extent = torch.tensor([size[1], size[0]], dtype=torch.float64)
    centre = (torch.rand(count, 2, generator=g, dtype=torch.float64) * 1.4 - 0.2) * extent
    side = torch.rand(count, 2, generator=g, dtype=torch.float64).pow(2) * extent
    side[::7] *= 0.01
    side[3::11] = 0
    centre[5::13] += 3 * extent
    if kinds == "all":
        side[6::9] *= -1
    image = torch.randint(images, (count, 1), generator=g).double()
    return torch.cat([image, centre - side / 2, centre + side / 2], dim=1)


def random_boxes(count: int, size: float, seed: int) -> Tensor:
    """Proper boxes with coordinates that are multiples of 1/8, so that ties occur: Tensor[N, 4]."""
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=g) * size
    side = torch.rand(count, 2, generator=g) * size / 3
    return (torch.cat([corner, corner + side], dim=1) * 8).round() / 8
