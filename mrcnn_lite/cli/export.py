"""`export`: the network as a file that other programs run, ONNX or PyTorch's own."""

import argparse

import torch

from ..config import PRESETS
from ..files import check_output
from ..models import MaskRCNN, load_weights

# How a file of each kind begins that this command wrote.
KINDS = {
    ".onnx": rb"\x08.\x12\x0amrcnn_lite",
    ".pt2": rb"PK\x03\x04.{26}archive/data/weights/",
}


def export_network(options: argparse.Namespace) -> None:
    """Write the file, and say what it takes and gives."""
    out, size = options.out, options.image_size and tuple(options.image_size)
    if out.suffix not in KINDS:
        raise ValueError(f"--out {out}: end the name with {' or '.join(KINDS)}")
    if out.suffix == ".pt2" and not size:
        raise ValueError("--image-size is missing; a .pt2 is for images of one size: give H W")
    check_output(out, "--out", KINDS[out.suffix])
    if options.weights in PRESETS:  # with new weights
        torch.manual_seed(0)
        model = MaskRCNN(PRESETS[options.weights]()).eval()
        class_names = ["background", *(f"class {k}" for k in range(1, model.num_classes))]
    else:
        model, class_names = load_weights(options.weights)
    if options.detections:
        heads = model.roi_heads
        heads.config = heads.config.with_(box={"detections": options.detections})

    from ..export import export_onnx, export_program

    export = export_onnx if out.suffix == ".onnx" else export_program
    try:
        export(model, class_names, out, size, options.batch)
    except ModuleNotFoundError as error:
        raise ValueError(error) from error
    height, width = size or ("H", "W")
    images = f"{options.batch} x 3 x {height} x {width}"
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB; image {images}, RGB in 0..1")
