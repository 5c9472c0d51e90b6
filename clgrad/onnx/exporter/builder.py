"""Writing a graph: nodes, constants, and sizes that are computed when the graph runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.onnx.errors import OnnxExporterError, UnsupportedOperatorError
from clgrad.onnx.exporter.sizes import Dimension, Value
from clgrad.onnx.protobuf import from_tensor, number_of, onnx
from clgrad.tensor import Tensor

# The operator set from which on these take their axes as an input.
_AXES_INPUT = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}
_AXES_INPUT_OF_REDUCTIONS = 18


class Builder:
    """A graph that is being written. Names of values are strings.

    Args:
        opset: the version of ONNX's operator set.
        settings: for each run the size of each dynamic axis, by the axis's name.
        parameters: the names of the model's parameters and buffers, by the ids of the tensors.
    """

    def __init__(self, opset: int, settings: Sequence[Mapping[str, int]], parameters: Mapping[int, str]):
        self.opset, self.settings, self.parameters = opset, settings, parameters
        self.nodes: list[Any] = []
        self.initializers: dict[str, Tensor] = {}
        self._names: set[str] = set()
        self._counts: dict[str, int] = {}
        self._known: dict[tuple[int, ...], tuple[str, int]] = {}  # a dimension: the value and axis that have it
        self._sizes: dict[tuple[int, ...], str] = {}
        self._constants: dict[tuple, str] = {}
        # The call that is being translated.
        self.call_name = ""
        self.results: list[Value] = []
        self.result: Any = None

    # Names and nodes.

    def fresh(self, word: str) -> str:
        """A name that is free."""
        while True:
            count = self._counts[word] = self._counts.get(word, -1) + 1
            name = f"{word}_{count}" if count else word
            if name not in self._names:
                self._names.add(name)
                return name

    def reserve(self, name: str) -> str:
        """Takes a name."""
        self._names.add(name)
        return name

    def op(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Writes a node and returns its output's name, or a tuple of names.

        An input is a name, a value, None (left out), a number or a list of whole numbers (a constant). Attributes that are
        None are left out.

        Raises:
            UnsupportedOperatorError: this operator set has no such operator.
        """
        self._check(kind)
        given = ["" if item is None else self.name_of(item) for item in inputs]
        while given and not given[-1]:
            given.pop()
        names = [self.fresh(f"{kind.lower()}") for _ in range(outputs)]
        helper = onnx("helper")
        self.nodes.append(helper.make_node(kind, given, names, name=self.fresh(kind),
                                           **{key: value for key, value in attributes.items() if value is not None}))
        return names[0] if outputs == 1 else tuple(names)

    def _check(self, kind: str) -> None:
        defs = onnx("defs")
        try:
            defs.get_schema(kind, self.opset, "")
        except defs.SchemaError:
            first = min((s.since_version for s in defs.get_all_schemas_with_history() if s.name == kind and not s.domain),
                        default=None)
            raise UnsupportedOperatorError(f"export: ONNX's operator set {self.opset} has no {kind}"
                                           + (f": opset_version must be at least {first}" if first else "")) from None

    def name_of(self, item: Any) -> str:
        """The name of a value, or of a constant made of a number, a list or a tensor."""
        if isinstance(item, str):
            return item
        if isinstance(item, Value):
            if item.name is None:
                item.name = self._held(item)
            return item.name
        if isinstance(item, (list, tuple)):
            return self.sizes(item)
        if isinstance(item, Tensor):
            return self.constant(item)
        return self.constant(tensor(item, dtype=dtypes.int64 if isinstance(item, int) else dtypes.float32))

    def _held(self, value: Value) -> str:
        """Writes a constant that the model holds, a parameter under its own name.

        Raises:
            OnnxExporterError: its shape depends on a dynamic axis, and it is not one number everywhere.
        """
        own = self.parameters.get(id(value.recorded[0].tensor))
        if not value.static:
            flat = value.constant.detach().reshape(-1)
            if bool((flat != flat[0]).any()):
                raise OnnxExporterError(f"export: a tensor of shape {tuple(value.constant.shape)}, made of a dynamic size by "
                                        "other ways than recorded calls, is not the same number everywhere")
            return self.expand(self.constant(flat[0]), [], value.shape)
        if own is None:
            return self.constant(value.constant)
        self.initializers[self.reserve(own)] = value.constant
        return own

    def constant(self, value: Any, dtype: Any = None, name: str = "constant") -> str:
        """A constant, whose equals are written once."""
        made = value if isinstance(value, Tensor) and dtype is None else tensor(
            value.tolist() if isinstance(value, Tensor) else value, dtype=dtype)
        key = None
        if made.numel() <= 64:
            key = (made.dtype, tuple(made.shape), str(made.tolist()))
            if key in self._constants:
                return self._constants[key]
        found = self.fresh(name)
        self.initializers[found] = made
        if key is not None:
            self._constants[key] = found
        return found

    def scalar(self, number: Any, like: Value) -> str:
        """A number as a constant of a value's dtype."""
        return self.constant(number, like.dtype)

    # Versions.

    def with_axes(self, kind: str, x: Any, axes: Sequence[int] | None, **attributes: Any) -> str:
        """A node whose axes are an attribute or an input, as its version wants."""
        if axes is None:
            return self.op(kind, x, **attributes)
        if self.opset >= _AXES_INPUT.get(kind, _AXES_INPUT_OF_REDUCTIONS):
            return self.op(kind, x, list(axes), **attributes)
        return self.op(kind, x, axes=list(axes), **attributes)

    def slice(self, x: Any, starts: Sequence[Any], ends: Sequence[Any], axes: Sequence[int],
              steps: Sequence[int] | None = None) -> str:
        """Ranges of axes."""
        if self.opset >= 10:
            return self.op("Slice", x, list(starts), list(ends), list(axes), None if steps is None else list(steps))
        if any(step != 1 for step in steps or ()):
            raise UnsupportedOperatorError("export: a slice with steps needs opset_version 10")
        return self.op("Slice", x, starts=list(starts), ends=list(ends), axes=list(axes))

    def clip(self, x: Any, low: Any, high: Any, like: Value) -> str:
        """Values limited to an interval."""
        if self.opset >= 11:
            return self.op("Clip", x, *(None if v is None else v if isinstance(v, (Value, str)) else self.scalar(v, like)
                                        for v in (low, high)))
        return self.op("Clip", x, min=None if low is None else float(low), max=None if high is None else float(high))

    def pad(self, x: Any, pads: Sequence[int], mode: str, value: float, like: Value) -> str:
        """Padding at both ends of all axes."""
        if self.opset >= 11:
            return self.op("Pad", x, list(pads), self.scalar(value, like) if mode == "constant" else None, mode=mode)
        return self.op("Pad", x, pads=list(pads), mode=mode, value=float(value) if mode == "constant" else None)

    def split(self, x: Any, sizes: Sequence[int], axis: int) -> tuple[str, ...]:
        """Parts of these sizes."""
        if self.opset >= 13:
            found = self.op("Split", x, list(sizes), outputs=len(sizes), axis=axis)
        else:
            found = self.op("Split", x, outputs=len(sizes), axis=axis, split=list(sizes))
        return found if isinstance(found, tuple) else (found,)

    def cast(self, x: Any, dtype: Any) -> str:
        """Another dtype."""
        return self.op("Cast", x, to=number_of(dtype))

    def transposed(self, x: Value) -> str:
        """The last two axes exchanged."""
        order = list(range(x.rank))
        order[-1], order[-2] = order[-2], order[-1]
        return self.op("Transpose", x, perm=order)

    # Sizes.

    def know(self, value: Value) -> None:
        """Remembers where sizes that vary can be asked for."""
        for axis, size in enumerate(value.shape):
            if isinstance(size, Dimension):
                self._known.setdefault(size.values, (self.name_of(value), axis))

    def sizes(self, items: Sequence[Any]) -> str:
        """Whole numbers, of which some may vary, as a tensor of int64."""
        if not any(isinstance(item, Dimension) for item in items):
            return self.constant(np.asarray(items, np.int64).tolist(), dtypes.int64)
        parts = [self.size(item) if isinstance(item, Dimension) else self.constant([item], dtypes.int64) for item in items]
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def size(self, wanted: Dimension) -> str:
        """A size that varies, as a tensor of one int64.

        Raises:
            OnnxExporterError: it is not known how it comes from the sizes of the inputs.
        """
        if wanted.values not in self._sizes:
            self._sizes[wanted.values] = self._computed(wanted.values)
        return self._sizes[wanted.values]

    def _asked(self, value: str, axis: int) -> str:
        return self.op("Gather", self.op("Shape", value), [axis], axis=0)

    def _computed(self, values: tuple[int, ...]) -> str:
        if values in self._known:
            return self._asked(*self._known[values])
        series = {name: tuple(setting[name] for setting in self.settings) for name in self.settings[0]}
        for one in {**self._known, **dict.fromkeys(series.values())}:
            found = _affine(one, values)
            if found is not None:
                factor, shift = found
                name = self._plus(self._times(self.size(Dimension(one)), factor), shift)
                return name
        known = list(self._known)
        for place, one in enumerate(known):
            for other in known[place:]:
                product = [a * b for a, b in zip(one, other, strict=True)]
                factor = values[0] // product[0] if product[0] else 0
                if factor and all(factor * p == v for p, v in zip(product, values, strict=True)):
                    both = self.op("Mul", self.size(Dimension(one)), self.size(Dimension(other)))
                    return self._times(both, factor)
        raise OnnxExporterError(f"export: how a size comes from the dynamic axes is not known: it was "
                                f"{', '.join(map(str, values))} for {', '.join(str(dict(s)) for s in self.settings)}")

    def _times(self, name: str, factor: int) -> str:
        return name if factor == 1 else self.op("Mul", name, [factor])

    def _plus(self, name: str, shift: int) -> str:
        return name if not shift else self.op("Add", name, [shift])

    def reshape(self, x: Any, given: Sequence[Any], wanted: Sequence[Any]) -> str:
        """A value of shape ``given`` in the shape ``wanted``; sizes that vary are kept (0), left open (-1) or computed."""
        shape: list[Any] = list(wanted)
        for axis, size in enumerate(shape):
            if isinstance(size, Dimension) and axis < len(given) and given[axis] == size:
                shape[axis] = 0
        open_ = [axis for axis, size in enumerate(shape) if isinstance(size, Dimension)]
        if open_ and 0 not in wanted:
            shape[open_[0]] = -1
        return self.op("Reshape", x, shape)

    def expand(self, x: Any, given: Sequence[Any], wanted: Sequence[Any]) -> str:
        """Broadcast to a shape; what has it already is asked for 1."""
        shift = len(wanted) - len(given)
        shape = [1 if axis >= shift and given[axis - shift] == size else size for axis, size in enumerate(wanted)]
        return self.op("Expand", x, shape)

    # The end.

    def model(self, inputs: Sequence[Any], outputs: Sequence[Any], producer: str, version: str) -> Any:
        """The ModelProto."""
        helper = onnx("helper")
        graph = helper.make_graph(self.nodes, "main_graph", list(inputs), list(outputs),
                                  [from_tensor(value, name) for name, value in self.initializers.items()])
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, producer_name=producer, producer_version=version, opset_imports=opsets,
                                 ir_version=helper.find_min_ir_version_for(opsets))


def _affine(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, int] | None:
    """``factor`` and ``shift`` with ``other == factor * one + shift``; None where there are none."""
    first = next((n for n in range(1, len(one)) if one[n] != one[0]), None)
    if first is None:
        return None
    rise, run = other[first] - other[0], one[first] - one[0]
    if rise % run:
        return None
    factor, shift = rise // run, other[0] - rise // run * one[0]
    fits = factor and all(factor * a + shift == b for a, b in zip(one, other, strict=True))
    return (factor, shift) if fits else None
