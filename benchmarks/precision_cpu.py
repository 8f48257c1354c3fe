"""What bf16 and torch.compile bring to a training step of the lite network on a CPU.

    python -m benchmarks.precision_cpu [--threads 2] [--seconds 20] [--json FILE]

The peer is the plain step in float32; above 1 the other form is faster. Compiling needs a C++
compiler, and its time, once, is told and no part of the ratio. First the loss of one step must be
the plain one's: nearly, in bf16.
"""

from __future__ import annotations

from functools import partial

from benchmarks import timing
from benchmarks.cpu import Report, command
from benchmarks.table import Different, Row, ratio
from mrcnn_lite.config import lite
from mrcnn_lite.datasets import Shapes
from mrcnn_lite.training import TrainingRun
from mrcnn_lite.training.fast import compile_parts

FORMS = {"bf16": 5e-2, "torch.compile": 1e-3}  # ... and how far the first loss may be away


def make_run(form: str, images: int) -> TrainingRun:
    """A new run of the lite network in one of the forms, or the plain one."""
    precision = "bf16" if form == "bf16" else "fp32"
    names = list(Shapes.class_names)
    config = lite(len(names)).with_(training={"batch_size": images, "precision": precision})
    run = TrainingRun(config, names, seed=0)
    if form == "torch.compile":
        compile_parts(run.model)
    return run


def measure(seconds: float, images: int) -> Report:
    """Compare the first losses, then the time of a step."""
    shapes, results = Shapes(None, seed=1), {}
    batch = tuple(list(part) for part in zip(*(shapes[i] for i in range(images)), strict=True))
    for form, tolerance in FORMS.items():
        plain, other = make_run("plain", images), make_run(form, images)
        expected, found = plain.step(batch, 0.0)["loss"], {}
        step = partial(other.step, batch, 0.0)
        first = timing.seconds(lambda step=step, found=found: found.update(step()))
        off = abs(found["loss"] / expected - 1)
        print(f"{form}: first step {first:.1f} s, its loss differs by {off:.1e} of its value")
        if not off <= tolerance:
            raise Different(f"{form}: the first losses differ: times would mean nothing")
        result = timing.compare(partial(plain.step, batch, 0.0), step, seconds)
        results[form] = result.as_dict() | {"first_step_s": first, "loss_difference": off}
        print(
            f"{form:<14} {result.peer_ms:6.0f} ms / {result.ours_ms:4.0f} ms = {result.ratio:.2f}x "
            f"({result.low:.2f} to {result.high:.2f})",
            flush=True,
        )
    return {"results": results}


def rows(report: Report) -> list[Row]:
    """The ratio of each form; there is no goal: what is plain stays the default."""
    results = report["results"]
    return [
        ratio("precision_cpu", f"training step, lite, {form} for float32", results[form], None)
        for form in FORMS
    ]


def main() -> int:
    """Measure both forms; status 1 when a loss differs."""
    options = {"seconds": (20.0, "for each comparison"), "images": (4, "in a batch")}
    return command(__doc__, measure, threads=2, **options)


if __name__ == "__main__":
    raise SystemExit(main())
