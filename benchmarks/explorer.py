"""How long the RoI explorer's script works for one frame of a drag, in a real browser.

    python -m benchmarks.explorer [--frames 200] [--json FILE]

The RoI is dragged to and fro with the mouse; a frame is everything that the explorer does between a
mouse event and the changed page: both operators, gradients, drawings, tables, messages. A frame of
a 60 Hz screen is 16 ms. Needs Chromium.
"""

import json
import shutil
import statistics
from typing import Any

from benchmarks.cpu import Report, command
from benchmarks.table import Different, Goal, Row

LIMIT_MS = 16
SETTINGS = {  # name: what differs from the explorer's defaults
    "as it opens": {},
    "gradients and arrows": {"gradient": True, "arrows": True},
    "7 x 7, 64 samples per bin": {"size": 7, "sampling_ratio": 8},
    "16 x 16 map, all on": {
        "map": "channel",
        "stride": 8,
        "box": [19.0, 20.0, 60.0, 62.0],
        "size": 7,
        "gradient": True,
        "arrows": True,
        "overlap": True,
    },
    "lesson 05": {"gradient": True, "arrows": True, "slide": True},
    "lesson 01, stride 4": {"view": "pool", "overlap": True, "stride": 4, "size": 7},
}


def drag(page: Any, frames: int) -> list[float]:
    """Drag the RoI's body and return the times of the frames, ms."""
    grip = page.locator(".roi-explorer [role=button][tabindex='0']").first.bounding_box()
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("document.querySelector('.roi-explorer').frames.length = 0")
    for step in range(frames):
        by = 60 - abs(step % 120 - 60)  # 0 to 60 px and back
        page.mouse.move(x + by, y + by)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    page.mouse.up()
    return page.evaluate("document.querySelector('.roi-explorer').frames")


def measure(frames: int) -> Report:
    """Drag in every setting; the number of frames, their median and 95th percentile in ms."""
    if shutil.which("chromium") is None:
        raise Different("chromium is not installed")
    from playwright.sync_api import sync_playwright

    from mrcnn_lite.lessons.kit.roi_explorer import explore_roi
    from mrcnn_lite.lessons.kit.roi_explorer.state import STATE
    from tools.explorer_picture import ADDRESS, FLAGS, PAGE, serve

    results = {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*FLAGS]
        )
        for name, changes in SETTINGS.items():
            explorer = explore_roi(**changes)
            state = {key: getattr(explorer, key) for key in STATE}
            page = chromium.new_page(viewport={"width": 900, "height": 1000})
            serve(page, PAGE.format(style="", state=json.dumps(state)))
            page.goto(ADDRESS)
            page.wait_for_selector(".roi-explorer td button")
            times = drag(page, frames)
            p95 = statistics.quantiles(times, n=20)[-1]
            results[name] = {
                "frames": len(times),
                "median_ms": round(statistics.median(times), 2),
                "p95_ms": round(p95, 2),
            }
            page.close()
        chromium.close()
    print(f"{'setting':28}  frames  median ms  95 % ms")
    for name, r in results.items():
        print(f"{name:28}  {r['frames']:6}  {r['median_ms']:9.1f}  {r['p95_ms']:7.1f}")
    slow = [name for name, r in results.items() if r["p95_ms"] > LIMIT_MS]
    print(f"95 of 100 frames within {LIMIT_MS} ms: {'no, ' + ', '.join(slow) if slow else 'yes'}")
    return {"settings": results}


def rows(report: Report) -> list[Row]:
    """The slowest setting."""
    times = {name: entry["p95_ms"] for name, entry in report["settings"].items()}
    slowest = max(times, key=times.__getitem__)
    what = f"a frame of the RoI explorer, 95 of 100: {slowest}"
    return [Row("explorer", what, times[slowest], "ms", Goal(LIMIT_MS, at_most=True))]


if __name__ == "__main__":
    raise SystemExit(command(__doc__, measure, frames=200))
