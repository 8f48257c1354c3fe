"""RoIAlign against torchvision's C++ operation.

    python -m benchmarks.roi_align [--threads 2] [--seconds 3] [--json PATH]

Both get the same tensors, features once in the layout that suits torchvision (NCHW), once in ours
(channels_last), and the gradient in the layout of their own output, as a next layer would send it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor

from benchmarks.cpu import Report, command
from benchmarks.table import Different, Row, ratio
from benchmarks.timing import compare
from mrcnn_lite.ops import clip_boxes, roi_align

# Largest difference from torchvision that is accepted, in float64.
TOLERANCE = 1e-10
SCALE = 1 / 4
SAMPLING_RATIO = 2


@dataclass(frozen=True)
class Case:
    """One size of the problem."""

    name: str  # how it is printed
    images: int
    channels: int
    height: int  # of the feature map
    width: int
    rois: int  # per image
    largest: float  # side of the largest RoI in pixels; the smallest is 8
    pooled: int  # P
    goals: tuple = (None, None)  # smallest acceptable ratios: forward, + backward


CASES = (
    Case("lite 7x7", 1, 64, 32, 32, 128, 100, 7, (2.0, 3.5)),
    Case("lite 14x14", 1, 64, 32, 32, 128, 100, 14, (2.0, 8.0)),
    Case("training 7x7", 4, 48, 32, 32, 64, 100, 7),
    Case("training 14x14", 4, 48, 32, 32, 4, 100, 14),
    Case("detector 7x7", 1, 256, 200, 304, 512, 300, 7, (2.5, 2.5)),
    Case("detector 14x14", 1, 256, 200, 304, 128, 300, 14),
)


def make_input(case: Case, dtype: torch.dtype, channels_last: bool) -> tuple[Tensor, Tensor]:
    """Random features [B, C, h, w] and RoIs [K, 5]."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.images, case.channels, case.height, case.width)
    features = torch.randn(shape, generator=generator, dtype=dtype)  # [B, C, h, w]
    image_size = (int(case.height / SCALE), int(case.width / SCALE))
    k = case.images * case.rois
    side = 8 + (case.largest - 8) * torch.rand(k, 2, generator=generator, dtype=dtype)  # [K, 2]
    centre = torch.rand(k, 2, generator=generator, dtype=dtype)
    centre = centre * torch.tensor([image_size[1], image_size[0]], dtype=dtype)  # [K, 2]
    corners = torch.cat([centre - side / 2, centre + side / 2], dim=1)  # [K, 4]
    image = torch.arange(case.images).repeat_interleave(case.rois)[:, None].to(dtype)  # [K, 1]
    rois = torch.cat([image, clip_boxes(corners, image_size)], dim=1)  # [K, 5]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return features.contiguous(memory_format=layout), rois


def both_forms(case: Case) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Torchvision's operation and ours with the same settings."""
    settings = (case.pooled, SCALE, SAMPLING_RATIO)

    def peer(features: Tensor, rois: Tensor) -> Tensor:
        return torchvision.ops.roi_align(features, rois, *settings, aligned=False)

    def ours(features: Tensor, rois: Tensor) -> Tensor:
        return roi_align(features, rois, *settings, aligned=False)

    return peer, ours


def differences(case: Case) -> tuple[float, float]:
    """Largest differences from torchvision in float64: forward, gradient."""
    features, rois = make_input(case, torch.float64, channels_last=False)
    results = []
    for form in both_forms(case):
        leaf = features.clone().requires_grad_()
        out = form(leaf, rois)  # [K, C, P, P]
        grad = torch.randn(
            out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        out.backward(grad)
        results.append((out.detach(), leaf.grad))
    (out_a, grad_a), (out_b, grad_b) = results
    return float((out_a - out_b).abs().max()), float((grad_a - grad_b).abs().max())


def time_case(case: Case, channels_last: bool, budget_s: float) -> dict[str, dict[str, float]]:
    """Compare both passes at one size: "forward" and "forward+backward"."""
    features, rois = make_input(case, torch.float32, channels_last)
    forward, both = [], []
    for form in both_forms(case):
        leaf = features.clone(memory_format=torch.preserve_format).requires_grad_()
        grad = torch.randn_like(form(leaf, rois))

        def run_forward(form=form, leaf=leaf):
            with torch.no_grad():
                form(leaf, rois)

        def run_both(form=form, leaf=leaf, grad=grad):
            leaf.grad = None
            form(leaf, rois).backward(grad)

        forward.append(run_forward)
        both.append(run_both)
    return {
        "forward": compare(*forward, budget_s).as_dict(),
        "forward+backward": compare(*both, budget_s).as_dict(),
    }


def measure(seconds: float) -> Report:
    """Print the differences, then the ratios."""
    print(f"\nLargest difference from torchvision in float64 (at most {TOLERANCE:g} is accepted)")
    results = []
    for case in CASES:
        forward, gradient = differences(case)
        print(f"  {case.name:15s} forward {forward:.1e}   gradient {gradient:.1e}")
        results.append({"case": case.name, "difference": [forward, gradient]})
    if not all(value <= TOLERANCE for result in results for value in result["difference"]):
        raise Different("the results differ: times would mean nothing")

    print("\nForward, then forward + backward: median ms of torchvision / ours = median ratio")
    print(f"(ratio of the fastest rounds), sampling_ratio {SAMPLING_RATIO}")
    for case, result in zip(CASES, results, strict=True):
        for layout in ("NCHW", "channels_last"):
            times = time_case(case, layout == "channels_last", seconds)
            result[layout] = times
            print(f"  {case.name:15s} {layout:14s}" + "".join(map(_cell, times.values())))
    report: Report = {"results": results}
    met = report["goals_met"] = not any(row.verdict == "NOT met" for row in rows(report))
    print(f"\nGoals (NCHW): {'met' if met else 'NOT met'}")
    return report


def _cell(entry: dict[str, float]) -> str:
    times = f"{entry['peer_ms']:8.2f} /{entry['ours_ms']:7.2f}"
    return f"  {times} = {entry['ratio']:5.2f}x ({entry['best']:5.2f}x)"


def rows(report: Report) -> list[Row]:
    """Ratios at every size, with features as torchvision likes them."""
    goals = {case.name: case.goals for case in CASES}
    return [
        ratio("roi_align", f"RoIAlign {result['case']}, {passes}", result["NCHW"][passes], goal)
        for result in report["results"]
        for passes, goal in zip(
            ("forward", "forward+backward"), goals.get(result["case"], (None, None)), strict=True
        )
    ]


def main() -> int:
    """Print the differences, then the ratios; write them as JSON where asked."""
    return command(__doc__, measure, threads=2, seconds=(3.0, "for each comparison"))


if __name__ == "__main__":
    raise SystemExit(main())
