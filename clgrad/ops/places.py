"""Elements at places that tensors of indices name: read, replaced, combined with others; and the gradients of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, TensorBase, attach, check_in_place, mark_changed, needs_graph, rebase, wrap
from clgrad.autograd.walks import determined_by
from clgrad.kernels import indexed
from clgrad.kernels.launch import CheckedPlan
from clgrad.ops.copying import array_over, cast, full
from clgrad.ops.execute import blank, check_specs, execute
from clgrad.shapes import Shape, broadcast_strides
from clgrad.spec import Spec, contiguous_spec, spec

_plans: dict[tuple, CheckedPlan] = {}
_reads: dict[tuple, tuple[CheckedPlan, Spec]] = {}
_spread: dict[tuple, Spec] = {}
_PLANS_MOST = 4096  # numbers of marked elements differ in every run: old plans are forgotten
FEW = 4096  # indices that are looked at on the host where that costs nothing


@determined_by()
class _Form:
    """What is known of :class:`Places` without their indices. Get one from :func:`_form`: the same for the same places."""

    __slots__ = ("name", "shape", "own", "axes", "negative")

    def __init__(self, name: str, shape: Shape, own: tuple[int | None, ...], axes: tuple[int, ...], negative: bool):
        self.name, self.shape, self.own, self.axes, self.negative = name, shape, own, axes, negative


_form = lru_cache(_PLANS_MOST)(_Form)


@determined_by("form", "unique", "indices")
class Places:
    """For each position p of ``shape`` one element of a tensor x.

    ``own[d]`` is the dimension of x that is walked along with dimension d of ``shape``, or None; ``axes[k]`` that in
    which ``indices[k]``, a tensor of integers expanded to ``shape`` or to its first dimensions, says where the element
    stands. ``negative``: indices may count from the end. ``unique``: no element is named twice.
    """

    __slots__ = ("form", "indices", "unique")

    def __init__(self, name: str, shape: Sequence[int], own: Sequence[int | None], axes: Sequence[int],
                 indices: Sequence[Any], *, negative: bool = False, unique: bool = False):
        self.form = _form(name, tuple(shape), tuple(own), tuple(axes), negative)
        self.indices, self.unique = tuple(indices), unique

    @property
    def name(self) -> str:
        """The operator's, for errors."""
        return self.form.name

    @property
    def shape(self) -> Shape:
        """That of the values."""
        return self.form.shape

    def over(self, indices: Sequence[Any]) -> Places:
        """The same places with the index tensors as they were unpacked from a node."""
        made: Places = object.__new__(Places)
        made.form, made.indices, made.unique = self.form, tuple(indices), self.unique
        return made

    def without_indices(self) -> Places:
        """What a node may keep."""
        return self.over(())

    @classmethod
    def along(cls, name: str, dim: int, index: Any, *, negative: bool = False) -> Places:
        """``x[.., index[p], ..]`` with the index in dimension ``dim`` and p in the others (gather, scatter)."""
        shape = index.spec.shape
        return cls(name, shape, [None if d == dim else d for d in range(len(shape))], (dim,), (index,), negative=negative)

    @classmethod
    def slices(cls, name: str, x: Any, dim: int, index: Any, *, negative: bool = False) -> Places:
        """The slices of ``x`` along ``dim`` that a vector of indices names."""
        shape = list(x.spec.shape)
        shape[dim] = index.spec.numel
        lead, rest = dim, len(shape) - dim - 1
        return cls(name, shape, [None if d == dim else d for d in range(len(shape))], (dim,),
                   (spread(index, (index.spec.numel,), lead, rest, shape),), negative=negative)


def spread(index: Any, common: Shape, lead: int, rest: int, shape: Sequence[int]) -> Any:
    """A tensor of indices as one of ``shape``: broadcast to ``common``, with ``lead`` and ``rest`` dimensions around."""
    own, target = index.spec, tuple(shape)
    key = (own, common, lead, target)
    wide = _spread.get(key)
    if wide is None:
        strides = (0,) * lead + broadcast_strides(own.shape, own.strides, common) + (0,) * rest
        wide = _kept(_spread, key, spec(target, strides, own.dtype, own.device))
    return wrap(index.memory, index.offset, wide)


