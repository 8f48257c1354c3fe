"""A fault of a data set: where it is, what is wrong, how to mend it."""

import reprlib
from collections.abc import Iterable, Sized
from dataclasses import dataclass

FAULTS_SHOWN = 5  # in one error

# What a repair does about a fault. It does only what is certain; the rest it leaves out.
DROP = "left out"  # the entry; an image goes with its annotations
DROP_ALL = "left out with its namesakes"  # every entry that has this id
DROP_PART = "part left out"  # of an outline, when it adds no pixel
INTEGER = "written as an integer"
RENUMBER = "given an id of its own"
REBOX = "computed from the mask"
AS_STORED = "picture stored as the annotations saw it"  # without the tag that turns it
SKIPPED = "not read"  # the reader of another format has left it out already

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother, _short.maxlong = 3, 60, 60, 40


@dataclass(frozen=True)
class Fault:
    """One fault; its text is one sentence with file, place, field, value and cure.

    Args:
        kind: A few words, the same for all faults of this kind.
        file: The annotation file, or the folder of a data set without one.
        field: Which field, such as ``bbox``.
        value: What it holds, shortened.
        words: What is wrong with it.
        cure: What to do.
        remedy: What a repair does, one of the constants of this module; "" when it cannot.
        image_id, annotation_id: Where they are known.
        section, row: Place in the file: ``annotations``, 3.
        part: Of an outline.
        origin: Place in the file that the annotations were converted from.
    """

    kind: str
    file: str
    field: str
    value: str
    words: str
    cure: str
    remedy: str = ""
    image_id: object = None
    annotation_id: object = None
    section: str = ""
    row: int = -1
    part: int = -1
    origin: str = ""

    @property
    def where(self) -> str:
        """The place in words: "annotation 1 of image 5"."""
        if self.origin:
            return self.origin
        if self.section == "annotations" and self.field != "id":
            return f"annotation {short(self.annotation_id)} of image {short(self.image_id)}"
        if self.section == "images" and self.field != "id":
            return f"image {short(self.image_id)}"
        return f"{self.section}[{self.row}]" if self.section else ""

    def __str__(self) -> str:
        what = f"{self.field} = {self.value} {self.words}" if self.field else self.words
        return ": ".join(part for part in (self.file, self.where, what) if part) + f"; {self.cure}"


@dataclass(frozen=True)
class Place:
    """Where a check is at work; it makes the faults found there."""

    file: str
    section: str = ""
    row: int = -1
    image_id: object = None
    annotation_id: object = None
    origin: str = ""

    def fault(
        self, kind: str, field: str, value: object, words: str, cure: str, remedy: str = ""
    ) -> Fault:
        """Make a fault of this place.

        Args:
            kind, field, words, cure, remedy: As `Fault` has them.
            value: Of any kind; it is shortened.

        Returns:
            The fault.
        """
        return Fault(
            kind=kind,
            field=field,
            value=short(value),
            words=words,
            cure=cure,
            remedy=remedy,
            **self.__dict__,
        )


def refuse(faults: Iterable[Fault]) -> None:
    """Stop when there is a fault.

    Args:
        faults: Of one data set.

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
    """Say how many faults there are.

    Args:
        faults: All of them.

    Returns:
        "1 fault", "2 faults".
    """
    return f"{len(faults)} fault{'s' * (len(faults) != 1)}"


def short(value: object) -> str:
    """Write a value in about sixty characters, however long or deep it is.

    Args:
        value: Of any kind.

    Returns:
        The text.
    """
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"an integer of {value.bit_length()} bits"
    text = _short.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def is_integer(value: object) -> bool:
    """Whether a value of a JSON file is an integer that every library can hold.

    Args:
        value: Of any kind.

    Returns:
        False for True, 1.0, "1" and 2**60.
    """
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def is_numbers(values: object, largest: float = 1e9) -> bool:
    """Whether a value is a list of finite numbers.

    Args:
        values: Of any kind.
        largest: Magnitude that a number may have; NaN is not below it either.

    Returns:
        True or False.
    """
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= largest
        for value in values
    )
