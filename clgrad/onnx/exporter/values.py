"""How operators are written that leave values as they are, or change their dtype."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.sizes import Value
from clgrad.onnx.exporter.table import as_dtype, translates


@translates("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
def dropout(g: Builder, input: Value, p: float = 0.5, training: bool | None = None, inplace: bool = False) -> str:
    """Nothing, outside training."""
    training = not g.call_name.endswith("alpha_dropout") if training is None else training
    if not training or p == 0:
        return g.name_of(input)
    if g.call_name != "dropout":
        raise UnsupportedOperatorError(f"export: {g.call_name} in training has no counterpart in ONNX")
    if g.opset < 12:
        return g.op("Dropout", input, ratio=float(p))
    return g.op("Dropout", input, g.constant(p, dtypes.float32), g.constant(True, dtypes.bool))


@translates("contiguous", "detach", "clone", "alias", "positive", "data.__get__", "view_as_self", "cpu", "cuda")
def unchanged(g: Builder, input: Value, *args: Any, **kwargs: Any) -> str:
    """The same values."""
    return g.name_of(input)


@translates("to", "float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool", "type_as", "type",
            "cast")
def cast(g: Builder, input: Value, *args: Any, **kwargs: Any) -> str:
    """Another dtype, or another device, which a graph does not know."""
    return as_dtype(g, input, g.result.dtype)


@translates("copy")
def copy(g: Builder, input: Value, src: Any, non_blocking: bool = False) -> str:
    """Other values in a tensor's shape and dtype."""
    name = as_dtype(g, src, input.dtype)
    given = src.shape if isinstance(src, Value) else []
    return name if given == input.shape else g.expand(name, given, input.shape)


@translates("fill")
def fill(g: Builder, input: Value, value: Any) -> str:
    """One number everywhere."""
    return g.expand(as_dtype(g, value, input.dtype), [], input.shape)


@translates("zero")
def zero(g: Builder, input: Value) -> str:
    """Zero everywhere."""
    return fill(g, input, 0)
