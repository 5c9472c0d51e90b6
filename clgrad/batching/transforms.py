"""Rules of what differentiates within a batch, and of operators of the program's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.batching.rules import rule_of_arguments, spread
from clgrad.ops.registry import FUNCTIONS
from clgrad.trees import tree_map


def _listed(given: Any) -> list:
    return list(given) if isinstance(given, (tuple, list)) else [given]


@rule_of_arguments("grad")
def _gradients(level: Any, func: Callable, given: dict[str, Any]) -> Any:
    """One walk for all entries, whose graphs are apart, where each has inputs of its own; else one for each."""
    if given["is_grads_batched"]:
        return NotImplemented
    outputs, inputs = _listed(given["outputs"]), _listed(given["inputs"])
    seeds = [None] * len(outputs) if given["grad_outputs"] is None else _listed(given["grad_outputs"])
    if not all(level.owns(x) for x in inputs):
        return _for_each(level, func, given, outputs, inputs, seeds)
    roots, wanted = [], []
    for output, seed in zip(outputs, seeds, strict=True):
        if not level.owns(output):  # nothing of the batch led to it
            continue
        if seed is None and output.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        roots.append(output.whole)
        wanted.append(FUNCTIONS["ones_like"](output.whole) if seed is None else spread(level, seed))
    return func(**{**given, "outputs": roots, "inputs": [x.whole for x in inputs], "grad_outputs": wanted})


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


class VmapInfo:
    """What a rule of the program is told: how many entries there are, and whether their random numbers differ."""

    def __init__(self, batch_size: int, randomness: str):
        self.batch_size, self.randomness = batch_size, randomness


def by_own_rule(level: Any, own_rule: Callable, args: tuple, kwargs: dict) -> Any:
    """All entries by a rule of the program's: ``own_rule(info, in_dims, *args)`` gives results and their mapped dims."""
    in_dims = tuple([tree_map(lambda leaf: 0 if level.owns(leaf) else None, a) for a in args])
    whole, named = (tree_map(lambda leaf: leaf.whole if level.owns(leaf) else leaf, given) for given in (args, kwargs))
    result, out_dims = own_rule(VmapInfo(level.size, level.randomness), in_dims, *whole, **named)

    def batched(value: Any, dim: int | None) -> Any:
        return level.batch(value.movedim(dim, 0)) if isinstance(value, TensorBase) and dim is not None else value
    if not isinstance(result, (tuple, list)):
        return batched(result, out_dims)
    dims = out_dims if isinstance(out_dims, (tuple, list)) else (out_dims,) * len(result)
    return type(result)([batched(value, dim) for value, dim in zip(result, dims, strict=True)])
