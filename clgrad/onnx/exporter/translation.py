"""From recorded calls to a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clgrad.onnx.errors import OnnxExporterError
from clgrad.onnx.exporter import TRANSLATIONS
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.recording import Call, Reference
from clgrad.onnx.exporter.sizes import Dimension, Value


def references_in(tree: Any) -> list[int]:
    """The numbers of the values in nested containers."""
    if isinstance(tree, Reference):
        return [tree.number]
    if isinstance(tree, slice):
        return references_in((tree.start, tree.stop, tree.step))
    if isinstance(tree, Mapping):
        return [n for item in tree.values() for n in references_in(item)]
    if isinstance(tree, (tuple, list)) and not isinstance(tree, Dimension):
        return [n for item in tree for n in references_in(item)]
    return []


def _has_dimension(tree: Any) -> bool:
    if isinstance(tree, Dimension):
        return True
    if isinstance(tree, slice):
        return _has_dimension((tree.start, tree.stop, tree.step))
    if isinstance(tree, Mapping):
        return any(map(_has_dimension, tree.values()))
    return isinstance(tree, (tuple, list)) and not isinstance(tree, Reference) and any(map(_has_dimension, tree))


def _with_values(tree: Any, values: Sequence[Value]) -> Any:
    if isinstance(tree, Reference):
        return values[tree.number]
    if isinstance(tree, slice):
        return slice(*(_with_values(part, values) for part in (tree.start, tree.stop, tree.step)))
    if isinstance(tree, Mapping):
        return {key: _with_values(item, values) for key, item in tree.items()}
    if isinstance(tree, (tuple, list)) and not isinstance(tree, Dimension):
        items = [_with_values(item, values) for item in tree]
        return tuple(items) if isinstance(tree, tuple) else items
    return tree


class Translator:
    """Translates the calls on which some values depend.

    Args:
        g: the graph.
        values, calls: what was recorded.
    """

    def __init__(self, g: Builder, values: list[Value], calls: list[Call]):
        self.g, self.values, self.calls = g, values, calls
        self.made_by = {number: call for call in calls for number in references_in(call.results)}

    def inputs(self, numbers: Sequence[int], names: Sequence[str]) -> None:
        """Gives the graph's inputs their names."""
        for number, name in zip(numbers, names, strict=True):
            self.values[number].name = self.g.reserve(name)
            self.g.know(self.values[number])

    def run(self, wanted: Sequence[int]) -> None:
        """Writes everything that these values need."""
        needed = self._needed(wanted)
        for number, value in enumerate(self.values):
            if number not in self.made_by and value.name is None:  # a parameter, or a constant
                value.constant = value.recorded[0].value
        for call in self.calls:
            if id(call) in needed:
                self._translate(call)

    def _needed(self, wanted: Sequence[int]) -> set[int]:
        """The ids of the calls on which values depend."""
        found: set[int] = set()
        open_ = list(wanted)
        while open_:
            call = self.made_by.get(open_.pop())
            if call is not None and id(call) not in found:
                found.add(id(call))
                open_ += references_in((call.args, call.kwargs))
        return found

    def _translate(self, call: Call) -> None:
        args, kwargs = _with_values(call.args, self.values), _with_values(call.kwargs, self.values)
        given = [self.values[number] for number in references_in((call.args, call.kwargs))]
        numbers = references_in(call.results)
        results = [self.values[number] for number in numbers]
        if all(v.constant is not None and v.static for v in given) and not _has_dimension((args, kwargs)) and all(
                v.static for v in results):
            for value in results:
                value.constant = value.recorded[0].value
            return
        kwargs = {key: item for key, item in kwargs.items() if key not in ("out", "device", "layout", "pin_memory",
                                                                          "requires_grad", "memory_format", "non_blocking")}
        g = self.g
        g.call_name, g.results, g.result = call.name, results, results[0]
        try:
            found = TRANSLATIONS[call.name](g, *args, **kwargs)
        except TypeError as error:
            raise OnnxExporterError(f"export: a call of {call.name} is not translated with these arguments: "
                                    f"{error}") from error
        for value, name in zip(results, found if isinstance(found, (tuple, list)) else [found], strict=True):
            value.name = name
            g.know(value)
