"""``export``: a model and its inputs become an ONNX file."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from clgrad.autograd import no_grad
from clgrad.from_data import tensor
from clgrad.nn import Module
from clgrad.onnx.errors import OnnxExporterError
from clgrad.onnx.exporter import TRANSLATIONS
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.recording import Recorder, tensors_in
from clgrad.onnx.exporter.sizes import Dimension, Value, merged
from clgrad.onnx.exporter.translation import Translator
from clgrad.onnx.protobuf import number_of, onnx
from clgrad.tensor import Tensor
from clgrad.version import __version__

DEFAULT_OPSET = 18
OPSETS = range(9, 24)
_TOO_LARGE = 2**31 - 2**20  # a message of protobuf's ends before 2 GiB


class _State(threading.local):
    exporting = False


_state = _State()


def is_in_onnx_export() -> bool:
    """Whether the model runs in order to be exported."""
    return _state.exporting


@contextmanager
def _exporting() -> Iterator[None]:
    before, _state.exporting = _state.exporting, True
    try:
        yield
    finally:
        _state.exporting = before


class Axes:
    """The dynamic axes: for each tensor that goes in, by its place, the names of its axes that vary."""

    def __init__(self, inputs: Sequence[Tensor], names: Sequence[str], dynamic: Mapping[str, Any]):
        self.of: list[dict[int, str]] = []
        for x, name in zip(inputs, names, strict=True):
            given = dynamic.get(name) or {}
            pairs = given.items() if isinstance(given, Mapping) else [(axis, f"{name}_dynamic_axes_{n + 1}")
                                                                      for n, axis in enumerate(given)]
            self.of.append({axis + x.dim() if axis < 0 else axis: str(symbol) for axis, symbol in pairs})
        self.sizes: dict[str, int] = {}
        for x, axes in zip(inputs, self.of, strict=True):
            for axis, symbol in axes.items():
                if not 0 <= axis < x.dim():
                    raise ValueError(f"export: dynamic axis {axis} of a tensor with {x.dim()} dimensions")
                self.sizes.setdefault(symbol, max(x.shape[axis], 2))

    def settings(self) -> list[dict[str, int]]:
        """The sizes of the runs: those given (a size of 1, which is often a case of its own, becomes 2), and for each axis
        two larger ones, which tell a line from a curve; then all larger."""
        runs = [dict(self.sizes)]
        for name, size in self.sizes.items():
            runs += [{**self.sizes, name: size + 1}, {**self.sizes, name: size + 2}]
        if len(self.sizes) > 1:
            runs.append({name: size + 1 + place for place, (name, size) in enumerate(self.sizes.items())})
        return runs

    def resized(self, inputs: Sequence[Tensor], sizes: Mapping[str, int]) -> list[Tensor]:
        """The inputs with these sizes: their elements again and again."""
        found = []
        for x, axes in zip(inputs, self.of, strict=True):
            for axis, symbol in axes.items():
                if x.shape[axis] != sizes[symbol]:
                    places = [n % x.shape[axis] for n in range(sizes[symbol])]
                    x = x.index_select(axis, tensor(places, device=x.device))
            found.append(x)
        return found


def _dynamic(dynamic_axes: Any, dynamic_shapes: Any, names: Sequence[str]) -> dict[str, Any]:
    """The dynamic axes by the names of inputs, from either way of saying it."""
    found = dict(dynamic_axes or {})
    if dynamic_shapes is None:
        return found
    pairs = dynamic_shapes.items() if isinstance(dynamic_shapes, Mapping) else zip(names, dynamic_shapes, strict=False)
    for name, shape in pairs:
        axes = shape.items() if isinstance(shape, Mapping) else enumerate(shape or ())
        found[name] = {axis: getattr(size, "__name__", size) if isinstance(size, str) or hasattr(size, "__name__")
                       else f"{name}_{axis}" for axis, size in axes if size is not None and not isinstance(size, int)}
    return found


def _replaced(tree: Any, leaves: Iterator[Tensor]) -> Any:
    """Containers with other tensors."""
    if isinstance(tree, Tensor):
        return next(leaves)
    if isinstance(tree, Mapping):
        return {key: _replaced(item, leaves) for key, item in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[_replaced(item, leaves) for item in tree])
    if isinstance(tree, (tuple, list)):
        return type(tree)([_replaced(item, leaves) for item in tree])
    return tree


def _input_names(model: Any, args: tuple, kwargs: dict, given: Sequence[str] | None) -> list[str]:
    """Names for the tensors among the arguments: those given, else the parameters' of ``forward``."""
    count = len(tensors_in((args, kwargs)))
    names = list(given or ())
    if len(names) > count:
        raise ValueError(f"export: {len(names)} input_names for {count} tensors among the arguments")
    function = model.forward if isinstance(model, Module) else model
    bound = inspect.signature(function).bind(*args, **kwargs)
    own = []
    for name, value in bound.arguments.items():
        parts = tensors_in(value)
        own += [name] if len(parts) == 1 and isinstance(value, Tensor) else [f"{name}_{n}" for n in range(len(parts))]
    return names + own[len(names):]


def _info(name: str, value: Value, symbols: Mapping[tuple[int, ...], str]) -> Any:
    shape = [symbols.get(size.values, f"{name}_dim_{axis}") if isinstance(size, Dimension) else size
             for axis, size in enumerate(value.shape)]
    return onnx("helper").make_tensor_value_info(name, number_of(value.dtype), shape)


