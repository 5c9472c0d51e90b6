"""ONNX: models written to, and read from, the format that other frameworks share.

``load`` reads a file as a module that runs its graph. The package ``onnx`` is needed only when this is used.
"""

from clgrad.onnx.errors import OnnxError, OnnxExporterError, UnsupportedOperatorError
from clgrad.onnx.importer import OnnxModule, load

__all__ = ["OnnxError", "OnnxExporterError", "OnnxModule", "UnsupportedOperatorError", "load"]
