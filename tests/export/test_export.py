"""The exported network against PyTorch: every detection the same, through onnxruntime and loaded.

Boxes within 1e-3 px, scores and masks within 1e-4; labels, their order and the count are equal.
"""

import json
import sys

import onnx
import onnxruntime
import pytest
import torch
from cases import article_map, article_rois
from detection_pair import TinyBackbone, tiny_config
from source_tree import ROOT
from torch import nn

from mrcnn_lite.cli import main
from mrcnn_lite.config import resnet50_fpn, resnet50_fpn_v2
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.datasets.keypoint_shapes import KeypointShapes
from mrcnn_lite.export import FixedNetwork, export_onnx, export_program
from mrcnn_lite.export.forms import exportable, roi_align_onnx, suppress_form, translations
from mrcnn_lite.export.sizes import AnySizeNetwork
from mrcnn_lite.models import MaskRCNN, load_weights
from mrcnn_lite.ops.nms import nms_loop
from mrcnn_lite.ops.paste import paste_masks
from mrcnn_lite.ops.roi_align import roi_align

SIZE = (96, 112)
WEIGHTS = ROOT / "data" / "weights" / "shapes_lite.safetensors"
NAMES = ["background", "a", "b", "c"]
LIMITS = {"boxes": 1e-3, "scores": 1e-4, "masks": 1e-4}
LIMITS |= {"keypoints": 1e-3, "keypoints_scores": 1e-4}


def session(path):
    """A file in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


def run_onnx(path):
    """From images [B, 3, H, W] to the outputs by name."""
    ready = session(path)

    def run(images):
        values = ready.run(None, {"image": images.numpy()})
        names = [output.name for output in ready.get_outputs()]
        return dict(zip(names, map(torch.tensor, values), strict=True))

    return run


def run_program(path):
    """The same from a file of torch.export."""
    said = {"metadata.json": ""}
    ready = torch.export.load(path, extra_files=said).module()
    names = json.loads(json.loads(said["metadata.json"])["outputs"])

    @torch.no_grad()
    def run(images):
        return dict(zip(names, ready(images), strict=True))

    return run


def assert_equal(found, expected):
    """One image: the network's answer and the file's."""
    count = len(expected["scores"])
    assert int(found["count"]) == count
    assert torch.equal(found["labels"][:count], expected["labels"])
    if "masks" in expected:
        expected = expected | {"masks": expected["masks"].probabilities}
    for name in expected.keys() - {"labels"}:
        limit = LIMITS[name]
        torch.testing.assert_close(found[name][:count], expected[name], rtol=0, atol=limit)
        assert not found[name][count:].any(), "rows beyond count are zero"
    assert not found["labels"][count:].any()


def in_order(found, expected):
    """The file's rows in the order of the network's: where two scores differ by less than their
    limit, rounding decides which comes first. Each row is taken once."""
    count = len(expected["scores"])
    rows = {name: values[:count] for name, values in found.items() if name != "count"}
    other = rows["labels"] != expected["labels"][:, None]  # [N, N]
    other |= (rows["scores"] - expected["scores"][:, None]).abs() > LIMITS["scores"]
    far = torch.cdist(expected["boxes"], rows["boxes"]).masked_fill(other, torch.inf)
    order = far.argmin(dim=1)  # [N]
    assert len(order.unique()) == count
    sorted_rows = {name: torch.cat([x[order], found[name][count:]]) for name, x in rows.items()}
    return sorted_rows | {"count": found["count"]}


def compare(model, run, images, ties=False):
    """On every image; returns how many objects there were. With `ties` see `in_order`."""
    objects = 0
    for image in images:
        with torch.no_grad():
            (expected,) = model([image], lazy_masks=True)
        found = run(image[None])
        assert_equal(in_order(found, expected) if ties else found, expected)
        objects += len(expected["scores"])
    return objects


def tiny(**fields):
    """A network of two levels with detections of all classes."""
    torch.manual_seed(0)
    model = MaskRCNN(tiny_config().with_(**fields), backbone=TinyBackbone(2)).eval()
    nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=2.0)
    return model


KINDS = {"onnx": (export_onnx, run_onnx), "pt2": (export_program, run_program)}


def noise(count, size=SIZE):
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(3, *size, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("kind", ["onnx", pytest.param("pt2", marks=pytest.mark.slow)])
def test_a_small_network(tmp_path, kind):
    """Resized, padded, two levels, boxes of the given image."""
    model, path = tiny(), tmp_path / f"tiny.{kind}"
    export, run = KINDS[kind]
    export(model, NAMES, path, SIZE)
    assert compare(model, run(path), noise(20)) > 100


# Square, both orientations, a multiple of 32 and not, enlarged and shrunk, one whose width becomes
# 39 or 40 by the rounding of a float64, and some that are padded to one block of 32.
SIZES = (96, 96), (90, 120), (64, 97), (98, 49), (320, 256)
ONE_BLOCK = (33, 150), (320, 20)


def test_the_size_in_the_graph_is_that_of_the_transform():
    model = tiny()
    network, whole = AnySizeNetwork(model), FixedNetwork(model)
    with torch.no_grad():
        for size in SIZES:
            image = torch.rand(1, 3, *size)
            assert all(map(torch.equal, network(image), whole(image)))


@pytest.mark.slow
def test_one_file_for_images_of_any_size(tmp_path):
    model, path = tiny(), tmp_path / "any.onnx"
    export_onnx(model, NAMES, path)
    run, found = run_onnx(path), 0
    for size in SIZES + ONE_BLOCK:
        found += compare(model, run, noise(3, size))
    assert found > 100
    shape = session(path).get_inputs()[0].shape
    assert shape == [1, 3, "height", "width"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_keypoints(tmp_path, kind):
    """Masks and keypoints from one network."""
    export, run = KINDS[kind]
    model, names = load_weights(WEIGHTS.with_name("keypoint_shapes_lite.safetensors"))
    path, drawn = tmp_path / f"points.{kind}", KeypointShapes(20, seed=5)
    export(model, names, path, (128, 128))
    assert compare(model, run(path), [drawn[index][0] for index in range(20)]) > 50


@pytest.mark.slow
def test_images_at_once(tmp_path):
    model, path = tiny(), tmp_path / "two.onnx"
    export_onnx(model, NAMES, path, SIZE, batch=2)
    images = torch.stack(noise(2))  # [2, 3, H, W]
    found = run_onnx(path)(images)
    for row, image in enumerate(images):
        with torch.no_grad():
            (expected,) = model([image], lazy_masks=True)
        assert_equal({name: values[row] for name, values in found.items()}, expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_classes_are_suppressed_sparsely(tmp_path, monkeypatch, kind):
    """As a network of COCO's classes: only likely boxes are compared, however many there are."""
    monkeypatch.setattr("mrcnn_lite.export.network.MAX_PAIRS", 0)
    for kind, export, run in (
        ("onnx", export_onnx, run_onnx),
        ("pt2", export_program, run_program),
    ):
        model, path = tiny(), tmp_path / f"sparse.{kind}"
        export(model, NAMES, path, SIZE)
        assert compare(model, run(path), noise(8)) > 40
        model, path = tiny(box={"score_threshold": 1.0}), tmp_path / f"nothing.{kind}"
        export(model, NAMES, path, SIZE)
        assert compare(model, run(path), noise(2)) == 0


