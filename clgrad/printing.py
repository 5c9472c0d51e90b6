"""How tensors are printed: PyTorch's form, with its options."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.formats import sparse_bsr, sparse_coo, sparse_csr, strided
from clgrad.ops import copying
from clgrad.ops.no_memory import stands_for_others

_DEFAULTS: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
_PROFILES: dict[str, dict[str, Any]] = {"default": _DEFAULTS, "short": {**_DEFAULTS, "precision": 2},
             "full": {**_DEFAULTS, "threshold": math.inf}}
options: dict[str, Any] = dict(_DEFAULTS)


def set_printoptions(precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
                     linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None) -> None:
    """Digits after the point, size from which tensors are shortened, items shown at the edges, width of a line."""
    if profile is not None:
        options.update(_PROFILES.get(profile, {}))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    options.update({name: value for name, value in given.items() if value is not None})
    options["sci_mode"] = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The current options."""
    return dict(options)


class _Format:
    """One width and one notation for all numbers that are shown."""

    def __init__(self, values: np.ndarray):
        self.floating = values.dtype.kind == "f"
        self.scientific, self.whole, self.width = False, True, 1
        if not self.floating:
            self.width = max((len(str(v)) for v in values.ravel()), default=1)
            return
        numbers = values.astype(np.float64).ravel()
        numbers = numbers[np.isfinite(numbers) & (numbers != 0)]
        if not numbers.size:
            return  # zeros, NaN and infinities take the width that they have
        low, high = np.abs(numbers).min(), np.abs(numbers).max()
        self.whole = bool((numbers == np.ceil(numbers)).all())
        self.scientific = options["sci_mode"]
        if self.scientific is None:
            self.scientific = bool(high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4)
        self.width = max(len(self._text(float(v), options["precision"])) for v in numbers)

    def _text(self, value: float, precision: int) -> str:
        if not math.isfinite(value):
            return str(value)
        if self.scientific:
            return f"{value:.{precision}e}"
        return f"{value:.0f}." if self.whole else f"{value:.{precision}f}"

    def __call__(self, value: Any) -> str:
        text = self._text(float(value), options["precision"]) if self.floating else str(value)
        return text.rjust(self.width)


class _ComplexFormat:
    """A format for the real parts, and one for the imaginary parts."""

    def __init__(self, values: np.ndarray):
        self.real, self.imag = _Format(values.real), _Format(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value: Any) -> str:
        imaginary = self.imag(value.imag).lstrip() + "j"
        return self.real(value.real) + ("" if imaginary[0] in "+-" else "+") + imaginary


def _shown(values: np.ndarray) -> np.ndarray:
    """The elements that are printed of a large array."""
    if values.ndim == 0:
        return values.reshape(1)
    edge = options["edgeitems"]
    for axis in range(values.ndim):
        if values.shape[axis] > 2 * edge:
            values = np.take(values, [*range(edge), *range(-edge, 0)], axis)
    return values


