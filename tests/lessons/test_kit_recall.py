"""Recall and why: what is asked, what comes again, that the numbers are true, and the page."""

import itertools
import json
import re

import nbformat
import pytest
import torch
import torch.nn.functional as F
from source_tree import NOTEBOOKS

from mrcnn_lite import ops
from mrcnn_lite.config import lite, resnet50_fpn
from mrcnn_lite.evaluation.average_precision import RECALLS, THRESHOLDS
from mrcnn_lite.lessons.kit import progress, recall, why
from mrcnn_lite.lessons.kit.questions import QUESTIONS
from mrcnn_lite.lessons.kit.recall import FIRST, Asked, Recall, due, is_right, plan, question
from mrcnn_lite.lessons.kit.why import Why
from mrcnn_lite.models import MaskHead, MaskHeadC4, MaskRCNN, RPNHead
from mrcnn_lite.models.losses import mask_loss
from mrcnn_lite.ops.bilinear import bilinear
from mrcnn_lite.ops.roi_pool import round_half_away

NAMES = [f"{n}.{i}" for n, asked in QUESTIONS.items() for i in range(1, len(asked) + 1)]


def kept(file):
    return json.loads(file.read_text())["recall"]


# --- Which questions ----------------------------------------------------------------------------


def test_three_questions_from_one_three_and_six_notebooks_back():
    numbers = list(QUESTIONS)
    assert list(plan()) == numbers[numbers.index(FIRST) :]
    assert all(len(names) == 3 for names in plan().values())
    every = list(itertools.chain(*plan().values()))
    assert sorted(every) == sorted(NAMES), "every question once"
    for number in numbers[6:]:
        back = [numbers.index(number) - numbers.index(n.split(".")[0]) for n in plan()[number]]
        assert back == ([1, 3, 6] if numbers.index(number) > 6 else [1, 3, 5])
    assert plan()["10"] == ("09.1", "07b.2", "05.3")


def test_what_was_wrong_comes_again_in_a_later_notebook():
    known = {"02.1": "wrong 03", "00.1": "right 03", "03.1": "wrong 04"}
    assert due("03", known) == ["02.1", "00.1", "00.2"], "the notebook keeps its questions"
    assert due("04", known) == ["02.1", "03.1", "01.1"], "03.1 was answered here"
    assert due("05", known) == ["02.1", "03.1", "04.1"]
    assert due("05", known | {"02.1": "right 05"}) == ["02.1", "03.1", "04.1"], "answered here"
    assert due("06", known | {"02.1": "right 05"}) == ["03.1", "05.1", "03.2"]
    assert due("05", {"77.1": "wrong 03"}) == list(plan()["05"])


# --- The questions ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_question_can_be_answered(name):
    asked = question(name)
    assert asked.text.endswith("?") and asked.because.endswith(".")
    assert is_right(str(asked.answer), asked)
    assert isinstance(asked.answer, str) == bool(asked.options)
    assert sum(is_right(option, asked) for option in asked.options) == bool(asked.options)
    assert len(set(asked.options)) == len(asked.options)


REFERENCE, LITE = resnet50_fpn(), lite()
ONES = torch.ones(1, 1, 3, 3)
SEED_BOX = torch.tensor([[10.0, 10.0, 124.0, 124.0]])


def elements_read(size, box, first_only):
    """How many elements of a map get a gradient from a RoI of 2 x 2 bins at ratio 2."""
    grid = torch.randn(1, 1, size, size, requires_grad=True)
    out = ops.roi_align(grid, [box], 2, 1 / 32, 2, aligned=False)
    (out[0, 0, 0, 0] if first_only else out.sum()).backward()
    return int((grid.grad != 0).sum())


def column_of(x, aligned):
    """Where RoIAlign reads a ramp whose value is its column, for a tiny box at x."""
    ramp = torch.arange(6.0).expand(1, 1, 6, 6).contiguous()
    box = torch.tensor([[x - 1.0, 80.0, x + 1.0, 82.0]])
    pooled = ops.roi_align(ramp.double(), [box.double()], 1, 1 / 32, 1, aligned=aligned)
    return pooled.item() - (0 if aligned else 0.5 - 1 / 32)  # a RoI is one element wide at least


