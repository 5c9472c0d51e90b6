"""What rules of operators on sparse tensors are written with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import attach, needs_graph
from clgrad.formats import layout as Layout
from clgrad.ops.interception import intercepted, sparse_rules
from clgrad.ops.output import check_cast
from clgrad.ops.registry import FUNCTIONS, METHODS
from clgrad.ops.sparse import Pattern, as_coo, become, coalesced, is_sparse, pattern_of, plain, sparse, values_of
from clgrad.ops.sparse_layouts import in_layout

F = TypeVar("F", bound=Callable)


def rule(*names: str) -> Callable[[F], F]:
    """Registers a function in the place of operators of these names where an operand is sparse; ``out=`` is seen to."""
    def register(made: F) -> F:
        @functools.wraps(made)
        def form(*args: Any, out: Any = None, **kwargs: Any) -> Any:
            result = made(*args, **kwargs)
            return result if out is None else store(names[0], result, out)
        for name in names:
            if name in sparse_rules:
                raise ValueError(f"there are two rules for {name}")
            sparse_rules[name] = form
        return made
    return register


def public(name: str) -> Callable[[Callable], Any]:
    """Gives a function of this package, which takes tensors of all layouts, its public form."""
    def decorate(made: Callable) -> Any:
        rule(name)(made)
        return intercepted(made, name)
    return decorate


def store(name: str, result: Any, out: Any) -> Any:
    """``out=``: changes ``out``, of the result's layout, into the result."""
    if is_sparse(result) != is_sparse(out):
        raise RuntimeError(f"{name}(): out= has layout {out.spec.layout}, and the result {result.spec.layout}")
    check_cast(name, result.spec.dtype, out.spec.dtype)
    if is_sparse(out):
        return become(out, result.to(out.spec.dtype))
    if out.spec.shape != result.spec.shape:
        out.resize_(result.spec.shape)
    return METHODS["copy_"](out, result)


def in_place_forms(*names: str) -> None:
    """Gives the in-place forms of operators the results of their rules."""
    for name in names:
        sparse_rules[f"{name}_"] = functools.partial(in_place, name)


def in_place(name: str, target: Any, *args: Any, **kwargs: Any) -> Any:
    """Changes ``target``, sparse or dense, into the result of an operator on it."""
    result = FUNCTIONS.get(name, METHODS.get(name))(target, *args, **kwargs)  # type: ignore[misc]
    own = target.spec
    if own.dtype is not result.spec.dtype:
        check_cast(f"{name}_", result.spec.dtype, own.dtype)
        result = result.to(own.dtype)
    if not is_sparse(target):
        return METHODS["copy_"](target, result.to_dense() if is_sparse(result) else result)
    if not is_sparse(result):
        raise RuntimeError(f"{name}_: the result is strided, and cannot take the place of a tensor of layout {own.layout}")
    return become(target, in_layout(result, own.layout))


def entrywise(x: Any, function: Callable, node: str, backward: Callable) -> Any:
    """A sparse tensor of the same pattern with ``function`` of its values, which is linear: none are added up before."""
    pattern = pattern_of(x)
    with no_grad():
        made = sparse(pattern, function(plain(x.memory.values)))
    if needs_graph(x) and made.spec.dtype.differentiable:
        attach(made, node, (x,), backward)
    return made


def on_values(x: Any, function: Callable) -> Any:
    """A sparse tensor of the same places, coalesced, with ``function`` of its values."""
    x = coalesced(x) if pattern_of(x).compressed is None else x
    return sparse(pattern_of(x), function(values_of(x)))


def moved(x: Any, sizes: tuple, indices: Callable[[Any], Any], node: str, backward: Callable) -> Any:
    """A sparse tensor (of coordinates) with the same values at other places, of which each comes from one."""
    pattern = pattern_of(x)
    with no_grad():
        made = sparse(Pattern(pattern.layout, sizes, indices(pattern.indices), pattern.count < 2), plain(x.memory.values))
    if needs_graph(x):
        attach(made, node, (x,), backward)
    return made


def like(result: Any, layout: Layout) -> Any:
    """A sparse result in the layout of an operand; others have no layout to be in."""
    return in_layout(result, layout) if is_sparse(result) else result


def as_coordinates(x: Any) -> Any:
    """A tensor as ``sparse_coo`` if it is sparse in any way."""
    return as_coo(x) if is_sparse(x) else x
