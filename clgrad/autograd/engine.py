"""The backward walk: from the roots down, each node once, when everything that leads to it has run.

A node is younger than those that its edges lead to, so taking the youngest waiting node first is an order in which
each node's gradient is complete when its turn comes. The walk is a loop: graphs may be as deep as they like.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any

from clgrad.autograd import walks
from clgrad.autograd.anomaly_mode import tell_forward_calls
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import OWN, AccumulateGrad, GradientEdge, Node, TensorBase, edge_of, post_hooks, wrap
from clgrad.autograd.listening import asked, observed, switch, thread, unseen
from clgrad.autograd.reachable import below, edges_to_watched, needed_for
from clgrad.dtypes import FLOATING
from clgrad.formats import strided, suggested
from clgrad.runtime import filled_storage
from clgrad.spec import Spec, contiguous_spec

_ONES = {kind: kind.to_numpy_scalar(1) for kind in FLOATING}


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
             grad_variables: Any = None, inputs: Any = None) -> None:
    """Computes the sum of gradients of ``tensors`` and adds it to the ``grad`` of the leaves, or of ``inputs``.

    Args:
        tensors: one tensor or several.
        grad_tensors: their gradients; None for tensors of one element.
        retain_graph: keep what was saved, for another walk. Default: ``create_graph``.
        create_graph: record the backward pass itself, for higher derivatives.
        inputs: the tensors to whose ``grad`` the gradients are added; default all leaves.

    Raises:
        RuntimeError: a tensor needs no gradient, or has more than one element and no gradient was given.

    >>> import clgrad
    >>> x = clgrad.tensor([1., 2.], requires_grad=True)
    >>> clgrad.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    if grad_variables is not None:
        warnings.warn("'grad_variables' is deprecated. Use 'grad_tensors' instead.", FutureWarning, stacklevel=2)
        grad_tensors = grad_variables
    tensors, grads = _roots(tensors, grad_tensors)
    wanted = None
    if inputs is not None:
        wanted = _listed(inputs)
        if not wanted:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        for position, tensor in enumerate(wanted):
            if not isinstance(tensor, GradientEdge) and not tensor.requires_grad:
                raise RuntimeError(f"backward(): element {position} of inputs does not require grad")
            if not isinstance(tensor, GradientEdge):
                tensor.retain_grad()
    retain = mode.forward is not None or (create_graph if retain_graph is None else retain_graph)
    _walk(tensors, grads, retain, create_graph, wanted, True)


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None,
         create_graph: bool = False, only_inputs: bool = True, allow_unused: bool | None = None,
         is_grads_batched: bool = False, materialize_grads: bool = False) -> tuple:
    """The gradients of ``outputs`` with respect to ``inputs``, as a tuple; no ``grad`` is changed.

    Raises:
        RuntimeError: an input is not used in the graph (unless ``allow_unused``, which gives None for it).
    """
    if switch.on and thread.modes and not thread.disabled:
        return asked(grad, (outputs, inputs, grad_outputs, retain_graph, create_graph, only_inputs, allow_unused,
                            is_grads_batched, materialize_grads), {})
    inputs = _listed(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    for tensor in inputs:
        if not isinstance(tensor, (TensorBase, GradientEdge)):
            raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(tensor).__name__}")
    if is_grads_batched:
        return _batched(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    tensors, grads = _roots(outputs, grad_outputs)
    for tensor in inputs:
        if not isinstance(tensor, GradientEdge) and not tensor.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
                         "allow_unused=False.")
    retain = mode.forward is not None or (create_graph if retain_graph is None else retain_graph)
    found = _walk(tensors, grads, retain, create_graph or mode.forward is not None, inputs)
    result = []
    for position, (tensor, value) in enumerate(zip(inputs, found, strict=True)):
        if value is None and materialize_grads:
            if isinstance(tensor, GradientEdge):
                raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
            value = tensor.new_zeros(tensor.shape, requires_grad=create_graph)
        if value is None and not allow_unused:
            raise RuntimeError(f"The differentiated Tensor at index {position} appears to not have been used in the "
                               "graph. Set allow_unused=True if this is the desired behavior.")
        result.append(_apart(value if isinstance(tensor, GradientEdge) else _in_wanted_dtype(tensor, value)))
    return tuple(result)