class ONNXProgram:
    """A model that was exported.

    Attributes:
        model_proto: the ``onnx.ModelProto``.
    """

    def __init__(self, model_proto: Any):
        self.model_proto = model_proto

    def __repr__(self) -> str:
        return onnx("printer").to_text(self.model_proto)

    def save(self, destination: Any, *, external_data: bool | None = None, **_: Any) -> None:
        """Writes the file; with ``external_data`` (by default from 2 GiB on) the weights go to a file beside it."""
        if hasattr(destination, "write"):
            destination.write(self.model_proto.SerializeToString())
            return
        apart = self.model_proto.ByteSize() > _TOO_LARGE if external_data is None else external_data
        if not apart:
            onnx().save(self.model_proto, destination)
            return
        copy = onnx().ModelProto()
        copy.CopyFrom(self.model_proto)
        onnx().save(copy, destination, save_as_external_data=True, size_threshold=0,
                    location=os.path.basename(os.fspath(destination)) + ".data")


def program(model: Any, args: tuple, kwargs: dict, *, input_names: Sequence[str] | None, output_names: Sequence[str] | None,
            opset: int, dynamic_axes: Any, dynamic_shapes: Any, export_params: bool,
            initializers_as_inputs: bool) -> ONNXProgram:
    """The exported model; see :func:`clgrad.onnx.export`."""
    inputs = tensors_in((args, kwargs))
    names = _input_names(model, args, kwargs, input_names)
    axes = Axes(inputs, names, _dynamic(dynamic_axes, dynamic_shapes, names))
    settings = axes.settings()
    runs, outputs = [], []
    for sizes in settings:
        recorder, found = _record(model, args, kwargs, axes.resized(inputs, sizes))
        runs.append(recorder)
        outputs.append([recorder.number(t) for t in found])
    if any(numbers != outputs[0] for numbers in outputs):
        raise OnnxExporterError("export: the model gives different results for different sizes of the dynamic axes")
    values, calls = merged(runs)
    held = _named_tensors(model)
    g = Builder(opset, settings, held)
    translator = Translator(g, values, calls)
    translator.inputs(range(len(inputs)), names)
    for name in output_names or ():
        g.reserve(name)
    translator.run(outputs[0])
    symbols = {tuple(sizes[symbol] for sizes in settings): symbol for symbol in axes.sizes}
    results = _outputs(g, translator, outputs[0], list(output_names or ()), symbols)
    infos = [_info(name, values[number], symbols) for number, name in enumerate(names)]
    if initializers_as_inputs or not export_params:
        parameters = set(held.values())
        infos += [onnx("helper").make_tensor_value_info(name, number_of(t.dtype), list(t.shape))
                  for name, t in g.initializers.items() if export_params or name in parameters]
        if not export_params:
            g.initializers = {name: t for name, t in g.initializers.items() if name not in parameters}
    return ONNXProgram(g.model(infos, results, "clgrad", __version__))


def _named_tensors(model: Any) -> dict[int, str]:
    """The names of a model's parameters and buffers, by the ids of the tensors."""
    if not isinstance(model, Module):
        return {}
    return {id(t): name for name, t in [*model.named_buffers(), *model.named_parameters()]}


def _record(model: Any, args: tuple, kwargs: dict, inputs: list[Tensor]) -> tuple[Recorder, list[Tensor]]:
    """Runs the model once."""
    copies = [x.detach().clone() for x in inputs]  # the model may change its inputs
    leaves = iter(copies)
    args, kwargs = _replaced(args, leaves), _replaced(kwargs, leaves)
    recorder = Recorder(TRANSLATIONS)
    for x in copies:
        recorder.number(x, depends=True)
    with no_grad(), _exporting(), recorder:
        found = tensors_in(model(*args, **kwargs))
    held = {id(t) for t in tensors_in((args, kwargs))} | set(_named_tensors(model))
    if any(not recorder.knows(t) and id(t) not in held for t in found):
        raise OnnxExporterError("export: a result of the model was not made by calls of operators that can be recorded")
    return recorder, found


def _outputs(g: Builder, translator: Translator, numbers: Sequence[int], names: list[str],
             symbols: Mapping[tuple[int, ...], str]) -> list[Any]:
    """Gives the results their names."""
    if len(names) > len(numbers):
        raise ValueError(f"export: {len(names)} output_names for {len(numbers)} results")
    missing = len(numbers) - len(names)
    names += [g.fresh("output")] if len(numbers) == 1 and missing else [g.fresh("output") for _ in range(missing)]
    infos = []
    for number, name in zip(numbers, names, strict=True):
        value = translator.values[number]
        g.nodes.append(onnx("helper").make_node("Identity", [g.name_of(value)], [name], name=g.fresh("Identity")))
        infos.append(_info(name, value, symbols))
    _without_identities(g, set(names))
    return infos


def _without_identities(g: Builder, outputs: set[str]) -> None:
    """Outputs that a node makes are named by that node: no node only to rename."""
    makers = {name for node in g.nodes for name in node.output if node.op_type != "Identity"}
    renamed: dict[str, str] = {}
    kept = []
    for node in g.nodes:
        if node.op_type == "Identity" and node.output[0] in outputs and node.input[0] in makers and (
                node.input[0] not in renamed):
            renamed[node.input[0]] = node.output[0]
        else:
            kept.append(node)
    for node in kept:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = renamed.get(name, name)
    g.nodes[:] = kept