def bins_of(columns):
    """The columns whose value any bin of the seed's window takes as its maximum."""
    grids = torch.eye(6)[:, None, None].expand(6, 1, 6, 6).contiguous()  # one column each
    boxes = [SEED_BOX] * 6
    return [int(n) for n in (ops.roi_pool(grids, boxes, columns, 1 / 32)[:, 0, 0] > 0).sum(0)]


def weight_beside(dx, dy):
    grid = torch.zeros(1, 3, 3, dtype=torch.float64)
    grid[0, 1, 1] = 1
    return bilinear(grid, torch.tensor(1 + dy).double(), torch.tensor(1 + dx).double()).item()


def gain_of_twice_the_samples():
    """Error of the mean over a period's part, of samples at the middles of n steps."""
    grid = torch.linspace(0, 1, 400).sin().double().expand(1, 1, 400, 400).contiguous()
    box = torch.tensor([[40.0, 40, 360, 360]]).double()
    mean = {r: ops.roi_align(grid, [box], 1, 1.0, r, aligned=False).item() for r in (2, 4, 64)}
    return round((mean[2] - mean[64]) / (mean[4] - mean[64]))


def mask_share():
    with torch.device("meta"):
        model = MaskRCNN(REFERENCE)
    weights = {name: w.numel() for name, w in model.named_parameters()}
    return round(100 * sum(n for k, n in weights.items() if "mask" in k) / sum(weights.values()))


def mask_side(head, cells, channels):
    return head(torch.zeros(1, channels, cells, cells)).shape[-1]


def sign_flip(pairs):
    sums = [sum(signs) for signs in itertools.product((-1, 1), repeat=pairs)]
    return sum(abs(total) >= pairs for total in sums) / len(sums)


def pasted():
    box = torch.tensor([[50.0, 50.0, 78.0, 78.0]])
    return int((ops.paste_masks(torch.ones(1, 28, 28), box, (128, 128)) >= 0.5).sum())


def moved():
    box = torch.tensor([[0.0, 0.0, 40.0, 10.0]])
    out = ops.decode_boxes(torch.tensor([[0.5, 0.0, 0.0, 0.0]]), box, (1.0, 1.0, 1.0, 1.0))
    return (out - box)[0, 0].item()


COMPUTED = {
    "00.2": mask_share,
    "01.1": lambda: int(round_half_away(torch.tensor(80 / 32))),
    "01.2": lambda: sum(bins_of(1)),
    "01.3": lambda: max(bins_of(2)),
    "02.1": lambda: round(32 * (column_of(96.0, False) - column_of(96.0, True))),
    "02.2": lambda: 0.5 - column_of(96.0, True) + 96 / 32 - 0.5,
    "02.3": lambda: int(ops.box_area(torch.tensor([[2.0, 0.0, 5.0, 1.0]])).item()),
    "03.1": lambda: weight_beside(0.25, 0.5),
    "03.2": lambda: 2 * 2,
    "04.3": gain_of_twice_the_samples,
    "05.1": lambda: elements_read(6, SEED_BOX, first_only=False),
    "06.1": lambda: 2 + int(ops.assign_levels(SEED_BOX, 2, 5)),
    "06.2": lambda: REFERENCE.image.size_divisible,
    "06.3": lambda: REFERENCE.mask.pooled_size,
    "07.2": lambda: RPNHead(8, 1).bbox_pred.out_channels,
    "07.3": lambda: round(moved()),
    "07b.1": lambda: int(REFERENCE.box.samples * REFERENCE.box.positive_fraction),
    "08.1": lambda: mask_side(MaskHeadC4(2, 8, 4), 7, 8),
    "08.2": lambda: len(MaskHead()),
    "08.3": lambda: int(F.conv_transpose2d(ONES, ONES[..., :2, :2], stride=2).max()),
    "09.1": lambda: mask_loss(0 * ONES, ONES[0], torch.zeros(1).long()).item(),
    "10.1": pasted,
    "11.1": lambda: sum(hasattr(part, "pooled_size") for part in (REFERENCE.box, REFERENCE.mask)),
    "11.2": lambda: REFERENCE.box.detections,
    "12.1": lambda: F.cross_entropy(torch.zeros(1, LITE.num_classes), torch.ones(1).long()).item(),
    "13.2": lambda: len(THRESHOLDS),
    "13.3": lambda: len(RECALLS),
    "14.1": lambda: sign_flip(8),
    "14.2": lambda: sign_flip(3),
    "15.1": lambda: F.cross_entropy(torch.zeros(1, 56 * 56), torch.ones(1).long()).item(),
    "16.1": lambda: elements_read(30, torch.tensor([[20.0, 20.0, 840.0, 840.0]]), first_only=True),
    "16.2": lambda: torch.zeros(1).element_size() / 32,
    "19.1": lambda: REFERENCE.box.sampling_ratio,
}  # fmt: skip