def _batched(outputs: Any, inputs: list, grad_outputs: Any, retain: bool | None, create: bool,
             allow_unused: bool | None, materialize: bool) -> tuple:
    """One walk for each entry of the leading dimension of ``grad_outputs``; the results one above the other."""
    outputs, seeds = _listed(outputs), _listed(grad_outputs)
    for number, (output, seed) in enumerate(zip(outputs, seeds, strict=True)):
        if seed is not None and tuple(seed.shape[1:]) != tuple(output.shape):
            raise RuntimeError("If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the "
                               "batch dimension. The sizes of the remaining dimensions are expected to match the shape of "
                               f"corresponding output, but a mismatch was detected: grad_output[{number}] has a shape of "
                               f"{seed.shape} and output[{number}] has a shape of {output.shape}.")
    count = next(seed.shape[0] for seed in seeds if seed is not None)
    rows = [grad(outputs, inputs, [None if s is None else s[k] for s in seeds], retain or create or k + 1 < count,
                 create, True, allow_unused, False, materialize) for k in range(count)]
    stacked: list[Any] = []
    for column in zip(*rows, strict=True):
        if column[0] is None:
            stacked.append(None)
            continue
        whole = column[0].new_zeros((count, *column[0].shape))
        for k, row in enumerate(column):
            whole.select(0, k).copy_(row)
        stacked.append(whole)
    return tuple(stacked)


def _listed(given: Any) -> list:
    """One tensor or edge, or those that an iterable gives."""
    alone = isinstance(given, (TensorBase, GradientEdge)) or not isinstance(given, Iterable)
    return [given] if alone else list(given)


@unseen
def _roots(tensors: Any, grads: Any) -> tuple[list, list]:
    tensors = _listed(tensors)
    grads = [None] * len(tensors) if grads is None else _listed(grads)
    if len(tensors) != len(grads):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    for number, (tensor, value) in enumerate(zip(tensors, grads, strict=True)):
        if isinstance(tensor, GradientEdge):
            if value is None:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            continue
        if not isinstance(tensor, TensorBase):
            raise TypeError(f"outputs have to be Tensors or GradientEdges, but got {type(tensor).__name__}")
        if not tensor.requires_grad:
            raise RuntimeError(f"element {number} of tensors does not require grad and does not have a grad_fn")
        if value is None:
            if tensor.spec.numel != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if tensor.spec.dtype.is_complex:
                raise RuntimeError("grad can be implicitly created only for real scalar outputs but got "
                                   f"{tensor.spec.dtype}")
            grads[number] = _one(tensor.spec)
        elif not isinstance(value, TensorBase):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(value).__name__}")
        elif value.spec.shape != tensor.spec.shape:
            raise RuntimeError(f"Mismatch in shape: grad_output[{number}] has a shape of {value.shape} and "
                               f"output[{number}] has a shape of {tensor.shape}.")
    return tensors, grads


def _one(own: Spec) -> Any:
    """A tensor of ones like one of a single element."""
    made = contiguous_spec(own.shape, own.dtype, own.device)
    return wrap(filled_storage(made.device.compute, made.nbytes, _ONES[made.dtype]), 0, made)  # type: ignore[attr-defined]


def _edge(place: Any) -> tuple[Node, int] | None:
    """Where the gradient of a tensor, or of an edge itself, arrives."""
    return (place.node, place.output_nr) if isinstance(place, GradientEdge) else edge_of(place)


