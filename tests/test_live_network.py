"""The live page's network in WebAssembly: every stage as onnxruntime's own, and the built page."""

import json
import re
import subprocess

import onnxruntime
import pytest
import torch
from browser_tools import MARKS, watched_page
from live_page import built_page, needs_npm, network
from source_tree import ROOT

from mrcnn_lite.datasets import Shapes
from mrcnn_lite.ops.nms import largest_at_most
from tools import build_live

LIVE, COUNT = ROOT / "docs" / "live", 2
SWITCHES = [{}, {"pooling": 1, "score_threshold": 0.3, "nms_iou": 0.3, "rpn_nms_iou": 0.6}]
CANDIDATES = (
    "candidate_level",
    "anchors",
    "candidates",
    "candidate_scores",
    "candidate_kept",
)
THRESHOLDS = [0, 0.3, 0.5, 0.7, 0.95, 1]


@pytest.fixture(scope="module")
def answers() -> dict:
    """What Node makes of images."""
    needs_npm()
    network()
    drawn = Shapes(COUNT, seed=5)
    pixels = torch.stack([drawn[index][0] for index in range(COUNT)])  # [N, 3, H, W]
    script = str(ROOT / "tests" / "live_network.mjs")
    places = LIVE.as_uri(), str(build_live.RUNTIME), str(build_live.BUILD), json.dumps(SWITCHES)
    command = ["node", script, *places]
    run = subprocess.run(command, input=pixels.numpy().tobytes(), capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    return json.loads(run.stdout) | {"pixels": pixels}


def by_anchor(stages: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Candidates in the order of their anchors: two whose scores differ by rounding change places,
    and so does what says where a proposal is among them."""
    places = torch.cat([stages["candidate_level"][:, None], stages["anchors"]], dim=1)  # [N, 5]
    order = sorted(range(len(places)), key=places.tolist().__getitem__)
    ordered = stages | {name: stages[name][order] for name in CANDIDATES}
    source = torch.tensor(order).argsort()[stages["proposal_source"].long()]  # [R]
    return ordered | {"proposal_source": source}


def test_every_stage_in_webassembly(answers):
    """tests/export/test_stages.py holds onnxruntime's to PyTorch's."""
    session = onnxruntime.InferenceSession(str(build_live.BUILD / "stages.onnx"))
    names = [output.name for output in session.get_outputs()]
    found_any, answered = 0, iter(answers["all"])
    for image in answers["pixels"]:
        for switches in SWITCHES:
            given = {
                name: network()[name] for name in ("score_threshold", "nms_iou", "rpn_nms_iou")
            }
            given |= {"pooling": 0} | switches
            for name in ("nms_iou", "rpn_nms_iou"):
                given[name] = largest_at_most(given[name], torch.float32)
            feeds = {name: torch.tensor(value).numpy() for name, value in given.items()}
            expected = session.run(names, {"image": image[None].numpy(), **feeds})
            theirs = next(answered)
            assert theirs.keys() == set(names)
            assert {name: it["dims"] for name, it in theirs.items()} == network()["outputs"]
            ours = dict(zip(names, map(torch.tensor, expected), strict=True))
            found = {
                name: torch.tensor(theirs[name]["data"], dtype=value.dtype).view(value.shape)
                for name, value in ours.items()
            }
            ours, found = by_anchor(ours), by_anchor(found)
            for name, value in ours.items():
                if value.is_floating_point():
                    torch.testing.assert_close(found[name], value, rtol=0, atol=1e-3, msg=name)
                else:
                    assert torch.equal(found[name], value), name
            found_any += theirs["count"]["data"][0]
    assert found_any > 2 * COUNT


def test_few_outputs_and_thresholds(answers):
    assert answers["few"] == ["count"]
    assert answers["rounded"] == [largest_at_most(x, torch.float32) for x in THRESHOLDS]


def test_the_page_is_one_small_file_with_its_licence():
    page = built_page()
    assert page.stat().st_size <= 10_000_000
    text = page.read_text(encoding="utf-8")
    assert "Copyright (c) Microsoft Corporation" in text
    assert not re.search(r"""<(?:link|script|img)[^>]*\s(?:href|src)=""", text)
    loaded = re.compile(r"default-src 'none'; script-src 'sha256-[^']+' 'wasm-unsafe-eval'")
    assert loaded.search(text)


class TestInTheBrowser:
    """Its own policy is in force: what it forbids fails here."""

    pytestmark = MARKS

    def test_it_starts_from_a_file_and_asks_for_nothing(self, browser):
        with watched_page(browser, "live") as page:
            asked = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(built_page().as_uri())
            page.locator("#waking").wait_for(state="hidden")
            assert "cannot run" not in page.locator("#waking").inner_text()
            assert asked == [built_page().as_uri()]


def test_without_npm_the_page_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(build_live, "RUNTIME", tmp_path / "runtime.wasm")
    monkeypatch.setattr(build_live.shutil, "which", lambda *_, **__: None)
    assert build_live.build(tmp_path / "live.html") == "npm is not installed"
    assert "npm is not installed" in (tmp_path / "live.html").read_text(encoding="utf-8")


def test_the_lock_names_no_registry_and_pins_every_package():
    lock = json.loads((LIVE / "package-lock.json").read_text())
    wanted = json.loads((LIVE / "package.json").read_text())
    packages = {name: it for name, it in lock["packages"].items() if name}
    assert all(
        it["integrity"] and it["version"] and "resolved" not in it for it in packages.values()
    )
    asked = wanted["dependencies"] | wanted["devDependencies"]
    for name, version in asked.items():
        assert packages[f"node_modules/{name}"]["version"] == version
