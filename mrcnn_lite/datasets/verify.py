"""All faults of a data set at once, in words: `python -m mrcnn_lite verify PATH`."""

from collections import Counter
from pathlib import Path

from .annotations import find_faults
from .examine import Progress, Report, count, look
from .faults import Fault, counted
from .formats import read_source
from .repair import repair

__all__ = ["Fault", "Report", "describe", "examine", "repair", "verify"]


def verify(path: str | Path, attribute: str | None = None) -> list[Fault]:
    """Find all faults of a data set: of the file, of every picture, of every mask.

    Args:
        path: A COCO or VIA JSON file, or a folder of label maps.
        attribute: Of VIA: the region attribute that holds the class.

    Returns:
        The faults; an empty list means that training can read everything.

    Raises:
        ValueError: When there is nothing that can be read.
    """
    return examine(path, attribute=attribute).faults


def examine(
    path: str | Path,
    image_folder: str | Path | None = None,
    attribute: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Look at all of a data set.

    Args:
        path: As `formats.read_source` takes it.
        image_folder: Default where that looks.
        attribute: Of VIA.
        progress: Wraps the list of images, as tqdm does.

    Returns:
        The report.

    Raises:
        ValueError: When there is nothing that can be read.
    """
    source = read_source(path, attribute)
    report = Report(source.path, source.kind, list(source.faults))
    report.faults += find_faults(source.data, str(source.path))
    if any(not fault.remedy for fault in report.faults):
        return report
    folder = Path(image_folder or source.image_folder)
    report.faults += look(source.data, folder, report, progress)
    count(source.data, report)
    return report


def describe(report: Report) -> str:
    """Write a report in words.

    Args:
        report: Of `examine`.

    Returns:
        Every fault on a line of its own, then their number per kind, notes and counts.
    """
    lines = [str(fault) for fault in report.faults]
    kinds = Counter((fault.kind, fault.remedy) for fault in report.faults)
    if kinds:
        lines += ["", f"{counted(report.faults)} in {report.path} ({report.kind}):"]
        for (kind, remedy), number in kinds.most_common():
            lines.append(f"{number:6d}  {kind}; a repair: {remedy or 'is not possible'}")
    else:
        lines.append(f"{report.path} ({report.kind}): no fault")
    if report.sides and report.areas:
        objects = ", ".join(f"{name} {count}" for name, count in report.objects.most_common(20))
        rest = len(report.objects) - 20
        lines += [
            f"{report.images} images, sides of {report.sides[0]} to {report.sides[1]} pixels",
            f"{report.objects.total()} objects of {report.areas[0]} to {report.areas[1]} pixels: "
            + objects
            + (f" and {rest} more classes" if rest > 0 else ""),
        ]
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)
