"""ONNX: models written to, and read from, the format that other frameworks share.

``export`` writes a model as a graph, ``load`` reads a file as a module that runs its graph. The package ``onnx`` is needed
only when one of them is used.
"""

from clgrad.onnx import errors
from clgrad.onnx.errors import OnnxError, OnnxExporterError, UnsupportedOperatorError
from clgrad.onnx.exporter.program import ONNXProgram, is_in_onnx_export
from clgrad.onnx.exporting import OperatorExportTypes, TrainingMode, export, select_model_mode_for_export
from clgrad.onnx.importer import OnnxModule, load

__all__ = ["ONNXProgram", "OnnxError", "OnnxExporterError", "OnnxModule", "OperatorExportTypes", "TrainingMode",
           "UnsupportedOperatorError", "errors", "export", "is_in_onnx_export", "load", "select_model_mode_for_export"]
