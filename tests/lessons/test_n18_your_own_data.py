"""Notebook 18: its data set, exercises, explorer and gallery."""

import functools
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from mrcnn_lite.datasets import CocoDataset, Shapes, open_dataset
from mrcnn_lite.datasets.formats import read_source
from mrcnn_lite.datasets.masks import polygons_to_mask
from mrcnn_lite.datasets.rle import decode_rle
from mrcnn_lite.datasets.scan import scan
from mrcnn_lite.datasets.verify import describe
from mrcnn_lite.lessons.kit.exercise import find
from mrcnn_lite.lessons.kit.style import LOSSES, figure_png
from mrcnn_lite.lessons.n18_your_own_data import exercises
from mrcnn_lite.lessons.n18_your_own_data.explorer import (
    FAILURE_MODES,
    OPEN,
    Diagnosis,
    explore_failed_runs,
)
from mrcnn_lite.lessons.n18_your_own_data.export import trace_polygon, write_coco
from mrcnn_lite.lessons.n18_your_own_data.pictures import draw_failures
from mrcnn_lite.lessons.n18_your_own_data.toy_dataset import write_toy_dataset
from tools.exercise_sources import chapter_of

each = pytest.mark.parametrize("name", ["18-label-maps", "18-repair"])


@each
@pytest.mark.parametrize(
    "answer",
    [lambda *inputs: 1 / 0, lambda *inputs: "much", lambda *inputs: [{}], 3, lambda *inputs: [7]],
)
def test_anything_else_gets_an_answer(name, answer):
    assert not find(name).grade(answer).passed
    assert "Not yet" not in find(name).grade(answer).message


@each
def test_no_known_mistake_raises(name):
    """An error is like any other error, so it would be named for what it is not."""
    for mistake in find(name).known:
        assert "your function raised" not in find(name).grade(mistake.function).message


def test_what_is_wrong_with_an_annotation_can_be_seen_in_the_answer():
    def keeps_nan(rows, width, height, categories):
        every = {"finite": lambda finite: True}
        return exercises._repaired(rows, width, height, categories, **every)

    words = find("18-repair").grade(keeps_nan).message
    assert "annotation 3, [nan, 20, 30, 40], is still there" in words
    words = find("18-repair").grade(lambda *given: exercises._repaired(*given)[:-1]).message
    assert "annotation 3, [80, 60, 40, 40], is lost; it was good or could be fixed" in words
    new = [{"id": 99, "category_id": 1, "bbox": [0, 0, 1, 1]}]
    words = find("18-repair").grade(lambda *given: exercises._repaired(*given) + new).message
    assert "annotation 99, which was not there before, is still there" in words


def test_a_corner_held_at_the_edge_with_the_old_size_is_named():
    """Written as people write it, without the module's own variants."""

    def held(rows, width, height, categories, far):
        kept = []
        for row in rows:
            x, y, w, h = row["bbox"]
            if row["category_id"] not in categories or not all(map(math.isfinite, row["bbox"])):
                continue
            x, y = max(x, 0), max(y, 0)
            w, h = (min(w, width - x), min(h, height - y)) if far else (w, h)
            if w > 0 and h > 0:
                kept.append({**row, "bbox": [x, y, w, h]})
        return kept

    for far, words in ((False, "the size stays"), (True, "only the far edges are cut")):
        assert words in find("18-repair").grade(functools.partial(held, far=far)).message


def test_the_wanted_runs_are_what_the_reader_of_coco_files_decodes():
    values = np.zeros((5, 7), dtype=np.uint8)
    values[0, 0] = values[2:4, 3:6] = 2
    values[2, 4] = 9
    convert = chapter_of("18-label-maps").solution("18-label-maps")
    for row, value in zip(convert(values), (2, 9), strict=True):
        outline = {key: list(map(int, row["segmentation"][key])) for key in ("size", "counts")}
        assert (decode_rle(outline) == (values == value)).all()


def test_the_own_data_set_is_without_fault(tmp_path):
    report = scan(read_source(write_toy_dataset(tmp_path / "toy", 6, seed=1, empty=2)))
    assert not report.faults
    assert set(report.objects) == {"coin", "nut"}
    assert len(report.data["images"]) == 6
    assert "images without an object: 2" in describe(report)
    data = open_dataset(tmp_path / "toy")
    nuts = [t["masks"][t["labels"] == 2] for _, t in map(data.__getitem__, range(4))]
    for mask in (mask for masks in nuts for mask in masks):
        rows, columns = (part.float().mean().round().int() for part in mask.nonzero(as_tuple=True))
        assert mask[rows, columns] == 0, "a nut has a hole"
    with pytest.raises(ValueError, match="empty"):
        write_toy_dataset(tmp_path / "none", 1, seed=1, empty=2)