def expanded(x: Any, shape: Shape) -> Any:
    """A broadcast window on the memory of ``x``, outside of the graph."""
    own = x.spec
    return wrap(x.memory, x.offset,
                spec(tuple(shape), broadcast_strides(own.shape, own.strides, shape), own.dtype, own.device))


def known_values(x: Any) -> Any:
    """The values of a tensor as an array to look at now, where that costs neither waiting nor a transfer; else None."""
    data = x.memory.known()
    return None if data is None else array_over(x, data)


def check_range(index: Any, size: int, message: Callable[[int], Exception], *, negative: bool = False) -> None:
    """Raises ``message(index)`` for an index out of range, where the indices are few and known to the host.

    Others are checked by the kernel that uses them, and the error comes when its result is read.
    """
    own = index.spec
    if not 0 < own.numel <= FEW:
        return
    storage = index.memory
    # Indices that were looked at before, and were fine, are not looked at again: the kernel checks them anyway.
    seen = (storage.version, index.offset, own, size, negative)
    if storage.checked == seen:
        return
    places = known_values(index)
    if places is None:
        return
    storage.checked = seen
    low, high = int(places.min()), int(places.max())
    bad = high if high >= size else low if low < (-size if negative else 0) else None
    if bad is not None:
        storage.checked = None
        raise message(bad)


def out_of_range(name: str, dim: int, size: int, kind: type[Exception] = IndexError) -> Callable[[int], Exception]:
    """The error of an index along a dimension, in whose text programs look for PyTorch's words."""
    told = "index out of range in self: " if name in ("index_select", "index_add") else ""
    return lambda index: kind(f"{name}(): {told}index {index} is out of bounds for dimension {dim} with size {size}")


def _planned(operation: str, x: Any, v: Spec, places: Places, ordered: bool) -> CheckedPlan:
    """The plan of an operation of ``kernels.indexed`` between x and values of a spec."""
    own, form = x.spec, places.form
    device = check_specs(form.name, own, v, *[i.spec for i in places.indices])
    steps = tuple([0 if d is None else own.strides[d] for d in form.own])
    indices = [indexed.Index(i.spec.dtype, i.spec.strides + (0,) * (len(form.shape) - i.spec.ndim), own.shape[axis],
                             own.strides[axis])
               for i, axis in zip(places.indices, form.axes, strict=True)]
    sizes = " and ".join(str(i.size) for i in indices)
    return indexed.plan(
        device, operation, own.dtype, form.shape, steps, v.strides, indices, ordered=ordered, negative=form.negative,
        message=f"{form.name}(): an index is out of bounds for a dimension of size {sizes}")


def _kept(plans: dict, key: tuple, made: Any) -> Any:
    """A plan that is kept under a key, with others or in place of all others."""
    if len(plans) >= _PLANS_MOST:
        plans.clear()
    plans[key] = made
    return made


def read(x: Any, places: Places, node: str) -> Any:
    """The elements of ``x`` at the places, as a new tensor of their shape."""
    indices, form = places.indices, places.form
    index: Any = indices[0] if len(indices) == 1 else None
    key = (x.spec, form, *[i.spec for i in indices]) if index is None else (x.spec, form, index.spec)
    found = _reads.get(key)
    if found is None:
        made = contiguous_spec(form.shape, x.spec.dtype, x.spec.device)
        found = _kept(_reads, key, (_planned("read", x, made, places, False), made))
    plan, made = found
    out = blank(made)
    source, target, there = x.memory.buffer, out.memory.buffer, None if index is None else index.memory.buffer
    if source is None or target is None or there is None:
        execute(plan, (x, out, *indices), ())
    else:
        plan((source, target, there), (x.offset, 0, index.offset))
    if mode.enabled and x._requires_grad:
        saved, kept, shape = Saved(places.name, indices), places.without_indices(), x.spec.shape
        attach(out, node, (x,), lambda g: sums(g, kept.over(saved.unpack()), shape, node), saved)
    return out