def _rows(values: np.ndarray, indent: int, format: _Format | _ComplexFormat, shorten: bool) -> str:
    edge = options["edgeitems"]
    if values.ndim == 0:
        return format(values[()])
    cut = shorten and values.shape[0] > 2 * edge
    if values.ndim == 1:
        per_line = max(1, int((options["linewidth"] - indent) // (format.width + 2)))
        items = [format(v) for v in (np.concatenate([values[:edge], values[-edge:]]) if cut else values)]
        if cut:
            items.insert(edge, " ...")
        lines = [", ".join(items[i:i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    picked = [*values[:edge], *values[-edge:]] if cut else list(values)
    parts = [_rows(v, indent + 1, format, shorten) for v in picked]
    if cut:
        parts.insert(edge, "...")
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


_PLAIN = ("Tensor", "Buffer")  # the classes whose text begins with ``tensor``


def values_text(x: Any, indent: int) -> str:
    """The values within the text of ``repr``; ``indent`` spaces stand before the second line."""
    own = x.spec
    if own.device.type == "meta":
        return "..."
    if own.numel == 0:
        return "[]"
    plain = x.detach()
    if stands_for_others(plain):
        return "..."
    values = copying.to_array(plain)
    if own.dtype is dtypes.bfloat16:
        values = dtypes.bfloat16_to_float32(values)
    shorten = own.numel > options["threshold"]
    form = _ComplexFormat if own.dtype.is_complex else _Format
    return _rows(values, indent, form(_shown(values) if shorten else values), shorten)


def _node_name(x: Any) -> str | None:
    """The class of a tensor's node; "Invalid" for a view that was made, and its memory changed, where nothing is recorded."""
    try:
        node = x.grad_fn
    except RuntimeError:
        return "Invalid"
    return None if node is None else type(node).__name__


def _sparse_text(x: Any, indent: int) -> str:
    """The parts of a sparse tensor, each with its name as a tensor is printed."""
    if x.spec.layout is sparse_coo:
        parts = {"indices": x._indices()}
    elif x.spec.layout in (sparse_csr, sparse_bsr):
        parts = {"crow_indices": x.crow_indices(), "col_indices": x.col_indices()}
    else:
        parts = {"ccol_indices": x.ccol_indices(), "row_indices": x.row_indices()}
    lines = []
    for name, part in {**parts, "values": x._values()}.items():
        text = f"{name}=tensor("
        lines.append(text + values_text(part, indent + len(text)) + _empty_size(part) + ")")
    return (",\n" + " " * indent).join(lines)


def _empty_size(part: Any) -> str:
    return f", size={tuple(part.spec.shape)}" if not part.spec.numel else ""


def tensor_text(x: Any, body: str | None = None) -> str:
    """The text of ``repr``; ``body`` stands for the text of the values."""
    own, name = x.spec, type(x).__name__
    sparse = own.layout is not strided
    default = dtypes.get_default_dtype()
    usual = default, default.to_complex(), dtypes.int64, dtypes.bool
    prefix = "Parameter containing:\ntensor(" if name == "Parameter" else "tensor(" if name in _PLAIN else f"{name}("
    indent = len(prefix.rpartition("\n")[2])
    suffixes = []
    if own.device.type != "cpu":
        suffixes.append(f"device='{own.device}'")
    if sparse:
        suffixes += [f"size={tuple(own.shape)}", f"nnz={x._nnz()}"]
        if own.dtype not in usual:
            suffixes.append(f"dtype={own.dtype}")
    elif own.device.type == "meta" or own.numel == 0:
        if own.ndim != 1 or own.device.type == "meta":
            suffixes.append(f"size={tuple(own.shape)}")
        if own.dtype is not dtypes.get_default_dtype():
            suffixes.append(f"dtype={own.dtype}")
    elif own.dtype not in usual:
        suffixes.append(f"dtype={own.dtype}")
    if sparse:
        suffixes.append(f"layout={own.layout}")
    if body is None:
        body = _sparse_text(x, indent) if sparse else values_text(x, indent)
    node = _node_name(x)
    if node is not None:
        suffixes.append(f"grad_fn=<{node}>")
    elif x.requires_grad:
        suffixes.append("requires_grad=True")
    text = with_suffixes(prefix + body, suffixes, indent, own.layout is sparse_coo)
    return f"Parameter({text})" if getattr(x, "_is_param", False) else text


def with_suffixes(text: str, suffixes: list[str], indent: int, force_newline: bool) -> str:
    """The text of ``repr`` from its beginning and what comes after the values, each on a new line where the line is full.

    Args:
        indent: how many spaces begin a new line.
        force_newline: whether the first suffix begins one in any case.
    """
    last = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if force_newline or last + len(suffix) + 2 > options["linewidth"]:
            text += ",\n" + " " * indent + suffix
            last, force_newline = indent + len(suffix), False
        else:
            text += ", " + suffix
            last += len(suffix) + 2
    return text + ")"