class _Walk:
    """A backward pass: where it starts, which nodes it is limited to, whether they keep what is saved, how one runs, who is
    called last."""

    def __init__(self, starts: tuple, needed: set[Node] | None, captured: dict[tuple[Node, int], list[int]], retain: bool,
                 run: Callable[[Node, list], tuple], outer: Any):
        self.starts, self.needed, self.captured, self.retain, self.run = starts, needed, captured, retain, run
        self.outer = outer  # the pass in whose node this one was begun
        self.node: Any = None  # which runs
        self.callbacks: list[Any] = []

    @functools.cached_property
    def _reached(self) -> set[Node]:
        if self.needed is not None:
            return self.needed | {node for node, _ in self.captured}
        return set(below([edge[0] for edge in self.starts if edge is not None]))

    def asks_for(self, number: int) -> bool:
        """Whether the gradient of an input of the node that runs leads to anything that is wanted."""
        if self.needed is None:
            return True
        edge = self.node.edges[number]
        return edge is not None and edge[0] in self.needed

    def reaches(self, node: Node) -> bool:
        """Whether the gradient of a node's outputs is going to be known."""
        return node in self._reached


def _run_itself(node: Node, values: list) -> tuple:
    return node.run(values)


def walk_by(run: Callable[[Node, list], tuple], roots: list, inputs: list, grads: list, retain: bool) -> list:
    """The gradients of ``inputs``, recorded, None where there is none. ``run`` gives what a node gives for what has arrived
    there; modes see what it does."""
    return _walked(roots, grads, retain, True, inputs, run=run)


def _walked(roots: list, grads: list, retain: bool, create: bool, inputs: list | None, leaves: bool = False,
            run: Callable[[Node, list], tuple] = _run_itself) -> list:
    """Runs the nodes, and adds to the ``grad`` of ``leaves``. The gradients of ``inputs``, where given, are returned;
    then only those of them that are leaves are touched."""
    captured: dict[tuple[Node, int], list[int]] = {}
    found: list[Any] = [None] * len(inputs or ())
    edges = tuple([_edge(tensor) for tensor in roots])
    needed: set[Node] | None = None
    if inputs is not None:
        for number, tensor in enumerate(inputs):
            edge = _edge(tensor)
            if edge is None:
                raise RuntimeError("One of the differentiated Tensors does not require grad")
            captured.setdefault(edge, []).append(number)
        needed = needed_for([edge[0] for edge in edges if edge is not None], {edge[0] for edge in captured})
    outer = mode.walk
    walk = _Walk(edges, needed, captured, retain, run, outer)
    before, mode.enabled = mode.enabled, create
    mode.walk = walk
    try:
        arrived = None
        if needed is None and not (create or mode.anomaly or mode.forward or switch.told_of_walks()):
            arrived = walks.repeated(edges, grads, retain, lambda: _run_nodes(walk, grads, found, True))
        if arrived is None:
            early = leaves and needed is None and not create and post_hooks.used
            arrived = _run_nodes(walk, grads, found, leaves, edges_to_watched(edges) if early else None)
        for node in list(arrived):
            _run_leaf(node, arrived.pop(node), captured, found, leaves, create)
        for callback in walk.callbacks:
            callback()
        if inputs is not None and not leaves:
            found = [_in_format_of(tensor, value) for tensor, value in zip(inputs, found, strict=True)]
    finally:
        mode.enabled, mode.walk = before, outer
    return found


_walk = unseen(_walked)


def _run_leaf(node: Any, values: list, captured: dict, found: list, leaves: bool, create: bool) -> None:
    """A leaf's hooks, and its gradient."""
    if node.variable._hooks or node.pre_hooks or node.capture:
        _leaf_hooks(node, values)
    if captured:
        _note(captured, node, values, found)
    if leaves and values[0] is not None:
        if node.pre_hooks:
            _node_hooks(node, values)
        _finish_leaf(node, values, create)


