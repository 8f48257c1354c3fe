"""The live page in a real browser, from its file: the network, every stage, hands and keys, axe."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser_tools import MARKS, severe_violations, watched_page
from live_page import needs_npm
from PIL import Image
from source_tree import NOTEBOOKS

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import MaskRCNN, load_weights
from mrcnn_lite.ops import roi_align, roi_pool
from tools import build_live

pytestmark = MARKS

SURE = 0.5  # the score from which the page reports
PHONE = {"width": 320, "height": 640}
DRAWN = ["ellipse", "rectangle", "crescent", "star", "triangle"]  # in the first scene
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
SETTLED = """async () => {
    const { app } = document.body;
    const next = () => new Promise(done => requestAnimationFrame(done));
    do { await next(); await next(); }
    while (app.asked || app.running || app.wantsRun || app.frame?.version !== app.version);
}"""
FOUND = "() => document.body.app.frame.detections.map(({ name, box, score }) => [name, box, score])"
CHOSEN = """() => {
    const { chosen, path } = document.body.app;
    return { name: chosen.name, box: chosen.box, area: chosen.area, ...path };
}"""
OUTPUT = """([name, row]) => {
    const { data, dims } = document.body.app.frame.out[name];
    const length = row === null ? data.length : dims.slice(1).reduce((n, d) => n * d, 1);
    return [...data.subarray((row ?? 0) * length, ((row ?? 0) + 1) * length)].map(Number);
}"""
IMAGE = "() => [...document.body.app.frame.image]"
STAR = """() => {
    const { shapes } = document.body.app.scene;
    const { x, y, long, angle } = shapes.find(shape => shape.kind === 'star');
    return { x, y, long, angle };
}"""
SPOKEN = "() => document.querySelector('#live-region').textContent"


@pytest.fixture(scope="module")
def live_file(tmp_path_factory) -> Path:
    """The page, built with what npm brings."""
    needs_npm()
    page = tmp_path_factory.mktemp("live") / "live.html"
    assert not build_live.build(page)
    return page


@pytest.fixture(scope="module")
def model() -> MaskRCNN:
    """The network as PyTorch has it."""
    return load_weights(build_live.WEIGHTS)[0]


@pytest.fixture(scope="module")
def shared(browser, live_file) -> Iterator[Any]:
    """The page, opened once, without a network; no message may reach its console."""
    messages = []
    with watched_page(browser, "live", reduced_motion="reduce") as page:
        page.on("console", lambda message: messages.append(message.text))
        page.context.set_offline(True)
        page.goto(live_file.as_uri())
        page.wait_for_selector("#waking", state="hidden")
        yield page
    assert not messages


@pytest.fixture
def live(shared) -> Any:
    """The page as it begins."""
    if shared.locator("#tour").is_visible():
        shared.click("#tour-end")
    shared.click("#reset")
    shared.evaluate(SETTLED)
    return shared


@pytest.fixture
def open_live(browser, live_file):
    """A function that opens the page with the browser's settings."""
    opened = []

    def open_live(**settings: Any) -> Any:
        opened.append(watched_page(browser, "live-other", reduced_motion="reduce", **settings))
        page = opened[-1].__enter__()
        page.goto(live_file.as_uri())
        page.wait_for_selector("#waking", state="hidden")
        page.evaluate(SETTLED)
        return page

    yield open_live
    for page in opened:
        page.__exit__(None, None, None)


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a point of the image is in the window."""
    box = page.locator("#scene").bounding_box()
    return box["x"] + x * box["width"] / 128, box["y"] + y * box["height"] / 128


def output(page: Any, name: str, row: int | None = None) -> torch.Tensor:
    """An output of the network as the page has it, or a row of it."""
    return torch.tensor(page.evaluate(OUTPUT, [name, row]))


def box_of(page: Any, name: str) -> list[float]:
    """The box of the only detection of a class."""
    (box,) = [box for found, box, _ in page.evaluate(FOUND) if found == name]
    return box


def test_one_small_file(live_file):
    assert live_file.stat().st_size <= 10e6
    text = live_file.read_text(encoding="utf-8")
    assert "Permission is hereby granted" in text, "the runtime's licence goes with it"
    assert "842,265 weights" in text


def test_what_it_says_of_the_course(model):
    assert sum(p.numel() for p in model.parameters()) == 842_265
    page = (build_live.SOURCES / "index.html").read_text(encoding="utf-8")
    linked = set(re.findall(r'href="(\w+)\.html"', page)) - {"index"}
    assert len(linked) >= 8 and linked <= {path.stem for path in NOTEBOOKS}


def test_finds_what_is_drawn(live, model):
    """Detections and pixels are PyTorch's of the same image; the page says what was found."""
    image = torch.tensor(live.evaluate(IMAGE)).view(3, 128, 128)
    with torch.inference_mode():
        (wanted,) = model([image])
    sure = wanted["scores"] >= SURE
    found = sorted(live.evaluate(FOUND), key=lambda it: -it[2])
    assert sorted(name for name, *_ in found) == sorted(DRAWN)
    boxes = torch.tensor([box for _, box, _ in found])
    torch.testing.assert_close(boxes, wanted["boxes"][sure], atol=1e-3, rtol=0)
    scores = torch.tensor([score for *_, score in found])
    torch.testing.assert_close(scores, wanted["scores"][sure], atol=1e-4, rtol=0)
    areas = live.evaluate("() => document.body.app.frame.detections.map(({ area }) => area)")
    pixels = (wanted["masks"][sure, 0] >= 0.5).sum((1, 2)).tolist()
    assert sorted(areas) == pytest.approx(sorted(pixels), abs=1)  # a pixel may lie on the threshold
    assert live.inner_text("#found-line") == "Found 5 objects"
    live.wait_for_timeout(1200)
    assert live.evaluate(SPOKEN).startswith("5 objects: ")


