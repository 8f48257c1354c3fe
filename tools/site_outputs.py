"""A notebook's outputs as the site shows them: pictures with their words, explorers alive."""

import base64
import html
import json
import struct
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_output

from mrcnn_lite.lessons.kit.roi_explorer.explorer import ALT, RoIExplorer
from mrcnn_lite.lessons.kit.roi_explorer.state import STATE
from tools.site_questions import said, text_of

READABLE = 480  # px; no picture is shown smaller
ANSWER = "Touch or click to see the result; predict first."
NOTE = "This explorer moves when the notebook runs in JupyterLab."


def picture_tag(png: bytes, path: Path, alt: str, width: int) -> str:
    """Store a picture below `_static`, and show it.

    Args:
        png: the picture.
        path: its file in the folder of Sphinx's sources.
        alt: what a reader who cannot see it should know.
        width: on the page, px.

    Returns:
        HTML in one line. It holds the height too, so that nothing jumps when the picture arrives.

    Raises:
        ValueError: if there are no words.
    """
    if not alt.strip():
        raise ValueError(f"{path.stem}: a picture without words; show it by viz.style.show")
    path.write_bytes(png)
    columns, rows = struct.unpack(">II", png[16:24])
    height = round(width * rows / columns)
    words = html.escape(" ".join(alt.split()))
    place = "/".join(path.parts[path.parts.index("_static") :])
    # On a phone a wide picture is scrolled, as its letters would be too small.
    size = f'width="{width}" height="{height}" style="min-width:{min(width, READABLE)}px"'
    return f'<div class="picture"><img src="{place}" alt="{words}" {size}></div>'


def explorer_place(explorer: RoIExplorer, png: bytes, path: Path) -> str:
    """Where docs/_static/site.js puts the RoI explorer; without JavaScript, its picture.

    Args:
        explorer: its state is where the reader begins.
        png: the picture.
        path: see `picture_tag`.

    Returns:
        HTML in one line.
    """
    state = {name: getattr(explorer, name) for name in STATE}
    data = json.dumps(state).replace("<", "\\u003c")
    still = picture_tag(png, path, explorer.alt, width=760)
    return (
        f'<div class="explorer-place"><script type="application/json">{data}</script>'
        f"<noscript>{still}</noscript></div>"
    )


def shown(output: NotebookNode, state: dict | None, path: Path) -> NotebookNode:
    """An output for the site.

    Args:
        output: of a code cell.
        state: the keywords with which its cell calls `explore_roi`, if it does.
        path: where a picture is stored.

    Returns:
        The same output, or HTML in place of a picture.
    """
    data = output.get("data", {})
    if "image/png" not in data:
        return output
    details = output.metadata.get("image/png", {})
    alt, text = details.get("alt", ""), data.get("text/plain", "")
    png = base64.b64decode(data["image/png"])
    if alt.startswith(ALT) and state is not None:
        page = explorer_place(RoIExplorer(**state), png, path)
    else:
        page = picture_tag(png, path, alt, details["width"])
        if not text.startswith("Picture: "):  # an explorer: the first line is `alt`, then numbers
            numbers = html.escape(text.partition("\n")[2])
            page += f'<p class="explorer-note">{NOTE}</p>'
            page += f"<details><summary>Its numbers</summary><pre>{numbers}</pre></details>"
    return new_output("display_data", {"text/html": page})


def folded(output: NotebookNode, waiting: Iterator[str]) -> NotebookNode:
    """An output of a cell that answers a prediction: behind a line to touch.

    Args:
        output: for the site, as `shown` gives it.
        waiting: the names of the predictions that its cell still has to reveal.

    Returns:
        HTML.
    """
    page = output.get("data", {}).get("text/html")
    body = page or f'<pre tabindex="0">{said(text_of(output), waiting)}</pre>'
    page = f'<details class="answer"><summary>{ANSWER}</summary>{body}</details>'
    return new_output("display_data", {"text/html": page})
