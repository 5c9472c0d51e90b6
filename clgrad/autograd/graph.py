"""The graph: tensors' places in it, and what its nodes (``node.py``) keep for the backward pass.

``TensorBase`` is a strided window on a storage with a place in the graph; the public ``Tensor`` adds the operators.
"""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from clgrad.autograd.captured import refuse_captured
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.multi_grad import register_multi_grad_hook
from clgrad.autograd.node import AccumulateGrad, Node, fit, node_class, node_classes
from clgrad.autograd.saved_hooks import (
    FREED,
    allow_mutation_on_saved_tensors,
    changed_since,
    disable_saved_tensors_hooks,
    freed,
    save_on_cpu,
    saved_tensors_hooks,
)
from clgrad.autograd.shared_memory import View, as_view, refuse_change, views_of
from clgrad.dtypes import dtype
from clgrad.runtime import Storage
from clgrad.spec import Spec

__all__ = ["AccumulateGrad", "GradientEdge", "Node", "Saved", "TensorBase", "View", "allow_mutation_on_saved_tensors",
           "as_view", "attach", "check_history", "check_in_place", "current_node", "disable_saved_tensors_hooks", "edge_of",
           "ends_in", "fit", "get_gradient_edge", "grad_dtype", "increment_version", "mark_changed", "needs_graph",
           "node_class", "rebase", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks", "take_place", "wrap"]


OWN = object()  # in place of a dtype: the tensor's own


class TensorBase:
    """A window on a storage (``offset`` and ``spec``, in elements) and its place in the graph."""

    # Slots, so that a tensor's __dict__ holds the attributes that programs give it, and no others.
    __slots__ = ("memory", "offset", "spec", "_requires_grad", "_grad_fn", "_output_nr", "_grad", "_hooks", "_view",
                 "_rebased", "_untracked", "_retains_grad", "_accumulator", "_post_hooks", "_inference", "_grad_dtype")

    memory: Storage
    offset: int
    spec: Spec
    concrete: ClassVar[type[TensorBase]]

    _requires_grad: bool
    _grad_fn: Node | None
    _output_nr: int
    _grad: Any
    _hooks: dict[int, Callable] | None
    _view: View | None
    _rebased: int  # how often an operation in place has changed its history
    _untracked: bool
    _retains_grad: bool
    _accumulator: Any
    _post_hooks: dict[int, Callable] | None
    _inference: bool
    _grad_dtype: Any  # that of its gradient, OWN where a program has set none; None: any

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...  # the operators, which the registry adds to the public class

    def __init_subclass__(cls, concrete: bool = False, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if concrete:
            TensorBase.concrete = cls


def wrap(storage: Storage, offset: int, spec: Spec, cls: type | None = None) -> Any:
    """A new tensor outside of any graph, of the public class or of a subclass."""
    tensor: Any = object.__new__(TensorBase.concrete if cls is None else cls)
    tensor.memory = storage
    tensor.offset = offset
    tensor.spec = spec
    tensor._requires_grad = tensor._untracked = tensor._retains_grad = False
    tensor._grad_fn = tensor._grad = tensor._hooks = tensor._view = tensor._accumulator = tensor._post_hooks = None
    tensor._output_nr = tensor._rebased = 0
    tensor._grad_dtype = OWN
    tensor._inference = mode.inference
    return tensor


def take_place(tensor: Any, source: Any) -> None:
    """Makes ``tensor`` the same window as ``source``, at the same place in the graph."""
    for name in TensorBase.__slots__:
        setattr(tensor, name, getattr(source, name))


_LEAF = object()  # in place of an edge


class Saved:
    """The tensors that a backward function needs, each with its version when it was saved; ``between``: what nobody sees;
    ``composition``: the operation as recorded ones, where a walk needed it (see :mod:`clgrad.autograd.recorded`)."""

    __slots__ = ("entries", "name", "between", "composition")
    places: ClassVar[dict[str, int | None] | None] = None  # of tensors by their names, where those go with the class

    def __init__(self, name: str, tensors: Sequence[Any]):
        self.name = name
        self.between: Sequence[Any] = ()
        self.composition: tuple[list, Sequence[Any]] | None = None
        entries: list[Any] = []
        for t in tensors:
            if t is None:
                entries.append(None)
                continue
            if t._inference and not mode.inference:
                raise RuntimeError("Inference tensors cannot be saved for backward. To work around you can make a clone to "
                                   "get a normal tensor and use it in autograd.")
            memory = t.memory
            # The place of a leaf is found when it is asked for.
            edge = None if not t._requires_grad else _LEAF if t._grad_fn is None and t._view is None else edge_of(t)
            entries.append((memory, t.offset, t.spec, memory.version, edge, t))
        if mode.saved_hooks:
            entries = [None if entry is None else _Packed(entry, mode.saved_hooks[-1]) for entry in entries]
        self.entries: list | None = entries

    def add_output(self, tensor: Any, changes: int = 0) -> None:
        """Saves a result of the operation itself, after :func:`attach`; its node is held weakly: no circle.

        ``changes``: how often its memory is still going to change before the operation is done.
        """
        assert self.entries is not None
        if tensor._grad_fn is None:  # of the kind that is not recorded where only tangents are
            return
        edge = (weakref.ref(tensor._grad_fn), tensor._output_nr)
        entry = (tensor.memory, tensor.offset, tensor.spec, tensor.memory.version + changes, edge, None)
        self.entries.append(_Packed(entry, mode.saved_hooks[-1]) if mode.saved_hooks else entry)

    def clear(self) -> None:
        self.entries, self.between, self.composition = None, (), None

    def unpack(self, used: Sequence[bool] | None = None) -> list:
        """The tensors, with their places in the graph where a graph is being recorded.

        What is not ``used`` is not looked at: None stands in its place.
        """
        if self.entries is None:
            raise freed()
        unpack = self._unpack
        if used is not None:
            return [unpack(entry) if use and entry is not None else None
                    for entry, use in zip(self.entries, used, strict=True)]
        return [None if entry is None else unpack(entry) for entry in self.entries]

    def unpack_for(self, *numbers: int) -> list:
        """Of as many tensors as there are ``numbers`` those that gradients of the node's inputs of these numbers need which
        the walk asks for; None in the places of the others."""
        return [t if is_wanted(number) else None for t, number in zip(self.unpack(), numbers, strict=True)]

    def tensor(self, place: int) -> Any:
        """One of the tensors, for a program to see: the same object that was saved, where its history is what it was."""
        if self.entries is None:
            raise freed()
        entry = self.entries[place]
        if entry is None:
            return None
        enabled, mode.enabled = mode.enabled, True
        try:
            found = self._unpack(entry)
        finally:
            mode.enabled = enabled
        original = None if type(entry) is _Packed else entry[5]
        if original is not None and original._grad_fn is found._grad_fn and original.memory is found.memory and (
                original.spec is found.spec and original.offset == found.offset):
            return original
        return found

    def pack(self, place: int | None, hooks: tuple[Callable, Callable]) -> None:
        """Keeps what the first of two hooks makes of one of the tensors; the second makes the tensor of that."""
        if place is not None and self.entries is None:
            raise RuntimeError("Calling register_hooks on a saved tensor after it has been freed. " + FREED)
        entry = None if place is None or self.entries is None else self.entries[place]
        if entry is None:
            raise RuntimeError("Calling register_hooks on a saved tensor with value None is forbidden")
        if type(entry) is _Packed:
            raise RuntimeError("Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one "
                               "pair of hooks is allowed at a time.")
        self.entries[place] = _Packed(entry, hooks)  # type: ignore[index]

    def _unpack(self, entry: Any) -> Any:
        if type(entry) is _Packed:
            return _placed(entry.tensor(), entry.edge)
        storage, offset, spec, version, edge, tensor = entry
        if storage.version != version:
            raise changed_since(self.name, spec, storage.version, version)
        if edge is not None and tensor is not None and not tensor._requires_grad and edge is not _LEAF:
            raise RuntimeError("Trying to use a saved tensor that has been detached in-place, i.e. with .detach_(). This is "
                               "not supported, please use out-of-place `.detach()` instead")
        if mode.enabled:
            return _placed(wrap(storage, offset, spec), edge_of(tensor) if edge is _LEAF else edge)
        if tensor is not None and tensor.memory is storage and tensor.spec is spec and tensor.offset == offset:
            return tensor  # as it was saved, and nobody asks for its place
        return wrap(storage, offset, spec)


class _Packed:
    """What a user's pack hook made of a saved tensor, and its place in the graph."""

    __slots__ = ("value", "unpack", "edge")

    def __init__(self, entry: tuple, hooks: tuple[Callable, Callable]):
        storage, offset, spec, _, edge, tensor = entry
        self.edge = edge_of(tensor) if edge is _LEAF else edge
        pack, self.unpack = hooks
        enabled, mode.enabled = mode.enabled, False
        try:
            version = storage.version
            self.value = pack(wrap(storage, offset, spec))
        finally:
            mode.enabled = enabled
        if storage.version != version:
            raise RuntimeError("A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack "
                               "hook can not be modified by in-place operations as this can lead to unexpected side-effects.")

    def tensor(self) -> Any:
        """The tensor that the unpack hook gives, outside of any graph."""
        found = self.unpack(self.value)
        if not isinstance(found, TensorBase):
            raise TypeError("Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                            f"{type(found).__name__}")
        return wrap(found.memory, found.offset, found.spec)


def _placed(tensor: Any, edge: Any) -> Any:
    """A tensor at a place in the graph, where a graph is being recorded."""
    if edge is not None and mode.enabled:
        node, number = edge
        node = node() if isinstance(node, weakref.ref) else node
        leaf = node.variable if isinstance(node, AccumulateGrad) else None
        if leaf is not None and leaf.memory is tensor.memory and leaf.spec is tensor.spec:
            return leaf
        tensor._requires_grad = True
        if leaf is None:
            tensor._grad_fn, tensor._output_nr = node, number
        else:
            tensor._accumulator = weakref.ref(node)
    return tensor


class _PostHooks:
    """Whether any leaf has ever had a hook that is called when its gradient was added."""

    used = False


post_hooks = _PostHooks()


def edge_of(tensor: Any) -> tuple[Node, int] | None:
    """Where a tensor's gradient goes: (node, output number), or None where it needs none."""
    if not tensor._requires_grad:
        return None
    node = current_node(tensor)
    if node is not None:
        return node, tensor._output_nr
    accumulator = tensor._accumulator and tensor._accumulator()
    if accumulator is None:
        accumulator = AccumulateGrad(tensor)
        tensor._accumulator = weakref.ref(accumulator)
    return accumulator, 0


def current_node(tensor: Any) -> Node | None:
    """A tensor's ``grad_fn``; a view's is made anew when its base was changed in place since."""
    view = tensor._view
    if view is not None and view.epoch != view.base._rebased:
        base = view.base
        if base._requires_grad and view.origin is not None and tensor.spec.dtype.differentiable:
            refuse_change(view, tensor._grad_fn, tensor._output_nr, indirect=True)
        view.epoch = base._rebased
        if base._requires_grad:
            tensor._requires_grad = True
            replay, spec_of_base = view.replay, base.spec

            def backward(grad: Any) -> Any:
                whole = grad.new_zeros(spec_of_base.shape, dtype=spec_of_base.dtype)  # a view may be of real parts
                replay(whole).copy_(grad)
                return whole
            old, number = tensor._grad_fn, tensor._output_nr
            attach(tensor, "AsStrided", (base,), backward)
            if tensor._retains_grad:
                _keep_retaining(tensor, old, number)
    return tensor._grad_fn


def _keep_retaining(tensor: Any, old: Node | None, number: int) -> None:
    """A tensor that keeps its gradient and was output ``number`` of ``old`` keeps the one of its new place."""
    if old is not None and old.capture is not None:
        old.capture.pop(number, None)
    retain(tensor)


def retain(tensor: Any) -> None:
    """Has the node of a tensor keep its gradient in its ``grad``."""
    node = tensor._grad_fn
    if node.capture is None:
        node.capture = {}
    node.capture[tensor._output_nr] = weakref.ref(tensor)


def is_wanted(number: int) -> bool:
    """Whether the backward walk that is going on asks the node that runs for the gradient of this input."""
    return mode.walk is None or mode.walk.asks_for(number)


def needs_graph(*tensors: Any) -> bool:
    """Whether an operation on these inputs is to be recorded."""
    if mode.enabled:
        for t in tensors:
            if t is not None and t._requires_grad:
                return not mode.hidden or _has_tangent(tensors)
    return False


def _has_tangent(tensors: Sequence[Any]) -> bool:
    """Whether a dual tensor led to one of the tensors."""
    return any(t is not None and t._requires_grad and mode.forward.led_to(t) for t in tensors)


def attach(output: Any, name: str | type[Node], inputs: Sequence[Any], backward: Callable,
           saved: Saved | None = None) -> Node:
    """Makes ``output`` (a tensor or a tuple of them) the result of a node named ``<name>Backward0``.

    ``backward`` takes a gradient an output and returns one an input (None where there is none). It must not hold on to
    tensors except through ``saved``. Integer outputs are marked as not differentiable.
    """
    edges: list[tuple[Node, int] | None] = []
    specs: list[Spec | None] = []
    if mode.hidden:
        inputs = [t if _has_tangent((t,)) else None for t in inputs]
    for t in inputs:
        if t is None or not t._requires_grad:
            edges.append(None)
            specs.append(None)
            continue
        above = t._grad_fn if t._view is None else None
        edges.append(edge_of(t) if above is None else (above, t._output_nr))
        specs.append(t.spec)
    outputs = output if isinstance(output, tuple) else (output,)
    node = (node_classes.get(name) or node_class(name))(tuple(edges), tuple(specs), backward, saved, len(outputs))
    if mode.anomaly:
        node.trace, node.maker = _stack_text(), mode.running
    if mode.hidden and not any(edges):
        return node
    for number, tensor in enumerate(outputs):
        if tensor is not None and tensor.spec.dtype.differentiable:
            tensor._requires_grad = True
            tensor._grad_fn = node
            tensor._output_nr = number
    return node


def ends_in(result: Any, name: str) -> Any:
    """Gives the last node of a composition, which ``result`` came from, the name of the composition's operator."""
    node = result._grad_fn
    if node is not None:
        node.__class__ = node_class(name)
    return result


def _stack_text() -> str:
    return "".join(traceback.format_stack(limit=24)[:-3])


def check_history(tensor: Any, recorded: bool = False) -> None:
    """RuntimeError where another place in the graph for ``tensor`` would break the graph."""
    if tensor._inference and not mode.inference:
        raise RuntimeError("Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to "
                           "get a normal tensor before doing inplace update.")
    if mode.copies is not None:
        mode.copies.before_change_of(tensor)
    if not mode.enabled or mode.hidden and not _has_tangent((tensor,)):
        return
    view = tensor._view
    if view is not None and (recorded or tensor._requires_grad or view.base._requires_grad):
        if view.origin is not None:
            refuse_change(view, tensor._grad_fn, tensor._output_nr)
        if view.base._requires_grad and current_node(view.base) is None:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    if tensor._requires_grad and current_node(tensor) is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def check_in_place(tensor: Any, recorded: bool) -> None:
    """RuntimeError where changing ``tensor`` in place would break the graph, or write a value over another."""
    check_history(tensor, recorded)
    if mode.working:
        refuse_captured(tensor)
    if tensor.spec.repeats:
        raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single "
                           "memory location. Please clone() the tensor before performing the operation.")


def mark_changed(tensor: Any) -> None:
    """Counts an in-place change, for those who saved the tensor."""
    tensor.memory.wrote(not tensor._untracked)


def rebase(tensor: Any, node: Node, history: Any) -> None:
    """Gives a tensor that an operation changed in place that operation's node as its history, and its base's.

    ``history`` is the tensor to which the node was attached. For a view the base gets a node that puts the operation
    into the window and passes the rest through.
    """
    if history._grad_fn is None:  # nothing was recorded but for tangents, of which there are none
        return
    view = tensor._view
    if view is None:
        _change_place(tensor, node, history._output_nr)
        return
    base, replay, own = view.base, view.replay, view.base.spec

    def backward(grad: Any) -> tuple:
        # Where the base's strides allow a view, those of its gradient must do so.
        same = grad.spec.strides == own.strides or own.repeats
        whole = grad.clone() if same else grad.new_empty_strided(own.shape, own.strides).copy_(grad)
        part = replay(whole)
        results = node.run([part.clone()])
        if results[0] is None:
            part.zero_()
        else:
            part.copy_(results[0])
        return (whole, *results[1:])
    whole_node = _CopySlices((edge_of(base), *node.edges[1:]), (base.spec, *node.specs[1:]), backward,
                                          node.saved)
    _change_place(base, whole_node, 0)
    current_node(tensor)


class _CopySlices(Node):
    """An operation in place on a view of a tensor, as that tensor's history."""

    def name(self) -> str:
        return "torch::autograd::CopySlices"


_CopySlices.__name__ = _CopySlices.__qualname__ = "CopySlices"


def _change_place(base: Any, node: Node, number: int) -> None:
    """Gives a tensor another place in the graph; its views make their own anew when they are next used."""
    if not base._requires_grad:
        for view in views_of(base):
            view._requires_grad = view.spec.dtype.differentiable
        base._requires_grad = True
    old, old_number = base._grad_fn, base._output_nr
    base._grad_fn, base._output_nr = node, number
    base._rebased = base._rebased + 1
    if base._retains_grad:
        _keep_retaining(base, old, old_number)


def grad_dtype(leaf: Any) -> dtype | None:
    """The dtype of a leaf's gradient; None: any."""
    return leaf.spec.dtype if leaf._grad_dtype is OWN else leaf._grad_dtype


class GradientEdge(NamedTuple):
    """A place in the graph: output ``output_nr`` of ``node``. Takes the place of a tensor in :func:`grad`."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The place where a tensor's gradient arrives.

    Raises:
        RuntimeError: it requires none.
    """
    edge = edge_of(tensor)
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients.")
    return GradientEdge(*edge)


def increment_version(tensor: Any) -> None:
    """Counts a change in place that clgrad could not see; also of several tensors."""
    for t in [tensor] if isinstance(tensor, TensorBase) else tensor:
        t.memory.version += 1
