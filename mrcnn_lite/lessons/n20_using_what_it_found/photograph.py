"""The photograph of coins that comes with scikit-image, and where its coins are."""

import numpy as np
from skimage import data, filters, measure, segmentation
from torch import Tensor

from .coins import as_sample

TABLE, COIN = 30, 150  # grey levels (0..255) below and above which a pixel is surely one of them
SPECK = 100  # pixels; smaller regions are no coins


def coin_regions(grey: np.ndarray) -> np.ndarray:
    """Number the coins of a photograph uint8 [H, W] from 1 on: a watershed from what is surely
    table or coin, over the strength of the edges; specks are removed."""
    markers = np.where(grey < TABLE, 1, np.where(grey > COIN, 2, 0))
    basins = segmentation.watershed(filters.sobel(grey), markers)
    regions = measure.label(basins == 2)  # [H, W]
    sizes = np.bincount(regions.ravel())
    return measure.label(np.isin(regions, np.flatnonzero(sizes >= SPECK)) & (regions > 0))


def coins_photograph() -> tuple[Tensor, dict]:
    """The photograph [3, 303, 384] in 0..1 and its 24 coins, as a sample of a data set."""
    grey = data.coins()
    regions = coin_regions(grey)
    return as_sample(grey / 255, [regions == k for k in range(1, regions.max() + 1)], 0)


class OnePhotograph:
    """A data set of this one image, to be measured on."""

    class_names = ("background", "coin")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        if index:
            raise IndexError(f"sample {index} of a set of 1")
        return coins_photograph()
