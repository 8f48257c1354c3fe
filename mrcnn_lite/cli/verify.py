"""`verify`: all faults of a data set, and a repaired copy."""

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

    where = options.data, options.attribute, options.images
    report = scan(read_source(*where), progress=show)
    print(describe(report))
    if options.repair:
        done = repair(where[0], options.repair, where[2], where[1], progress=show)
        print(f"{options.repair}: a copy without {counted(done)}; report.txt lists the changes")
    if not report.faults and not report.objects:
        images = len(report.data["images"])
        raise ValueError(
            f"{options.data}: no object to learn or to find in {images} images; annotate some"
        )
    return 1 if report.faults else 0
