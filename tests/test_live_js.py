"""What the live page computes in JavaScript, against `mrcnn_lite`, on random cases."""

import json
import shutil
import subprocess

import pytest
import torch
from source_tree import ROOT

from mrcnn_lite.ops import box_iou, nms_mask, paste_masks
from mrcnn_lite.ops.paste import RULES

LIVE, CASES = ROOT / "docs" / "live", 300
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node: it is not installed")


def draw_case(random: torch.Generator) -> dict:
    """A mask with a box that may leave the image; and boxes, best first, some of them twice."""

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=random))

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=random)

    size, side, count = whole(1, 48), whole(1, 29), whole(1, 24)
    corner = draw(count, 2) * size * 1.4 - 0.3 * size
    boxes = torch.cat([corner, corner + draw(count, 2) * size], dim=1)  # [N, 4]
    if whole(0, 3) == 0:  # overlaps that are fractions of small numbers, and no area
        boxes = boxes.round()
    boxes = boxes[torch.randint(count, (count,), generator=random)]
    return {
        "mask": draw(side, side).flatten().tolist(),
        "box": boxes[0].tolist(),
        "size": size,
        "rule": RULES[whole(0, 2)],
        "boxes": boxes.tolist(),
        "threshold": whole(0, 20) / 20,
    }


@pytest.fixture(scope="module")
def cases() -> list[tuple[dict, dict]]:
    """Random cases, and what the page's code makes of them."""
    random = torch.Generator().manual_seed(14)
    cases = [draw_case(random) for _ in range(CASES)]
    command = ["node", str(ROOT / "tests" / "live_cases.mjs"), LIVE.as_uri()]
    run = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return [*zip(cases, json.loads(run.stdout), strict=True)]


def test_pasting(cases):
    reached = 0
    for case, answer in cases:
        side = round(len(case["mask"]) ** 0.5)
        mask, box = torch.tensor(case["mask"]).view(1, side, side), torch.tensor([case["box"]])
        size = case["size"], case["size"]
        ours = paste_masks(mask, box, size, case["rule"])[0]
        theirs = torch.tensor(answer["pasted"], dtype=torch.float32).view(size)
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)
        reached += bool(ours.any())
    assert reached > CASES / 2


def test_suppression_step_by_step(cases):
    removed = 0
    for case, answer in cases:
        boxes, threshold = torch.tensor(case["boxes"]), case["threshold"]
        iou = box_iou(boxes, boxes)  # [N, N]
        assert answer["ious"] == iou[0].tolist(), "exact: both in float32"
        scores, valid = -torch.arange(len(boxes)).float(), torch.ones(len(boxes)) > 0
        keep = nms_mask(boxes, scores, valid, threshold)
        for j, step in enumerate(answer["steps"]):
            kept = [i for i in range(j) if keep[i]]
            rivals = [i for i in kept if float(iou[i, j]) > threshold]
            assert (step["by"] < 0) == bool(keep[j]) == (not rivals)
            if rivals:
                assert (step["by"], step["iou"]) == (rivals[0], float(iou[rivals[0], j]))
            else:
                assert step["iou"] == max([0.0, *(float(iou[i, j]) for i in kept)])
            removed += bool(rivals)
    assert removed > CASES
