"""``torch.onnx.export``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any

from clgrad.autograd import no_grad
from clgrad.nn import Module
from clgrad.onnx.errors import OnnxExporterError
from clgrad.onnx.exporter.program import DEFAULT_OPSET, OPSETS, ONNXProgram, program
from clgrad.onnx.exporter.recording import tensors_in
from clgrad.onnx.importer import load
from clgrad.onnx.protobuf import onnx
from clgrad.ops.composed import allclose


class TrainingMode(Enum):
    """In which mode the model is exported."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(Enum):
    """Which operators a graph may hold; here always ONNX's own."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


@contextmanager
def select_model_mode_for_export(model: Any, mode: TrainingMode) -> Iterator[None]:
    """A block in which the model and its parts are in a mode; afterwards each is in its own again."""
    if not isinstance(model, Module) or mode is TrainingMode.PRESERVE:
        yield
        return
    before = [(part, part.training) for part in model.modules()]
    model.train(mode is TrainingMode.TRAINING)
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def _arguments(args: Any, kwargs: Any) -> tuple[tuple, dict]:
    """Positional and named arguments; a dictionary at the end of ``args`` holds named ones."""
    given = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    if kwargs is None and given and isinstance(given[-1], dict) and all(isinstance(key, str) for key in given[-1]):
        return given[:-1], dict(given[-1])
    return given, dict(kwargs or {})


def _verify(made: ONNXProgram, model: Any, args: tuple, kwargs: dict) -> None:
    """OnnxExporterError where the graph gives something else than the model."""
    graph = load(made.model_proto)
    held = dict(model.named_parameters()) if isinstance(model, Module) else {}
    parameters = {name: held[name] for name in graph.input_names if name in held}
    with no_grad():
        expected = tensors_in(model(*args, **kwargs))
        found = tensors_in(graph(*tensors_in((args, kwargs)), **parameters))
    for name, one, other in zip(graph.output_names, found, expected, strict=True):
        if not allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise OnnxExporterError(f"export: the graph's output '{name}' differs from the model's")


def export(model: Any, args: Any = (), f: Any = None, *, kwargs: Mapping[str, Any] | None = None,
           verbose: bool | None = None, input_names: Sequence[str] | None = None,
           output_names: Sequence[str] | None = None, opset_version: int | None = None, dynamo: bool = True,
           external_data: bool | None = None, dynamic_shapes: Any = None, custom_translation_table: Any = None,
           report: bool = False, optimize: bool = True, verify: bool = False, profile: bool = False,
           dump_exported_program: bool = False, artifacts_dir: Any = ".", export_params: bool = True,
           keep_initializers_as_inputs: bool = False, dynamic_axes: Mapping[str, Any] | None = None,
           training: TrainingMode = TrainingMode.EVAL, operator_export_type: Any = OperatorExportTypes.ONNX,
           do_constant_folding: bool = True, custom_opsets: Mapping[str, int] | None = None,
           export_modules_as_functions: Any = False, autograd_inlining: bool = True) -> ONNXProgram | None:
    """Writes a model as an ONNX graph.

    The model runs, and the operators that it calls are translated. Python's control flow is so fixed as it went for these
    inputs. With dynamic axes the model runs for several sizes of them, from which the sizes inside follow; sizes that
    depend on them other than by lines and products, and control flow that depends on them, are errors.

    Args:
        model: a module, or a function.
        args: its arguments: a tuple or a single tensor. A dictionary at the tuple's end holds named arguments.
        f: a path or an open file; None writes nothing.
        kwargs: named arguments.
        verbose: print the graph.
        input_names, output_names: names of the tensors that go in and come out, in order; by default the parameters' of
            ``forward``, and ``output``.
        opset_version: the version of ONNX's operator set, 9 to 23; 18 by default.
        dynamo: whether an :class:`ONNXProgram` is returned; there is one exporter.
        external_data: write the weights to ``f`` with ``.data`` behind it; by default only those beyond 2 GiB.
        dynamic_axes: for names of inputs the axes whose size may vary, with names: ``{"x": {0: "batch"}}`` or
            ``{"x": [0]}``.
        dynamic_shapes: the same by the parameters' names or in their order: ``{"x": {0: "batch"}}``.
        verify: read the graph back, run it for these inputs, and compare with what the model gives.
        export_params: whether the graph holds the parameters; else they are inputs.
        keep_initializers_as_inputs: name what the graph holds among its inputs, too.
        training: the mode that the model is in meanwhile.
        do_constant_folding, optimize, and those not named here: accepted; what does not depend on the inputs is computed now
            in any case.
        custom_translation_table: not supported; an operator is translated by what it consists of.

    Returns:
        The :class:`ONNXProgram`, or None if not ``dynamo``.

    Raises:
        UnsupportedOperatorError: an operator has no translation, or not for this operator set.
        OnnxExporterError: the model cannot be written, see above; or ``verify`` found a difference.
        ImportError: the package ``onnx`` is missing.
    """
    onnx()
    if custom_translation_table:
        raise OnnxExporterError("export: translations of operators of one's own (custom_translation_table) are not supported")
    version = DEFAULT_OPSET if opset_version is None else opset_version
    if version not in OPSETS:
        raise ValueError(f"export: opset_version must be {OPSETS[0]} to {OPSETS[-1]}, not {version}")
    given, named = _arguments(args, kwargs)
    with select_model_mode_for_export(model, training):
        made = program(model, given, named, input_names=input_names, output_names=output_names, opset=version,
                       dynamic_axes=dynamic_axes, dynamic_shapes=dynamic_shapes, export_params=export_params,
                       initializers_as_inputs=keep_initializers_as_inputs)
        if verify:
            _verify(made, model, given, named)
    if verbose:
        print(made)
    if f is not None:
        made.save(f, external_data=external_data)
    return made if dynamo else None
