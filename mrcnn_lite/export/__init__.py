"""The network outside of PyTorch: ONNX, and programs of `torch.export`."""

from .files import export_onnx, export_program
from .network import FixedNetwork, output_names

__all__ = ["FixedNetwork", "export_onnx", "export_program", "output_names"]
