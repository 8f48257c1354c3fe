"""Opening picture files: PNG and JPEG, every colour mode, turned upright, within a size limit."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .rle import MAX_PIXELS

FORMATS = ("PNG", "JPEG")  # Pillow's other decoders have had most of its security holes


def read_picture(path: str | Path) -> Tensor:
    """Read a PNG or JPEG file as a colour image.

    Grey, palette and CMYK pictures become RGB, transparent ones are laid over white, 16-bit grey
    is scaled (Pillow alone would clip it), and the EXIF tag that cameras write for a turned
    picture is applied.

    Args:
        path: File to read.

    Returns:
        ``uint8[3, H, W]``.

    Raises:
        ValueError: When the file is missing, not a PNG or JPEG, damaged or too large.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; check the folder of the images")
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(_too_large(path, picture.width * picture.height))
            picture.load()
            pixels = np.array(_to_rgb(ImageOps.exif_transpose(picture)))  # [H, W, C]
    except Image.DecompressionBombError:
        raise ValueError(_too_large(path, "over 150 million")) from None
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(
            f"{path}: cannot be read as PNG or JPEG ({error}); convert it or copy it again"
        ) from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()  # [C, H, W]


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


def _too_large(path: Path, pixels: object) -> str:
    return f"{path}: {pixels} pixels, the limit is {MAX_PIXELS}; scale the picture down"