class Pooling(nn.Module):
    """RoIAlign of the article's proposal."""

    def __init__(self, aligned, ratio):
        super().__init__()
        self.settings = 2, 1 / 32, ratio, aligned

    def forward(self, features):
        return roi_align(features, article_rois(), *self.settings)


SETTINGS = [(False, 1), (True, 1), (False, 2), (True, 2), (False, 0), (True, 0)]


@pytest.mark.parametrize(
    ("aligned", "ratio"),
    [SETTINGS[0], *(pytest.param(*pair, marks=pytest.mark.slow) for pair in SETTINGS[1:])],
)
def test_the_articles_digits(aligned, ratio):
    """-0.8546, 0.3236, 0.2177, 0.0546 from ONNX's own operator; and its other two forms."""
    pooling = Pooling(aligned, ratio)
    with exportable(roi_align=roi_align_onnx):
        program = torch.export.export(pooling, (article_map(),), strict=False)
    written = torch.onnx.export(program, (article_map(),), dynamo=True, verbose=False)
    ready = onnxruntime.InferenceSession(written.model_proto.SerializeToString())
    name = ready.get_inputs()[0].name
    (found,) = ready.run(None, {name: article_map().numpy()})
    torch.testing.assert_close(torch.tensor(found), pooling(article_map()), rtol=0, atol=1e-6)
    if (aligned, ratio) == (False, 1):
        digits = [f"{value:.4f}" for value in found.flatten()]
        assert digits == ["-0.8546", "0.3236", "0.2177", "0.0546"]


def chain(count):
    """Every box overlaps its neighbours alone: as many rounds as there are boxes."""
    left = torch.arange(count) * 4.0
    zero = torch.zeros(count)
    return torch.stack([left, zero, left + 10, zero + 10], dim=1)  # [N, 4]


class Suppression(nn.Module):
    """Keep of boxes that come sorted."""

    def forward(self, boxes):
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool)
        return suppress_form(boxes, valid, None, 0.3)


