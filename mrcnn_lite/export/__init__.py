"""The network outside of PyTorch: ONNX, and programs of `torch.export`."""

from .files import export_onnx, export_program
from .network import OUTPUTS, FixedNetwork

__all__ = ["OUTPUTS", "FixedNetwork", "export_onnx", "export_program"]