def _run_nodes(walk: _Walk, grads: list, found: list, leaves: bool,
               watched: dict[Node, int] | None = None) -> dict[Node, list]:
    """Runs the nodes of a pass, and gives what arrives at the leaves. ``grads`` is emptied.

    A ``watched`` leaf, to which so many edges lead, gets its gradient as soon as that is complete: who waits for it may
    send it to other processes, or use and free it, while the pass goes on.
    """
    edges, needed, captured = walk.starts, walk.needed, walk.captured
    results: tuple | None = tuple(grads)
    grads.clear()
    waiting: dict[Node, list] = {}  # what has arrived at nodes that have not run
    heap: list[tuple[int, Node]] = []  # those of them that are not leaves, the youngest first
    while results is not None:
        for edge, result in zip(edges, results, strict=True):
            if edge is None or result is None or (needed is not None and edge[0] not in needed):
                continue
            node, number = edge
            values = waiting.get(node)
            if values is None:
                values = waiting[node] = [None] * node.outputs
                if node.sequence >= 0:
                    heappush(heap, (-node.sequence, node))
            values[number] = result if values[number] is None else _sum(values[number], result)
        results = result = values = None  # gradients are freed, and handed over, as soon as nobody needs them
        if watched is not None:
            for edge in edges:
                if edge is not None and edge[0] in watched:
                    watched[edge[0]] -= 1
                    if not watched[edge[0]] and edge[0] in waiting:
                        _run_leaf(edge[0], waiting.pop(edge[0]), captured, found, leaves, False)
        while heap and results is None:
            node = heappop(heap)[1]
            values = waiting.pop(node)
            if node.pre_hooks or node.capture:
                _tensor_hooks(node, values)
            if captured:
                _note(captured, node, values, found)
            edges = node.edges
            if needed is not None and not any(e is not None and e[0] in needed for e in edges) and not (
                    leaves and (node.hooks or node.pre_hooks)):
                continue
            if node.pre_hooks:
                _node_hooks(node, values)
            walk.node = node
            results = _run(walk, node, values) if mode.anomaly or node.hooks or switch.observers else walk.run(node, values)
            if not walk.retain and node.saved is not None:
                node.saved.clear()
    return waiting


def _sum(one: Any, other: Any) -> Any:
    """The sum of two gradients, of which either may be sparse."""
    return other + one if one.spec.layout is not strided else one + other


def _in_format_of(tensor: Any, value: Any) -> Any:
    """A gradient whose channels are neighbours in memory where those of its tensor are.

    What nodes hand to each other lies as their kernels write it: only what a program sees is put in order.
    """
    if value is None or isinstance(tensor, GradientEdge):
        return value
    wanted = suggested(tensor.spec.shape, tensor.spec.strides)
    return value if wanted is None else value.contiguous(memory_format=wanted)


def _note(captured: dict[tuple[Node, int], list[int]], node: Node, values: list, found: list) -> None:
    """Keeps the gradients that were asked for."""
    for number, value in enumerate(values):
        for position in captured.get((node, number), ()):
            found[position] = value


def _leaf_hooks(node: AccumulateGrad, values: list) -> None:
    """The hooks on a leaf."""
    for hook in list((node.variable._hooks or {}).values()):
        values[0] = _replaced(hook, values[0])
    _tensor_hooks(node, values)


def _tensor_hooks(node: Node, values: list) -> None:
    """Hooks on the tensors that a node made, and then ``retain_grad``."""
    for number, hook in list((node.pre_hooks or {}).values()):
        if number >= 0 and values[number] is not None:
            values[number] = _replaced(hook, values[number])
    for number, reference in (node.capture or {}).items():
        tensor = reference()
        if tensor is not None and values[number] is not None:
            tensor._grad = values[number] if tensor._grad is None else _sum(tensor._grad, values[number])


def _node_hooks(node: Node, values: list) -> None:
    """Hooks on a node that is going to run."""
    for number, hook in list((node.pre_hooks or {}).values()):
        if number < 0:
            replaced = hook(tuple(values))
            if replaced is not None:
                values[:] = _as_many(hook, replaced, len(values))


def _as_many(hook: Any, replaced: Any, expected: int) -> tuple:
    """What a node's hook returned, as a tuple; RuntimeError where it is not as much as the hook was given."""
    replaced = replaced if isinstance(replaced, tuple) else (replaced,)
    if len(replaced) != expected:
        raise RuntimeError(f"hook '{getattr(hook, '__name__', hook)}' has returned an incorrect number of values (got "
                           f"{len(replaced)}, but expected {expected})")
    return replaced


