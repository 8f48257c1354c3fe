"""Fifteen kinds of awkward image file: the right pixels, or a refusal that names the file."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.datasets.images import image_size, read_image


def png(path, height, width, bits, colour, rows):
    """Write a PNG by hand, for kinds that Pillow does not write."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


# Each is 4 x 2 pixels of one colour: what is saved, with which options, and the RGB to read.
RIGHT = {
    "grey": (Image.new("L", (4, 2), 77), {}, (77, 77, 77)),
    "one bit": (Image.new("1", (4, 2), 1), {}, (255, 255, 255)),
    "palette": (Image.new("RGB", (4, 2), (9, 8, 7)).quantize(2), {}, (9, 8, 7)),
    "transparent palette": (Image.new("P", (4, 2), 0), {"transparency": 0}, (255, 255, 255)),
    "grey with alpha": (Image.new("LA", (4, 2), (0, 0)), {}, (255, 255, 255)),
    "half alpha": (Image.new("RGBA", (4, 2), (0, 0, 200, 51)), {}, (204, 204, 244)),
    "16-bit grey": (Image.fromarray(np.full((2, 4), 40000, np.uint16)), {}, (156, 156, 156)),
    "interlaced colours": (Image.new("RGB", (4, 2), (1, 2, 3)), {"dpi": (9, 9)}, (1, 2, 3)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_pixels(tmp_path, name):
    image, options, colour = RIGHT[name]
    path = tmp_path / "a.png"
    image.save(path, **options)
    pixels = read_image(path)
    assert pixels.shape == (3, 2, 4) and image_size(path) == (2, 4)
    assert (pixels.new_tensor(colour) == pixels.flatten(1).T).all()


def test_sixteen_bits_of_colour(tmp_path):
    path = tmp_path / "a.png"
    png(path, 2, 4, 16, 2, [struct.pack(">HHH", 40000, 257, 65535) * 4] * 2)
    assert read_image(path)[:, 0, 0].tolist() == [40000 // 256, 1, 255]


def test_cmyk(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(path)
    assert (read_image(path) == 255).all()


@pytest.mark.parametrize("tag", range(1, 9))
def test_every_orientation(tmp_path, tag):
    image = Image.new("RGB", (4, 2))
    image.putpixel((3, 0), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = tag
    path = tmp_path / "a.png"
    image.save(path, exif=exif)
    pixels = read_image(path)
    assert image_size(path) == tuple(pixels.shape[1:]) == ((2, 4) if tag < 5 else (4, 2))
    row, column = np.argwhere(pixels[0].numpy() == 255)[0]
    # Where the right end of the first row goes: EXIF names the side of row 0 and of column 0.
    corners = {
        1: (0, 3),
        2: (0, 0),
        3: (1, 0),
        4: (1, 3),
        5: (3, 0),
        6: (3, 1),
        7: (0, 1),
        8: (0, 0),
    }
    assert (row, column) == corners[tag]
    assert read_image(path, upright=False).shape == (3, 2, 4)


def exif_with(orientation, *others):
    """EXIF data with an orientation and other entries: (tag, type, count, four bytes of value)."""
    entries = [(0x0112, 3, 1, struct.pack("<HH", orientation, 0)), *others]
    rows = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    rest = struct.pack("<ii", -1, -3)  # at offset 8 + 2 + 12 n + 4: a signed rational, -1/-3
    head = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    return head + struct.pack("<H", len(entries)) + rows + bytes(4) + rest


ODD_TAGS = {
    "a signed rational": (0x9204, 10, 1, struct.pack("<I", 8 + 2 + 12 * 2 + 4)),
    "an unsigned tag that is signed": (0x829A, 10, 1, struct.pack("<I", 8 + 2 + 12 * 2 + 4)),
    "a negative short": (0x0100, 8, 1, struct.pack("<hh", -5, 0)),
    "an unknown type": (0x9000, 99, 1, bytes(4)),
    "an offset beyond the end": (0x010F, 2, 999, struct.pack("<I", 10**6)),
}


@pytest.mark.parametrize("odd", ODD_TAGS)
def test_row_19_odd_exif_beside_a_good_orientation(tmp_path, odd):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (40, 20), "red").save(path, exif=exif_with(6, ODD_TAGS[odd]))
    assert read_image(path).shape == (3, 40, 20) and image_size(path) == (40, 20)
    assert read_image(path, upright=False).shape == (3, 20, 40)


@pytest.mark.parametrize("kind", ["orientation 0", "orientation 9", "rubbish", "cut", "empty"])
def test_row_19_exif_that_says_nothing_leaves_the_image_as_it_is(tmp_path, kind):
    exif = exif_with(int(kind[-1]) if kind[-1].isdecimal() else 6)
    exif = {"rubbish": b"Exif\0\0" + b"\xff" * 40, "cut": exif[:14], "empty": b""}.get(kind, exif)
    path = tmp_path / "a.jpg"
    Image.new("RGB", (40, 20), "red").save(path, exif=exif)
    assert read_image(path).shape == (3, 20, 40) and image_size(path) == (20, 40)


def whole(folder):
    Image.effect_noise((40, 30), 90).save(folder / "whole.png")
    return (folder / "whole.png").read_bytes()


def wrong(kind, path, folder):
    """Write one file that must be refused."""
    data = whole(folder)
    if kind == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "cut header":
        path.write_bytes(data[:20])
    elif kind == "flipped":
        position = data.index(b"IDAT") + 40
        path.write_bytes(data[:position] + bytes([data[position] ^ 255]) + data[position + 1 :])
    elif kind == "zeros":
        path.write_bytes(bytes(1000))
    elif kind == "folder":
        path.mkdir()
    elif kind == "other format":
        Image.new("RGB", (8, 8)).save(path, format="GIF")
    elif kind == "over the limit":
        Image.new("1", (8000, 8000)).save(path)
    elif kind == "bomb":
        png(path, 20000, 20000, 8, 0, [b"\0"])
    elif kind == "bomb that Pillow warns of":
        png(path, 10000, 10000, 8, 0, [b"\0"])
    elif kind == "no size":
        png(path, 0, 4, 8, 0, [])
    elif kind == "text":
        path.write_text("<html>404</html>")
    else:
        path.write_bytes(b"")


KINDS = (
    "cut", "cut header", "flipped", "zeros", "folder", "other format", "over the limit", "bomb",
    "bomb that Pillow warns of", "no size", "text", "empty",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_refused_by_name(tmp_path, kind, recwarn):
    path = tmp_path / "a.png"
    wrong(kind, path, tmp_path)
    with pytest.raises(ValueError, match=r"a\.png.*;"):
        read_image(path)
    assert not recwarn.list


def test_any_damage_is_read_or_refused(tmp_path):
    data, path = whole(tmp_path), tmp_path / "a.png"
    random = np.random.default_rng(0)
    outcomes = set()
    for _ in range(300):
        positions = random.integers(0, len(data), 3)
        bad = bytearray(data[: random.integers(1, len(data))] if random.random() < 0.3 else data)
        for position in positions[positions < len(bad)]:
            bad[position] = random.integers(256)
        path.write_bytes(bad)
        try:
            outcomes.add(read_image(path).ndim)
        except ValueError as error:
            outcomes.add("refused" if "a.png" in str(error) else str(error))
    assert outcomes <= {3, "refused"} and "refused" in outcomes
