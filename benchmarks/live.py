"""How long the live page works for one frame of a drag, in a real browser on one thread.

    python -m benchmarks.live [--frames 200] [--json FILE]

A shape of the first scene is dragged to and fro with the mouse, without a pause: a frame is the
time from one changed page to the next, with the image drawn, the network and all its stages, the
stages shown. Then move by move: the delay is the time from the mouse's event to the changed page,
which waits for the screen's next picture twice. First what the network finds must be what PyTorch
finds. Needs Chromium, and npm to build.
"""

import shutil
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from benchmarks.cpu import Report, command
from benchmarks.table import Different, Goal, Row
from mrcnn_lite.models import load_weights
from tools import build_live
from tools.explorer_picture import FLAGS

LIMIT_MS, LIMIT_MB = 1000 / 15, 10.0
LIMITS = {"boxes": 1e-3, "scores": 1e-4}
LISTEN = """() => {
    const { app } = document.body;
    const run = app.network.run;
    Object.assign(window, { network: [], delays: [], shown: [] });
    app.network.run = async (...given) => {
        const start = performance.now();
        const out = await run(...given);
        window.network.push(performance.now() - start);
        return out;
    };
    const draw = app.draw;
    let frame = app.frame;
    app.draw = () => {
        draw.call(app);
        if (app.frame !== frame) window.shown.push(performance.now());
        frame = app.frame;
    };
    addEventListener('pointermove', event => { window.moved = event.timeStamp; }, true);
}"""
SETTLED = """async () => {
    const { app } = document.body;
    const next = () => new Promise(requestAnimationFrame);
    do await next(); while (app.asked || app.running || app.wantsRun);
    window.delays.push(performance.now() - window.moved);
}"""
FOUND = """() => {
    const { out, image } = document.body.app.frame;
    const said = ['boxes', 'labels', 'scores', 'count'];
    return { image: [...image], ...Object.fromEntries(said.map(k => [k, [...out[k].data]])) };
}"""
STAR = """() => {
    const { app } = document.body;
    const { x, y } = app.scene.shapes.find(shape => shape.kind === 'star');
    const area = document.getElementById('scene').getBoundingClientRect();
    return [area.x + x / 128 * area.width, area.y + y / 128 * area.height];
}"""


def drag(page: Any, frames: int, pause: bool) -> None:
    """Move the star until so many frames were shown; the page keeps the times. With pauses each
    move waits for its frame."""
    x, y = page.evaluate(STAR)
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("() => { for (const k of ['network', 'delays', 'shown']) window[k].length = 0; }")
    step = 0
    while page.evaluate("window.shown.length") <= frames:
        step += 1
        by = 40 - abs(step % 80 - 40)  # 0 to 40 px and back
        page.mouse.move(x - by, y - by)
        if pause:
            page.evaluate(SETTLED)
    page.mouse.up()


@torch.no_grad()
def require_same(found: dict[str, list]) -> None:
    """Compare what the page found in its image with PyTorch."""
    model, _ = load_weights(build_live.WEIGHTS)
    heads = model.roi_heads
    heads.config = heads.config.with_(box={"score_threshold": 0.5})  # the page's first
    (expected,) = model([torch.tensor(found["image"]).view(3, *build_live.SIZE)], lazy_masks=True)
    count = len(expected["labels"])
    if found["count"] != [count] or found["labels"][:count] != expected["labels"].tolist():
        raise Different(f"the page found {found['labels']}, PyTorch {expected['labels'].tolist()}")
    for name, limit in LIMITS.items():
        theirs = torch.tensor(found[name][: expected[name].numel()]).view_as(expected[name])
        if (theirs - expected[name]).abs().max() > limit:
            raise Different(f"{name} differ by more than {limit} from PyTorch's")


def summary(times: list[float]) -> dict[str, float]:
    """Median and 95th percentile, ms."""
    p95 = statistics.quantiles(times, n=20)[-1]
    return {"median_ms": round(statistics.median(times), 1), "p95_ms": round(p95, 1)}


def measure(frames: int) -> Report:
    """Drag; times of the network and of whole frames, and the file's size."""
    if shutil.which("chromium") is None:
        raise Different("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "live.html"
        if reason := build_live.build(file):
            raise Different(reason)
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*FLAGS]
        )
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(file.as_uri())
        page.locator("#waking").wait_for(state="hidden", timeout=120_000)
        page.evaluate(LISTEN)
        drag(page, 10, pause=False)
        page.evaluate(SETTLED)
        require_same(page.evaluate(FOUND))
        drag(page, frames, pause=False)
        network, shown = page.evaluate("() => [window.network, window.shown]")
        drag(page, frames, pause=True)
        delays = page.evaluate("window.delays")
        chromium.close()
        report = {
            "frames": frames,
            "network": summary(network),
            "frame": summary([after - before for before, after in pairwise(shown)]),
            "delay": summary(delays),
            "megabytes": round(file.stat().st_size / 1e6, 2),
        }
    for name in ("network", "frame", "delay"):
        print(f"{name:8} median {report[name]['median_ms']} ms, 95 % {report[name]['p95_ms']} ms")
    print(f"{report['frames']} frames; the page {report['megabytes']} MB")
    return report


def rows(report: Report) -> list[Row]:
    """Frames of a drag, and the size of the page."""
    goal = Goal(LIMIT_MS, at_most=True)
    what = "a frame of the live page"
    return [
        Row("live", f"{what}, median", report["frame"]["median_ms"], "ms", goal),
        Row("live", f"{what}, 95 of 100", report["frame"]["p95_ms"], "ms", goal),
        Row("live", "the live page", report["megabytes"], "MB", Goal(LIMIT_MB, at_most=True)),
    ]


if __name__ == "__main__":
    raise SystemExit(command(__doc__, measure, frames=200))
