"""Results put together from several tensors: one launch for many of them where their rows are dense."""

from __future__ import annotations

import operator as op
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, attach, needs_graph, wrap
from clgrad.autograd.walks import determined_by
from clgrad.dtypes import dtype
from clgrad.formats import channels_last, channels_last_3d, format_strides, suggests
from clgrad.kernels import concatenate
from clgrad.kernels.concatenate import Piece
from clgrad.ops import pointwise
from clgrad.ops.copying import COPY
from clgrad.ops.execute import blank, execute
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import Shape, collapse, contiguous_strides, is_contiguous, normalize_dim
from clgrad.spec import Spec, spec

_MOST = 1024  # lists of specs that are remembered


@determined_by()
class _Join:
    """Those tensors of a list that ``numbers`` names, of known specs, one after the other along a dimension."""

    def __init__(self, numbers: list[int], specs: list[Spec], dim: int, kind: dtype):
        first = specs[0]
        self.numbers, self.dim, self.lengths = numbers, dim, [own.shape[dim] for own in specs]
        self.shape = (*first.shape[:dim], sum(self.lengths), *first.shape[dim + 1:])
        strides = _common_strides(specs, self.shape) or contiguous_strides(self.shape)
        self.result = spec(self.shape, strides, kind, first.device)
        # For each tensor with elements: its number, its spec, where in the result it begins, and the spec there.
        self.parts: list[tuple[int, Spec, int, Spec]] = []
        start = 0
        for number, own in zip(numbers, specs, strict=True):
            if own.numel:
                self.parts.append((number, own, start, spec(own.shape, strides, kind, first.device)))
            start += own.shape[dim] * strides[dim]
        self.launches = self._launches()

    def _launches(self) -> list[tuple[concatenate.Plan, list[int]]]:
        """Plans, each with the numbers of its tensors; none where copying each by itself is what can be done."""
        result, dim = self.result, self.dim
        steps = [_step(own, dim) if own.dtype is result.dtype else None for _, own, _, _ in self.parts]
        if len(steps) < 2 or None in steps or not result.contiguous:
            return []
        rows, pitch = prod(self.shape[:dim]), prod(self.shape[dim:])
        pieces = [Piece(own.numel // rows, step or 0, start)
                  for (_, own, start, _), step in zip(self.parts, steps, strict=True)]
        reach = max(result.numel, *(own.extent for _, own, _, _ in self.parts))
        most, device = concatenate.capacity(reach), result.device.compute  # type: ignore[attr-defined]
        return [(concatenate.plan(device, result.dtype, rows, pitch, pieces[n:n + most], reach),
                 [number for number, *_ in self.parts[n:n + most]]) for n in range(0, len(pieces), most)]

    def __call__(self, tensors: list) -> Any:
        """The result, not recorded."""
        result = blank(self.result)
        for plan, numbers in self.launches:
            execute(plan, tuple([tensors[n] for n in numbers]), (result,))
        if not self.launches:
            for number, own, start, there in self.parts:
                t = tensors[number]
                pointwise.run_into(COPY, (wrap(t.memory, t.offset, own),), (), wrap(result.memory, start, there))
        return result


def _step(own: Spec, dim: int) -> int | None:
    """How far apart rows, which begin at a dimension, lie; None where they are not dense, or not evenly spaced."""
    if not is_contiguous(own.shape[dim:], own.strides[dim:]):
        return None
    sizes, (steps,) = collapse(own.shape[:dim], [own.strides[:dim]])
    return steps[0] if len(sizes) == 1 else None


def _common_strides(specs: list[Spec], shape: Shape) -> Shape | None:
    """The strides of a channels-last result, where all that it is made of suggest this format; None where not."""
    wanted = {4: channels_last, 5: channels_last_3d}.get(len(shape))
    if wanted is None or specs[0].contiguous:
        return None
    alike = all(suggests(own.shape, own.strides, wanted) for own in specs)
    return format_strides(shape, wanted) if alike else None


@lru_cache(_MOST)
def _known(specs: tuple[Spec, ...], dim: int) -> _Join:
    # A one-dimensional empty tensor may stand among others of any shape (an old habit that programs rely on): of it only the
    # dtype counts.
    numbers = [number for number, own in enumerate(specs) if own.shape != (0,)] or [0]
    pieces = [specs[number] for number in numbers]
    first = pieces[0]
    if not first.ndim:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    dim = 0 if first.shape == (0,) else normalize_dim(dim, first.ndim)
    for number, own in zip(numbers, pieces, strict=True):
        if own.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {own.ndim}")
        for axis, (size, wanted) in enumerate(zip(own.shape, first.shape, strict=True)):
            if size != wanted and axis != dim:
                raise RuntimeError(f"Sizes of tensors must match except in dimension {dim}. Expected size {wanted} but got "
                                   f"size {size} for tensor number {number} in the list.")
        if own.device.compute is not first.device.compute:  # type: ignore[attr-defined]
            raise RuntimeError(f"cat: expected all tensors to be on the same device, but found {first.device} and "
                               f"{own.device}")
    return _Join(numbers, pieces, dim, dtypes.result_type([own.dtype for own in specs]))


def _listed(name: str, tensors: Any) -> tuple[Sequence, tuple[Spec, ...]]:
    """Several tensors, and their specs; TypeError where they are something else."""
    if isinstance(tensors, (list, tuple)):
        specs = tuple([getattr(t, "spec", None) for t in tensors])
        if None not in specs:
            return tensors, specs  # type: ignore[return-value]
    if isinstance(tensors, TensorBase):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    if not isinstance(tensors, Iterable):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}")
    tensors = list(tensors)
    for number, t in enumerate(tensors):
        if not isinstance(t, TensorBase):
            raise TypeError(f"expected Tensor as element {number} in argument 0, but got {type(t).__name__}")
    return tensors, tuple([t.spec for t in tensors])