def test_a_dragged_shape_is_followed(live):
    before = box_of(live, "star")
    star = live.evaluate(STAR)
    live.mouse.move(*spot(live, star["x"], star["y"]))
    live.mouse.down()
    live.mouse.move(*spot(live, star["x"] + 10, star["y"] + 20), steps=4)
    live.mouse.up()
    live.evaluate(SETTLED)
    moved = [b - a for a, b in zip(before, box_of(live, "star"), strict=True)]
    assert moved == pytest.approx([10, 20, 10, 20], abs=4)
    assert live.evaluate(CHOSEN)["name"] == "star", "the choice stays with the object"


def test_a_drag_on_empty_ground_draws(live):
    count = len(live.evaluate(FOUND))
    live.mouse.move(*spot(live, 112, 60))
    live.mouse.down()
    live.mouse.move(*spot(live, 126, 60), steps=3)
    live.mouse.up()
    live.evaluate(SETTLED)
    assert live.evaluate("() => document.body.app.scene.shapes.length") == 6
    assert len(live.evaluate(FOUND)) >= count


def test_an_added_shape_is_chosen_and_a_lost_one_is_let_go(live):
    live.get_by_label("Add: ellipse").click()
    live.evaluate(SETTLED)
    shape = live.evaluate("() => (({ x, y }) => [x, y])(document.body.app.scene.chosen)")
    x1, y1, x2, y2 = live.evaluate(CHOSEN)["box"]
    assert x1 < shape[0] < x2 and y1 < shape[1] < y2
    live.get_by_label("Delete", exact=True).click()
    live.evaluate(SETTLED)
    assert "not found at the moment" in live.inner_text("#path-words")
    live.locator("#path-name:has-text('the ')").wait_for()


