"""Nodes: recorded operations, and what their gradients must look like.

A node's ``edges`` lead to the nodes of its inputs, and its ``backward`` function, written in Tensor operations, turns the
gradients of its outputs into those of its inputs.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from clgrad.autograd.grad_mode import mode
from clgrad.autograd.handles import RemovableHandle, add_hook
from clgrad.autograd.saved_attributes import saved_attribute, saved_attributes
from clgrad.spec import Spec

_sequence = itertools.count()


class Node:
    """A recorded operation. ``edges[k]`` is (node, output number) for input k, or None where no gradient is needed.

    What it keeps for the backward pass has names: ``_saved_self`` is the tensor, ``_raw_saved_self`` takes hooks for it.
    """

    # What few nodes have stays in the class, so that making a node is cheap.
    hooks: dict[int, Callable] | None = None
    pre_hooks: dict[int, tuple[int, Callable]] | None = None
    capture: dict[int, Any] | None = None  # tensors that keep their gradient: output number -> weak reference
    trace: str | None = None  # where it was made, and
    maker: Node | None = None  # the node whose backward made it: noted where anomalies are looked for
    _metadata: dict | None = None

    def __init__(self, edges: tuple, specs: tuple, backward: Callable | None, saved: Any, outputs: int = 1):
        self.sequence = next(_sequence)
        self.edges, self.specs, self.backward, self.saved, self.outputs = edges, specs, backward, saved, outputs

    def name(self) -> str:
        """PyTorch's name of this kind of node, such as ``MulBackward0``."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {hex(id(self))}>"

    def __getattr__(self, name: str) -> Any:
        return saved_attribute(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *saved_attributes(self)]

    def __call__(self, *grads: Any) -> Any:
        """The gradients of the inputs, from one for each output (None where there is none); no hook is called.

        Raises:
            TypeError: there are more or fewer outputs.
        """
        if len(grads) != self.outputs:
            raise TypeError(f"expected {self.outputs} arguments, got {len(grads)} instead")
        walk, mode.walk = mode.walk, None
        try:
            found = self.run(list(grads))
        finally:
            mode.walk = walk
        return found if len(found) != 1 else found[0]

    @property
    def metadata(self) -> dict:
        """A dictionary for whoever wants to note something on the node."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that gave this one's inputs, each with the number of its output."""
        return tuple((None, 0) if edge is None else edge for edge in self.edges)

    def register_hook(self, fn: Callable) -> RemovableHandle:
        """Calls ``fn(grad_inputs, grad_outputs)`` after this node ran; what it returns replaces ``grad_inputs``."""
        if self.hooks is None:
            self.hooks = OrderedDict()
        return add_hook(self.hooks, fn)

    def register_prehook(self, fn: Callable) -> RemovableHandle:
        """Calls ``fn(grad_outputs)`` before this node runs; what it returns replaces them."""
        if self.pre_hooks is None:
            self.pre_hooks = OrderedDict()
        return add_hook(self.pre_hooks, (-1, fn))

    def run(self, grads: list) -> tuple:
        """The gradients of the inputs, each of its input's shape and dtype, or None."""
        assert self.backward is not None
        results = self.backward(*grads)
        if not isinstance(results, tuple):
            results = (results,)
        for g, edge, spec in zip(results, self.edges, self.specs, strict=True):
            if g is not None and (edge is None or g.spec is not spec):
                return self._fitted(results)
        return results

    def _fitted(self, results: tuple) -> tuple:
        return tuple([None if edge is None or g is None else
                      g if g.spec is spec else fit(g, spec, self.name(), index)
                      for index, (g, edge, spec) in enumerate(zip(results, self.edges, self.specs, strict=True))])


def fit(grad: Any, spec: Spec, name: str = "", index: int = 0) -> Any:
    """Sums a gradient over the dimensions in which its input was broadcast, and gives it its input's dtype: what has no
    imaginary part gets the real part."""
    if grad.spec.shape != spec.shape:
        shape, wanted = grad.spec.shape, spec.shape
        if len(shape) < len(wanted) or any(b not in (1, a) for a, b in zip(
                reversed(shape), reversed(wanted), strict=False)):
            raise RuntimeError(f"Function {name} returned an invalid gradient at index {index} - got {list(shape)} but "
                               f"expected shape compatible with {list(wanted)}")
        grad = grad.sum_to_size(spec.shape)
    if grad.spec.dtype.is_complex and not spec.dtype.is_complex:
        grad = grad.real
    return grad if grad.spec.dtype is spec.dtype else grad.to(spec.dtype)


node_classes: dict[str | type[Node], type[Node]] = {}  # those that node_class has made


def node_class(name: str | type[Node]) -> type[Node]:
    """The class of nodes called ``<name>Backward0``, of the whole name where it holds ``Backward``; a class itself."""
    found = node_classes.get(name)
    if found is None:
        found = name if isinstance(name, type) else type(name if "Backward" in name else f"{name}Backward0", (Node,), {})
        node_classes[name] = found
    return found


class AccumulateGrad(Node):
    """The end of a path: adds what arrives to the ``grad`` of a leaf."""

    sequence = -1  # older than every other node: its turn comes when its gradient is complete
    edges: tuple = ()
    specs: tuple = ()
    backward = saved = None
    outputs = 1

    def __init__(self, variable: Any):
        self.variable = variable

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"
