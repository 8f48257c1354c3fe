"""Print the exercise matrix: `python -m mrcnn_lite.exercises [NAME...]`, such as 03 or 03-bilinear.

One sign per known mistake: # caught and named, o caught only, - not caught. The exit code is 1 if
anything is not as it should be.
"""

import sys
from collections.abc import Sequence

from mrcnn_lite.exercises.matrix import Row, examine
from mrcnn_lite.exercises.registry import every
from mrcnn_lite.exercises.words import say


def line(row: Row) -> str:
    """One exercise in one line.

    Args:
        row: what came out for it.

    Returns:
        Name, the three yes or no, the signs and their number.
    """
    marks = ("yes" if mark else "NO" for mark in (row.solution, row.stub, row.unknown))
    told = "  ".join(f"{mark:8}" for mark in marks)
    return f"{row.name:24}{told}  {row.signs} {row.named}/{len(row.signs)}"


def main(names: Sequence[str]) -> int:
    """Print the matrix of the chosen exercises.

    Args:
        names: beginnings of their names; all without any.

    Returns:
        The exit code.
    """
    chosen = [e for name, e in every().items() if name.startswith(tuple(names or [""]))]
    if not chosen:
        say(f"no exercise begins with {' or '.join(names)}; there are: {', '.join(every())}")
        return 1
    print(f"{'exercise':24}{'solution  not yet   unknown':30}known mistakes, # named")
    rows = []
    for exercise in chosen:
        rows.append(examine(exercise))
        print(line(rows[-1]), flush=True)
        for fault in rows[-1].faults:
            say(f"    {fault}")
    mistakes, caught, named = (
        sum(numbers) for numbers in zip(*((len(r.signs), r.caught, r.named) for r in rows))
    )
    whole = sum(not row.faults for row in rows)
    print(
        f"{len(rows)} exercises, {whole} as promised; {mistakes} known mistakes, {caught} caught, "
        f"{named} named."
    )
    return int(whole < len(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