def _replaced(hook: Any, grad: Any) -> Any:
    """What a tensor's hook makes of its gradient."""
    found = hook(grad)
    if found is None:
        return grad
    if not isinstance(found, TensorBase):
        raise TypeError(f"expected Variable, but hook returned '{type(found).__name__}'")
    if found.spec.shape != grad.spec.shape:
        raise RuntimeError("hook has changed the size of value")
    return found


def _finish_leaf(node: AccumulateGrad, values: list, create: bool) -> None:
    """Adds the gradient to the leaf's, and calls the hooks of node and leaf."""
    leaf = node.variable
    arrived = tuple(values) if node.hooks else ()
    _accumulate_into(leaf, values, create)
    if leaf._post_hooks:
        for hook in list(leaf._post_hooks.values()):
            if hook(leaf) is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")
    if node.hooks:
        for hook in list(node.hooks.values()):
            hook((), arrived)


def _run(walk: _Walk, node: Node, values: list) -> tuple:
    outer, mode.running = mode.running, node
    try:
        with observed(node.name(), tuple(values)):
            results = walk.run(node, values)
        if mode.anomaly and mode.check_nan:
            for number, result in enumerate(results):
                if result is not None and bool((result != result).any()):
                    raise RuntimeError(f"Function '{node.name()}' returned nan values in its {number}th output.")
    except Exception:
        if mode.anomaly:
            tell_forward_calls(node)
        raise
    finally:
        mode.running = outer
    if node.hooks:
        for hook in list(node.hooks.values()):
            replaced = hook(results, tuple(values))
            if replaced is not None:
                results = _as_many(hook, replaced, len(results))
    return results


class _Lone:
    """An object that nobody else holds, to find out how many references such a one seems to have."""

    def __init__(self) -> None:
        self.memory = object()


def _take(values: list) -> tuple[Any, tuple[int, int]]:
    value = values.pop()
    return value, (sys.getrefcount(value), sys.getrefcount(value.memory))


_ALONE = _take([_Lone()])[1]


def _accumulate_into(leaf: Any, values: list, create: bool) -> None:
    value, references = _take(values)
    accumulate(leaf, value, create, alone=references[0] <= _ALONE[0] and references[1] <= _ALONE[1])


def _in_wanted_dtype(leaf: Any, value: Any) -> Any:
    """A gradient in the dtype that a program has set for the leaf's."""
    wanted = leaf._grad_dtype
    return value if wanted is OWN or wanted is None or value is None else value.to(wanted)


def _apart(value: Any) -> Any:
    """A gradient each of whose elements has its own memory, which programs view otherwise and write to: that of a mean, say,
    is one number for all of them until somebody gets it.
    """
    return value.contiguous() if value is not None and value.spec.layout is strided and value.spec.repeats else value


def _as_leaf_lies(leaf: Any, value: Any) -> Any:
    """A gradient whose elements lie in memory as those of the leaf, where they fill it without gaps."""
    own, given = leaf.spec, value.spec
    if own.contiguous and given.contiguous or own.strides == given.strides or own.repeats or own.extent != own.numel:
        return value
    if own.layout is not strided or given.layout is not strided:
        return value
    return value.new_empty_strided(own.shape, own.strides).copy_(value.detach())


def accumulate(leaf: Any, value: Any, create: bool, alone: bool = False) -> None:
    """Adds a gradient to ``leaf.grad``. ``alone``: nobody else holds ``value``, so it may become the gradient."""
    existing = leaf._grad
    if existing is None:
        if leaf._grad_dtype is not OWN:
            value, alone = _in_wanted_dtype(leaf, value), False
        if not create:
            whole = value.spec.contiguous or value.spec.layout is not strided
            value = _as_leaf_lies(leaf, value if alone and whole else value.detach().clone())
            value._grad_fn, value._requires_grad, value._view = None, False, None
        # Recorded, it is copied too: another leaf, or the caller, may hold the same tensor.
        leaf._grad = value.clone() if create else value
    elif create or existing.spec.layout is not strided:
        leaf._grad = _sum(existing, value)
    else:
        existing.add_(value)