def _as_dim(name: str, dim: Any) -> int:
    """A dimension as an integer; TypeError where it is a flag, which would be equal to 0 or 1."""
    if isinstance(dim, bool):
        raise TypeError(f"{name}(): argument 'dim' (position 2) must be int, not bool")
    return op.index(dim)


@operator("cat", "concat", "concatenate", method=False)
def cat(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Tensors one after the other along a dimension; their other sizes agree. Dtypes are promoted."""
    tensors, specs = _listed("cat", tensors)
    if not specs:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    known = _known(specs, _as_dim("cat", dim))
    result = known(tensors)
    if needs_graph(*tensors):
        attach(result, "Cat", [tensors[number] for number in known.numbers],
               lambda g: FUNCTIONS["split"](g, known.lengths, known.dim))
    _check_cast(result, out)
    return store("cat", result, out, *tensors)


def _check_cast(result: Any, out: Any) -> None:
    """TypeError where the tensor that is to hold what was joined cannot do so."""
    if out is not None and not dtypes.can_cast(result.spec.dtype, out.spec.dtype):
        raise TypeError(f"torch.cat(): input types can't be cast to the desired output type "
                        f"{dtypes.type_name(out.spec.dtype)}")


@lru_cache(_MOST)
def _known_stack(specs: tuple[Spec, ...], dim: int) -> _Join:
    first = specs[0]
    for number, own in enumerate(specs):
        if own.shape != first.shape:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                               f"{list(own.shape)} at entry {number}")
    dim = normalize_dim(dim, first.ndim + 1)
    return _known(tuple([spec((*own.shape[:dim], 1, *own.shape[dim:]), (*own.strides[:dim], 1, *own.strides[dim:]),
                                own.dtype, own.device) for own in specs]), dim)


@operator("stack", method=False)
def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Tensors of one shape, along a new dimension."""
    tensors, specs = _listed("stack", tensors)
    if not specs:
        raise RuntimeError("stack expects a non-empty TensorList")
    known = _known_stack(specs, _as_dim("stack", dim))
    result = known(tensors)
    if needs_graph(*tensors):
        attach(result, "Stack", tensors, lambda g: FUNCTIONS["unbind"](g, known.dim))
    _check_cast(result, out)
    return store("stack", result, out, *tensors)