def test_every_number_is_computed():
    assert set(COMPUTED) == {name for name in NAMES if not question(name).options}


@pytest.mark.parametrize("name", COMPUTED)
def test_the_number_is_what_the_package_computes(name):
    answer = question(name).answer
    assert COMPUTED[name]() == pytest.approx(answer, abs=0 if isinstance(answer, int) else 1e-4)


@pytest.mark.parametrize(("given", "right"), [("1/2", True), (",5", True), ("0.52", False)])
def test_a_number_may_be_written_in_many_ways(given, right):
    assert is_right(given, question("02.2")) is right


def test_a_whole_number_is_asked_for_exactly():
    assert not is_right("100.5", question("11.2"))
    with pytest.raises(ValueError, match="Write a number"):
        is_right("a few", question("11.2"))


# --- The page -----------------------------------------------------------------------------------


def test_the_first_answer_counts_and_is_kept(file):
    asked = Asked("02.1", "03")
    assert asked.control.description == "Your answer" and 'role="status"' in asked.note.value
    asked.control.value = "many"
    assert "Write a number" in asked.note.value and not file.exists()
    asked.control.value = "8"
    assert "No: 16. Half an element" in asked.note.value
    asked.control.value = "16"
    assert "Right: 16." in asked.note.value
    assert kept(file) == {"02.1": "wrong 03"}
    again = Recall("04").asked[0]
    assert again.name == "02.1"
    again.control.value = "16"
    assert kept(file) == {"02.1": "right 04"}
    assert "Answered before." in Asked("02.1", "04").note.value


@pytest.mark.parametrize(("name", "given"), [("02.1", "?"), ("00.1", "I do not remember")])
def test_who_forgot_is_told(file, name, given):
    asked = Asked(name, "03")
    asked.control.value = given
    assert "It is: " in asked.note.value
    assert kept(file) == {name: "wrong 03"}


def test_a_page_without_kernel_holds_the_questions_of_the_plan(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_remembered", {})
    recall("05")
    words = capsys.readouterr().out
    assert re.findall(r"From notebook (\w+):", words) == ["04", "02", "00"]
    assert (
        "( ) on the edges of the box" in words
        and "right" not in words
        and "I do not remember" not in words
    )
    bundle = Recall("05")._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/plain"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_opens_with_what_is_due(path):
    number = path.name.split("_")[0]
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    asking = [cell for cell in cells[:2] if f'recall("{number}")' in cell.source]
    assert len(asking) == (number in plan())
    for cell in asking:
        assert cell.outputs[0].data["text/plain"] == repr(Recall(number))


@pytest.mark.parametrize("number", ["02", "77"])
def test_a_notebook_that_asks_nothing(number):
    with pytest.raises(ValueError, match=r"asks nothing; these do: .'03'"):
        recall(number)


# --- why ----------------------------------------------------------------------------------------


def test_why_keeps_a_reason_and_folds_the_answer(file):
    asked = Why("09-why", "Why is a < b?", "Because <it> is.")
    assert asked.control.description == "Your reason"
    asked.control.value = " it must "
    assert json.loads(file.read_text()) == {"why": {"09-why": "it must"}}
    assert 'role="status"' in asked.note.value and "Noted." in asked.note.value
    assert Why("09-why", "Why is a < b?", "Because").control.value == "it must"
    bundle = asked._repr_mimebundle_()
    assert bundle["text/plain"] == "Why 09-why: Why is a < b?\nOne answer: Because <it> is."
    assert "a &lt; b" in bundle["text/html"] and "must" not in bundle["text/html"]
    assert "<details><summary>" in bundle["text/html"] and "&lt;it&gt;" in bundle["text/html"]


def test_why_needs_an_answer():
    with pytest.raises(ValueError, match="needs all three"):
        why("09-why", "Why?", "")
