"""The live page's network in WebAssembly: every stage as onnxruntime's own, and the built page."""

import json
import re
import subprocess

import onnxruntime
import pytest
import torch
from live_page import needs_npm, network, same_choices
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
    found_any, compared, answered = 0, 0, iter(answers["all"])
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
            same = same_choices(found, ours)
            for name, value in ours.items():
                if same or name.startswith(("features", "objectness")):
                    difference = found[name].double() - value.double()
                    assert difference.abs().max() <= 1e-3, name
            found_any += int(found["count"])
            compared += same
    assert compared >= COUNT
    assert found_any > 2 * COUNT


def test_few_outputs_and_thresholds(answers):
    assert answers["few"] == ["count"]
    assert answers["rounded"] == [largest_at_most(x, torch.float32) for x in THRESHOLDS]


def test_the_page_forbids_all_that_it_does_not_hold():
    """tests/test_browser_live.py opens it: whatever it needs is there."""
    needs_npm()
    index = (LIVE / "index.html").read_text(encoding="utf-8")
    text = build_live.assembled(index, network())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy and "*" not in policy
    loaded = re.findall(r"<(?:link|script|img)[^>]*\s(?:href|src)=([^>]*)", text)
    assert all(address.startswith('"data:') for address in loaded)


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
