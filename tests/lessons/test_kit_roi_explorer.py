"""The RoI explorer: its traits, numbers and still figure, and its JavaScript's arithmetic."""

import json
import shutil
import subprocess

import pytest
import torch
import torchvision
import traitlets
from source_tree import PACKAGE, ROOT

from mrcnn_lite.lessons.kit.roi_explorer import RoIExplorer, explore_roi
from mrcnn_lite.lessons.kit.roi_explorer.explorer import JS, PARTS, bundle
from mrcnn_lite.lessons.kit.roi_explorer.maps import named_maps
from mrcnn_lite.lessons.kit.roi_explorer.state import RoIState
from mrcnn_lite.ops import bilinear, roi_align, roi_pool

CASES = 1000
TOLERANCE = 1e-10  # both sides compute in float64; sums in another order (RoIPool: in float32)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node: it is not installed")


def draw_case(random: torch.Generator) -> dict:
    """A map, a RoI that may leave it, and settings, all random."""

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=random))

    h, w, stride = whole(1, 9), whole(1, 9), 2 ** whole(2, 6)
    size = whole(1, 8)
    limit = torch.tensor([w, h]) * stride
    corner = (torch.rand(2, generator=random, dtype=torch.float64) * 1.4 - 0.4) * limit
    extent = torch.rand(2, generator=random, dtype=torch.float64) * limit * 1.3 + 0.01
    box = torch.cat([corner, corner + extent])
    if whole(0, 3) == 0:  # many corners on halves of an element, where rounding has to decide
        box = (box / stride * 2).round() / 2 * stride
        box[2:] = torch.maximum(box[2:], box[:2] + stride / 2)
    return {
        "rows": torch.randn(h, w, generator=random, dtype=torch.float64).tolist(),
        "box": box.tolist(),
        "stride": stride,
        "size": size,
        "ratio": whole(0, 9),
        "aligned": bool(whole(0, 2)),
        "bin": whole(0, size * size),
        "sample": whole(0, 4),
    }


@pytest.fixture(scope="module")
def cases() -> tuple[list[dict], list[dict]]:
    """Random cases, and what the browser's code makes of them."""
    random = torch.Generator().manual_seed(20)
    cases = [draw_case(random) for _ in range(CASES)]
    command = ["node", str(ROOT / "tests" / "roi_ops_cases.mjs"), JS.as_uri()]
    run = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return cases, json.loads(run.stdout)


def assert_same(theirs: list, ours: torch.Tensor) -> None:
    theirs = torch.tensor(theirs, dtype=torch.float64).reshape(ours.shape)
    torch.testing.assert_close(theirs, ours, rtol=TOLERANCE, atol=TOLERANCE)


