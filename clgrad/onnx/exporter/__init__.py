"""Writing models as ONNX graphs: what a model calls is recorded, and each call translated."""

from clgrad.onnx.exporter import layers, picking, pointwise, recurrent, reductions, shaping, values
from clgrad.onnx.exporter.table import TRANSLATIONS, translates

__all__ = ["TRANSLATIONS", "layers", "picking", "pointwise", "recurrent", "reductions", "shaping", "translates", "values"]
