"""ONNX's operators over clgrad's tensors, by families; importing this fills the table."""

from clgrad.onnx.operators import (
    control,
    convolution,
    indexing,
    losses,
    making,
    normalization,
    pointwise,
    pooling,
    products,
    quantization,
    recurrent,
    reductions,
    resizing,
    shaping,
)
from clgrad.onnx.operators.table import TABLE, Operator, find, implements

__all__ = ["TABLE", "Operator", "control", "convolution", "find", "implements", "indexing", "losses", "making",
           "normalization", "pointwise", "pooling", "products", "quantization", "recurrent", "reductions", "resizing",
           "shaping"]
