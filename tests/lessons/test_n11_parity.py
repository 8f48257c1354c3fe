"""The comparison with torchvision: its bounds hold, and it sees what it should see."""

import json

import pytest
import torch

from benchmarks import parity as benchmark
from mrcnn_lite.lessons.n11_whole_network.parity import (
    STAGES,
    Row,
    compare_detections,
    compare_training,
)
from mrcnn_lite.lessons.n11_whole_network.reference_pair import make_images, make_pair

SIZES = [(97, 143)]  # enlarged, and no multiple of 32


@pytest.fixture(scope="module")
def pair():
    return make_pair("v1", seed=5, dtype=torch.float64)


@pytest.fixture(scope="module", params=["v1", "v2"])
def both_versions(request, pair):
    return pair if request.param == "v1" else make_pair("v2", seed=5, dtype=torch.float64)


@pytest.mark.slow  # the first of the two is what notebook 11 prints
def test_every_stage_and_gradient_in_float64(both_versions):
    images, targets = make_images(SIZES, 5, torch.float64)
    rows = [
        *compare_detections(*both_versions, images),
        *compare_training(*both_versions, images, targets),
    ]
    assert [r.stage for r in rows][: len(STAGES) + 1] == ["batch", *STAGES]
    assert len(rows) == len(STAGES) + 1 + 4 + 5 + 1
    assert not [r for r in rows if not r.holds]


@pytest.mark.slow
def test_every_stage_in_float32():
    pair = make_pair("v1", seed=6, dtype=torch.float32)
    images, targets = make_images(SIZES, 6, torch.float32)
    rows = [*compare_detections(*pair, images), *compare_training(*pair, images, targets)]
    assert not [r for r in rows if not r.holds]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("backbone.body.layer4.2.bn3.running_var", "backbone"),
        ("rpn.head.conv.0.0.weight", "rpn.head"),
        ("roi_heads.box_predictor.cls_score.weight", "roi_heads.box_predictor"),
        ("roi_heads.mask_predictor.mask_fcn_logits.weight", "roi_heads.mask_predictor"),
    ],
)
def test_a_changed_weight_is_seen_where_it_acts(pair, name, first):
    """A part in a million of one tensor breaks the bound, at its own stage."""
    ours, theirs = pair
    images, _ = make_images(SIZES, 5, torch.float64)
    tensor = ours.state_dict()[name]
    before = tensor.clone()
    tensor.mul_(1 + 1e-6)
    broken = [r.stage for r in compare_detections(ours, theirs, images) if not r.holds]
    tensor.copy_(before)
    assert broken[0] == first


@pytest.mark.parametrize(("difference", "status", "words"), [(1e-12, 0, "hold"), (2e-3, 1, "BROK")])
def test_the_command_prints_the_worst(monkeypatch, capsys, tmp_path, difference, status, words):
    def rows(version, dtype, seed, sizes):
        yield Row("rpn", difference if seed == 1 else 0.0, 1e-9)

    monkeypatch.setattr(benchmark, "rows_of", rows)
    monkeypatch.setattr("sys.argv", ["parity", "--json", str(tmp_path / "p.json")])
    assert benchmark.main() == status
    printed = capsys.readouterr().out
    assert f"{difference:.1e}" in printed and words in printed
    stored = json.loads((tmp_path / "p.json").read_text())
    assert stored["table"]["v2 float32"]["rpn"]["difference"] == difference
