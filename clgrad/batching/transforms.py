"""The rule of what differentiates within a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.batching.level import is_per_entry
from clgrad.batching.rules import rule_of_arguments, spread
from clgrad.batching.walks import gradients_of_seeds
from clgrad.ops.registry import FUNCTIONS


def _listed(given: Any) -> list:
    return list(given) if isinstance(given, (tuple, list)) else [given]


@rule_of_arguments("grad")
def _gradients(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    """One walk for all entries, whose graphs are apart where each has inputs of its own, or one where none has; else one for
    each entry."""
    if given["is_grads_batched"]:
        return NotImplemented
    outputs, inputs = _listed(given["outputs"]), _listed(given["inputs"])
    seeds = [None] * len(outputs) if given["grad_outputs"] is None else _listed(given["grad_outputs"])
    if any(seed is None and output.numel() != 1 for output, seed in zip(outputs, seeds, strict=True)):
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    if not any(level.owns(x) for x in (*outputs, *inputs)) and all(map(is_per_entry, inputs)):
        return _of_one_graph(level, func, given, outputs, inputs, seeds)
    if not all(level.owns(x) for x in inputs):
        return _for_each(level, func, given, outputs, inputs, seeds)
    roots, wanted = [], []
    for output, seed in zip(outputs, seeds, strict=True):
        if level.owns(output):  # else nothing of the batch led to it
            roots.append(output.whole)
            wanted.append(FUNCTIONS["ones_like"](output.whole) if seed is None else spread(level, seed))
    return func(**{**given, "outputs": roots, "inputs": [x.whole for x in inputs], "grad_outputs": wanted})


def _of_one_graph(level: Any, func: Callable, given: dict, outputs: list, inputs: list, seeds: list) -> Any:
    create = given["create_graph"]
    wholes = [FUNCTIONS["ones_like"](output) if seed is None else seed for output, seed in zip(outputs, seeds, strict=True)]
    found = gradients_of_seeds(outputs, inputs, [level.whole_of(whole) for whole in wholes],
                               create if given["retain_graph"] is None else given["retain_graph"])
    if any(g is None for g in found) and (given["materialize_grads"] or not given["allow_unused"]):
        return _for_each(level, func, given, outputs, inputs, seeds)
    return tuple([g if g is None or create else g.detach() for g in found])


def _for_each(level: Any, func: Callable, given: dict, outputs: list, inputs: list, seeds: list) -> tuple:
    def entry(value: Any, number: int) -> Any:
        return value.whole.select(0, number) if level.owns(value) else value
    rows = []
    for number in range(level.size):
        last = number + 1 == level.size
        found = func(**{**given, "outputs": [entry(o, number) for o in outputs],
                        "inputs": [x.whole if level.owns(x) else x for x in inputs],
                        "grad_outputs": [entry(s, number) for s in seeds],
                        "retain_graph": given["retain_graph"] if last else True})
        rows.append([g[number] if g is not None and level.owns(x) else g for g, x in zip(found, inputs, strict=True)])
    return tuple([None if column[0] is None else FUNCTIONS["stack"](list(column)) for column in zip(*rows, strict=True)])
