"""Write a network as ONNX or as PyTorch's own program."""

from __future__ import annotations

import copy
import io
import json
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

OPSET = 20
EXTRA = "python -m pip install 'mrcnn_lite[export]'"


def export_onnx(
    model: MaskRCNN, class_names: Sequence[str], path: str | Path, size: Size, batch: int = 1
) -> None:
    """Write a network as an ONNX file.

    Args:
        model: of any preset; its config says how many detections there are at most.
        class_names: stored with the thresholds in the file's metadata, see `metadata`.
        path: of the file.
        size: (H, W) of the images that it will be given.
        batch: how many of them at once.

    Raises:
        ModuleNotFoundError: onnx or onnxscript is not installed.
        OSError: as of `files.write_whole`.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is not installed; {EXTRA}") from error
    example = torch.zeros(batch, 3, *size)
    program = trace(model, example, roi_align=roi_align_onnx)
    written = torch.onnx.export(
        program,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        custom_translation_table=translations(),
        input_names=["image"],
        output_names=output_names(model.config),
        verbose=False,
    )
    proto = written.model_proto
    onnx.checker.check_model(proto)
    proto.producer_name = "mrcnn_lite"
    onnx.helper.set_model_props(proto, metadata(model, class_names, size, batch))
    write_whole(Path(path), proto.SerializeToString())


def export_program(
    model: MaskRCNN, class_names: Sequence[str], path: str | Path, size: Size, batch: int = 1
) -> None:
    """Write a network as a program of `torch.export`: `torch.export.load(path).module()` runs it.

    Args and errors: see `export_onnx`.
    """
    program, file = trace(model, torch.zeros(batch, 3, *size)), io.BytesIO()
    said = metadata(model, class_names, size, batch)
    torch.export.save(program, file, extra_files={"metadata.json": json.dumps(said)})
    write_whole(Path(path), file.getbuffer())


@torch.no_grad()
def trace(model: MaskRCNN, example: torch.Tensor, **forms: Any) -> torch.export.ExportedProgram:
    """Follow a network through the images `example` and write down its operations."""
    network = FixedNetwork(copy.deepcopy(model).eval())  # it will keep anchors without values
    with exportable(nms=suppress_form, **forms), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attribute .* was assigned during export")
        return torch.export.export(network, (example,), strict=False)


def metadata(model: MaskRCNN, class_names: Sequence[str], size: Size, batch: int) -> dict[str, str]:
    """What a program that runs the network must know, as JSON texts."""
    config = graph_config(model)
    box, mask, keypoint = config.box, config.mask, config.keypoint
    said = {
        "class_names": list(class_names),
        "outputs": output_names(config),
        "image_size": list(size),
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