def test_by_keyboard(live):
    live.locator("#scene").focus()
    while "star" not in live.inner_text("#scene-now"):
        live.keyboard.press("n")
        live.evaluate(SETTLED)
    before = live.evaluate(STAR)
    for key in ("ArrowRight", "Shift+ArrowDown", "+", "]"):
        live.keyboard.press(key)
    after = live.evaluate(STAR)
    assert [after["x"] - before["x"], after["y"] - before["y"]] == pytest.approx([1, 5])
    assert after["long"] == pytest.approx(before["long"] * 1.05)
    assert after["angle"] > before["angle"]
    live.keyboard.press("Delete")
    live.evaluate(SETTLED)
    assert "star" not in [name for name, *_ in live.evaluate(FOUND)]


def test_a_click_chooses_and_the_path_leads_to_the_pixels(live):
    live.mouse.click(*spot(live, 40, 36))
    live.evaluate(SETTLED)
    assert live.inner_text("#path-name") == "the rectangle"
    chosen = live.evaluate(CHOSEN)
    proposal = output(live, "proposals", chosen["proposal"])
    torch.testing.assert_close(torch.tensor(chosen["proposalBox"]), proposal)
    anchor = output(live, "anchors", chosen["candidate"])
    torch.testing.assert_close(torch.tensor(chosen["anchor"]), anchor)
    live.locator(".station").last.focus()
    said = [live.inner_text("#path-words")]
    for _ in range(9):
        live.keyboard.press("ArrowLeft")
        live.evaluate(SETTLED)
        said.append(live.inner_text("#path-words"))
    assert len(set(said)) == 10
    assert said[-1].startswith("Here the rectangle is nothing but pixels")
    assert live.locator(".station").first.get_attribute("aria-pressed") == "true"
    live.click("#found button:has-text('star')")
    live.evaluate(SETTLED)
    assert live.inner_text("#path-name") == "the star"


def test_roi_pool_for_roi_align(live):
    """The pooled features are those of our operators, and the page says by how much boxes move."""
    before = live.evaluate(FOUND)
    live.locator("#stage-roi").scroll_into_view_if_needed()
    features = output(live, "features_0").view(1, 48, 32, 32)
    settings = {"sampling_ratio": 2, "aligned": False}
    pooled = {}
    for name, operator, more in (("RoIAlign", roi_align, settings), ("RoIPool", roi_pool, {})):
        live.get_by_label(name, exact=True).check()
        live.evaluate(SETTLED)
        chosen = live.evaluate(CHOSEN)
        box = torch.tensor([[0, *chosen["proposalBox"]]])
        pooled[name] = output(live, "box_pooled", chosen["proposal"]).view(48, 7, 7)
        wanted = operator(features, box, 7, 1 / 4, **more)[0]
        torch.testing.assert_close(pooled[name], wanted, atol=1e-5, rtol=0)
    assert (pooled["RoIPool"] - pooled["RoIAlign"]).abs().max() > 0.1
    after = {name: box for name, box, _ in live.evaluate(FOUND)}
    moved = [max(abs(a - b) for a, b in zip(box, after[name])) for name, box, _ in before]
    said = live.inner_text("#pooling-effect")
    assert f"boxes move by {sum(moved) / 5:.1f} px on average, at most {max(moved):.1f} px" in said
    live.get_by_label("RoIAlign", exact=True).check()
    live.evaluate(SETTLED)
    assert live.inner_text("#pooling-effect") == ""
    assert live.evaluate(FOUND) == before


@pytest.mark.parametrize("iou", ["0.7", "0.5"])
def test_suppression_step_by_step(iou, live):
    """What the page removes is what the network removed."""
    live.locator("#stage-proposals").scroll_into_view_if_needed()
    live.fill("#rpn-iou", iou)
    live.select_option("#step-level", "2")
    live.evaluate(SETTLED)
    level = output(live, "candidate_level")
    kept = output(live, "candidate_kept")[level == 2].bool().tolist()
    for row in range(12):
        said = live.inner_text("#step-now")
        assert said.startswith(f"Candidate {row + 1} of {len(kept)} on P4")
        assert (": kept." in said) == kept[row]
        assert ("It is removed" in said) != kept[row]
        live.click("#step-on")
        live.evaluate(SETTLED)
    assert not all(kept[:12])


