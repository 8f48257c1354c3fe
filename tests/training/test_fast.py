"""The fast step and the detector: the same numbers as the default's, on the CPU branch of both."""

import contextlib
from types import SimpleNamespace
from unittest import mock

import pytest
import torch

from mrcnn_lite.cli import main
from mrcnn_lite.config import lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.models import MaskRCNN, cuda_graph, variants
from mrcnn_lite.models.cuda_graph import GraphedCallable
from mrcnn_lite.models.detector import Detector
from mrcnn_lite.models.filled_masks import FilledRoIHeads, fill_masks
from mrcnn_lite.models.matching import random_priorities
from mrcnn_lite.training import TrainingRun
from mrcnn_lite.training.fast import FastRun, PaddingByOrientation, StaticPriorities, compile_parts

SHAPES = Shapes(None, seed=1)
SMALL = lite(6).with_(
    image={"min_size": 64, "max_size": 96},
    rpn={"pre_nms_train": 40, "post_nms_train": 20, "pre_nms_test": 40, "post_nms_test": 20},
    box={"samples": 16, "score_threshold": 0.01, "detections": 12},
    training={"batch_size": 2, "warmup_steps": 3},
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(first, sides):
    """Drawn shapes, cut to sizes of their own: (height, width) each."""
    images, targets = [], []
    for row, (height, width) in enumerate(sides):
        image, target = SHAPES[first + row]
        masks = target["masks"][:, :height, :width]
        seen = masks.flatten(1).amax(1) > 0
        boxes = target["boxes"][seen].clone()
        boxes[:, 0::2] = boxes[:, 0::2].clamp(max=width)
        boxes[:, 1::2] = boxes[:, 1::2].clamp(max=height)
        images.append(image[:, :height, :width])
        targets.append({"boxes": boxes, "labels": target["labels"][seen], "masks": masks[seen]})
    return images, targets


LANDSCAPES, PORTRAITS = [(64, 90), (64, 80)], [(96, 64), (80, 64)]
BATCHES = [
    batch(2 * n, s) for n, s in enumerate([LANDSCAPES, PORTRAITS, LANDSCAPES[:1] + PORTRAITS[1:]])
]


def runs(config, device="cpu"):
    """A plain and a fast run that pad alike."""
    names = SHAPES.class_names
    plain, fast = (kind(config, names, device=device) for kind in (TrainingRun, FastRun))
    plain.model.padding = PaddingByOrientation(config.image)
    return plain, fast


@pytest.mark.parametrize(
    ("optimizer", "precision"), [("adamw", "fp32"), ("sgd", "fp32"), ("adamw", "bf16")]
)
def test_losses_and_weights_are_the_defaults(optimizer, precision):
    training = {"optimizer": optimizer, "precision": precision, "learning_rate": 1e-3}
    plain, fast = runs(SMALL.with_(training=training))
    # Their sums over other rows round otherwise, and a rounding changes which proposals survive; in
    # float64, below, they give what the plain ones give.
    fill_masks(plain.model)
    for step, one in enumerate([*BATCHES, *BATCHES[:2]]):
        want, found = plain.step(one, step / 5), fast.step(one, step / 5)
        assert found == pytest.approx(want, rel=1e-5, abs=1e-6)
    assert type(fast.model.roi_heads) is FilledRoIHeads
    assert len(fast._steps) == 3  # landscapes, portraits, both: the last two batches found theirs
    for a, b in zip(plain.model.parameters(), fast.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_with_all_sizes_static_they_are_equal_in_float64(device):
    """As on a GPU, which computes `mask.rois` masks per image and replays what it has recorded. In
    float64, where no rounding decides which proposals survive."""
    plain, fast = runs(SMALL.with_(training={"optimizer": "sgd"}), device)
    for run in (plain, fast):
        run.model.double()
        run.average = {name: value.double() for name, value in run.average.items()}
    for step, (images, targets) in enumerate([*BATCHES, *BATCHES[:2]]):
        targets = [{**target, "boxes": target["boxes"].double()} for target in targets]
        one = [image.double() for image in images], targets
        want = plain.step(one, step / 5)
        with mock.patch.object(variants, "wants_static_shapes", return_value=True):
            found = fast.step(one, step / 5)
        assert found == pytest.approx(want, rel=1e-9) and want["loss_mask"] > 0
    assert all((step.graph is None) == (device == "cpu") for _, step in fast._steps.values())
    for a, b in zip(plain.model.parameters(), fast.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)


def test_a_fast_run_goes_on_from_a_plain_checkpoint(tmp_path):
    plain = TrainingRun(SMALL, SHAPES.class_names)
    plain.model.padding = PaddingByOrientation(SMALL.image)
    plain.step(BATCHES[0], 0.0)
    plain.save(tmp_path)
    fast = FastRun(SMALL, SHAPES.class_names)
    fast.load(tmp_path)
    want, found = plain.step(BATCHES[1], 0.5), fast.step(BATCHES[1], 0.5)
    assert fast.steps == 2 and found == pytest.approx(want, rel=1e-5)


def test_a_loss_that_is_not_finite_stops_a_fast_run_too():
    fast = FastRun(SMALL, SHAPES.class_names)
    fast.model.roi_heads.box_predictor.cls_score.weight.register_hook(lambda g: g * float("inf"))
    before = [p.clone() for p in fast.model.parameters()]
    with pytest.raises(FloatingPointError, match="step 0: gradients not finite"):
        fast.step(BATCHES[0], 0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, fast.model.parameters(), strict=True))
    images, targets = BATCHES[0]
    wrong = [{**targets[0], "labels": targets[0]["labels"] + 6}, targets[1]]
    with pytest.raises(ValueError, match=r"targets\[0\]\['labels'\]\[0\]"):
        fast.step((images, wrong), 0.0)


def test_what_the_fast_step_cannot_do_is_said():
    with pytest.raises(ValueError, match="without --accumulate"):
        FastRun(SMALL.with_(training={"accumulate": 2}), SHAPES.class_names)


def test_padding_by_orientation():
    size = PaddingByOrientation(SMALL.image)
    assert size((60, 90)) == size((64, 65)) == (64, 96)
    assert size((70, 64)) == (96, 64) and size((90, 80)) == (96, 96)
    assert size((64, 200)) == (64, 200)  # larger than the network resizes to: never cut


def test_priorities_stay_in_their_tensors_and_are_those_of_the_source():
    priorities, cpu = StaticPriorities(), torch.device("cpu")
    addresses = []
    for seed in (1, 2):
        priorities.draw(random_priorities(torch.Generator().manual_seed(seed)))
        priorities.next = 0
        drawn = [priorities((2, 5), cpu), priorities((3,), cpu)]
        source = random_priorities(torch.Generator().manual_seed(seed))
        assert all(torch.equal(d, source(tuple(d.shape), cpu)) for d in drawn)
        addresses.append([d.data_ptr() for d in drawn])
    assert addresses[0] == addresses[1]


class Graph:
    """Stands in for a CUDA graph and counts how often it is replayed."""

    replays = 0

    def replay(self):
        Graph.replays += 1


def test_recording_follows_the_protocol_and_leaves_running_statistics_alone():
    """The order of calls, on stand-ins for streams and graphs; real ones need a GPU."""
    model = MaskRCNN(SMALL)
    model.register_buffer("seen", torch.zeros(1))
    calls, stream = [], mock.Mock()

    def function(x):
        calls.append(x.data_ptr())
        model.seen += 1
        return x + 1

    names = {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda s: contextlib.nullcontext(),
        "CUDAGraph": Graph,
        "graph": lambda graph, pool, capture_error_mode: contextlib.nullcontext(),
    }
    fake = SimpleNamespace(**names)
    step = GraphedCallable(function, [torch.zeros(3)], model)
    assert step.graph is None and not calls  # on a CPU nothing is recorded
    assert step(torch.ones(3)).tolist() == [2, 2, 2] and len(calls) == 1
    model.seen.zero_()
    with mock.patch.object(cuda_graph.torch, "cuda", fake):
        step._record(None)
    assert len(calls) == 1 + cuda_graph.WARM_UP + 1 and len(set(calls)) == 1  # always in one place
    assert float(model.seen) == 1  # what a real capture does not execute either
    assert stream.wait_stream.call_count == 2
    result = step(torch.full((3,), 5.0))
    assert Graph.replays == 1 and result is step.results and step.inputs[0].tolist() == [5, 5, 5]
    with pytest.raises(ValueError, match="recorded for"):
        step(torch.zeros(4))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = MaskRCNN(SMALL).eval()
    # Scores that differ, boxes that move: what a fresh network does not give.
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.3)
    torch.nn.init.normal_(model.roi_heads.box_predictor.bbox_pred.weight, std=0.1)
    return model