def test_the_same_seed_draws_the_same_files(tmp_path):
    a, b, c = (
        write_toy_dataset(tmp_path / n, 1, seed) for n, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    files = [(folder / "images/000.png").read_bytes() for folder in (a, b, c)]
    assert files[0] == files[1] != files[2]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_every_control_changes_figure_or_text_after_all_others_have_moved():
    changes = {
        "run": 2,
        "diagnosis": "rate too high",
        "step": 7,
        "beside": False,
    }
    start = {"run": 1, "diagnosis": OPEN, "step": 20, "beside": True}
    assert set(changes) == set(explore_failed_runs().controls)
    for name, value in changes.items():
        for others in (start, {**changes, "run": 1}):
            before = explore_failed_runs().set(**{**others, name: start[name]})
            after = explore_failed_runs().set(**{**others, name: value})
            assert before.text != after.text
            if name != "diagnosis":
                assert (pixels(before.png) != pixels(after.png)).any(), name


def test_a_diagnosis_is_judged_and_never_given_away():
    report = dict.fromkeys(("loss", *LOSSES), 1.0)
    state = Diagnosis(dict.fromkeys(FAILURE_MODES, [report] * 3), [report] * 5)
    for number, (mode, (_, fix)) in enumerate(FAILURE_MODES.items(), start=1):
        state.run = number
        for diagnosis in state.choices:
            state.diagnosis = diagnosis
            _, text = state.render()
            assert (fix in text) == (mode == diagnosis)
            assert "stopped after step 3" in text
            if mode != diagnosis:
                assert mode not in text
    with pytest.raises(ValueError, match="no failure mode 'flu'"):
        explore_failed_runs({"flu": [report]}, [report])


def test_the_gallery_draws_every_run():
    healthy = [1.0, 0.5, 0.2]
    image, target = Shapes(1, seed=21, size=64)[0]
    images = {"a": (image, target), "black": (image / 255, None)}
    fig = draw_failures(
        images, Shapes.class_names, {"b": [1.0], "c": [], "d": [1.0, math.nan, 1e9]}, healthy
    )
    assert {ax.get_title("left") for ax in fig.axes} == {*images, "b", "c", "d"}
    names = [text.get_text() for text in fig.axes[0].texts]
    assert names == [Shapes.class_names[label] for label in target["labels"]]
    crosses = [ax.get_title("left") for ax in fig.axes if len(ax.lines) == 3]
    assert crosses == ["b", "c"]
    assert figure_png(fig)[:4] == b"\x89PNG"


def test_writing_any_form_reads_back(tmp_path):
    source = Shapes(6, seed=21, size=64)
    for form in ("polygon", "compressed", "uncompressed"):
        dataset = CocoDataset(write_coco(source, tmp_path / form, forms=[form]))
        for index in range(6):
            for key in ("boxes", "labels", "masks"):
                assert torch.equal(dataset[index][1][key], source[index][1][key])
    with pytest.raises(ValueError, match="forms"):
        write_coco(source, tmp_path, forms=["drawing"])


def test_row_1_no_other_data_set_is_written_over(tmp_path):
    source, own = Shapes(1, seed=21, size=64), tmp_path / "own"
    write_coco(source, tmp_path / "new")
    write_coco(source, tmp_path / "new")  # its own is replaced
    (own / "images").mkdir(parents=True)
    for path in (own / "images" / "000000.png", own / "instances.json"):
        path.write_text('{"images": []}')
        with pytest.raises(ValueError, match=f"{path}: was not written here; name another"):
            write_coco(source, own)
        assert path.read_text() == '{"images": []}'
        path.unlink()


def test_polygon_by_hand():
    assert trace_polygon(np.ones((1, 1))) == [1, 0, 1, 1, 0, 1, 0, 0]
    ring = np.ones((3, 3))
    ring[1, 1] = 0
    assert polygons_to_mask([trace_polygon(ring)], 3, 3).sum() == 9  # the hole is lost