def test_thresholds(live):
    live.locator("#stage-box").scroll_into_view_if_needed()
    live.fill("#score-threshold", "0.05")
    live.fill("#nms-iou", "0.9")
    live.evaluate(SETTLED)
    found = live.evaluate(FOUND)
    assert len(found) > 5 and min(score for *_, score in found) < SURE
    assert "more" in live.inner_text("#threshold-effect")
    area = live.evaluate(CHOSEN)["area"]
    live.fill("#mask-threshold", "0.9")
    live.evaluate(SETTLED)
    assert live.evaluate(CHOSEN)["area"] < area


def test_tour_by_keyboard(live):
    live.locator("#tour-start").focus()
    live.keyboard.press("Enter")
    seen = []
    for step in range(7):
        live.evaluate(SETTLED)
        assert live.inner_text("#tour-place") == f"{step + 1} of 7"
        assert live.evaluate("() => document.activeElement.id") == "tour-title"
        assert live.inner_text("#tour-try").startswith("Try: ")
        scene = live.evaluate("() => document.body.app.scene.shapes.map(({ kind }) => kind)")
        found = [name for name, *_ in live.evaluate(FOUND)]
        assert sorted(found) == sorted(scene), "what the tour shows is found"
        assert live.evaluate(CHOSEN)["name"] == "star"
        seen.append(live.inner_text("#tour-title"))
        live.keyboard.press("ArrowRight")
    assert len(set(seen)) == 7
    live.keyboard.press("Escape")
    assert live.locator("#tour").is_hidden()
    assert live.evaluate("() => document.activeElement.id") == "tour-start"


def test_photograph_of_ones_own(live, model, tmp_path):
    pixels = (Shapes(40, seed=2)[22][0] * 255).round().byte()  # [3, H, W]
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / "mine.png")
    live.set_input_files("#photo-file", tmp_path / "mine.png")
    live.wait_for_selector("#photo-note")
    live.evaluate(SETTLED)
    seen = torch.tensor(live.evaluate(IMAGE)).view(3, 128, 128)
    torch.testing.assert_close(seen, pixels / 255)
    with torch.inference_mode():
        (wanted,) = model([seen])
    boxes = torch.tensor([box for _, box, _ in sorted(live.evaluate(FOUND), key=lambda it: -it[2])])
    sure = wanted["scores"] >= SURE
    torch.testing.assert_close(boxes, wanted["boxes"][sure], atol=1e-3, rtol=0)
    (tmp_path / "not.png").write_text(json.dumps("no image"))
    live.set_input_files("#photo-file", tmp_path / "not.png")
    live.locator("#photo-note:has-text('cannot be read')").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessibility(theme, live):
    dark = "dark" in live.evaluate("() => document.documentElement.dataset.theme")
    if dark != (theme == "dark"):
        live.click("#theme")
    assert severe_violations(live) == []


def test_phone(open_live):
    """Narrow, dark and by touch: nothing scrolls sideways, and a finger moves a shape."""
    page = open_live(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    assert page.evaluate(SIDEWAYS) == 0
    assert (
        page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 27)"
    )
    page.locator("#scene").scroll_into_view_if_needed()
    before = page.evaluate(STAR)
    x, y = spot(page, before["x"], before["y"])
    touch = page.context.new_cdp_session(page)
    for kind, step in (("Start", 0), ("Move", 10), ("Move", 20), ("End", None)):
        points = [] if step is None else [{"x": x + step, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    page.evaluate(SETTLED)
    after = page.evaluate(STAR)
    assert after["x"] > before["x"] + 5
    x, y = spot(page, after["x"], after["y"])
    for kind, span in (("Start", 20), ("Move", 25), ("Move", 30), ("End", None)):
        points = [] if span is None else [{"x": x - span, "y": y}, {"x": x + span, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    page.evaluate(SETTLED)
    assert page.evaluate(STAR)["long"] > 1.3 * after["long"], "two fingers resize"
    page.click("#tour-start")
    page.evaluate(SETTLED)
    assert page.evaluate(SIDEWAYS) == 0
