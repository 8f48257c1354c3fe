"""The live page of the site inside of a notebook."""

import base64
import io
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t
from PIL import Image

from ..kit.style import few_colours

PAGE, STILL = "build/site/live.html", "docs/live.jpg"  # in the folder of the course
ALT = "The live page: shapes with what was found in them, and the path of a star to its outline."
WIDTH = 760  # px of the still


class LivePage(anywidget.AnyWidget):
    """The page, where it is built and JupyterLab's server can reach it; else a still picture.

    Args:
        course: the course's folder; a notebook lies in a folder of it.
    """

    _esm = Path(__file__).with_suffix(".js").read_text("utf-8")
    page, alt = t.Unicode(PAGE).tag(sync=True), t.Unicode(ALT).tag(sync=True)

    def __init__(self, course: Path = Path("..")) -> None:
        super().__init__()
        self.course = course

    def still(self) -> bytes:
        """The picture that stands in for the page, as PNG."""
        with Image.open(self.course / STILL) as whole, io.BytesIO() as file:
            size = WIDTH, round(whole.height * WIDTH / whole.width)
            whole.resize(size, Image.Resampling.LANCZOS).save(file, "PNG")
            return few_colours(file.getvalue())

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The page where it can live, else the picture, else its words."""
        built = (self.course / PAGE).is_file()
        data, metadata = super()._repr_mimebundle_(**kwargs) if built else ({}, {})
        data["image/png"] = base64.b64encode(self.still()).decode("ascii")
        data["text/plain"] = f"Picture: {ALT}"
        return data, {**metadata, "image/png": {"width": WIDTH, "alt": ALT}}
