"""The network outside of PyTorch: ONNX, and programs of `torch.export`.

A file tells in its metadata what a program must know of it. With numpy and onnxruntime:

    session = onnxruntime.InferenceSession("model.onnx")
    texts = session.get_modelmeta().custom_metadata_map
    said = {name: json.loads(text) for name, text in texts.items()}
    values = session.run(None, {"image": image})  # float32 [1, 3, H, W], RGB in 0..1
    found = dict(zip(said["outputs"], values))  # see `FixedNetwork.forward`
    boxes, masks = (found[name][: found["count"]] for name in ("boxes", "masks"))

The masks [N, M, M] are probabilities inside the boxes. `ops.paste_masks(masks, boxes, (H, W),
said["paste"], said["mask_threshold"])`, of tensors, puts them into the image: bool [N, H, W]. In
JavaScript docs/live/paste.js does the same. Names of the labels are in said["class_names"].
"""

from .files import export_onnx, export_program
from .network import FixedNetwork, output_names
from .stages import StagedNetwork, export_stages

__all__ = [
    "FixedNetwork",
    "StagedNetwork",
    "export_onnx",
    "export_program",
    "export_stages",
    "output_names",
]