def test_detections_of_static_size_are_the_defaults(model, monkeypatch):
    images = BATCHES[0][0] + BATCHES[1][0]
    with torch.inference_mode():
        wanted = model(images)
        monkeypatch.setattr(variants, "wants_static_shapes", lambda device: True)
        found = model(images)
    assert sum(len(w["boxes"]) for w in wanted) > 20
    same(found, wanted)


def test_a_detector_gives_what_the_network_gives(model):
    detector = Detector(model, sizes=2)
    images = [*BATCHES[0][0], BATCHES[1][0][0], BATCHES[0][0][0], torch.zeros(3, 64, 64)]
    found = [detector(image) for image in images]
    with torch.inference_mode():
        wanted = [model([image])[0] for image in images]
    same(found, wanted)  # also those that the next image has overwritten
    assert len(detector._graphs) == 2


@pytest.mark.gpu
def test_a_recorded_detector_gives_what_the_network_gives(model):
    there = MaskRCNN(SMALL).eval().double().cuda()
    there.load_state_dict(model.state_dict())
    detector = Detector(there)
    images = [image.double().cuda() for image in (*BATCHES[0][0], BATCHES[1][0][0])]
    found = [detector(image) for image in (*images, *images)]  # recorded, then replayed
    with torch.inference_mode():
        same(found, [there([image])[0] for image in images] * 2)
    assert all(graph.graph is not None for graph in detector._graphs.values())


def test_a_detector_finds_nothing_where_nothing_is_sure(model):
    strict = MaskRCNN(SMALL.with_(box={"score_threshold": 0.999}))
    strict.load_state_dict(model.state_dict())
    found = Detector(strict)(BATCHES[0][0][0])
    assert found["boxes"].shape == (0, 4) and found["masks"].shape == (0, 1, 64, 90)


def same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one["labels"], other["labels"])
        for name in ("boxes", "scores", "masks"):
            torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-4)


def test_compiled_parts_keep_names_and_losses():
    plain, compiled = (TrainingRun(SMALL, SHAPES.class_names) for _ in range(2))
    compile_parts(compiled.model, backend="eager")
    assert list(plain.model.state_dict()) == list(compiled.model.state_dict())
    want, found = plain.step(BATCHES[0], 0.0), compiled.step(BATCHES[0], 0.0)
    assert found == pytest.approx(want, rel=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_the_command_line_says_that_fast_needs_a_gpu(tmp_path, capsys):
    run = ["train", "--data", "shapes", "--out", str(tmp_path), "--steps", "1", "--workers", "1"]
    assert main([*run, "--batch-size", "1", "--fast"]) == 0
    assert (
        "--fast needs a CUDA device, and this is cpu: training as usual" in capsys.readouterr().out
    )