@pytest.mark.slow
def test_suppression_is_exact_however_long_the_chain(tmp_path):
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(150, 2, generator=generator) * 60
    many = torch.cat([corner, corner + 4 + 20 * torch.rand(150, 2, generator=generator)], dim=1)
    example = chain(150)[None]
    program = torch.export.export(Suppression(), (example,), strict=False)
    table = {"custom_translation_table": translations()}
    written = torch.onnx.export(program, (example,), dynamo=True, verbose=False, **table)
    ready = onnxruntime.InferenceSession(written.model_proto.SerializeToString())
    for boxes in (example, many[None]):
        expected = nms_loop(boxes, torch.ones(boxes.shape[:2], dtype=torch.bool), None, 0.3)
        (found,) = ready.run(None, {ready.get_inputs()[0].name: boxes.numpy()})
        assert torch.equal(torch.tensor(found), expected)
        assert torch.equal(program.module()(boxes), expected)


# --- The command ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_and_what_is_said_in_the_file(tmp_path, capsys):
    path = tmp_path / "lite.onnx"
    words = ["export", "--weights", str(WEIGHTS), "--out", str(path), "--detections", "20"]
    words += ["--image-size", "128", "128"]
    assert main(words) == 0
    assert "image 1 x 3 x 128 x 128" in capsys.readouterr().out
    said = session(path).get_modelmeta()
    meta = {name: json.loads(text) for name, text in said.custom_metadata_map.items()}
    assert said.producer_name == "mrcnn_lite"
    assert meta["class_names"] == Shapes.class_names
    assert meta["image_size"] == [128, 128]
    assert (meta["detections"], meta["score_threshold"], meta["batch"]) == (20, 0.05, 1)
    model, _ = load_weights(WEIGHTS)
    model.roi_heads.config = model.roi_heads.config.with_(box={"detections": 20})
    drawn = Shapes(20, seed=5)
    run = run_onnx(path)
    assert compare(model, run, [drawn[index][0] for index in range(20)]) > 100
    found, expected = run(drawn[0][0][None]), model([drawn[0][0]])[0]["masks"][:, 0]
    masks, boxes = (found[name][: int(found["count"])] for name in ("masks", "boxes"))
    pasted = paste_masks(masks, boxes, (128, 128), meta["paste"])  # [N, H, W]
    torch.testing.assert_close(pasted, expected, rtol=0, atol=1e-3)
    assert main(words) == 0, "its own file is replaced"


def test_what_cannot_be_exported(tmp_path, capsys, monkeypatch):
    theirs = tmp_path / "theirs.onnx"
    theirs.write_bytes(onnx.ModelProto(ir_version=10, producer_name="pytorch").SerializeToString())
    before = theirs.read_bytes()
    weights = ["export", "--weights", str(WEIGHTS), "--out"]
    for words, sentence in (
        ([*weights, str(theirs)], "this command did not write it"),
        ([*weights, str(tmp_path / "lite.pb")], "end the name with .onnx or .pt2"),
        ([*weights, str(tmp_path / "lite.pt2")], "give H W"),
        (["export", "--weights", "nothing", "--out", str(tmp_path / "n.onnx")], "no such weights"),
        ([*weights, str(tmp_path / "n.onnx"), "--image-size", "0", "9"], "no whole number from 1"),
    ):
        assert main(words) == 2
        assert sentence in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main([*weights, str(tmp_path / "n.onnx")]) == 2
    assert "mrcnn_lite[export]" in capsys.readouterr().err
    assert theirs.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.onnx"]


# --- The presets ----------------------------------------------------------------------------------


RESIDUAL = 0.2  # of what a block adds: training leaves less than a new network has


def new_large(preset):
    """A new network of COCO's 91 classes for small images. If each block added as much as it gets,
    activations would grow from block to block until float32 is too coarse for `LIMITS`, in PyTorch
    as well as in the file."""
    torch.manual_seed(0)
    model = MaskRCNN(preset().with_(image={"min_size": 128, "max_size": 160})).eval()
    for name, module in model.named_modules():
        if name.endswith("bn3"):
            nn.init.constant_(module.weight, RESIDUAL)
    nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.3)
    return model, [str(number) for number in range(91)], noise(20, (128, 150))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", [resnet50_fpn, resnet50_fpn_v2], ids=["v1", "v2"])
def test_the_large_networks(tmp_path, preset, kind):
    (model, names, images), path = new_large(preset), tmp_path / f"large.{kind}"
    export, run = KINDS[kind]
    export(model, names, path, (128, 150))
    assert compare(model, run(path), images, ties=True) > 100
