"""Notebook 17: what it counts, its profile, explorer and pictures, and what it reads of results."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from explorer_tools import check_bundle
from torch import nn

from mrcnn_lite.config import lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.lessons.kit import roi_scene, style
from mrcnn_lite.lessons.n17_gpu_training import work as counts
from mrcnn_lite.lessons.n17_gpu_training.explorer import RooflineState, explore_roofline
from mrcnn_lite.lessons.n17_gpu_training.profile import STAGES, profile_step
from mrcnn_lite.lessons.n17_gpu_training.work import NAMES, step_stages, step_work, weight_counts
from mrcnn_lite.training import TrainingRun, training_batches
from tools.exercise_sources import chapter_of

PNG = b"\x89PNG\r\n\x1a\n"
CELLS = [text for kind, text in chapter_of("17-no-waits").cells if kind == "code"]


def meta(*shape):
    return torch.empty(shape, device="meta")


# --- Counting -----------------------------------------------------------------------------------


def test_a_convolution_by_hand():
    conv = nn.Conv2d(8, 16, 3, padding=1, bias=False, device="meta")
    work = counts.count_work(lambda: conv(meta(2, 8, 10, 12)))
    places = 2 * 10 * 12
    assert work.flops == 2 * 9 * 8 * 16 * places
    assert work.numbers == work.needed == places * (8 + 16) + 9 * 8 * 16


def test_a_linear_layer_by_hand():
    layer = nn.Linear(30, 5, device="meta")
    work = counts.count_work(lambda: layer(meta(7, 30)))
    assert work.flops == 2 * 7 * 30 * 5
    assert work.numbers == 7 * 30 + 30 * 5 + 5 + 7 * 5


def test_single_elements_views_and_room():
    x = meta(3, 4)
    assert counts.count_work(lambda: x + x) == counts.Work(12, 36, 0)
    assert counts.count_work(lambda: x.relu_()) == counts.Work(12, 24, 0)
    assert counts.count_work(lambda: x.view(4, 3).mT[1:]) == counts.Work()
    assert counts.count_work(lambda: torch.empty_like(x)) == counts.Work()
    row = meta(4).expand(3, 4)  # kept once
    assert counts.count_work(lambda: x * row) == counts.Work(12, 12 + 4 + 12, 0)
    assert counts.Work(1, 2, 3) + counts.Work(1, 1, 1) * 2 == counts.Work(3, 4, 5)


def test_the_backward_pass_is_counted_too():
    conv, x = nn.Conv2d(8, 16, 3, padding=1, bias=False, device="meta"), meta(1, 8, 6, 6)
    x.requires_grad_()
    out = conv(x)
    work = counts.count_work(lambda: out.backward(torch.empty_like(out)))
    forward = 2 * 9 * 8 * 16 * 36
    assert work.flops - 2 * forward < forward / 100


def test_stages_agree_with_counts_by_hand():
    work = step_work(2, (800, 1344), 512, 128)
    pixels = 2 * sum(h * w for h, w in roi_scene.shapes())
    fpn = 2 * 9 * 256 * 256 * pixels
    for stride, width in zip(roi_scene.STRIDES, (256, 512, 1024, 2048)):
        fpn += 2 * width * 256 * 2 * (800 // stride) * (1344 // stride)
    made = work["FPN"][0].flops
    assert fpn < made < 1.01 * fpn, "products, and little more"
    assert work["FPN"][1].flops == pytest.approx(2 * fpn, rel=0.01)
    everywhere = pixels + 2 * 13 * 21  # P6 too
    rpn = 2 * everywhere * (9 * 256 * 256 + 256 * 15)
    assert work["RPN head"][0].flops == pytest.approx(rpn, rel=0.01)
    box = 2 * 1024 * (256 * 49 * 1024 + 1024 * 1024 + 1024 * 91 * 5)
    assert work["box head"][0].flops == pytest.approx(box, rel=0.01)
    masks = 2 * 256 * (4 * 196 * 9 * 256 * 256 + 196 * 4 * 256 * 256 + 784 * 256 * 91)
    assert work["mask head"][0].flops == pytest.approx(masks, rel=0.01)
    out = 1024 * 49 * 256
    assert work["box RoIAlign"][0].flops == 32 * out
    read = sum(int(m.sum()) for m in roi_scene.touched(1024, 7, 2)) * 256
    assert work["box RoIAlign"][0].numbers == read + out
    assert work["box RoIAlign"][1].numbers == pixels * 256 + out
    assert work["weights' update"][1].numbers == 5 * weight_counts()[0]


def test_weights_of_the_network():
    learned, every = weight_counts()
    assert every == 44_401_393, "as torchvision says of its own"
    assert learned < every, "the stem and the first stage are frozen"


def test_what_more_work_costs():
    few, many = (step_stages(images=n) for n in (1, 4))
    for a, b in zip(few[:-1], many[:-1], strict=True):
        assert b.flops == pytest.approx(4 * a.flops, rel=0.02)
        assert a.size < b.size <= 4 * a.size * 1.001, "weights are read once"
    assert few[-1] == many[-1]
    half = step_stages(images=1, itemsize=2)
    assert half[0].size == few[0].size / 2 and half[-1] == few[-1]
    for a, b in zip(few, step_stages(images=1, fused=True), strict=True):
        assert b.flops == a.flops and b.size <= a.size
    assert [stage.name for stage in few] == list(NAMES)


def test_a_machine():
    machine = counts.Machine("toy", 10.0, {4: 40.0, 2: 80.0})
    assert machine.ridge(4) == 4 and machine.ridge(2) == 8
    assert machine.seconds(40, 5, 4) == 1 and machine.seconds(40, 30, 4) == 3
    assert all(m.peak[2] > m.peak[4] for m in counts.MACHINES.values())


# --- The profile --------------------------------------------------------------------------------


def test_the_profile_of_a_step(capfd):
    names = Shapes.class_names
    config = lite(len(names)).with_(training={"batch_size": 2})
    run = TrainingRun(config, names, seed=0)
    before = run.model.rpn.head.conv[0][0].weight.detach().clone()
    batch = next(training_batches(config, Shapes(None, seed=1), seed=0)(0))
    seen = profile_step(run, batch)
    assert sum(seen.stages.values()) == pytest.approx(1)
    assert set(seen.stages) == {*STAGES, "other forward", "backward", "update"}
    assert all(share > 0 for share in (*seen.stages.values(), *seen.kinds.values()))
    assert sum(seen.kinds.values()) < 1
    assert not torch.equal(before, run.model.rpn.head.conv[0][0].weight)
    assert run.model.rpn.forward.__func__ is type(run.model.rpn).forward, "put back"
    assert capfd.readouterr().err == ""
    print("still there", file=sys.stderr)
    assert capfd.readouterr().err == "still there\n"


# --- Pictures and the explorer ------------------------------------------------------------------


def test_the_still_names_every_stage():
    state = RooflineState()
    figure = state.draw(state.stages())
    labels = [label.get_text() for ax in figure.axes for label in ax.get_yticklabels()]
    assert all(f"{name}  {k + 1}" in labels for k, name in enumerate(NAMES))
    assert style.figure_png(figure).startswith(PNG)


def test_it_starts_with_the_notebooks_step():
    png, text = RooflineState().render()
    assert png.startswith(PNG)
    assert "computed, not measured" in text.splitlines()[0]
    assert "memory decides below 295 operations per byte" in text
    assert len(text.splitlines()) == 3 + len(NAMES)


@pytest.mark.parametrize(
    ("name", "value"),
    [("machine", "T4"), ("itemsize", 4), ("images", 5), ("size", (512, 512)), ("rois", 64)]
    + [("mask_rois", 16), ("fused", True)],
)
def test_it_follows_every_control(name, value):
    explorer = explore_roofline()
    png, text = explorer.png, explorer.text
    explorer.controls[name].value = value
    assert explorer.png != png and explorer.text != text
    assert getattr(explorer.state, name) == value


def test_what_the_notebook_asks_the_reader_to_find():
    def stage(name, **settings):
        state = RooflineState()
        for key, value in settings.items():
            setattr(state, key, value)
        found = next(s for s in state.stages() if s.name == name)
        waits = found.intensity < counts.MACHINES[state.machine].ridge(state.itemsize)
        return found, state.milliseconds(found), waits

    def waiting(**settings):
        return [name for name in NAMES if stage(name, **settings)[2]]

    assert len(waiting()) == 4 and len(waiting(itemsize=4)) == 3
    gains = {name: stage(name)[1] - stage(name, fused=True)[1] for name in NAMES}
    assert max(gains, key=gains.get) == "body"
    assert "box head" not in waiting() and "box head" in waiting(images=1, rois=64)
    slow, quick = (stage("box RoIAlign", machine=m)[1] for m in ("T4", "H200"))
    assert slow == pytest.approx(15 * quick)


def test_shown_as_one_bundle_with_labels():
    check_bundle(explore_roofline)


# --- What the notebook reads ---------------------------------------------------------------------


def test_stored_results_are_shown(tmp_path):
    (source,) = [text for text in CELLS if text.startswith("def stored(")]
    scope = {"json": json, "Path": Path}
    exec(source.split("\n\n\n")[0], scope)
    row = {"benchmark": "nms_gpu", "what": "one launch", "value": 12.345, "unit": "x"}
    files = {
        "cpu.json": {"provenance": {}, "rows": [row]},
        "gpu.json": {"provenance": {"gpu": "a GPU"}, "rows": [row, row | {"value": None}]},
        "old.json": {"provenance": {"gpu": "a GPU"}, "results": []},
    }
    for name, report in files.items():
        (tmp_path / name).write_text(json.dumps(report))
    assert scope["stored"]("nms_gpu", tmp_path) == ["one launch: 12.3 x (a GPU)"]
    assert scope["stored"]("step_gpu", tmp_path) == ["not measured on a GPU yet"]


def test_no_time_of_a_gpu_is_typed():
    """Milliseconds in the prose are only what NVIDIA reported; the code prints computed ones."""
    prose = " ".join(t for kind, t in chapter_of("17-no-waits").cells if kind == "markdown")
    assert re.findall(r"[\d.]+ ms\b", prose) == ["31 ms", "6 ms"]