def arguments(case: dict, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """The map `[1, 1, h, w]` and the box `[1, 4]` of a case, both with gradients."""
    features = torch.tensor(case["rows"], dtype=dtype)[None, None].requires_grad_()
    return features, torch.tensor([case["box"]], dtype=dtype).requires_grad_()


def align_of(case: dict, features: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    scale, ratio = 1 / case["stride"], case["ratio"]
    return roi_align(features, [box], case["size"], scale, ratio, aligned=case["aligned"])


@needs_node
def test_roi_pool_in_the_browser(cases):
    for case, answer in zip(*cases):
        features, box = arguments(case, torch.float32)
        out = roi_pool(features, [box.detach()], case["size"], 1 / case["stride"])
        assert torch.equal(torch.tensor(answer["pool"]), out.detach().flatten())
        out.sum().backward()
        assert_same(answer["poolGradient"], features.grad.double())


@needs_node
def test_roi_align_in_the_browser(cases):
    for case, answer in zip(*cases):
        features, box = arguments(case)
        out = align_of(case, features, box)
        assert_same(answer["align"], out.detach())
        out.sum().backward()
        assert_same(answer["alignGradient"], features.grad)


@needs_node
def test_box_gradients_in_the_browser(cases):
    """At a kink (a sample exactly on an element) both sides take a one-sided derivative."""
    compared = 0
    for case, answer in zip(*cases):
        features, box = arguments(case)
        out = align_of(case, features.detach(), box).flatten()
        corners = torch.tensor(case["box"]) / case["stride"]
        if torch.equal(corners * 2, (corners * 2).round()):
            continue
        (ours,) = torch.autograd.grad(out[case["bin"]], box)
        theirs = [slopes[case["bin"]] for slopes in answer["boxGradients"]]
        assert_same(theirs, ours[0])
        compared += 1
    assert compared > CASES / 2


@needs_node
def test_the_explained_sample(cases):
    for case, answer in zip(*cases):
        sample = answer["sample"]
        if sample is None:
            assert answer["align"][case["bin"]] == 0
            continue
        features, _ = arguments(case)
        at = [torch.tensor([sample[name]], dtype=torch.float64) for name in ("y", "x")]
        assert_same([sample["value"]], bilinear(features[0].detach(), *at)[0])


def state_of(case: dict) -> RoIState:
    """The explorer's state in a case; its map has one element per number."""
    maps = [{"key": "ramp", "rows": case["rows"], "stride": case["stride"]}]
    settings = {name: case[name] for name in ("box", "stride", "size", "aligned")}
    settings |= {"sampling_ratio": case["ratio"], "bin": case["bin"] + 1}
    return RoIState(maps=maps, map="ramp", **settings)


@needs_node
def test_windows_and_counts_in_the_browser(cases):
    for case, answer in zip(*cases):
        state = state_of(case)
        windows = state.windows()
        assert answer["window"]["cells"] == list(windows.box)
        counts = windows.counts(*state.features().shape[-2:])
        assert answer["counts"] == counts.flatten().tolist()
        box = torch.tensor([case["box"]], dtype=torch.float64)
        pixels = torch.tensor([windows.box], dtype=torch.float64) * case["stride"]
        assert answer["window"]["iou"] == pytest.approx(torchvision.ops.box_iou(box, pixels).item())


@needs_node
def test_a_slide_in_the_browser(cases):
    """Where a corner lies on a half or a sample on an element, the last bit of a shift decides."""
    for case, answer in list(zip(*cases))[::5]:
        x1, *curves = state_of(case).slides()
        assert answer["slide"]["shifts"] == pytest.approx((x1[1:] - x1[0]).tolist(), abs=1e-9)
        for name, curve in zip(("pool", "align", "slope"), curves):
            theirs = torch.tensor(answer["slide"][name], dtype=torch.float64)
            same = torch.isclose(theirs, curve[1:], rtol=0, atol=1e-9)
            assert same.float().mean() > 0.9, (name, case)


@needs_node
def test_a_finer_stride_cuts_the_cells_in_the_browser_too(cases):
    for case, answer in zip(*cases):
        state = state_of(case)
        state.maps = [{"key": "ramp", "rows": case["rows"], "stride": 32}]
        finer = state.features()[0, 0]
        assert answer["finer"]["values"] == finer.flatten().tolist()
        assert [answer["finer"]["h"], answer["finer"]["w"]] == list(finer.shape)


def test_the_articles_numbers():
    pool, align = explore_roi(sampling_ratio=1).outputs()
    assert [round(x, 4) for x in pool.flatten().tolist()] == [1.6871, 0.4676, 2.0242, 2.3571]
    assert [round(x, 4) for x in align.flatten().tolist()] == [-0.8546, 0.3236, 0.2177, 0.0546]


def test_the_bundle_is_one_module():
    """A notebook's front end loads it from a string: nothing may be left to import."""
    lines = bundle().splitlines()
    assert not [line for line in lines if line.startswith("import ")]
    assert [line for line in lines if line.startswith("export default")] == [
        "export default { render };"
    ]
    assert "http" not in bundle().replace("http://www.w3.org/2000/svg", "")  # nothing is fetched
    names = [
        line.split("(")[0].split()[-1]
        for line in lines
        if line.startswith(("function ", "export function "))
    ]
    assert len(names) == len(set(names)), "two functions of one name in one module"


@needs_node
def test_the_bundle_parses(tmp_path):
    path = tmp_path / "bundle.mjs"
    path.write_text(bundle(), encoding="utf-8")
    run = subprocess.run(["node", "--check", str(path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_every_file_of_the_explorer_is_in_the_bundle():
    assert {path.name for path in JS.glob("*.js")} == set(PARTS)
    assert PACKAGE in JS.parents


@pytest.mark.parametrize("entry", named_maps(), ids=lambda entry: entry["key"])
def test_every_map_is_shown(entry):
    explorer = explore_roi(map=entry["key"], stride=entry["stride"], box=entry["box"])
    data, metadata = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"].startswith(metadata["image/png"]["alt"])
    assert data["image/png"].startswith("iVBOR")
    assert explorer.still()[:4] == b"\x89PNG"


def test_own_numbers():
    explorer = explore_roi(map="own", own=[[0, 1], [2, 3]], box=[0, 0, 64, 64], size=1)
    assert explorer.features().tolist() == [[[[0.0, 1.0], [2.0, 3.0]]]]
    assert explorer.outputs()[0].item() == 3


CHANGES = [
    ({}, {"box": [20, 10, 124, 124]}),
    ({}, {"size": 3}),
    ({}, {"aligned": True}),
    *[({"sampling_ratio": 1}, {"sampling_ratio": ratio}) for ratio in (0, 2, 3, 8)],
    ({"view": "pool"}, {"overlap": True}),
    ({"view": "pool", "overlap": True}, {"stride": 16}),
    ({}, {"view": "pool"}),
    ({}, {"gradient": True}),
    ({}, {"arrows": True}),
    ({}, {"slide": True}),
    ({"gradient": True}, {"chosen_only": True}),
    ({"slide": True}, {"bin": 3}),
    ({"slide": True, "bin": 3}, {"box": [10, 40, 124, 154]}),
]


@pytest.mark.parametrize(("state", "change"), CHANGES, ids=str)
def test_figure_and_numbers_follow_every_trait(state, change):
    explorer = explore_roi(**state)
    png, text = explorer.still(), explorer.describe()
    for name, value in change.items():
        setattr(explorer, name, value)
    assert explorer.still() != png
    assert explorer.describe() != text


def test_what_lesson_01_reads():
    text = explore_roi(view="pool", overlap=True).describe()
    assert "window 160 x 160 px, IoU with the RoI 0.5077" in text
    assert "columns of the bins: 0-2, 2-4" in text
    assert "cells in more than one bin: 9 of 25" in text
    assert "RoIAlign" not in text
    worth = {4: 0.9019, 8: 0.7932, 16: 0.6584, 32: 0.5077}  # as in the lesson's section 3
    for stride, iou in worth.items():
        text = explore_roi(view="pool", overlap=True, stride=stride).describe()
        assert f"IoU with the RoI {iou:.4f}" in text


def test_what_lesson_03_reads():
    text = explore_roi(sampling_ratio=1).describe()
    assert "bin 1, sample 1 of 1 at x = 1.2031, y = 1.2031:\n  0.6350 x -1.6091 + " in text
    assert " = -0.8546\n" in f"{text}\n"
    walk = [explore_roi(sample=k, bin=4).describe().split("bin 4, ")[1] for k in (1, 2, 3, 4, 5)]
    assert walk[3] == walk[4] and len(set(walk)) == 4, "the last one stays"
    assert "outside the map: 0" in explore_roi(box=[10, 10, 400, 124], bin=2).describe()


def test_what_lesson_05_reads():
    explorer = explore_roi(gradient=True, arrows=True, slide=True, sampling_ratio=1)
    text = explorer.describe()
    assert "9 of 36 cells learn from the sum of the outputs (RoIPool: 4)" in text
    assert "adding up to 4.0000" in text
    assert "bin 1: RoIAlign -0.8546, RoIPool 1.6871" in text
    learners = []
    for shift in range(42):
        explorer = explore_roi(box=[10 + shift, 10, 124 + shift, 124])
        learners.append(int((explorer.gradients()[1] != 0).sum()))
    steps = [k for k in range(1, 42) if learners[k] != learners[k - 1]]
    assert steps == [8, 19, 40] and learners[0] == 25
    largest = [float(explore_roi(box=[10, 10, 10 + side, 10 + side]).gradients()[1].max())
               for side in (60, 61, 62)]  # fmt: skip
    assert largest[1] > 1 >= largest[2]


def test_gradients_are_torchvisions_and_slopes_agree_with_steps():
    generator = torch.Generator().manual_seed(5)
    for k in range(12):
        x, y, side = (torch.rand(3, generator=generator, dtype=torch.float64) * 64).tolist()
        box = [10 + x, 10 + y, 42 + x + side, 42 + y + side]
        state = RoIState(box=box, sampling_ratio=k % 4 + 1, size=k % 3 + 1, chosen_only=k % 2 == 1)
        leaf = state.features().requires_grad_()
        rois = [torch.tensor([box], dtype=torch.float64)]
        args = (state.size, 1 / 32, state.sampling_ratio, False)
        out = torchvision.ops.roi_align(leaf, rois, *args)
        (out[0, 0, 0, 0] if state.chosen_only else out.sum()).backward()
        pooled, weights, _ = state.gradients()
        torch.testing.assert_close(weights, leaf.grad[0, 0])
        assert pooled.sum() == (1 if state.chosen_only else state.size**2)
        x1, _, align, slope = state.slides()
        steps = align[1:].diff() / x1[1:].diff()
        low, high = torch.stack([slope[1:-1], slope[2:]]).aminmax(dim=0)
        inside = (steps >= low - 1e-6) & (steps <= high + 1e-6)
        assert inside.float().mean() > 0.95, "two kinks in one step are rare"


def test_traits_can_be_observed():
    explorer, seen = RoIExplorer(), []
    explorer.observe(lambda change: seen.append(change["new"]), names="box")
    explorer.box = [12, 10, 124, 124]
    assert seen == [[12.0, 10.0, 124.0, 124.0]]


BAD = [
    ({"box": [5, 5, 5, 9]}, "x1 < x2"),
    ({"box": [0, 0, 1]}, "x1, y1, x2, y2"),
    ({"box": [0, 0, float("nan"), 4]}, "x1 < x2"),
    ({"map": "mine"}, "must be one of"),
    ({"stride": 5}, "any of .* not the int 5"),
    ({"own": [[1, 2], [3]]}, "same length"),
    ({"own": [[1, float("inf")]]}, "row 0"),
    ({"own": [[0.0] * 33]}, "at most 32"),
    ({"size": 8}, "size"),
]


@pytest.mark.parametrize(("state", "words"), BAD, ids=lambda value: str(value)[:40])
def test_bad_states_are_refused(state, words):
    with pytest.raises(traitlets.TraitError, match=words):
        explore_roi(**state)


def test_an_unknown_trait():
    with pytest.raises(ValueError, match="no trait named 'ratio'"):
        explore_roi(ratio=2)
