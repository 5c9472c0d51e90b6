"""Checks of gradients of functions of sparse tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod
from typing import Any

from clgrad.formats import sparse_coo
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.sparse import Pattern, as_coo, coalesced, dense_of, is_sparse, pattern_of, sparse, unflattened, values_of
from clgrad.ops.sparse_layouts import in_layout


def as_sparse_gradcheck(gradcheck: Callable) -> Callable:
    """A check such as :func:`clgrad.autograd.gradcheck` for functions that take or give sparse tensors.

    The result is called as the check itself, and with ``masked=True``: then the values at the places of a sparse input change
    alone. Else (the default) those at all places do.

    >>> import clgrad
    >>> check = clgrad.sparse.as_sparse_gradcheck(clgrad.autograd.gradcheck)
    >>> x = clgrad.eye(3, dtype=clgrad.float64).to_sparse().requires_grad_()
    >>> check(lambda x: x * x, (x,), masked=True)
    True
    """
    @functools.wraps(gradcheck)
    def check(func: Callable, inputs: Any, *, masked: bool = False, **kwargs: Any) -> Any:
        given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        operands: list[Any] = []
        makers: list[Callable] = []
        for x in given:
            if is_sparse(x) and x.requires_grad:
                pattern, values = _varied(x, masked)
                operands.append(values.detach().clone().requires_grad_())
                makers.append(functools.partial(_made, pattern, x.layout))
            else:
                operands.append(x)
                makers.append(_as_it_is)

        def of_values(*values: Any) -> Any:
            found = func(*[make(value) for make, value in zip(makers, values, strict=True)])
            if isinstance(found, (tuple, list)):
                return tuple([_dense(part) for part in found])
            return _dense(found)
        return gradcheck(of_values, tuple(operands), **kwargs)
    return check


def _varied(x: Any, masked: bool) -> tuple[Pattern, Any]:
    """The places whose values are varied, those of a tensor or all, and the values there."""
    found = coalesced(as_coo(x.detach()))
    pattern = pattern_of(found)
    if masked:
        return pattern, values_of(found)
    numbers = FUNCTIONS["arange"](prod(pattern.sizes), device=pattern.indices.spec.device)
    whole = Pattern(sparse_coo, pattern.sizes, unflattened(numbers, pattern.sizes), True)
    return whole, dense_of(found).reshape(prod(pattern.sizes), *found.spec.shape[len(pattern.sizes):])


def _made(pattern: Pattern, layout: Any, values: Any) -> Any:
    return in_layout(sparse(pattern, values), layout)


def _as_it_is(x: Any) -> Any:
    return x


def _dense(x: Any) -> Any:
    return dense_of(x) if is_sparse(x) else x
