"""Write a network as ONNX or as PyTorch's own program."""

import copy
import io
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..files import write_whole
from ..models import MaskRCNN
from ..models.transform import Size
from .forms import exportable, roi_align_onnx, suppress_form, translations
from .network import FixedNetwork, graph_config, output_names
from .sizes import ANY_SIZE, EXAMPLE, AnySizeNetwork, Dims

OPSET = 20
EXTRA = "python -m pip install 'mrcnn_lite[export]'"


def export_onnx(
    model: MaskRCNN,
    class_names: Sequence[str],
    path: str | Path,
    size: Size | None = None,
    batch: int = 1,
) -> None:
    """Write a network as an ONNX file.

    Args:
        model: of any preset; its config says how many detections there are at most.
        class_names: stored with the thresholds in the file's metadata, see `metadata`.
        path: of the file.
        size: (H, W) of the images that it will be given; None: each call may bring another. With
            one the file is also for runtimes that plan ahead and refuse open sizes.
        batch: how many of them at once.

    Raises:
        ModuleNotFoundError: onnx or onnxscript is not installed.
        OSError: as of `files.write_whole`.
    """
    onnx_tools()  # before the work
    network, dims = (FixedNetwork(model), None) if size else (AnySizeNetwork(model), ANY_SIZE)
    example = torch.zeros(batch, 3, *(size or EXAMPLE))
    program = trace(network, (example,), dims, roi_align=roi_align_onnx)
    said = metadata(model, class_names, size, batch)
    write_onnx(program, ["image"], output_names(model.config), said, path, dims)


def write_onnx(
    program: torch.export.ExportedProgram,
    inputs: Sequence[str],
    outputs: Sequence[str],
    said: dict[str, str],
    path: str | Path,
    dims: Dims | None = None,
) -> None:
    """Write a traced network with the names of its inputs and outputs and its metadata;
    `dims` as it was traced with.

    Raises: see `export_onnx`.
    """
    onnx, clear = onnx_tools()
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns that an output is a constant
    written = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        custom_translation_table=translations(),
        dynamic_shapes=dims,
        input_names=inputs,
        output_names=outputs,
        verbose=False,
    )
    # Of every node the exporter notes from which lines of Python it came: paths of this machine.
    clear(written.model)
    proto = written.model_proto
    onnx.checker.check_model(proto)
    proto.producer_name = "mrcnn_lite"
    onnx.helper.set_model_props(proto, said)
    write_whole(Path(path), proto.SerializeToString())


def onnx_tools() -> tuple[Any, Any]:
    """Return the module onnx and a pass that clears what nodes say of themselves."""
    try:
        import onnx
        import onnxscript  # noqa: F401
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is not installed; {EXTRA}") from error
    return onnx, ClearMetadataAndDocStringPass()


def export_program(
    model: MaskRCNN, class_names: Sequence[str], path: str | Path, size: Size, batch: int = 1
) -> None:
    """Write a network as a program of `torch.export`: `torch.export.load(path).module()` runs it.

    A file is for one size of images: the tensor form of `ops.roi_align` makes tables of the maps'
    sizes, which the exporter cannot leave open. Args and errors: see `export_onnx`.
    """
    program = trace(FixedNetwork(model), (torch.zeros(batch, 3, *size),))
    said, file = metadata(model, class_names, size, batch), io.BytesIO()
    torch.export.save(program, file, extra_files={"metadata.json": json.dumps(said)})
    write_whole(Path(path), file.getbuffer())


@torch.no_grad()
def trace(
    network: FixedNetwork,
    examples: tuple[torch.Tensor, ...],
    dims: Dims | None = None,
    **forms: Any,
) -> torch.export.ExportedProgram:
    """Follow a network through inputs like `examples` and write down its operations; `dims` are the
    sizes left open, by input and axis."""
    network = copy.deepcopy(network).eval()  # it will keep anchors without values
    torch.compiler.reset()  # loops of an earlier network may not compare with this one's, but raise
    with exportable(**{"nms": suppress_form} | forms), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attribute .* was assigned during export")
        return torch.export.export(network, examples, dynamic_shapes=dims, strict=False)


def metadata(
    model: MaskRCNN, class_names: Sequence[str], size: Size | None, batch: int
) -> dict[str, str]:
    """What a program that runs the network must know, as JSON texts."""
    config = graph_config(model)
    box, mask, keypoint = config.box, config.mask, config.keypoint
    said = {
        "class_names": list(class_names),
        "outputs": output_names(config),
        "image_size": size and list(size),  # null: any
        "batch": batch,
        "detections": box.detections,
        "score_threshold": box.score_threshold,
        "nms_iou": box.nms_iou,
    }
    if mask:
        said |= {"mask_threshold": 0.5, "paste": mask.paste}
    if keypoint:
        said |= {"keypoints": keypoint.count, "decoder": keypoint.decoder}
    return {name: json.dumps(value) for name, value in said.items()}
