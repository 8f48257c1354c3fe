"""`verify`: all faults of a data set, and a repaired copy."""

from __future__ import annotations

import argparse


def verify_data(options: argparse.Namespace) -> int:
    """Print all faults (exit status 1 when there are any), and write a repaired copy."""
    from tqdm import tqdm

    from ..datasets.faults import counted
    from ..datasets.formats import read_source
    from ..datasets.scan import scan
    from ..datasets.verify import describe, repair

    def show(images: list) -> tqdm:
        return tqdm(images, unit="image", leave=False, disable=None)

    report = scan(read_source(options.data, options.attribute), progress=show)
    print(describe(report))
    if options.repair:
        done = repair(options.data, options.repair, attribute=options.attribute, progress=show)
        print(f"{options.repair}: a copy without {counted(done)}; report.txt lists the changes")
    return 1 if report.faults else 0
