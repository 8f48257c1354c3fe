"""Opening image files: PNG and JPEG, every colour mode, turned upright, within a size limit."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .rle import MAX_PIXELS
from .values import one_form

FORMATS = ("PNG", "JPEG")  # Pillow's other decoders have had most of its security holes
ORIENTATION = 0x0112  # EXIF tag
# What turns an image of each orientation upright, as Pillow's `Image.Transpose` numbers it.
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}


def read_image(path: str | Path, upright: bool = True) -> Tensor:
    """Read a PNG or JPEG file as a colour image.

    Grey, palette and CMYK images become RGB, transparent ones are laid over white, 16-bit grey is
    scaled (Pillow alone would clip it), and the EXIF tag that cameras write for a turned image is
    applied.

    Args:
        path: File to read.
        upright: Apply the EXIF tag; else the pixels as they are stored.

    Returns:
        ``uint8[3, H, W]``.

    Raises:
        ValueError: When the file is missing, not a PNG or JPEG, damaged or too large.
    """
    with open_image(path) as image:
        image.load()
        turn = TURNS.get(_orientation(image)) if upright else None
        turned = image if turn is None else image.transpose(turn)
        pixels = np.array(_to_rgb(turned))  # [H, W, C]
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()  # [C, H, W]


class _Quiet:
    """Without warnings: Pillow warns of what is refused here. The filters are the process's and not
    a thread's, so the first of several threads sets them and the last restores them."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.before = warnings.catch_warnings()
                self.before.__enter__()
                warnings.simplefilter("ignore")
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.before.__exit__(*error)


_quiet = _Quiet()


@contextmanager
def open_image(path: str | Path) -> Iterator[Any]:
    """Open a file with Pillow, not yet decoded; an error inside the ``with`` names the file.

    Raises:
        ValueError: When the file is missing, not a PNG or JPEG, damaged or too large.
    """
    from PIL import Image

    path = as_stored(Path(path))
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give an image file in it")
    if not path.is_file():
        raise ValueError(f"{path}: no such file; check the folder of the images")
    try:
        with _quiet, Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise ValueError(
            f"{path}: over {MAX_PIXELS} pixels, which is the limit; scale the image down"
        ) from None
    except Exception as error:  # damaged files make decoders raise anything, struct.error too
        raise ValueError(
            f"{path}: cannot be read as PNG or JPEG ({error}); convert it or copy it again"
        ) from error


def as_stored(path: Path) -> Path:
    """A path with its last name as the disk has it, which may be in another Unicode form."""
    if path.exists() or path.name.isascii() or not path.parent.is_dir():
        return path
    same = (p for p in path.parent.iterdir() if one_form(p.name) == one_form(path.name))
    return next(same, path)


def image_size(path: str | Path) -> tuple[int, int]:
    """Read height and width of the upright image from a file's header.

    Raises:
        ValueError: As `read_image`, except for damage behind the header.
    """
    with open_image(path) as image:
        return image.size if _orientation(image) in (5, 6, 7, 8) else image.size[::-1]


def _orientation(image: Any) -> int:
    """How the camera was held, 1 to 8; 1 where the tag cannot be read, as viewers show it."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # an odd tag is no reason to refuse pixels that can be decoded
        return 1


def _to_rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey
        grey = (np.asarray(image, dtype=np.float64) / 257).round().clip(0, 255)
        image = Image.fromarray(grey.astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
