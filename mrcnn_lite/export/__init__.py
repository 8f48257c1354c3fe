"""The network outside of PyTorch: ONNX, and programs of `torch.export`."""

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