def sums(g: Any, places: Places, shape: Shape, node: str) -> Any:
    """Zeros of ``shape`` to which the elements of ``g`` are added at their places: the gradient of :func:`read`."""
    total = full(shape, 0, g.spec.dtype, g.spec.device)
    combine("add", total, g, places)
    if needs_graph(g):
        saved, kept = Saved(places.name, places.indices), places.without_indices()
        attach(total, f"{node}Backward", (g,), lambda v: read(v, kept.over(saved.unpack()), node), saved)
    return total


def combine(operation: str, x: Any, v: Any, places: Places) -> None:
    """Writes ``v``, broadcast to the places' shape, into ``x``: "put", "add", "multiply", "amax" or "amin".

    Values that meet in one element are taken in the order of their positions. Not recorded.
    """
    kind = x.spec.dtype
    v = cast(v, kind) if v.spec.dtype is not kind else v
    if v.memory is x.memory:
        v = v.detach().clone()
    narrow = operation != "put" and kind is not kind.compute
    target = cast(x.detach(), kind.compute) if narrow else x
    values = expanded(cast(v.detach(), kind.compute) if narrow else v, places.shape)
    ordered = not (places.unique or (operation == "put" and v.spec.numel == 1))
    key = (operation, target.spec, values.spec, places.form, ordered, *[i.spec for i in places.indices])
    plan = _plans.get(key)
    if plan is None:
        plan = _kept(_plans, key, _planned(operation, target, values.spec, places, ordered))
    execute(plan, (), (target, values, *places.indices))
    if narrow:  # sums of 16-bit floats are made in 32 bits
        x.detach().copy_(target)


def changed(node: str, x: Any, others: Sequence[Any], write: Callable[[Any], None], backward: Callable,
            saved: Saved | None = None, *, in_place: bool = False) -> Any:
    """The result of ``write(target)`` on a copy of ``x``, or on ``x`` itself, with its place in the graph.

    ``backward`` returns the gradients of ``x`` and of the ``others``.
    """
    recorded = needs_graph(x, *others) and x.spec.dtype.differentiable
    if not in_place:
        out = x.detach().clone()
        write(out)
        if recorded:
            attach(out, node, (x, *others), backward, saved)
        return out
    check_in_place(x, recorded)
    history = wrap(x.memory, x.offset, x.spec)
    if recorded:
        made = attach(history, node, (x, *others), backward, saved)
    write(wrap(x.memory, x.offset, x.spec))
    mark_changed(x)
    if recorded:
        rebase(x, made, history)
    return x


def put(node: str, x: Any, v: Any, places: Places, *, in_place: bool = False) -> Any:
    """``x`` with the elements at the places replaced by ``v`` (a tensor that broadcasts to their shape, or a number)."""
    kept, saved = places.without_indices(), Saved(places.name, places.indices)
    tensor, wanted = isinstance(v, TensorBase), x._requires_grad
    v_wanted = tensor and v._requires_grad
    value = v if tensor else full((), v, x.spec.dtype, x.spec.device)

    def backward(g: Any) -> tuple:
        there = kept.over(saved.unpack())
        rest = put(node, g, 0, there) if wanted else None
        return (rest, read(g, there, node) if v_wanted else None) if tensor else (rest,)
    return changed(node, x, (v,) if tensor else (), lambda target: combine("put", target, value, places), backward,
                   saved, in_place=in_place)


def add(node: str, x: Any, v: Any, places: Places, *, in_place: bool = False) -> Any:
    """``x`` with ``v`` added at the places."""
    kept, saved = places.without_indices(), Saved(places.name, places.indices)
    v_wanted = v._requires_grad

    def backward(g: Any) -> tuple:
        return g, None if not v_wanted else read(g, kept.over(saved.unpack()), node)
    return changed(node, x, (v,), lambda target: combine("add", target, v, places), backward, saved, in_place=in_place)


def as_index(name: str, index: Any, argument: str = "index") -> Any:
    """A tensor of int32 or int64 indices (an empty one may be of any dtype)."""
    kind = index.spec.dtype
    if kind in (dtypes.int64, dtypes.int32):
        return index
    if not index.spec.numel:
        return cast(index.detach(), dtypes.int64)
    raise RuntimeError(f"{name}(): Expected dtype int32/int64 for {argument}, got {kind.name}")
