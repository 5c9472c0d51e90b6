"""Writing models as ONNX graphs: what a model calls is recorded, and each call translated."""

from clgrad.onnx.exporter import layers, pointwise, recurrent, reductions, shaping
from clgrad.onnx.exporter.table import TRANSLATIONS, translates

__all__ = ["TRANSLATIONS", "layers", "pointwise", "recurrent", "reductions", "shaping", "translates"]
