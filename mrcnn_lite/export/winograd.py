"""3 x 3 convolutions of many small maps, as matrix products with fewer multiplications.

Where a runtime has matrix products and nothing faster, 49 elements of a RoI fill its registers
badly, and are convolved one RoI after the other. Winograd's F(4, 3) (Lavin and Gray 2016) takes six
elements of a row to four of its convolution with six multiplications instead of twelve; along both
axes, with 36 instead of 144. In float32 its errors are larger, see tests/export/test_winograd.py.
"""

import torch
from torch import Tensor, nn

# Of the points 0, 1, -1, 2, -2 and infinity: the matrices for data, weights and answers.
DATA = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
WEIGHTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
ANSWERS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


class WinogradConvolution(nn.Module):
    """What a 3 x 3 convolution with padding 1 does to maps of one size.

    Args:
        convolution: its weights are read once. side: P, of the maps.

    Raises:
        ValueError: its kernel is another, or its stride.
    """

    def __init__(self, convolution: nn.Conv2d, side: int) -> None:
        super().__init__()
        if (convolution.kernel_size, convolution.stride) != ((3, 3), (1, 1)):
            raise ValueError(f"convolution is {convolution}; give one of 3 x 3 with stride 1")
        tiles, data, answers = -(-side // 4), torch.tensor(DATA), torch.tensor(ANSWERS)
        into, out = torch.zeros(6, tiles, side + 8), torch.zeros(side + 8, 6, tiles)
        for tile in range(tiles):
            rows = 4 * tile  # the padding before the first one included
            into[:, tile, rows : rows + 6] = data
            out[rows : rows + 4, :, tile] = answers
        self.register_buffer("into", into[..., 1 : side + 1].flatten(0, 1).contiguous())  # [N, P]
        self.register_buffer("out", out[:side].flatten(1))  # [P, N]
        kernels, matrix = convolution.weight.detach().double(), torch.tensor(WEIGHTS).double()
        weight = torch.einsum("ai,bj,ocij->abco", matrix, matrix, kernels).float()
        self.register_buffer("weight", weight[:, None, :, None].contiguous())  # [6, 1, 6, 1, C, C]
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map Tensor[K, C, P, P] to Tensor[K, out channels, P, P]."""
        maps, channels, side, _ = x.shape
        lines = self.into.shape[0]  # N, 6 of each tile
        x = x.permute(2, 3, 0, 1).reshape(side, -1)  # [P, P * K * C]
        x = self.into @ (self.into @ x).view(lines, side, -1)  # [N, N, K * C]
        x = x.view(6, lines // 6, 6, lines // 6, maps, channels) @ self.weight
        x = self.out @ x.view(lines, lines, -1)  # [N, P, K * C]
        x = self.out @ x.view(lines, -1)  # [P, P * K * C]
        x = x.view(side, side, maps, -1).permute(2, 3, 0, 1).contiguous()  # [K, C, P, P]
        return x if self.bias is None else x + self.bias[:, None, None]
