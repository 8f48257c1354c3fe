"""A fault of a data set: where it is, what is wrong, what to do, and what a repair does."""

import reprlib
from collections.abc import Iterable, Sized
from dataclasses import dataclass

FAULTS_SHOWN = 5  # in one error

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother, _short.maxlong = 3, 60, 60, 40


@dataclass(frozen=True)
class Fault:
    """One fault; its text is one sentence with file, position, field, value, message and hint.

    Args:
        kind: A few words, the same for all faults of this kind.
        field: Which field, such as ``bbox``.
        value: What it holds, shortened.
        message: What is wrong with it.
        hint: What to do.
        fix: What a repair does, in words; "" when it can do nothing.
        change: The fields that the repair writes; None when it leaves the entry out.
        where: Position in words, such as "annotation 1 of image 5".
        file: The annotation file, or the folder of a data set without one.
        section, row: Position in the file: ``annotations``, 3.
        image_id, annotation_id: Where they are known.
    """

    kind: str
    field: str
    value: str
    message: str
    hint: str
    fix: str = ""
    change: dict | None = None
    where: str = ""
    file: str = ""
    section: str = ""
    row: int = -1
    image_id: object = None
    annotation_id: object = None

    def __str__(self) -> str:
        text = f"{self.field} = {self.value} {self.message}" if self.field else self.message
        return ": ".join(part for part in (self.file, self.where, text) if part) + f"; {self.hint}"


def refuse(faults: Iterable[Fault]) -> None:
    """Stop when there is a fault.

    Raises:
        ValueError: Holds the first few faults and says how to see all of them.
    """
    faults = list(faults)
    if not faults:
        return
    lines = [str(fault) for fault in faults[:FAULTS_SHOWN]]
    if len(faults) > FAULTS_SHOWN:
        lines.append(f"and {len(faults) - FAULTS_SHOWN} more")
    lines.append(f"python -m mrcnn_lite verify {faults[0].file} lists all of them")
    raise ValueError("\n  ".join(lines))


def counted(faults: Sized) -> str:
    """Say how many faults there are: "1 fault", "2 faults"."""
    return f"{len(faults)} fault{'s' * (len(faults) != 1)}"


def short(value: object) -> str:
    """Write a value in at most eighty characters, however long or deep it is."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"an integer of {value.bit_length()} bits"
    text = _short.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
