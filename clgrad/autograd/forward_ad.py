"""``torch.autograd.forward_ad``: tangents that travel with values, forwards.

There is one rule a operator, for backward passes; a tangent is computed from it when it is asked for, as PyTorch's users did
before there were forward rules: the gradient of ``sum(J^T v * t)`` with respect to ``v`` is ``J t`` (J. Townsend, "A new
trick for calculating Jacobian vector products", 2017). So dual tensors are recorded like tensors that require gradients,
and :func:`unpack_dual` costs two backward passes.

>>> import clgrad
>>> with dual_level():
...     x = make_dual(clgrad.tensor([1., 2.]), clgrad.tensor([1., 10.]))
...     print(unpack_dual(x * x).tangent)
tensor([ 2., 40.])
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from clgrad.autograd.engine import grad
from clgrad.autograd.grad_mode import enable_grad, is_grad_enabled, set_grad_enabled, tangents_wanted
from clgrad.autograd.graph import AccumulateGrad, GradientEdge, attach, get_gradient_edge
from clgrad.autograd.saved_hooks import LevelCopies
from clgrad.autograd.tangents import Followed, nodes_from
from clgrad.batching.batched import Batched
from clgrad.tensor import Tensor

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class _Dual(NamedTuple):
    """A dual tensor, its place in the graph before it is changed, its tangent, and the leaf that was made for it where the
    primal required no gradient."""

    dual: Any
    edge: GradientEdge
    tangent: Any
    leaf: Any


class _Level(list[_Dual]):
    """The dual tensors of a level, and copies of what its operations saved and then changed in place. Operations on what dual
    tensors led to are recorded also where no graph is wanted, as tangents come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = LevelCopies()
        self.copies.begin()
        wanted = is_grad_enabled()
        self.followed = Followed().__enter__()
        self.recording = set_grad_enabled(wanted)

    def add(self, dual: _Dual) -> None:
        """Has another dual tensor in the level."""
        self.append(dual)
        self.followed.origins.add(dual.edge.node)

    def end(self) -> None:
        self.followed.__exit__()
        self.recording.__exit__()
        self.copies.end()

    def settled(self, tensor: Any, made_here: list[Any]) -> Any:
        """The tensor; outside of the graph, where none is wanted or that leads to nothing but leaves that were made here."""
        leaves = [node.variable for node in nodes_from(tensor.grad_fn) if isinstance(node, AccumulateGrad)]
        foreign = any(all(leaf is not own for own in made_here) for leaf in leaves)
        return tensor if foreign and is_grad_enabled() else tensor.detach()


_levels: list[_Level] = []


def __getattr__(name: str) -> Any:
    """``_current_level``, by which programs for PyTorch see whether a level has begun: its number, else -1."""
    if name == "_current_level":
        return len(_levels) - 1
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class UnpackedDualTensor(NamedTuple):
    """A value and its tangent; None where nothing travels with it."""

    primal: Any
    tangent: Any


def enter_dual_level() -> int:
    """Begins a level, in which dual tensors can be made; returns its number.

    Raises:
        RuntimeError: one has begun: levels cannot be nested, as in PyTorch.
    """
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _levels.append(_Level())
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Ends the level; its tangents are forgotten.

    Raises:
        RuntimeError: it is not the level that began last.
    """
    if not _levels or (level is not None and level != len(_levels) - 1):
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created. This is not "
                           "supported.")
    _levels.pop().end()


class dual_level(AbstractContextManager):
    """A block in which dual tensors can be made."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exception: object) -> None:
        exit_dual_level()


def _level(number: int | None) -> _Level | None:
    number = len(_levels) - 1 if number is None else number
    return _levels[number] if 0 <= number < len(_levels) else None


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """``tensor`` with a tangent of its shape: a view of it, on which what is computed is recorded.

    Raises:
        RuntimeError: no level has begun; shapes or dtypes differ; ``tensor`` has a tangent already.
        ValueError: one of them is not floating point.
    """
    found = _level(level)
    if found is None:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make sure to "
                           "enter_dual_level() first.")
    for name, given in (("primal", tensor), ("tangent", tangent)):
        if not isinstance(given, Tensor):
            raise TypeError(f"make_dual(): argument '{name}' must be Tensor, not {type(given).__name__}")
        if not given.dtype.differentiable:
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {given.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError("Trying to set a forward gradient that has a different size than that of the original Tensor, "
                           f"this is not supported. Tensor is of size {list(tensor.shape)} while the given forward gradient "
                           f"is of size {list(tangent.shape)}.")
    if tensor.dtype is not tangent.dtype:
        raise RuntimeError(f"Expected tangent to have the dtype of the primal, {tensor.dtype}, but got {tangent.dtype}")
    if type(tensor) is Batched or type(tangent) is Batched:
        raise RuntimeError("make_dual(): within vmap, torch.func.jvp gives directional derivatives")
    if any(tensor is known.dual for known in found):
        raise RuntimeError("Making a dual Tensor based on a Tensor that already has a forward gradient at the same level "
                           f"{len(_levels) - 1} is not supported.")
    if any(tangent is known.dual for known in found):
        raise RuntimeError("Making a dual Tensor with a tangent that has a forward gradient at the same level "
                           f"{len(_levels) - 1} is not supported.")
    with enable_grad():
        leaf = None if tensor.requires_grad else tensor.detach().requires_grad_()
        dual = tensor.view_as(tensor) if leaf is None else alias_of(leaf)
    found.add(_Dual(dual, get_gradient_edge(dual), tangent, leaf))
    return dual


def alias_of(leaf: Any) -> Any:
    """A leaf's values as a result of it that may be changed in place: it shares the memory, but is no view of the leaf."""
    alias = leaf.detach()
    attach(alias, "Alias", (leaf,), lambda g: g)
    return alias


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """The value and the tangent of a tensor that dual tensors led to; both can be differentiated backwards."""
    found = _level(level)
    if found is None:
        return UnpackedDualTensor(tensor, None)
    own = next((entry.tangent for entry in found if entry.dual is tensor and entry.edge == get_gradient_edge(tensor)), None)
    tangent = _tangent(tensor, found) if own is None else own
    return UnpackedDualTensor(found.settled(tensor.view_as(tensor), [entry.leaf for entry in found]), tangent)


def _tangent(tensor: Any, duals: _Level) -> Any:
    if not duals or not tensor.requires_grad:
        return None
    with enable_grad():
        direction = tensor.detach().new_ones(tensor.shape, requires_grad=True)
        with tangents_wanted():
            rows = grad([tensor], [entry.edge for entry in duals], [direction], True, True, allow_unused=True)
        used = [(row, entry.tangent) for row, entry in zip(rows, duals, strict=True) if row is not None]
        if not used and not any(entry.edge.node in nodes_from(tensor.grad_fn) for entry in duals):
            return None
        linear = [(row, tangent) for row, tangent in used if row.requires_grad]
        result = None
        if linear:
            (result,) = grad([row for row, _ in linear], [direction], [tangent for _, tangent in linear], True, True,
                             allow_unused=True)
    if result is None:
        return tensor.detach().new_zeros(tensor.shape)
    return duals.settled(result, [direction, *[entry.leaf for entry in duals]])
