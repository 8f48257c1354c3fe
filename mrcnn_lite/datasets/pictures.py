"""Opening picture files: PNG and JPEG, every colour mode, turned upright, within a size limit."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .rle import MAX_PIXELS

FORMATS = ("PNG", "JPEG")  # Pillow's other decoders have had most of its security holes
ORIENTATION = 0x0112  # EXIF tag


def read_picture(path: str | Path, upright: bool = True) -> Tensor:
    """Read a PNG or JPEG file as a colour image.

    Grey, palette and CMYK pictures become RGB, transparent ones are laid over white, 16-bit grey
    is scaled (Pillow alone would clip it), and the EXIF tag that cameras write for a turned
    picture is applied.

    Args:
        path: File to read.
        upright: Apply the EXIF tag; else the pixels as they are stored.

    Returns:
        ``uint8[3, H, W]``.

    Raises:
        ValueError: When the file is missing, not a PNG or JPEG, damaged or too large.
    """
    from PIL import ImageOps

    with open_picture(path) as picture:
        picture.load()
        turned = ImageOps.exif_transpose(picture) if upright else picture
        pixels = np.array(_to_rgb(turned))  # [H, W, C]
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()  # [C, H, W]


@contextmanager
def open_picture(path: str | Path) -> Iterator[Any]:
    """Open a PNG or JPEG file with Pillow; what goes wrong inside the ``with`` names the file.

    Args:
        path: File to open.

    Yields:
        Pillow's image, not yet decoded, within the size limit.

    Raises:
        ValueError: When the file is missing, not a PNG or JPEG, damaged or too large.
    """
    from PIL import Image

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; check the folder of the images")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is refused here
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                yield picture
    except Image.DecompressionBombError:
        raise ValueError(
            f"{path}: over {MAX_PIXELS} pixels, which is the limit; scale the picture down"
        ) from None
    except Exception as error:  # damaged files make decoders raise anything, struct.error too
        raise ValueError(
            f"{path}: cannot be read as PNG or JPEG ({error}); convert it or copy it again"
        ) from error


def picture_size(path: str | Path) -> tuple[int, int]:
    """Read the size of a picture from its header.

    Args:
        path: PNG or JPEG file.

    Returns:
        Height and width when upright.

    Raises:
        ValueError: As `read_picture`, except for damage behind the header.
    """
    with open_picture(path) as picture:
        turned = picture.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        return picture.size if turned else picture.size[::-1]


def _to_rgb(picture):
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey
        grey = (np.asarray(picture, dtype=np.float64) / 257).round().clip(0, 255)
        picture = Image.fromarray(grey.astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")
