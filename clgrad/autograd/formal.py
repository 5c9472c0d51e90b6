"""Nodes whose gradients are functions of their inputs in form, though not in fact.

The gradient of a maximum pool is linear in what comes in and does not depend on the pool's input, but for where the largest
values are. In PyTorch it has a derivative with respect to that input all the same, of zero: a program may differentiate it.
"""

from __future__ import annotations

from typing import Any

from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import edge_of, wrap
from clgrad.autograd.node import Node, node_class, node_classes


class Formal(Node):
    """A node whose gradients, where the walk is recorded, lead to its inputs."""

    def run(self, grads: list) -> tuple:
        results = super().run(grads)
        if not mode.enabled:
            return results
        return tuple([g if g is None or edge is None else self._leading_to_inputs(g)
                      for g, edge in zip(results, self.edges, strict=True)])

    def _leading_to_inputs(self, g: Any) -> Any:
        specs = self.specs

        def backward(v: Any) -> tuple:
            return v, *[None if spec is None else v.new_zeros(spec.shape, dtype=spec.dtype) for spec in specs]
        made = wrap(g.memory, g.offset, g.spec)
        kind = node_class(f"{self.name().removesuffix('0')}Backward0")
        made._requires_grad = True
        made._grad_fn = kind((edge_of(g), *self.edges), (g.spec, *specs), backward, None)
        return made


def make_formal(*names: str) -> None:
    """Has :func:`clgrad.autograd.graph.attach` make such nodes under these names."""
    for name in names:
        node_classes[name] = type(f"{name}Backward0", (Formal,), {})
