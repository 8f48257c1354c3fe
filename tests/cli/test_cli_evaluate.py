"""`evaluate`: its figures' file is written over nothing else, and masks are encoded straight away.

The rows are those of the table of faults: 1 output over input, 9 nothing to do, 15 memory.
"""

import json
from pathlib import Path

import pytest
import torch

from mrcnn_lite.cli import main
from mrcnn_lite.datasets.shapes import Shapes
from mrcnn_lite.evaluation import coco
from mrcnn_lite.evaluation.coco import encode_masks, evaluate, evaluate_detections
from mrcnn_lite.models import load_weights
from mrcnn_lite.models.postprocess import PastedMasks

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "data" / "weights" / "shapes_lite.safetensors"
SHAPES = ["evaluate", "--data", "shapes", "--images", "2"]


def test_row_1_figures_replace_figures_only(tmp_path, capsys):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(WEIGHTS.read_bytes())
    data = tmp_path / "instances.json"
    data.write_bytes((ROOT / "data" / "sample" / "instances.json").read_bytes())
    command = [*SHAPES, "--weights", str(weights), "--json"]
    for path in (weights, data):
        before = path.read_bytes()
        assert main([*command, str(path)]) == 2
        said = capsys.readouterr()
        assert f"--json {path}: exists, and this command did not write it" in said.err
        assert not said.out, "refused before the work"
        assert path.read_bytes() == before
    figures = tmp_path / "new" / "figures.json"
    for _ in range(2):  # its own file is replaced
        assert main([*command, str(figures)]) == 0
        assert json.loads(figures.read_text())["images"] == 2
        figures.write_text(figures.read_text().replace('"images": 2', '"images": 0'))
    assert main([*command, str(tmp_path)]) == 2
    assert "is a folder; name a file" in capsys.readouterr().err


def test_row_9_no_image_to_evaluate_is_an_error():
    model, _ = load_weights(WEIGHTS)
    for images, limit in ((0, None), (3, 0)):
        with pytest.raises(ValueError, match="none to evaluate"):
            evaluate(model, Shapes(images, seed=2), limit=limit)


@pytest.fixture(scope="module")
def pair():
    """A network, and what it found in images of two sizes: masks pasted, and not yet."""
    model, _ = load_weights(WEIGHTS)
    images = [Shapes(30, seed=2)[index][0] for index in (21, 22)]
    images = [torch.nn.functional.interpolate(images[0][None], (333, 521))[0], images[1]]
    with torch.inference_mode():
        return model, model(images), model(images, lazy_masks=True)


def test_row_15_masks_pasted_later_are_the_same_masks(pair):
    for whole, lazy in zip(*pair[1:], strict=True):
        assert len(lazy["masks"]) == len(whole["masks"]) > 5
        for name in ("boxes", "labels", "scores"):
            assert torch.equal(whole[name], lazy[name])
        assert torch.equal(torch.stack([*lazy["masks"]]), whole["masks"][:, 0])
        assert encode_masks(lazy["masks"]) == encode_masks(whole["masks"])


@pytest.mark.parametrize("at_once", [1, 2**17, 2**40])
def test_row_15_few_masks_are_pasted_at_a_time(pair, at_once, monkeypatch):
    _, whole, lazy = pair
    parts, inner = [], PastedMasks.__getitem__

    def watched(self, rows):
        masks = inner(self, rows)
        parts.append(masks)
        return masks

    monkeypatch.setattr(PastedMasks, "__getitem__", watched)
    monkeypatch.setattr(coco, "PIXELS_AT_ONCE", at_once)
    codes = encode_masks(lazy[0]["masks"])
    assert all(part.dtype == torch.bool for part in parts), "in bytes"
    assert max(part.numel() for part in parts) <= max(at_once, 333 * 521)
    assert sum(map(len, parts)) == len(codes)
    assert codes == encode_masks(whole[0]["masks"])


def test_row_15_evaluate_never_asks_for_pasted_masks(pair, monkeypatch):
    model, data = pair[0], Shapes(6, seed=2)
    with torch.inference_mode():
        found = [model([image])[0] for image, _ in map(data.__getitem__, range(6))]
    expected = evaluate_detections(found, data)
    thresholds, inner = set(), PastedMasks.__getitem__

    def watched(self, rows):
        thresholds.add(self.threshold)
        return inner(self, rows)

    monkeypatch.setattr(PastedMasks, "__getitem__", watched)
    figures = evaluate(model, data, batch_size=1)
    assert json.dumps(figures) == json.dumps(expected)  # some are NaN
    assert thresholds == {coco.MASK_THRESHOLD}, "never as floats"
