"""An ONNX graph made ready to run: its nodes in order, each with what computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clgrad.onnx import operators
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.table import Operator
from clgrad.onnx.protobuf import onnx, to_tensor
from clgrad.tensor import Tensor

_DEFAULT_DOMAINS = ("", "ai.onnx")
# Attributes of early operator sets that said where memory may be used again, and that a model does not learn.
_WITHOUT_MEANING = frozenset({"consumed_inputs", "is_test"})


class Scope(dict):
    """Values by name; those that are not here are looked up in the graph around."""

    def __init__(self, outer: Mapping[str, Any]):
        super().__init__()
        self.outer = outer

    def __missing__(self, name: str) -> Any:
        return self.outer[name]


class Constants(dict):
    """The constants that a graph and those inside it hold, under the names that are free; see :meth:`add`."""

    def add(self, name: str, value: Tensor) -> str:
        """Keeps a tensor, and returns the name under which: names of inner graphs may occur twice."""
        free, number = name, 1
        while free in self:
            free, number = f"{name}_{number}", number + 1
        self[free] = value
        return free


class Step:
    """One node."""

    __slots__ = ("label", "meaning", "inputs", "outputs", "attributes", "graphs", "done_with")

    def __init__(self, label: str, meaning: Operator, inputs: list[str], outputs: list[str], attributes: dict[str, Any],
                 graphs: dict[str, Graph]):
        self.label, self.meaning, self.inputs, self.outputs = label, meaning, inputs, outputs
        self.attributes, self.graphs = attributes, graphs
        self.done_with: list[str] = []  # values that no later node reads

    def reads(self) -> set[str]:
        """The values that the node reads, and its inner graphs from around them."""
        return {name for name in self.inputs if name}.union(*(graph.captured for graph in self.graphs.values()))

    def run(self, scope: Scope) -> None:
        """Computes the outputs."""
        given = [scope[name] if name else None for name in self.inputs]
        attributes = self.attributes
        if self.graphs:
            attributes = {**attributes, **{name: graph.within(scope) for name, graph in self.graphs.items()}}
        try:
            results = self.meaning.function(*given, **attributes)
        except Exception as error:
            if isinstance(error, OnnxError) and str(error).startswith("node "):
                raise  # a node of an inner graph, which is named already
            raise OnnxError(f"{self.label}: {error}") from error
        if not isinstance(results, tuple):
            results = (results,)
        if len(results) < len(self.outputs):
            raise OnnxError(f"{self.label} has {len(self.outputs)} outputs, of which clgrad computes {len(results)}")
        for name, value in zip(self.outputs, results, strict=False):
            if name:
                scope[name] = value
        for name in self.done_with:
            scope.pop(name, None)


class Graph:
    """A graph of nodes: the model's, or one that a node such as ``If`` holds.

    Args:
        message: the GraphProto.
        versions: the version of each domain's operator set.
        constants: where tensors that the graph holds are kept.

    Raises:
        OnnxError: an operator, an attribute or a dtype that clgrad lacks; the message names the node.
    """

    def __init__(self, message: Any, versions: Mapping[str, int], constants: Constants):
        self.versions, self.constants = versions, constants
        self.held: dict[str, str] = {}  # names in this graph, and under which ``constants`` has them
        for tensor in message.initializer:
            self._hold(tensor.name, tensor, f"initializer '{tensor.name}'")
        if message.sparse_initializer:
            raise OnnxError(f"initializer '{message.sparse_initializer[0].values.name}' is sparse: tensors are dense here")
        self.inputs = [value.name for value in message.input if value.name not in self.held]
        self.outputs = [value.name for value in message.output]
        self.steps = [step for step in map(self._step, message.node) if step is not None]
        self._find_captured_and_last_uses()

    def _hold(self, name: str, message: Any, what: str) -> None:
        try:
            self.held[name] = self.constants.add(name, to_tensor(message))
        except OnnxError as error:
            raise OnnxError(f"{what}: {error}") from error
        except Exception as error:
            raise OnnxError(f"{what} is damaged: {error}") from error

    def _step(self, node: Any) -> Step | None:
        domain = "" if node.domain in _DEFAULT_DOMAINS else node.domain
        version = self.versions.get(domain)
        kind = f"{domain}.{node.op_type}" if domain else node.op_type
        label = f"node '{node.name or ', '.join(node.output)}' ({kind})"
        if version is None:
            raise OnnxError(f"{label}: the model imports no operator set of the domain '{domain or 'ai.onnx'}'")
        if not domain and node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            self._hold(node.output[0], node.attribute[0].t, label)
            return None
        meaning = operators.find(domain, node.op_type, version)
        if meaning is None:
            raise OnnxError(f"{label}: clgrad has no operator {kind} of operator set {version}")
        attributes: dict[str, Any] = {}
        graphs: dict[str, Graph] = {}
        for attribute in node.attribute:
            if attribute.name in _WITHOUT_MEANING:
                continue
            if meaning.parameters is not None and attribute.name not in meaning.parameters:
                raise OnnxError(f"{label}: clgrad does not know the attribute '{attribute.name}'")
            if attribute.type == onnx().AttributeProto.GRAPH:
                graphs[attribute.name] = Graph(attribute.g, self.versions, self.constants)
            else:
                attributes[attribute.name] = _value_of(attribute, label)
        if meaning.counts_outputs:
            attributes["outputs"] = len(node.output)
        return Step(label, meaning, list(node.input), list(node.output), attributes, graphs)

    def _find_captured_and_last_uses(self) -> None:
        known = {*self.inputs, *self.held}
        captured: set[str] = set()
        for step in self.steps:
            captured |= step.reads() - known
            known.update(step.outputs)
        self.captured = captured | (set(self.outputs) - known)
        kept = {*self.outputs, *self.captured, *self.held}
        for step in reversed(self.steps):
            step.done_with = [name for name in (step.reads() | set(step.outputs)) - kept if name]
            kept.update(step.done_with)

    def run(self, given: Mapping[str, Any], outer: Mapping[str, Any]) -> list[Any]:
        """The outputs, from the values of the inputs and of the graph around."""
        scope = Scope(outer)
        for name, stored in self.held.items():
            scope[name] = self.constants[stored]
        scope.update(given)
        for step in self.steps:
            step.run(scope)
        return [scope[name] for name in self.outputs]

    def within(self, scope: Scope) -> Callable[..., list[Any]]:
        """The graph as a function of its inputs, among the values around it."""
        def body(*values: Any) -> list[Any]:
            return self.run(dict(zip(self.inputs, values, strict=False)), scope)
        body.inputs = self.inputs  # type: ignore[attr-defined]
        return body


def _value_of(attribute: Any, label: str) -> Any:
    """An attribute's value in Python."""
    kinds = onnx().AttributeProto
    if attribute.type == kinds.TENSOR:
        try:
            return to_tensor(attribute.t)
        except OnnxError as error:
            raise OnnxError(f"{label}: attribute '{attribute.name}': {error}") from error
    if attribute.type == kinds.STRING:
        return attribute.s.decode("utf-8", "replace")
    if attribute.type == kinds.STRINGS:
        return [text.decode("utf-8", "replace") for text in attribute.strings]
    if attribute.type in (kinds.INT, kinds.FLOAT, kinds.INTS, kinds.FLOATS):
        value = onnx("helper").get_attribute_value(attribute)
        return list(value) if attribute.type in (kinds.INTS, kinds.FLOATS) else value
    if attribute.type == kinds.TYPE_PROTO:
        return attribute.tp
    raise OnnxError(f"{label}: attribute '{attribute.name}' is of a kind that clgrad does not know")
