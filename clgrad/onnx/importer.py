"""Reading ONNX models as modules."""

from __future__ import annotations

from typing import Any

from clgrad.from_data import as_tensor
from clgrad.nn import Module, Parameter
from clgrad.onnx import operators
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.graph import Constants, Graph
from clgrad.onnx.protobuf import dtype_of, onnx, read_model
from clgrad.tensor import Tensor

# What these nodes read at these places is no parameter that learns.
_STATISTICS = {"BatchNormalization": (3, 4)}
_NEVER_LEARNT = frozenset({"QuantizeLinear", "DequantizeLinear", "Resize", "Upsample", "OneHot", "Clip", "Pad", "Dropout"})


class _Part(Module):
    """A place in the tree of names."""


class OnnxModule(Module):
    """A module that runs an ONNX graph; :func:`load` makes it.

    Initialisers of floating point are parameters, other ones and the statistics of batch normalisation are buffers. A
    name such as ``layer1.0.weight`` is a tree of modules, so that ``state_dict`` has the names of the file.

    Args of a call are the graph's inputs, by position or by name; a result alone is a tensor, several are a tuple.

    Attributes:
        input_names, output_names: the graph's.
        opset_version: the version of ONNX's own operator set.
    """

    def __init__(self, model: Any):
        super().__init__()
        versions = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import}
        constants = Constants()
        self._graph = Graph(model.graph, versions, constants)
        self.opset_version = versions.get("", 0)
        self.input_names, self.output_names = list(self._graph.inputs), list(self._graph.outputs)
        self._declared = {value.name: value.type for value in model.graph.input}
        fixed = _not_learnt(model.graph)
        named = {tensor.name for tensor in model.graph.initializer}
        self._places: dict[str, tuple[Module, str]] = {}
        for name, value in constants.items():
            learnt = name in named and value.is_floating_point() and name not in fixed
            self._place(name, Parameter(value) if learnt else value, persistent=name in named)

    def _place(self, name: str, value: Tensor, persistent: bool) -> None:
        """Registers a tensor under its name; where a module cannot have such a name, dots become underlines."""
        owner: Module = self
        *parts, leaf = name.split(".")
        if not all((*parts, leaf)) or not self._is_free(parts, leaf):
            parts, leaf = [], name.replace(".", "_")
            while not leaf or hasattr(self, leaf):
                leaf += "_"
        for part in parts:
            if part not in owner._modules:
                owner.add_module(part, _Part())
            owner = owner._modules[part]  # type: ignore[assignment]
        if isinstance(value, Parameter):
            owner.register_parameter(leaf, value)
        else:
            owner.register_buffer(leaf, value, persistent=persistent)
        self._places[name] = owner, leaf

    def _is_free(self, parts: list[str], leaf: str) -> bool:
        owner: Module | None = self
        for part in parts:
            if owner is None:
                return True
            if part not in owner._modules:
                if hasattr(owner, part):
                    return False
                owner = None
            else:
                owner = owner._modules[part]
        return owner is None or not hasattr(owner, leaf)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the graph."""
        given = self._given(args, kwargs)
        for name, (owner, leaf) in self._places.items():
            self._graph.constants[name] = getattr(owner, leaf)
        found = self._graph.run(given, {})
        return found[0] if len(found) == 1 else tuple(found)

    def _given(self, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        names = self.input_names
        if len(args) > len(names):
            raise TypeError(f"this graph has {len(names)} inputs ({', '.join(names)}), but {len(args)} were given")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        unknown = [name for name in given if name not in self._declared]
        if unknown:
            raise TypeError(f"this graph has no input '{unknown[0]}'; it has {', '.join(names)}")
        missing = [name for name in names
                   if name not in given and self._declared[name].WhichOneof("value") != "optional_type"]
        if missing:
            raise TypeError(f"the graph's input '{missing[0]}' is missing")
        given = {name: given.get(name) for name in dict.fromkeys([*names, *given])}
        return {name: self._checked(name, value) for name, value in given.items()}

    def _checked(self, name: str, value: Any) -> Any:
        """An input as the graph declares it."""
        declared = self._declared[name]
        if declared.WhichOneof("value") != "tensor_type" or value is None:
            return value
        value = as_tensor(value)
        kind = declared.tensor_type.elem_type
        if kind and value.dtype is not dtype_of(kind):
            raise OnnxError(f"input '{name}' must be of {dtype_of(kind)}, not {value.dtype}")
        if declared.tensor_type.HasField("shape"):
            sizes = [d.dim_value if d.HasField("dim_value") else None for d in declared.tensor_type.shape.dim]
            if len(sizes) != value.dim() or any(n is not None and n != m for n, m in zip(sizes, value.shape, strict=True)):
                wanted = ", ".join("?" if n is None else str(n) for n in sizes)
                raise OnnxError(f"input '{name}' must be of shape ({wanted}), not {tuple(value.shape)}")
        return value

    def extra_repr(self) -> str:
        return f"inputs={self.input_names}, outputs={self.output_names}, opset_version={self.opset_version}"


def _not_learnt(graph: Any) -> set[str]:
    """Initialisers that are settings or statistics."""
    found = set()
    for node in graph.node:
        if node.op_type in _NEVER_LEARNT:
            found.update(node.input[1:])
        for place in _STATISTICS.get(node.op_type, ()):
            found.update(node.input[place:place + 1])
    return found


def _without_functions(model: Any) -> Any:
    """The model with calls of its own functions, and of ONNX's that clgrad has not, replaced by what they consist of."""
    inliner = onnx("inliner")
    if model.functions:
        model = inliner.inline_local_functions(model, convert_version=True)
    versions = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import}
    unknown = {(node.domain, node.op_type) for node in _nodes(model.graph)
               if operators.find("" if node.domain == "ai.onnx" else node.domain, node.op_type,
                                 versions.get("" if node.domain == "ai.onnx" else node.domain, 0)) is None}
    defined = [key for key in unknown if _has_body(*key, versions)]
    if not defined:
        return model
    try:
        return inliner.inline_selected_functions(model, defined, exclude=False, inline_schema_functions=True)
    except RuntimeError:  # some bodies depend on types that ONNX cannot infer: those operators stay unknown
        return model


def _nodes(graph: Any) -> list[Any]:
    """The nodes of a graph and of those inside it."""
    found = list(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += _nodes(attribute.g)
    return found


def _has_body(domain: str, name: str, versions: dict[str, int]) -> bool:
    """Whether ONNX says of which operators this one consists."""
    defs = onnx("defs")
    try:
        schema = defs.get_schema(name, versions.get(domain, 0), domain)
    except defs.SchemaError:
        return False
    return schema.has_function or schema.has_context_dependent_function


def load(f: Any) -> OnnxModule:
    """Reads an ONNX model as a module that computes it with clgrad's operators.

    Args:
        f: a path, an open file, the bytes of a file, or an ``onnx.ModelProto``. Weights in files of their own are looked
            for beside the path.

    Returns:
        A module: :class:`OnnxModule`. It is differentiable, and moves to devices, as any other.

    Raises:
        ImportError: the package ``onnx`` is missing.
        FileNotFoundError: there is no such file.
        OnnxError: this is no ONNX model, its weights are missing, or it holds an operator, an attribute or a dtype that
            clgrad has not; the message names the node.
    """
    return OnnxModule(_without_functions(read_model(f)))
