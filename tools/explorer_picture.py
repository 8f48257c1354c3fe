"""The README's first picture: the RoI explorer, filmed while the RoI slides to the right and down.

    .venv/bin/python tools/explorer_picture.py

Needs Chromium. Opens the explorer's own files in it, moves the RoI step by step, and writes
docs/explorer.gif.
"""

import io
import json
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from mrcnn_lite.lessons.kit.roi_explorer import explore_roi
from mrcnn_lite.lessons.kit.roi_explorer.explorer import JS
from mrcnn_lite.lessons.kit.roi_explorer.state import STATE

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "explorer.gif"
STEPS = range(0, 61, 2)  # px that the RoI has moved
FRAME, PAUSE = 90, 900  # ms
ADDRESS = "http://explorer.test"
FLAGS = ["--no-sandbox", "--disable-gpu"]
# Only what moves: both maps, their outputs, the chart.
STYLE = """
body { margin: 0; }
.roi-explorer { width: 800px; max-width: none; }
.roi-explorer :is(.controls, .remark, .status, .chart-head button) { display: none; }
"""
PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/roi_explorer.css">
<style>{style}</style><body><div id="place"></div><script type="module">
import {{ mount }} from "/roi_explorer.js";
import {{ localStore }} from "/roi_store.js";
window.explorer = mount(document.getElementById("place"), localStore({state}));
</script>"""


def serve(page: Page, text: str) -> None:
    """Answer the page's requests from the package's files; nothing goes to a network."""

    def answer(route) -> None:
        name = route.request.url.removeprefix(ADDRESS).lstrip("/")
        if not name:
            route.fulfill(body=text, content_type="text/html; charset=utf-8")
        elif (JS / name).is_file():
            route.fulfill(path=JS / name)
        else:
            route.fulfill(status=404)

    page.route("**/*", answer)


def film(page: Page, box: list[float]) -> list[Image.Image]:
    """One picture per step."""
    place, frames = page.locator(".roi-explorer"), []
    for step in STEPS:
        moved = [corner + step for corner in box]
        page.evaluate("box => { explorer.store.set('box', box); explorer.draw(); }", moved)
        frames.append(Image.open(io.BytesIO(place.screenshot())).convert("RGB"))
    return frames


def main() -> None:
    """Film the explorer and write the picture."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed")
    explorer = explore_roi(sampling_ratio=2, aligned=True)
    state = {name: getattr(explorer, name) for name in STATE}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 800, "height": 800})
        serve(page, PAGE.format(style=STYLE, state=json.dumps(state)))
        page.goto(ADDRESS)
        page.wait_for_selector(".roi-explorer td")
        frames = film(page, list(state["box"]))
        browser.close()
    # An octree keeps the colours of thin lines; one palette for all, or the pictures flicker.
    palette = frames[len(frames) // 2].quantize(256, Image.Quantize.FASTOCTREE)
    palette.putpalette([255 if value > 247 else value for value in palette.getpalette()])
    few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [PAUSE, *[FRAME] * (len(few) - 2), PAUSE]
    few[0].save(TARGET, save_all=True, append_images=few[1:], duration=durations, loop=0)
    print(f"{TARGET.relative_to(ROOT)}: {len(few)} pictures, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
